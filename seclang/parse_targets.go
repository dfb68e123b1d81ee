package seclang

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/trapline/trapline/seclang/match"
)

// target is one variable of a rule, such as &ARGS:/^id/ or !REQUEST_COOKIES:sid.
type target struct {
	v      varID
	count  bool // &
	except bool // !
	sel    selector
	src    int // index into Engine.sources, set by the compiler
	group  int // index of (src, chain of the rule) among those of literal-driven rules
}

// selector picks some names of a keyed variable. The zero value picks all.
type selector struct {
	key string // as written, without quotes and slashes
	rx  func(string) bool
}

func (s *selector) all() bool { return s.key == "" && s.rx == nil }

func (s *selector) match(name string) bool {
	if s.rx != nil {
		return s.rx(name)
	}
	return s.key == "" || strings.EqualFold(s.key, name)
}

// String writes the selector as in a rule.
func (s *selector) String() string {
	if s.rx != nil {
		return "/" + s.key + "/"
	}
	return s.key
}

// String writes the target as in a rule.
func (t target) String() string {
	s := t.v.String()
	if !t.sel.all() {
		s += ":" + t.sel.String()
	}
	switch {
	case t.except:
		return "!" + s
	case t.count:
		return "&" + s
	}
	return s
}

// parseTargets reads VAR|VAR:key|&VAR:'/regex/'|!VAR. Selectors in slashes or quotes may hold the separators.
func parseTargets(s string) ([]target, error) {
	var out []target
	var errs []error
	for {
		rest := strings.TrimLeft(s, " \t|,")
		if sep := strings.Trim(s[:len(s)-len(rest)], " \t"); rest != "" && (len(sep) > 1 || sep != "" && len(out)+len(errs) == 0) {
			errs = append(errs, fmt.Errorf("empty variable before %q", clip(rest, 40)))
		} else if rest != "" && sep == "" && len(out) > 0 {
			errs = append(errs, fmt.Errorf("found %q, expected | before it", clip(rest, 40)))
		}
		if s = rest; s == "" {
			break
		}
		var t target
		for s != "" && (s[0] == '!' || s[0] == '&' || s[0] == ' ') {
			if s[0] != ' ' && (t.except || t.count) {
				errs = append(errs, fmt.Errorf("found %q, expected a variable behind one of ! and &", clip(s, 40)))
			}
			t.except, t.count = t.except || s[0] == '!', t.count || s[0] == '&'
			s = s[1:]
		}
		n := strings.IndexAny(s, "|, \t:")
		name := s
		if n >= 0 {
			name = s[:n]
		}
		s = s[len(name):]
		hasKey := strings.HasPrefix(s, ":")
		// v2 also took a dot: TX.foo is written by people who think of macros.
		if base, key, ok := strings.Cut(name, "."); ok && !hasKey {
			if v, known := lookupVariable(base); known && v.id.keyed() {
				name, s, hasKey = base, ":"+key+s, true
			}
		}
		v, ok := lookupVariable(name)
		if !ok {
			errs = append(errs, unknown("variable", name, variableNames()))
			s = skipTarget(s)
			continue
		}
		t.v = v.id
		if hasKey {
			key, quotedRx, rest, err := selectorText(s[1:], v.id == vXML)
			if err != nil {
				errs = append(errs, fmt.Errorf("variable %s: %w", name, err))
			}
			s = rest
			if t.sel, err = newSelector(key, quotedRx, v.id); err != nil {
				errs = append(errs, fmt.Errorf("variable %s: %w", name, err))
			}
		}
		out = append(out, t)
		if len(out) > 10000 {
			return nil, errors.New("more than 10000 variables in one rule")
		}
	}
	if len(out) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("rule without a variable"))
	}
	return out, errors.Join(errs...)
}

func skipTarget(s string) string {
	if i := strings.IndexAny(s, "|,"); i >= 0 {
		return s[i:]
	}
	return ""
}

// selectorText takes the text of a selector from s, up to the separator after it.
func selectorText(s string, xpath bool) (key string, rx bool, rest string, err error) {
	if strings.HasPrefix(s, "'") {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '\\' && i+1 < len(s) && s[i+1] == '\'':
				i++
				b.WriteByte('\'')
			case s[i] == '\'':
				key = b.String()
				if !xpath && len(key) > 1 && key[0] == '/' && key[len(key)-1] == '/' {
					return key[1 : len(key)-1], true, s[i+1:], nil
				}
				return key, false, s[i+1:], nil
			default:
				b.WriteByte(s[i])
			}
		}
		return "", false, "", errors.New("missing closing quote of the selector")
	}
	if strings.HasPrefix(s, "/") && !xpath {
		// The slash that ends the expression stands before a separator or at the end: /a/b/ is one expression.
		for i := 1; i < len(s); i++ {
			if s[i] == '\\' {
				i++
				continue
			}
			if s[i] == '/' && (i+1 == len(s) || strings.IndexByte("|, \t", s[i+1]) >= 0) {
				return s[1:i], true, s[i+1:], nil
			}
		}
	}
	end, depth := len(s), 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; xpath && (c == '[' || c == '(') {
			depth++
		} else if xpath && (c == ']' || c == ')') {
			depth--
		} else if depth <= 0 && (c == '|' || c == ',' || c == ' ' || c == '\t') {
			end = i
			break
		}
	}
	return s[:end], false, s[end:], nil
}

func newSelector(key string, rx bool, v varID) (selector, error) {
	if !v.keyed() {
		return selector{}, fmt.Errorf("selector %q on a variable that has no names", key)
	}
	if !rx {
		return selector{key: key}, nil
	}
	m, err := compileSelectorPattern(key)
	if err != nil {
		return selector{}, fmt.Errorf("selector /%s/: %w", key, err)
	}
	return selector{key: key, rx: m}, nil
}

// selectorSteps is what a pattern of a selector may spend on one name: names are short, and a client may send many.
const selectorSteps = 20_000

// compileSelectorPattern compiles a pattern that is matched against names: without regard to case, as mod_security2 does.
func compileSelectorPattern(p string) (func(string) bool, error) {
	if re, err := regexp.Compile("(?is)" + p); err == nil {
		return re.MatchString, nil
	}
	re, err := match.Compile(p, match.Options{FoldCase: true, Limits: match.Limits{Steps: selectorSteps}})
	if err != nil {
		return nil, err
	}
	return func(s string) bool {
		ok, err := re.MatchString(s)
		return ok && err == nil
	}, nil
}

// unknown is the error for a name nobody knows; it names the nearest one.
func unknown(what, name string, among []string) error {
	if n := Nearest(name, among); n != "" {
		return fmt.Errorf("unknown %s %q: did you mean %s?", what, name, n)
	}
	return fmt.Errorf("unknown %s %q", what, name)
}
