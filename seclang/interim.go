package seclang

import (
	"errors"
	"strconv"
	"strings"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang/match"
)

type opResult struct {
	Capture, Explain bool
	Target           string
	Captures         []string
	Text             string
	Output           string
	Replaced         bool
	Geo              []audit.Field
	Err              error
}

func (r *opResult) Reset() { *r = opResult{Captures: r.Captures[:0]} }

type opOperator interface {
	Match(in, arg string, m *opResult) bool
}

type opEnv struct{}

var errUnavailable = errors.New("unavailable")

type rxOp struct {
	re *match.Regexp
	p  string
}

func (o rxOp) Match(in, _ string, m *opResult) bool {
	x, ok, _ := o.re.FindSubmatch(in, nil)
	if !ok {
		return false
	}
	if m.Capture {
		m.Captures = append(m.Captures[:0], x...)
	}
	if m.Explain {
		m.Text = `Pattern match "` + o.p + `" at ` + m.Target + `.`
	}
	return true
}

type fnOp struct {
	name, arg string
	fn        func(in, arg string) bool
}

func (o fnOp) Match(in, arg string, m *opResult) bool {
	if arg == "" {
		arg = o.arg
	}
	if !o.fn(in, arg) {
		return false
	}
	if m.Explain {
		m.Text = "Operator " + strings.ToUpper(o.name) + " matched " + arg + " at " + m.Target + "."
	}
	return true
}

func newOperator(name, arg string, _ opEnv) (opOperator, error) {
	num := func(f func(a, b int) bool) (opOperator, error) {
		return fnOp{name, arg, func(in, arg string) bool {
			a, _ := strconv.Atoi(strings.TrimSpace(in))
			b, _ := strconv.Atoi(strings.TrimSpace(arg))
			return f(a, b)
		}}, nil
	}
	switch lower(name) {
	case "rx":
		re, err := match.Compile(arg, match.Options{})
		return rxOp{re, arg}, err
	case "eq":
		return num(func(a, b int) bool { return a == b })
	case "ge":
		return num(func(a, b int) bool { return a >= b })
	case "gt":
		return num(func(a, b int) bool { return a > b })
	case "lt":
		return num(func(a, b int) bool { return a < b })
	case "le":
		return num(func(a, b int) bool { return a <= b })
	case "streq":
		return fnOp{name, arg, func(in, arg string) bool { return in == arg }}, nil
	case "contains":
		return fnOp{name, arg, strings.Contains}, nil
	}
	return nil, errors.New("unknown operator " + name)
}

func requiredText(op, arg, target string) string {
	return `Match of "` + op + " " + arg + `" against "` + target + `" required.`
}

func (o rxOp) Literals() match.Literals { return o.re.Literals() }
