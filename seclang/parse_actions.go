package seclang

import (
	"errors"
	"fmt"
	"strings"
)

// actionText is one action as written: name lower-case, argument unquoted.
type actionText struct {
	name, arg string
	hasArg    bool
}

// actionNames are all actions of both versions.
var actionNames = []string{
	"accuracy", "allow", "append", "auditlog", "block", "capture", "chain", "ctl", "deny", "deprecatevar", "drop", "exec",
	"expirevar", "id", "initcol", "log", "logdata", "maturity", "msg", "multiMatch", "noauditlog", "nolog", "pass", "pause",
	"phase", "prepend", "proxy", "redirect", "rev", "sanitiseArg", "sanitiseMatched", "sanitiseMatchedBytes",
	"sanitiseRequestHeader", "sanitiseResponseHeader", "sanitizeArg", "sanitizeMatched", "sanitizeMatchedBytes",
	"sanitizeRequestHeader", "sanitizeResponseHeader", "setenv", "setrsc", "setsid", "setuid", "setvar", "severity", "skip",
	"skipAfter", "status", "t", "tag", "ver", "xmlns",
}

// repeated are the actions that a rule may carry more than once; of the others the last one counts.
var repeated = map[string]bool{
	"append": false, "ctl": true, "deprecatevar": true, "exec": true, "expirevar": true, "initcol": true,
	"sanitisearg": true, "sanitisematched": true, "sanitiserequestheader": true, "sanitiseresponseheader": true,
	"setenv": true, "setvar": true, "t": true, "tag": true, "xmlns": true, "setrsc": false, "setsid": false, "setuid": false,
}

// disruptive are the actions of which a rule has one; the last one wins.
var disruptive = map[string]bool{"allow": true, "block": true, "deny": true, "drop": true, "pass": true, "proxy": true, "redirect": true}

// flagOf names the actions that take no argument.
var flagOf = map[string]bool{
	"auditlog": true, "block": true, "capture": true, "chain": true, "deny": true, "drop": true, "log": true,
	"multimatch": true, "noauditlog": true, "nolog": true, "pass": true, "sanitisematched": true,
}

// wantsText names the actions whose argument must not be empty in either version.
var wantsText = map[string]bool{
	"append": true, "exec": true, "initcol": true, "prepend": true, "proxy": true, "redirect": true, "setvar": true, "skipafter": true, "status": true, "t": true,
}

const lostBreak = " \t\r\n\\"

// parseActions reads name,name:value,name:'quoted, value'.
func parseActions(s string) ([]actionText, error) {
	var out []actionText
	var errs []error
	for {
		// A backslash here is a continuation whose line break was lost in publishing.
		s = strings.TrimLeft(s, lostBreak)
		if rest, more := strings.CutPrefix(s, ","); more {
			s = strings.TrimLeft(rest, lostBreak)
			if len(out)+len(errs) == 0 || strings.HasPrefix(s, ",") {
				errs = append(errs, errors.New("nothing between two commas, expected an action"))
				s = strings.TrimLeft(s, lostBreak+",")
			}
		}
		if s == "" {
			return out, errors.Join(errs...)
		}
		n := strings.IndexAny(s, ":,")
		if n < 0 {
			n = len(s)
		}
		a := actionText{name: lower(strings.TrimSpace(s[:n]))}
		s = s[n:]
		if strings.HasPrefix(s, ":") {
			var err error
			if a.arg, s, err = actionArgument(strings.TrimLeft(s[1:], " \t")); err != nil {
				errs = append(errs, fmt.Errorf("action %s: %w", a.name, err))
			}
			a.hasArg = true
		}
		a.name = strings.Replace(a.name, "sanitize", "sanitise", 1)
		if err := checkAction(&a); err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, a)
		if len(out) > 10000 {
			return nil, errors.New("more than 10000 actions in one rule")
		}
	}
}

func checkAction(a *actionText) error {
	known := false
	for _, n := range actionNames {
		if strings.EqualFold(n, a.name) {
			known = true
			break
		}
	}
	switch {
	case a.name == "":
		return errors.New("empty action name")
	case !known:
		return unknown("action", a.name, actionNames)
	case flagOf[a.name] && a.arg != "":
		return fmt.Errorf("action %s takes no argument, found %q", a.name, a.arg)
	case flagOf[a.name] || a.name == "allow" || a.name == "sanitisematchedbytes":
	case !a.hasArg, a.arg == "" && wantsText[a.name]:
		return fmt.Errorf("action %s without an argument", a.name)
	}
	return nil
}

// actionArgument takes a value up to the next comma outside quotes.
func actionArgument(s string) (arg, rest string, err error) {
	if !strings.HasPrefix(s, "'") {
		quoted := false
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '\\' && i+1 < len(s):
				i++
			case s[i] == '\'' && (quoted || i > 0 && s[i-1] == '='):
				quoted = !quoted
			case s[i] == ',' && !quoted:
				return strings.TrimRight(s[:i], " \t"), s[i:], nil
			}
		}
		if quoted {
			return "", "", fmt.Errorf("missing closing quote in %q", clip(s, 60))
		}
		return strings.TrimRight(s, " \t"), "", nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '\'' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '\'':
			rest = strings.TrimLeft(s[i+1:], " \t")
			if rest != "" && rest[0] != ',' {
				return "", skipAction(rest), fmt.Errorf("unexpected %q after the closing quote", clip(rest, 40))
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", fmt.Errorf("missing closing quote in %q", clip(s, 60))
}

func skipAction(s string) string {
	if i := strings.IndexByte(s, ','); i >= 0 {
		return s[i:]
	}
	return ""
}

// mergeActions puts over on top of base, as a rule over its SecDefaultAction or SecRuleUpdateActionById over a rule.
func mergeActions(base, over []actionText) []actionText {
	out := make([]actionText, 0, len(base)+len(over))
	drop := map[string]bool{}
	hasDisruptive, resets := false, false
	for _, a := range over {
		hasDisruptive = hasDisruptive || disruptive[a.name]
		resets = resets || a.name == "t" && strings.EqualFold(a.arg, "none")
		if !repeated[a.name] {
			drop[a.name] = true
		}
		if o := opposite(a.name); o != "" {
			drop[o] = true
		}
	}
	for _, a := range base {
		if drop[a.name] || hasDisruptive && disruptive[a.name] || resets && a.name == "t" {
			continue
		}
		out = append(out, a)
	}
	return append(out, over...)
}

func opposite(name string) string {
	switch name {
	case "log":
		return "nolog"
	case "nolog":
		return "log"
	case "auditlog":
		return "noauditlog"
	case "noauditlog":
		return "auditlog"
	}
	return ""
}
