package seclang

import (
	"cmp"
	"fmt"
	"strings"
)

// Error is a fault in configuration text. Error returns "file:line: text".
type Error struct {
	File string
	Line int
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// Warning is something in configuration text that loads but does not do what it says.
type Warning struct {
	File      string
	Line      int
	Text      string
	Directive string // the directive it is about, "" when none
}

// String returns "file:line: text".
func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// Assumption is something that the rules leave open and that Defaults decided.
type Assumption struct {
	File string
	Line int
	// What was assumed, Why, and the Directive that would say so.
	What, Why, Directive string
}

// String returns the assumption as one line for a log or a terminal.
func (a Assumption) String() string {
	return fmt.Sprintf("%s:%d: assumed %s: %s; to say so yourself: %s", a.File, a.Line, a.What, a.Why, a.Directive)
}

// Nearest returns the name of among that is nearest to name (case ignored), or "" when none is near.
func Nearest(name string, among []string) string {
	name = strings.ToLower(name)
	if len(name) > 64 {
		return ""
	}
	best, dist := "", 1+min(3, max(1, len(name)/3))
	for _, a := range among {
		if d := distance(name, strings.ToLower(a), dist); d < dist || d == dist && best != "" && cmp.Less(a, best) {
			best, dist = a, d
		}
	}
	return best
}

// distance is the edit distance of a and b, swaps of neighbours counted once; it may stop early with any value above limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, 3*(len(b)+1))
	prev2, prev, cur := row[:len(b)+1], row[len(b)+1:2*(len(b)+1)], row[2*(len(b)+1):]
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
