package operator

import (
	"fmt"
	"path/filepath"
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
	if plainText(in) || !libinjection.IsXSS(in) && !attributeXSS(in) {
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

// attributeXSS asks once more with names of attributes made plain that are XSS
// to the libinjection in mod_security2 2.9.7 but not to the port (0.3.5): every
// name of five and more letters that begins with "on", where the port knows a
// list of events, and every name that begins with xmlns or xlink, where the
// port knows only those exact names.
func attributeXSS(in string) bool {
	var b strings.Builder
	last := 0
	for i := 0; i+5 <= len(in); i++ {
		plain := ""
		switch in[i] | 0x20 {
		case 'x':
			if strings.EqualFold(in[i:i+5], "xmlns") || strings.EqualFold(in[i:i+5], "xlink") {
				plain = in[i : i+5]
			}
		case 'o':
			if in[i+1]|0x20 == 'n' {
				plain = "onload"
			}
		}
		if plain == "" || i > 0 && strings.IndexByte(beforeName, in[i-1]) < 0 {
			continue
		}
		end := i + nameLength(in[:i], in[i:])
		if end-i < 5 || in[i:end] == plain {
			continue
		}
		b.WriteString(in[last:i])
		b.WriteString(plain)
		last = end
		i = end - 1
	}
	if last == 0 {
		return false
	}
	b.WriteString(in[last:])
	return libinjection.IsXSS(b.String())
}

const (
	htmlSpace  = " \t\n\v\f\r\x00"
	beforeName = htmlSpace + "/=>\"'`"
)

// nameLength is the length of the name at the start of s, given what stands
// before it: as the value of attributename= it may hold more characters.
func nameLength(before, s string) int {
	stop := htmlSpace + "/=>"
	if t := strings.TrimRight(before, htmlSpace); strings.HasSuffix(t, "=") {
		stop = htmlSpace + ">"
	} else if n := len(before); n > 0 && strings.IndexByte("\"'`", before[n-1]) >= 0 && strings.HasSuffix(strings.TrimRight(before[:n-1], htmlSpace), "=") {
		stop = before[n-1:]
	}
	if n := strings.IndexAny(s, stop); n >= 0 {
		return n
	}
	return len(s)
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
	switch {
	case !ok || !m.Explain:
	case strings.EqualFold(filepath.Ext(o.script), ".lua"):
		m.Text = text // a script words it itself
	default:
		m.Text = fmt.Sprintf("File \"%s\" rejected by the approver script \"%s\": %s", escape(in), escape(o.script), escapeText(text))
	}
	return ok
}

// Script is the path of the script, so that the engine can load it once.
func (o inspectFile) Script() string { return o.script }
