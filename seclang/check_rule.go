package seclang

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// check looks at what one rule by itself can get wrong. What mod_security2 takes although it cannot mean it, such as
// severity:CRITICL, is a warning that says what it counts as: rules that load there load here.
func (c *compiler) check(r *ruleText) {
	for i := range r.actions {
		switch a := &r.actions[i]; a.name {
		case "id":
			if n, err := strconv.ParseInt(strings.TrimSpace(a.arg), 10, 64); err != nil || n < 1 {
				c.fail(fmt.Errorf("id %q, expected a number above 0", a.arg))
			}
		case "phase":
			if _, err := parsePhase(a.arg); err != nil {
				c.fail(err)
			}
		case "severity":
			c.checkSeverity(a)
		case "status":
			if c.checkNumber(a) {
				c.checkStatus(a)
			}
		case "pause":
			if !strings.Contains(a.arg, "%{") {
				c.checkNumber(a)
			}
		case "skip":
			if n, err := strconv.Atoi(strings.TrimSpace(a.arg)); err != nil || n < 0 {
				c.fail(fmt.Errorf("action skip: found %q, expected a number of rules", a.arg)) // it would skip nothing
			}
		case "maturity", "accuracy":
			c.checkNumber(a)
		case "allow":
			switch lower(a.arg) {
			case "", "phase", "request":
			default:
				c.fail(fmt.Errorf("action allow: found %q, expected phase or request", a.arg))
			}
		}
	}
}

// checkOrder warns of transformations that a t:none behind them forgets, and of verdicts that come too late.
func (c *compiler) checkOrder(r *ruleText) {
	var before []string
	phase := r.phase()
	for _, a := range r.actions {
		switch a.name {
		case "t":
			if !strings.EqualFold(a.arg, "none") {
				before = append(before, a.arg)
			} else if len(before) > 0 {
				c.warn(fmt.Sprintf("t:none forgets the transformations before it: %s", strings.Join(before, ", ")))
				before = nil
			}
		case "deny", "drop", "redirect", "proxy":
			if phase == 5 {
				c.warn(fmt.Sprintf("action %s in phase 5 has no effect: the answer has been sent", a.name))
			}
		}
	}
}

// late warns of a ctl action about a body that has been read when the rule runs.
func (c *compiler) late(r *rule, a actionText) {
	option, _, _ := strings.Cut(lower(a.arg), "=")
	switch {
	case r.phase < 2:
	case strings.HasPrefix(option, "requestbody"), option == "forcerequestbodyvariable", option == "parsexmlintoargs":
		c.warn(fmt.Sprintf("ctl:%s has no effect in phase %d: the body is read before, so it belongs into phase 1", a.arg, r.phase))
	case r.phase > 3 && strings.HasPrefix(option, "responsebody"):
		c.warn(fmt.Sprintf("ctl:%s has no effect in phase %d: the body is read before, so it belongs into phase 3 or earlier", a.arg, r.phase))
	}
}

// checkNumber refuses signs, as both versions do, and warns of text that counts as a number all the same.
func (c *compiler) checkNumber(a *actionText) bool {
	s := strings.TrimSpace(a.arg)
	if s == "" || s[0] == '-' || s[0] == '+' {
		c.fail(fmt.Errorf("action %s: found %q, expected a number", a.name, a.arg))
		return false
	}
	if _, err := strconv.Atoi(s); err != nil {
		c.warn(fmt.Sprintf("action %s: %q counts as %d: expected a number", a.name, a.arg, leadingInt(s)))
	}
	return true
}

// checkSeverity warns of a severity that has no name.
func (c *compiler) checkSeverity(a *actionText) {
	s := strings.TrimSpace(a.arg)
	if s == "" || s[0] == '-' || s[0] == '+' {
		c.fail(fmt.Errorf("severity %q, expected one of %s", a.arg, strings.Join(severities, ", ")))
		return
	}
	if _, err := parseSeverity(s); err != nil {
		n := min(leadingInt(s), int64(len(severities)-1))
		c.warn(fmt.Sprintf("%v (it counts as %d, %s)", err, n, severities[n]))
	}
}

// checkStatus warns of a status that HTTP does not have: the answer is 500 then, as from httpd.
func (c *compiler) checkStatus(a *actionText) {
	if n := leadingInt(a.arg); !sendable(n) {
		c.warn(fmt.Sprintf("status:%s cannot be sent, the client gets 500: expected 200 to 599", strings.TrimSpace(a.arg)))
	}
}

// sendable reports whether n can be the status of a final answer.
func sendable(n int64) bool { return n >= 200 && n < 600 }

// statusOf is the status that the action asks for.
func statusOf(arg string) int {
	n := leadingInt(arg)
	if !sendable(n) {
		return http.StatusInternalServerError
	}
	return int(n)
}

// redirectStatus is status where it is one of redirection, else 302. mod_security2 also sends 302 for those beside 301,
// 302, 303 and 307; version 3 sends what the rule says.
func redirectStatus(status int) int {
	if status >= 300 && status < 400 {
		return status
	}
	return http.StatusFound
}

// severityOf is the level of a severity, also of one that is unknown: its leading number, as mod_security2 has it.
func severityOf(arg string) int {
	n, err := parseSeverity(arg)
	if err != nil {
		return int(leadingInt(arg))
	}
	return n
}

var errNoEffect = errors.New("no effect")

// noEffect is the error of an action that loads and does nothing; both name what was expected instead.
func noEffect(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNoEffect, fmt.Sprintf(format, args...))
}

// idle turns an error of noEffect into a warning, and reports whether it was one.
func (c *compiler) idle(a actionText, err error) bool {
	if !errors.Is(err, errNoEffect) {
		return false
	}
	c.warn(fmt.Sprintf("%s:%s has %v", a.name, a.arg, err))
	return true
}
