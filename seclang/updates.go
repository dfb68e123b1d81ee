package seclang

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// update is one SecRuleRemove* or SecRuleUpdate* directive. All of them are applied after the whole text has been
// read, so that they may stand before the rules they mean.
type update struct {
	dir     Directive
	ids     []idRange
	tag     func(string) bool
	msg     func(string) bool
	remove  bool
	targets []target
	replace []target // targets to take away first (third argument of SecRuleUpdateTarget*)
	actions []actionText
	member  int // of SecRuleUpdateActionById id:N
	used    bool
	idle    string // what to say about the part that does nothing
}

type idRange struct{ lo, hi int }

func (r idRange) has(id int) bool { return id >= r.lo && id <= r.hi }

func inRanges(rs []idRange, id int) bool {
	for _, r := range rs {
		if r.has(id) {
			return true
		}
	}
	return false
}

// parseRanges reads "1 5-9, 12". What names no rule is left out, and the error, which is noEffect, tells it: in
// mod_security2 such a part loads and does nothing.
func parseRanges(s string) ([]idRange, error) {
	var out []idRange
	var bad []string
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		lo, hi, span := strings.Cut(f, "-")
		a, err := strconv.Atoi(lo)
		b := a
		if err == nil && span {
			b, err = strconv.Atoi(hi)
		}
		if err != nil || a < 0 || b < a {
			bad = append(bad, f)
			continue
		}
		out = append(out, idRange{a, b})
	}
	switch {
	case len(bad) > 0:
		return out, noEffect("rule id %q, expected a number or a range such as 100-199", strings.Join(bad, " "))
	case len(out) == 0:
		return nil, noEffect("no rule id")
	}
	return out, nil
}

func parseUpdate(d Directive) (update, error) {
	u := update{dir: d}
	if len(d.Args) == 0 {
		return u, fmt.Errorf("%s without an argument", d.Name)
	}
	var err error
	name := lower(d.Name)
	switch {
	case strings.HasSuffix(name, "bytag"):
		u.tag, err = compileUpdatePattern(d.Args[0])
	case strings.HasSuffix(name, "bymsg"):
		u.msg, err = compileUpdatePattern(d.Args[0])
	case name == "secruleremovebyid":
		u.ids, err = parseRanges(strings.Join(d.Args, " "))
	case name == "secruleupdateactionbyid":
		id, member, _ := strings.Cut(d.Args[0], ":")
		if member != "" {
			if u.member, err = strconv.Atoi(member); err != nil || u.member < 0 {
				u.member, u.idle = 0, fmt.Sprintf("%s: chain position %q counts as 0, expected a number", d.Name, member)
			}
		}
		u.ids, err = parseRanges(id)
	default:
		id, _, _ := strings.Cut(d.Args[0], ":") // a position in a chain is not looked at
		u.ids, err = parseRanges(id)
	}
	switch {
	case errors.Is(err, errNoEffect) && name != "secruleupdateactionbyid":
		u.used = true // it is told once
		u.idle = fmt.Sprintf("%s has %v", d.Name, err)
	case err != nil:
		return u, fmt.Errorf("%s: %w", d.Name, err)
	}
	switch {
	case strings.HasPrefix(name, "secruleremove"):
		u.remove = true
	case name == "secruleupdateactionbyid":
		if len(d.Args) != 2 {
			return u, fmt.Errorf("%s has %d arguments, expected an id and a list of actions", d.Name, len(d.Args))
		}
		if u.actions, err = parseActions(d.Args[1]); err != nil {
			return u, err
		}
		if len(u.actions) == 0 {
			return u, fmt.Errorf("%s without an action", d.Name)
		}
		u.actions = slices.DeleteFunc(u.actions, func(a actionText) bool {
			if a.name == "id" || a.name == "phase" {
				u.idle = fmt.Sprintf("%s cannot change %s of a rule; that part has no effect", d.Name, a.name)
				return true
			}
			return false
		})
	default:
		if len(d.Args) < 2 || len(d.Args) > 3 {
			return u, fmt.Errorf("%s has %d arguments, expected what to match, targets and optionally targets to replace", d.Name, len(d.Args))
		}
		if u.targets, err = parseTargets(d.Args[1]); err != nil {
			return u, err
		}
		if len(d.Args) == 3 {
			if u.replace, err = parseTargets(d.Args[2]); err != nil {
				return u, err
			}
		}
	}
	return u, nil
}

func compileUpdatePattern(p string) (func(string) bool, error) {
	if re, err := regexp.Compile("(?s)" + p); err == nil {
		return re.MatchString, nil
	}
	return compileSelectorPattern(p)
}

func (u *update) selects(r *ruleText) bool {
	switch {
	case u.tag != nil:
		for _, m := range append([]*ruleText{r}, r.chain...) {
			for _, a := range m.actions {
				if a.name == "tag" && u.tag(a.arg) {
					return true
				}
			}
		}
		return false
	case u.msg != nil:
		a, ok := r.last("msg")
		return ok && u.msg(a.arg)
	}
	return r.kind != ruleMarker && inRanges(u.ids, r.id())
}

func (c *compiler) applyUpdates() {
	for i := range c.updates {
		u := &c.updates[i]
		c.at = u.dir
		for _, r := range c.texts {
			if !u.selects(r) {
				continue
			}
			u.used = true
			switch {
			case u.remove:
				r.removed = true
			case u.actions != nil:
				c.updateActions(u, r)
			default:
				r.targets = updateTargets(r.targets, u)
			}
		}
	}
}

func (c *compiler) updateActions(u *update, r *ruleText) {
	m := r
	if u.member > 0 {
		if u.member > len(r.chain) {
			c.warn(fmt.Sprintf("rule %d has no chained rule %d", r.id(), u.member))
			return
		}
		m = r.chain[u.member-1]
	}
	m.actions = mergeActions(m.actions, u.actions)
	c.check(m)
}

func updateTargets(ts []target, u *update) []target {
	out := make([]target, 0, len(ts)+len(u.targets))
	replaced := false
	for _, t := range ts {
		gone := false
		for _, o := range u.replace {
			if o.v == t.v && o.count == t.count && o.sel.String() == t.sel.String() {
				gone = true
				replaced = true
			}
		}
		if !gone {
			out = append(out, t)
		}
	}
	if len(u.replace) > 0 && !replaced {
		return out
	}
	return append(out, u.targets...)
}
