package operator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/trapline/trapline/seclang/match"
)

// phrases is @pm and @pmFromFile.
type phrases struct {
	list []string
	once sync.Once // guards set, which is built when a value first needs it
	set  *match.Phrases
}

func newPm(arg string, _ Env) (Operator, error) {
	text, err := pmContent(arg)
	if err != nil {
		if text = arg; strings.TrimSpace(arg) == "" {
			return nil, errors.New("expected phrases separated by blanks")
		}
		// mod_security2 takes an argument with a wrong escape as it is.
	}
	list := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' })
	if len(list) == 0 {
		return nil, errors.New("expected phrases separated by blanks")
	}
	return &phrases{list: list}, nil
}

// newPmFromFile reads one phrase per line from each of the files; lines that
// start with # are comments.
func newPmFromFile(arg string, env Env) (Operator, error) {
	names := strings.Fields(arg)
	if len(names) == 0 {
		return nil, errors.New("expected the name of a file with one phrase per line")
	}
	o := &phrases{}
	for _, name := range names {
		data, err := env.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read phrase file: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimFunc(line, asciiSpace); line == "" || line[0] == '#' {
				continue
			}
			o.list = append(o.list, hexParts(line))
		}
	}
	return o, nil
}

func asciiSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

func (o *phrases) Match(in, _ string, m *Result) bool {
	if in == "" {
		return false
	}
	o.once.Do(func() { o.set = match.NewPhrases(o.list) })
	phrase, _, ok := o.set.Find(in)
	if !ok {
		return false
	}
	if m.Capture {
		m.Captures = append(m.Captures, phrase)
	}
	if m.Explain {
		m.Text = fmt.Sprintf("Matched phrase \"%s\" at %s.", shown(phrase), m.Target)
	}
	return true
}

// Literals are the phrases: a value that contains one matches.
func (o *phrases) Literals() match.Literals { return match.Literals{A: o.list} }

// pmContent reads the argument of @pm, @strmatch and @rsub: quotes around all
// of it are dropped, |41 42| is bytes in hexadecimal, and a backslash stands
// before : ; " or itself.
func pmContent(arg string) (string, error) {
	s := strings.TrimLeftFunc(arg, asciiSpace)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if s == "" {
		return "", errors.New("the argument is empty: expected text")
	}
	b := make([]byte, 0, len(s))
	inHex, digit := false, -1
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '|':
			inHex = !inHex
		case inHex:
			v, err := strconv.ParseUint(string(c), 16, 8)
			switch {
			case err != nil: // blanks, and what mod_security2 ignores too
			case digit < 0:
				digit = int(v)
			default:
				b = append(b, byte(digit<<4|int(v)))
				digit = -1
			}
		case c == '\\':
			i++
			if i == len(s) || strings.IndexByte(`:;\"`, s[i]) < 0 {
				return "", fmt.Errorf("unsupported escape in %q: expected \\ before one of : ; \\ \"", arg)
			}
			b = append(b, s[i])
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}

// hexParts decodes |41 42| in a line of a phrase file where it is well formed;
// any other bar is text, as in the lists of programs and error messages that CRS has.
func hexParts(line string) string {
	var b []byte
	rest := line
	for {
		before, after, ok := strings.Cut(rest, "|")
		if !ok {
			break
		}
		inside, next, ok := strings.Cut(after, "|")
		if !ok {
			break
		}
		words := strings.Fields(inside)
		decoded := make([]byte, 0, len(words))
		for _, w := range words {
			v, err := strconv.ParseUint(w, 16, 8)
			if err != nil || len(w) != 2 {
				return line
			}
			decoded = append(decoded, byte(v))
		}
		if len(decoded) == 0 {
			return line
		}
		b = append(append(b, before...), decoded...)
		rest = next
	}
	return string(append(b, rest...))
}
