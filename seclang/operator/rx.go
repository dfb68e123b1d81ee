package operator

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/trapline/trapline/seclang/match"
)

// rx is @rx and @rxGlobal.
type rx struct {
	pattern string
	re      *match.Regexp // nil when the pattern has macros
	expand  *expanded
	global  bool
}

func newRx(arg string, env Env) (Operator, error) {
	o := &rx{pattern: arg}
	if hasMacro(arg) {
		o.expand = &expanded{options: env.Match, escape: !strings.ContainsAny(stripMacros(arg), `()[]?+.\`)}
		return o, nil
	}
	var err error
	o.re, err = match.Compile(arg, env.Match)
	return o, err
}

// newRxGlobal is @rxGlobal of libmodsecurity 3: every match is captured.
func newRxGlobal(arg string, env Env) (Operator, error) {
	o, err := newRx(arg, env)
	if err != nil {
		return nil, err
	}
	o.(*rx).global = true
	return o, nil
}

func (o *rx) Match(in, arg string, m *Result) bool {
	re := o.re
	if re == nil {
		if re = o.expand.compile(arg); re == nil {
			return false
		}
	}
	ok := false
	switch {
	case !m.Capture:
		ok, m.Err = re.Within(m.Allowance).MatchString(in)
	case o.global:
		var all [][]string
		all, m.Err = re.Within(m.Allowance).FindAll(in, match.MaxGroups)
		for _, groups := range all {
			for _, g := range groups {
				if len(m.Captures) < match.MaxGroups {
					m.Captures = append(m.Captures, g)
				}
			}
		}
		ok = len(all) > 0
	default:
		m.Captures, ok, m.Err = re.Within(m.Allowance).FindSubmatch(in, m.Captures)
	}
	if !ok {
		return false
	}
	if m.Explain {
		m.Text = fmt.Sprintf("Pattern match \"%s\" at %s.", shown(re.String()), m.Target)
	}
	return true
}

// Literals are what every match contains.
func (o *rx) Literals() match.Literals {
	if o.re == nil {
		return match.Literals{}
	}
	return o.re.Literals()
}

// Pattern is the compiled pattern, nil when it has macros. The engine uses it
// to match without a Result.
func (o *rx) Pattern() *match.Regexp { return o.re }

// maxExpanded is how many patterns made by expansion are kept.
const maxExpanded = 64

// expanded compiles patterns whose macros were expanded. mod_security2 escapes
// the whole pattern then; libmodsecurity 3 nothing. We do as version 2, unless
// the pattern has syntax of its own beside the macros that this would destroy.
type expanded struct {
	options match.Options
	escape  bool

	mu    sync.Mutex
	cache map[string]*match.Regexp // guarded by mu; nil for what does not compile
}

func (x *expanded) compile(pattern string) *match.Regexp {
	x.mu.Lock()
	defer x.mu.Unlock()
	if re, ok := x.cache[pattern]; ok {
		return re
	}
	text := pattern
	if x.escape {
		text = escapeRegexp(text)
	}
	o := x.options
	re, err := match.Compile(text, o)
	if err != nil {
		re = nil // what a client sent is no fault of the rules: it does not match
	}
	if len(x.cache) >= maxExpanded || x.cache == nil {
		x.cache = make(map[string]*match.Regexp, maxExpanded)
	}
	x.cache[pattern] = re
	return re
}

// stripMacros is s without its %{...}.
func stripMacros(s string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "%{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		if _, s, ok = strings.Cut(after, "}"); !ok {
			return b.String()
		}
	}
}

// rsub is @rsub: it replaces text in STREAM_INPUT_BODY and STREAM_OUTPUT_BODY.
type rsub struct {
	pattern, replace string
	re               *match.Regexp // nil when the pattern has macros
	expand           *expanded
}

// newRsub reads s/regex/text/flags with any delimiter; flag i folds case, d
// escapes what macros in the pattern expand to.
func newRsub(arg string, env Env) (Operator, error) {
	const expected = "expected s/regex/text/ with the flags i and d"
	if len(arg) < 4 || arg[0] != 's' && arg[0] != 'S' {
		return nil, fmt.Errorf("%q: %s", arg, expected)
	}
	parts := splitEscaped(arg[2:], arg[1])
	switch len(parts) {
	case 1:
		return nil, fmt.Errorf("%q: %s", arg, expected)
	case 2:
		if parts[1] == "" {
			return nil, fmt.Errorf("%q: %s", arg, expected)
		}
		parts = append(parts, "") // mod_security2 misses no last delimiter
	}
	o := &rsub{pattern: parts[0]}
	options := env.Match
	escaped := false
	for _, f := range parts[2] {
		switch f {
		case 'i', 'I':
			options.FoldCase = true
		case 'd', 'D':
			escaped = true
		default:
			if env.Warn != nil {
				env.Warn(fmt.Sprintf("@rsub %s: unknown flag %q has no effect: %s", arg, f, expected))
			}
		}
	}
	if parts[1] != "" {
		// mod_security2 wants the backslash of a group written twice (four times in a file); one will do here.
		text, err := pmContent(parts[1])
		if err != nil {
			text = hexParts(parts[1])
		}
		o.replace = text
	}
	if o.pattern == "" {
		return nil, errors.New("the regex is empty: " + expected)
	}
	if hasMacro(o.pattern) {
		o.expand = &expanded{options: options, escape: escaped}
		return o, nil
	}
	var err error
	if o.re, err = match.Compile(o.pattern, options); err != nil {
		return idle("rsub", err.Error(), env), nil
	}
	return o, nil
}

// splitEscaped splits at delimiters that no backslash precedes, and drops those backslashes.
func splitEscaped(s string, delim byte) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == delim:
			i++
			b.WriteByte(delim)
		case s[i] == '\\' && i+1 < len(s):
			b.WriteString(s[i : i+2])
			i++
		case s[i] == delim && len(parts) < 2:
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(parts, b.String())
}

// Match matches every body, as in mod_security2, with something to replace in it or not. The engine asks it of bodies alone.
func (o *rsub) Match(in, _ string, m *Result) bool {
	re, replace := o.re, o.replace
	if m.Expand != nil {
		if re == nil {
			re = o.expand.compile(m.Expand(o.pattern))
		}
		if hasMacro(replace) {
			replace = m.Expand(replace)
		}
	}
	if re == nil {
		return false
	}
	var n int
	if m.Output, n, m.Err = re.Within(m.Allowance).Replace(in, replace); m.Err != nil {
		return false
	}
	m.Replaced = n > 0
	if m.Explain {
		m.Text = "Operator rsub succeeded."
	}
	return true
}
