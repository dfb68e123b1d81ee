package seclang

import (
	"errors"
	"fmt"
	"strings"

	"github.com/trapline/trapline/seclang/transform"
)

// defaultAction reads a SecDefaultAction. It is checked where it stands: rules that inherit a fault would report it
// at places where it is not.
func (c *compiler) defaultAction(d Directive) {
	if len(d.Args) != 1 {
		c.fail(fmt.Errorf("SecDefaultAction has %d arguments, expected one list of actions", len(d.Args)))
		return
	}
	acts, err := parseActions(d.Args[0])
	if err != nil {
		c.fail(err)
		return
	}
	phase, hasDisruptive := 0, false
	kept := acts[:0:0]
	for _, a := range acts {
		switch a.name {
		case "phase":
			if phase, err = parsePhase(a.arg); err != nil {
				c.fail(err)
				return
			}
		case "id", "chain", "skip", "skipafter", "accuracy", "maturity", "rev", "ver":
			c.fail(fmt.Errorf("SecDefaultAction must not hold %s", a.name))
			return
		case "block":
			continue // it asks for what SecDefaultAction says: nothing, here
		}
		hasDisruptive = hasDisruptive || disruptive[a.name]
		kept = append(kept, a)
	}
	faults := len(c.errs)
	c.checkDefaults(kept)
	switch {
	case len(c.errs) > faults:
		return
	case phase == 0:
		c.fail(errors.New("SecDefaultAction must name a phase"))
		return
	case !hasDisruptive:
		c.fail(errors.New("SecDefaultAction must name a disruptive action, such as pass or deny"))
		return
	}
	next := *c.defaults
	next.byPhase[phase], next.byPhase[0] = kept, kept
	next.dir[phase], next.dir[0] = d, d
	next.phase = phase
	c.defaults = &next
}

// checkDefaults looks at the arguments of default actions as if they stood in a rule.
func (c *compiler) checkDefaults(acts []actionText) {
	t := &ruleText{dir: c.at, actions: acts}
	c.check(t)
	scratch := &rule{}
	for _, a := range acts {
		c.compileStep(scratch, a)
		if a.name != "t" {
			continue
		}
		n := lower(strings.TrimSpace(a.arg))
		if _, known := transform.Lookup(n); !known && n != "none" {
			c.fail(unknown("transformation", n, transform.Names()))
		}
	}
	c.namespaces(t)
}
