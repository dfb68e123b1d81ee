package seclang

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ruleKind is what directive made a rule.
type ruleKind uint8

const (
	ruleNormal ruleKind = iota // SecRule
	ruleAction                 // SecAction
	ruleMarker                 // SecMarker
	ruleScript                 // SecRuleScript
)

// ruleText is one rule as parsed, before updates, defaults and compilation.
type ruleText struct {
	dir      Directive
	kind     ruleKind
	targets  []target
	neg      bool
	op, arg  string // operator name as written without @, and its argument
	actions  []actionText
	chain    []*ruleText     // further members, on the starter only
	defaults *defaultActions // SecDefaultAction in force where the rule stands
	removed  bool
}

// defaultActions are the SecDefaultAction lines in force at one point of the text, by phase; 0 is the latest of all.
type defaultActions struct {
	byPhase [6][]actionText
	dir     [6]Directive
	phase   int // of the latest
}

func (r *ruleText) last(name string) (actionText, bool) {
	for i := len(r.actions) - 1; i >= 0; i-- {
		if r.actions[i].name == name {
			return r.actions[i], true
		}
	}
	return actionText{}, false
}

func (r *ruleText) has(name string) bool {
	_, ok := r.last(name)
	return ok
}

// id is the number of the rule, 0 when it has none.
func (r *ruleText) id() int {
	a, _ := r.last("id")
	n, _ := strconv.Atoi(strings.TrimSpace(a.arg))
	return n
}

// parseRule reads one rule. With an error, the rule is what could be read of it, nil when that is nothing.
func parseRule(d Directive) (*ruleText, error) {
	r := &ruleText{dir: d}
	var acts string
	var errs []error
	switch name := lower(d.Name); name {
	case "secrule":
		if len(d.Args) < 2 || len(d.Args) > 3 {
			return nil, fmt.Errorf("SecRule has %d arguments, expected variables, operator and optionally actions", len(d.Args))
		}
		var err error
		r.targets, err = parseTargets(d.Args[0])
		errs = append(errs, err)
		if d.Args[1] == "" {
			return nil, errors.New(`SecRule with an empty operator, expected one such as "@rx ^abc" or "@unconditionalMatch"`)
		}
		r.neg, r.op, r.arg = splitOperator(d.Args[1])
		if len(d.Args) == 3 {
			acts = d.Args[2]
		}
	case "secaction":
		if len(d.Args) != 1 {
			return nil, fmt.Errorf("SecAction has %d arguments, expected one list of actions", len(d.Args))
		}
		r.kind, acts = ruleAction, d.Args[0]
	case "secmarker":
		if len(d.Args) != 1 {
			return nil, fmt.Errorf("SecMarker has %d arguments, expected one name", len(d.Args))
		}
		r.kind, r.arg = ruleMarker, d.Args[0]
		return r, nil
	case "secrulescript":
		if len(d.Args) < 1 || len(d.Args) > 2 {
			return nil, fmt.Errorf("SecRuleScript has %d arguments, expected a file and optionally actions", len(d.Args))
		}
		r.kind, r.op, r.arg = ruleScript, "inspectFile", d.Args[0]
		if len(d.Args) == 2 {
			acts = d.Args[1]
		}
	}
	var err error
	r.actions, err = parseActions(acts)
	return r, errors.Join(append(errs, err)...)
}

func splitOperator(s string) (neg bool, op, arg string) {
	s = strings.TrimLeft(s, " \t")
	t := s
	if strings.HasPrefix(t, "!") {
		neg = true
		t = strings.TrimLeft(t[1:], " \t")
	}
	if !strings.HasPrefix(t, "@") {
		return neg, "rx", t
	}
	t = t[1:]
	n := strings.IndexAny(t, " \t\n")
	if n < 0 {
		return neg, t, ""
	}
	return neg, t[:n], strings.TrimLeft(t[n:], " \t\n")
}

func parsePhase(s string) (int, error) {
	switch lower(strings.TrimSpace(s)) {
	case "request":
		return 2, nil
	case "response":
		return 4, nil
	case "logging":
		return 5, nil
	}
	n := leadingInt(s) // 2x is 2, as in mod_security2
	if n < 1 || n > 5 {
		return 0, fmt.Errorf("phase %q, expected 1 to 5, request, response or logging", s)
	}
	return int(n), nil
}

// severities are the names of ModSecurity's levels, most severe first.
var severities = []string{"EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"}

func parseSeverity(s string) (int, error) {
	s = strings.TrimSpace(s)
	for i, n := range severities {
		if strings.EqualFold(n, s) {
			return i, nil
		}
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n, nil
	}
	return 0, unknown("severity", s, severities)
}

// raw is the rule as part K of the audit log prints it: targets, operator and the actions in force, each in quotes.
func (r *ruleText) raw() string {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }
	var acts strings.Builder
	for i, a := range r.actions {
		if i > 0 {
			acts.WriteByte(',')
		}
		acts.WriteString(a.name)
		if !a.hasArg {
			continue
		}
		acts.WriteByte(':')
		if strings.ContainsAny(a.arg, ", '") {
			acts.WriteString("'" + strings.ReplaceAll(a.arg, "'", `\'`) + "'")
		} else {
			acts.WriteString(a.arg)
		}
	}
	switch r.kind {
	case ruleAction:
		return "SecAction " + quote(acts.String())
	case ruleMarker:
		return "SecMarker " + quote(r.arg)
	case ruleScript:
		return "SecRuleScript " + quote(r.arg) + " " + quote(acts.String())
	}
	var ts []string
	for _, t := range r.targets {
		ts = append(ts, t.String())
	}
	op := "@" + r.op
	if r.neg {
		op = "!" + op
	}
	if r.arg != "" {
		op += " " + r.arg
	}
	return "SecRule " + quote(strings.Join(ts, "|")) + " " + quote(op) + " " + quote(acts.String())
}
