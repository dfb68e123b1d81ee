//go:build libmodsecurity

package libmodsec

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGenerated gives both engines random rules and random requests. A case is its seed; what the generator leaves out
// because the two versions differ there is said where it would be made, and pinned in testdata.
func TestGenerated(t *testing.T) {
	failed := 0
	for n := *seed; n < *seed+uint64(*cases) && failed < 10; n++ {
		c := generate(n)
		theirs, ours := outlines(t, c)
		theirs, ours = undisturbed(c, theirs), undisturbed(c, ours)
		if d := unlike(theirs, ours); d != "" {
			failed++
			t.Errorf("-seed %d -cases 1: -libmodsecurity +ours\n%s\n%s%+v", n, d, c.Rules, c.Requests)
		}
		if len(theirs) == 1 && theirs[0] == "refused" {
			t.Errorf("-seed %d -cases 1: the generator made what does not load:\n%s", n, c.Rules)
		}
	}
}

// undisturbed leaves out the values that rules with a disruptive action look at: version 3 goes on after the first that
// matches, and ends the transaction when the rule is done.
func undisturbed(c *Case, lines []string) []string {
	acts := map[string]bool{}
	for line := range strings.Lines(c.Rules) {
		if f := disruption.FindStringSubmatch(line); f != nil {
			acts[f[1]] = true
		}
	}
	return slices.DeleteFunc(lines, func(l string) bool {
		f := strings.Fields(l)
		return len(f) > 1 && f[0] == "step" && acts[f[1]]
	})
}

var disruption = regexp.MustCompile(`"id:(\d+),phase:\d,(?:deny|drop|redirect)`)
