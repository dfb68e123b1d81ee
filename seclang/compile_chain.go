package seclang

import (
	"slices"
	"strings"
)

// adopt gives the starter of a chain what only a member says: message, data, severity and where to go on, as in
// version 3; version 2 refuses these actions in members. Where several say it, the first does.
func (r *rule) adopt() {
	for m := r.next; m != nil; m = m.next {
		if r.msg == nil {
			r.msg = m.msg
		}
		if r.logdata == nil {
			r.logdata = m.logdata
		}
		if r.severity < 0 {
			r.severity = m.severity
		}
		if r.rev == "" {
			r.rev = m.rev
		}
		if r.ver == "" {
			r.ver = m.ver
		}
		if r.maturity == 0 {
			r.maturity = m.maturity
		}
		if r.accuracy == 0 {
			r.accuracy = m.accuracy
		}
		if r.skip == 0 {
			r.skip = m.skip
		}
		if r.skipAfter == "" {
			r.skipAfter = m.skipAfter
		}
	}
}

// afterFault keeps r, a rule at fault, for compileFaulty, and returns the chain that is open behind it. A rule that
// would go on keeps one open, or else its next member would be told that it has no id.
func (c *compiler) afterFault(open *ruleText, d Directive, r *ruleText) *ruleText {
	if r != nil {
		r.defaults = c.defaults
		c.faulty = append(c.faulty, r)
	}
	if len(d.Args) == 0 || !opensChain(d.Args[len(d.Args)-1]) {
		return nil
	}
	if open == nil {
		open = &ruleText{dir: d, kind: ruleMarker, defaults: c.defaults}
		c.faulty = append(c.faulty, open)
	}
	return open
}

// compileFaulty compiles rules that were at fault already, and the members of their chains: who mends a file wants to
// see all of its faults at once.
func (c *compiler) compileFaulty() {
	for _, t := range c.faulty {
		c.compileOne(t, nil)
		for _, m := range t.chain {
			c.compileOne(m, nil)
		}
	}
}

// opensChain reports whether a list of actions, which may be at fault, holds the action chain.
func opensChain(actions string) bool {
	return slices.ContainsFunc(strings.Split(actions, ","), func(a string) bool { return strings.EqualFold(strings.TrimSpace(a), "chain") })
}
