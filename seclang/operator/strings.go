package operator

import (
	"fmt"
	"strings"

	"github.com/trapline/trapline/seclang/match"
)

// compare is an operator on the value and the argument as strings of bytes.
type compare struct {
	arg   string
	holds func(in, arg string) bool
	text  string // of the sentence, with %s for the argument
	lits  bool   // a match contains the argument
}

func (o *compare) Match(in, arg string, m *Result) bool {
	if arg == "" {
		arg = o.arg
	}
	if !o.holds(in, arg) {
		return false
	}
	if m.Explain {
		shown := arg
		if o.text == withinText && in == "" {
			shown = ""
		}
		m.Text = fmt.Sprintf(o.text, escape(shown), m.Target)
	}
	return true
}

// Literals is the argument itself.
func (o *compare) Literals() match.Literals {
	if !o.lits || o.arg == "" || hasMacro(o.arg) {
		return match.Literals{}
	}
	return match.Literals{A: []string{o.arg}}
}

const (
	stringText = "String match \"%s\" at %s."
	withinText = "String match within \"%s\" at %s."
)

func newBeginsWith(arg string, _ Env) (Operator, error) {
	return &compare{arg, strings.HasPrefix, stringText, true}, nil
}

func newEndsWith(arg string, _ Env) (Operator, error) {
	return &compare{arg, strings.HasSuffix, stringText, true}, nil
}

func newContains(arg string, _ Env) (Operator, error) {
	return &compare{arg, strings.Contains, stringText, true}, nil
}

func newContainsWord(arg string, _ Env) (Operator, error) {
	return &compare{arg, containsWord, stringText, true}, nil
}

func newStreq(arg string, _ Env) (Operator, error) {
	return &compare{arg, func(in, arg string) bool { return in == arg }, stringText, true}, nil
}

// newWithin looks for the value in the argument; the empty value is always within.
func newWithin(arg string, _ Env) (Operator, error) {
	return &compare{arg, func(in, arg string) bool { return strings.Contains(arg, in) }, withinText, false}, nil
}

// newStrmatch is contains with the escapes of @pm and without macros.
func newStrmatch(arg string, _ Env) (Operator, error) {
	text, err := pmContent(arg)
	if err != nil {
		return nil, err
	}
	return &strmatch{arg, text}, nil
}

type strmatch struct{ arg, text string }

func (o *strmatch) Match(in, _ string, m *Result) bool {
	if !strings.Contains(in, o.text) {
		return false
	}
	if m.Explain {
		m.Text = fmt.Sprintf("Pattern match \"%s\" at %s.", escape(o.arg), m.Target)
	}
	return true
}

// Literals is the text looked for.
func (o *strmatch) Literals() match.Literals { return match.Literals{A: []string{o.text}} }

// containsWord looks for arg with no letter, digit or underscore at either side.
func containsWord(in, arg string) bool {
	if arg == "" {
		return true
	}
	for from := 0; ; {
		i := strings.Index(in[from:], arg)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(arg)
		if (i == 0 || !isWord(in[i-1])) && (end == len(in) || !isWord(in[end])) {
			return true
		}
		from = i + 1
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// number compares value and argument as numbers.
type number struct {
	name  string
	arg   string
	value int64 // of arg, when it has no macro
	holds func(left, right int64) bool
}

func newNumber(name string, holds func(l, r int64) bool) func(string, Env) (Operator, error) {
	return func(arg string, _ Env) (Operator, error) {
		return &number{name, arg, atoi(arg), holds}, nil
	}
}

func (o *number) Match(in, arg string, m *Result) bool {
	right := o.value
	if arg != "" && arg != o.arg {
		right = atoi(arg)
	}
	if !o.holds(atoi(in), right) {
		return false
	}
	if m.Explain {
		m.Text = fmt.Sprintf("Operator %s matched %d at %s.", o.name, right, m.Target)
	}
	return true
}

// atoi is C's: leading blanks, a sign, digits; anything else is 0. It stops at
// the ends of int64 where C's result is not defined.
func atoi(s string) int64 {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] >= '\t' && s[i] <= '\r') {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	var v int64
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if v > (1<<63-10)/10 {
			v = 1<<63 - 1
			break
		}
		v = v*10 + int64(s[i]-'0')
	}
	if negative {
		return -v
	}
	return v
}

// always answers the same.
type always struct {
	matches bool
	text    string
}

func newNoMatch(string, Env) (Operator, error) { return always{false, "No match."}, nil }

func newUnconditionalMatch(string, Env) (Operator, error) {
	return always{true, "Unconditional match in SecAction."}, nil
}

func (o always) Match(_, _ string, m *Result) bool {
	if m.Explain && o.matches {
		m.Text = o.text
	}
	return o.matches
}

// idle is an operator whose argument is none: both it and a warning say so. mod_security2 loads it.
func idle(name, why string, env Env) Operator {
	if env.Warn != nil {
		env.Warn(fmt.Sprintf("@%s never matches: %s", name, why))
	}
	return always{}
}

// newAbsent makes an operator that loads with a warning and never matches.
func newAbsent(name, why string) func(string, Env) (Operator, error) {
	return func(_ string, env Env) (Operator, error) {
		if env.Warn != nil {
			env.Warn(fmt.Sprintf("@%s never matches: %s", name, why))
		}
		return always{}, nil
	}
}
