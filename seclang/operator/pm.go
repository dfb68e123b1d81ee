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

func newPm(arg string, env Env) (Operator, error) {
	text, err := pmContent(arg)
	if err != nil {
		if text = arg; strings.TrimSpace(arg) == "" {
			return nil, errors.New("expected phrases separated by blanks")
		}
		// mod_security2 takes an argument with a wrong escape as it is.
	}
	list := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' })
	if len(list) == 0 {
		return idle("pm", "expected phrases separated by blanks", env), nil
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
			return nil, fmt.Errorf("read phrase file: %w%s", err, remote(name))
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimFunc(line, asciiSpace); line == "" || line[0] == '#' {
				continue
			}
			o.list = append(o.list, phraseLine(line))
		}
	}
	return o, nil
}

// remote explains a list on an HTTPS server, which mod_security2 would fetch.
func remote(name string) string {
	if strings.HasPrefix(name, "https://") || strings.HasPrefix(name, "http://") {
		return ": lists are not fetched from the network while rules load: expected a file, which a timer may keep up to date"
	}
	return ""
}

func asciiSpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

func (o *phrases) Match(in, _ string, m *Result) bool {
	if in == "" {
		return false
	}
	o.once.Do(func() { o.set = match.NewPhrases(o.list) })
	_, end, ok := o.set.Find(in)
	if !ok {
		return false
	}
	if !m.Capture && !m.Explain {
		return true
	}
	phrase := o.set.Path(in, end)
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
	// As mod_security2 does it, in place: when neither a byte nor an escape was
	// decoded, the text keeps its length, and bars that enclose no bytes stay.
	b := []byte(s)
	n, digit := 0, -1
	inHex, escaped, converted := false, false, false
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '|':
			inHex = !inHex
		case c == '\\' && !escaped:
			escaped = true
		case inHex:
			v, err := strconv.ParseUint(string(c), 16, 8)
			if err != nil {
				continue
			}
			if digit < 0 {
				digit = int(v)
				continue
			}
			b[n] = byte(digit<<4 | int(v))
			n++
			digit, converted = -1, true
		case escaped && strings.IndexByte(`:;\"`, c) < 0:
			return "", fmt.Errorf("unsupported escape in %q: expected \\ before one of : ; \\ \"", arg)
		default:
			b[n] = c
			n++
			converted = converted || escaped
			escaped = false
		}
	}
	if converted {
		b = b[:n]
	}
	return string(b), nil
}

// phraseLine decodes a line of a phrase file as mod_security2 does: |41 42| is
// bytes, and a backslash stands before : ; " or itself. A line in which a
// backslash stands before anything else is taken as it is. So is a bar that
// encloses no bytes, as in the error messages that CRS lists, which
// mod_security2 garbles.
func phraseLine(line string) string {
	text := hexParts(line)
	if strings.IndexByte(line, '\\') < 0 {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
			if i == len(text) || strings.IndexByte(`:;\"`, text[i]) < 0 {
				return line
			}
		}
		b = append(b, text[i])
	}
	return string(b)
}

// hexParts decodes |41 42| where it is well formed; any other bar is text.
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
