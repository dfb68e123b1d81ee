package seclang

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/trapline/trapline/seclang/connlimit"
	"github.com/trapline/trapline/seclang/operator"
)

// ConnLimits reads SecConnEngine, SecConnReadStateLimit and SecConnWriteStateLimit. They hold for a whole server, whichever
// hosts it has, so ds is the text of all of it. readFile reads the lists of @ipMatchFromFile; nil: os.ReadFile.
// As in mod_security2 2.9.7 the last number counts, lists add up, and without SecConnEngine nobody is refused.
func ConnLimits(ds []Directive, readFile func(string) ([]byte, error)) (connlimit.Limits, []Warning, error) {
	if readFile == nil {
		readFile = defaultReadFile
	}
	var l connlimit.Limits
	var warns []Warning
	var errs []error
	mode, last := ModeDetectionOnly, Directive{}
	said := false
	for _, d := range ds {
		var err error
		switch name := lower(d.Name); {
		case name == "secconnengine" && len(d.Args) > 0:
			mode, err = parseMode(d.Args[0], false)
			said = true
		case isReadLimit(name):
			err, last = addStateLimit(&l.Read, d, readFile), d
		case isWriteLimit(name):
			err, last = addStateLimit(&l.Write, d, readFile), d
		}
		if err != nil {
			errs = append(errs, &Error{d.File, d.Line, d.Name + ": " + err.Error()})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return connlimit.Limits{}, nil, err
	}
	if !said && l.Read.Max+l.Write.Max > 0 {
		warns = append(warns, Warning{last.File, last.Line, last.Name + " writes to the log and refuses nobody, as in mod_security2: SecConnEngine is not set; expected SecConnEngine On", last.Name})
	}
	if mode == ModeOff {
		return connlimit.Limits{}, warns, nil
	}
	l.Enforce = mode == ModeOn
	return l, warns, nil
}

func isReadLimit(name string) bool {
	return name == "secconnreadstatelimit" || name == "secreadstatelimit"
}

func isWriteLimit(name string) bool {
	return name == "secconnwritestatelimit" || name == "secwritestatelimit"
}

// addStateLimit adds what a line says to a limit.
func addStateLimit(l *connlimit.Limit, d Directive, readFile func(string) ([]byte, error)) error {
	n, not, op, err := parseStateLimit(d, readFile)
	if err != nil {
		return err
	}
	l.Max = n
	if op == nil {
		return nil
	}
	list := &l.Suspicious
	if not {
		list = &l.Trusted
	}
	before := *list
	*list = func(a netip.Addr) bool {
		return op.Match(a.String(), "", &operator.Result{}) || before != nil && before(a)
	}
	return nil
}

// parseStateLimit reads NUMBER ["[!]@ipMatch LIST"].
func parseStateLimit(d Directive, readFile func(string) ([]byte, error)) (n int, not bool, op operator.Operator, err error) {
	const operators = `expected one of "@ipMatch LIST", "@ipMatchF FILE" and "@ipMatchFromFile FILE", with or without !`
	if len(d.Args) == 0 || len(d.Args) > 2 {
		return 0, false, nil, fmt.Errorf("found %d arguments, expected a number of connections and perhaps an operator in quotes", len(d.Args))
	}
	if err := intTo(&n)(d.Args[0], nil); err != nil || len(d.Args) == 1 {
		return n, false, nil, err
	}
	text, not := strings.CutPrefix(strings.TrimSpace(d.Args[1]), "!")
	name, arg, _ := strings.Cut(strings.TrimPrefix(text, "@"), " ")
	arg = strings.TrimSpace(arg)
	switch lower(name) {
	case "ipmatch", "ipmatchf", "ipmatchfromfile":
	default:
		return 0, false, nil, fmt.Errorf("found %q, %s", d.Args[1], operators)
	}
	if !strings.HasPrefix(text, "@") || arg == "" || strings.Contains(arg, "%{") {
		return 0, false, nil, fmt.Errorf("found %q, %s", d.Args[1], operators)
	}
	if readFile == nil && lower(name) != "ipmatch" {
		return n, not, nil, nil
	}
	op, err = operator.New(name, arg, operator.Env{ReadFile: func(file string) ([]byte, error) {
		if !filepath.IsAbs(file) && d.File != "" {
			file = filepath.Join(filepath.Dir(d.File), file)
		}
		return readFile(file)
	}})
	return n, not, op, err
}
