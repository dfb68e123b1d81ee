package bodies

import (
	"maps"
	"slices"
	"testing"
)

// makers are the kinds of bodies.
func makers() map[string]func(*maker, uint64) request {
	return map[string]func(*maker, uint64) request{
		"form": (*maker).form, "json": (*maker).json, "xml": (*maker).xml, "multipart": (*maker).multipart,
	}
}

// requests makes n of a kind. The seeds are fixed: a run finds what the run before it found.
func requests(kind string, n int) []request {
	out := make([]request, 0, n)
	for seed := range uint64(n) {
		out = append(out, makers()[kind](newMaker(seed), seed))
	}
	return out
}

// TestBorders gives each body in one piece, byte by byte and cut at random: the rules must see the same.
func TestBorders(t *testing.T) {
	o := newOurs(t, "")
	for kind := range makers() {
		for i, r := range requests(kind, 600) {
			whole := o.ask(r, nil)
			if whole == nil {
				t.Fatal(kind, "the rules did not run")
			}
			m := newMaker(uint64(i) + 1e6)
			var every, some []int
			for at := 1; at < len(r.body); at++ {
				every = append(every, at)
				if m.chance(2) {
					some = append(some, at)
				}
			}
			for _, pieces := range [][]int{every, some, slices.Compact([]int{1, len(r.body) / 2, len(r.body) - 1})} {
				if got := o.ask(r, pieces); !maps.Equal(whole, got) {
					t.Errorf("%s %s: cut at %d places:\nwhole %q\n  cut %q", kind, r.name, len(pieces), whole, got)
				}
			}
		}
	}
}
