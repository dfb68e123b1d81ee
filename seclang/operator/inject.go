package operator

import (
	"fmt"
	"strings"

	"github.com/corazawaf/libinjection-go"
)

// detectSQLi is @detectSQLi; TX:0 is the fingerprint.
type detectSQLi struct{}

func newDetectSQLi(string, Env) (Operator, error) { return detectSQLi{}, nil }

func (detectSQLi) Match(in, _ string, m *Result) bool {
	if oneWord(in) {
		return false
	}
	ok, fingerprint := libinjection.IsSQLi(in)
	if !ok {
		return false
	}
	if m.Capture {
		m.Captures = append(m.Captures, fingerprint)
	}
	if m.Explain {
		m.Text = fmt.Sprintf("detected SQLi using libinjection with fingerprint '%s'", fingerprint)
	}
	return true
}

// detectXSS is @detectXSS; TX:0 is the value.
type detectXSS struct{}

func newDetectXSS(string, Env) (Operator, error) { return detectXSS{}, nil }

func (detectXSS) Match(in, _ string, m *Result) bool {
	if plainText(in) || !libinjection.IsXSS(in) && !namespaceXSS(in) {
		return false
	}
	if m.Capture {
		m.Captures = append(m.Captures, in)
	}
	if m.Explain {
		m.Text = "detected XSS using libinjection."
	}
	return true
}

// namespaceXSS makes up for a slip of the port: in libinjection every attribute
// that begins with xmlns or xlink is XSS, in the port (0.3.5) only those exact
// names are. So it is asked once more with the rest of such names cut off.
func namespaceXSS(in string) bool {
	var b strings.Builder
	last := 0
	for i := 0; i+5 <= len(in); i++ {
		if in[i]|0x20 != 'x' || !strings.EqualFold(in[i:i+5], "xmlns") && !strings.EqualFold(in[i:i+5], "xlink") {
			continue
		}
		i += 5
		end := i
		for end < len(in) && strings.IndexByte(" \t\n\v\f\r/=>", in[end]) < 0 {
			end++
		}
		if end > i {
			b.WriteString(in[last:i])
			last = end
		}
		i = end - 1
	}
	if last == 0 {
		return false
	}
	b.WriteString(in[last:])
	return libinjection.IsXSS(b.String())
}

// oneWord reports whether libinjection makes a single token of s, a word or a
// number: no fingerprint of one such token is known to it as an injection, so
// it need not be asked. Half of the values of ordinary requests are like that.
func oneWord(s string) bool {
	letters := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case isWord(c):
			letters = true
		default:
			return false
		}
	}
	return !letters || s[0] > '9'
}

// plainText reports whether s has nothing that could end a value of HTML or
// begin one: libinjection sees a value that belongs to no attribute, or names
// of attributes without values, and neither is XSS to it.
func plainText(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<', '>', '=', '"', '\'', '`':
			return false
		}
	}
	return true
}

// inspectFile is @inspectFile: the engine runs the script.
type inspectFile struct{ script string }

func newInspectFile(arg string, _ Env) (Operator, error) {
	if arg == "" {
		return nil, fmt.Errorf("expected the path of a script")
	}
	return inspectFile{arg}, nil
}

func (o inspectFile) Match(in, _ string, m *Result) bool {
	if m.Inspect == nil {
		return false
	}
	text, ok, err := m.Inspect(o.script, in)
	if err != nil {
		m.Err = fmt.Errorf("inspect file %s with %s: %w", in, o.script, err)
		return false
	}
	if ok && m.Explain {
		m.Text = fmt.Sprintf("File \"%s\" rejected by the approver script \"%s\": %s", escape(in), escape(o.script), escapeText(text))
	}
	return ok
}

// Script is the path of the script, so that the engine can load it once.
func (o inspectFile) Script() string { return o.script }
