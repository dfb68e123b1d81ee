//go:build libmodsecurity

package libmodsec

import (
	"os"
	"strings"
	"testing"
)

// TestLoad compares which directives load. Each line of testdata/load.txt is a sign and a text, with ⏎ for a line
// break: = where both agree, + what only ours loads because version 2 does or a later release of version 3, - what
// only version 3 loads, which version 2 refuses. Lines with # give the reason of the lines up to the next.
func TestLoad(t *testing.T) {
	b, err := os.ReadFile("testdata/load.txt")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // version 3 makes the logs that directives name where it stands
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		sign, rules, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || sign == "#" {
			out.WriteString(line)
			continue
		}
		c := &Case{Rules: strings.ReplaceAll(rules, "⏎", "\n") + "\n"}
		theirs, err := Theirs(c)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := Ours(c)
		if err != nil {
			t.Fatal(err)
		}
		got := "="
		switch {
		case theirs.Load == "" && ours.Load != "":
			got = "-"
		case theirs.Load != "" && ours.Load == "":
			got = "+"
		}
		if got != sign && !*update {
			t.Errorf("%s is %s now:\n%s\n%s", line, got, theirs.Load, ours.Load)
		}
		out.WriteString(got + " " + rules + "\n")
	}
	if *update {
		if err := os.WriteFile(here+"/testdata/load.txt", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
