package body

import (
	"fmt"
	"strings"
)

// parseDisposition reads a Content-Disposition header of a part. The numbers
// of its errors are those of ModSecurity, which rules and people look for.
func (m *Multipart) parseDisposition(value string) (problem int) {
	const kind = "form-data"
	if !strings.HasPrefix(value, kind) {
		return -1
	}
	d := disposition{m: m, s: value, pos: len(kind)}
	d.blanks()
	if d.end() {
		return 1
	}
	if d.s[d.pos] != ';' {
		return -2
	}
	d.pos++
	for !d.end() {
		if code := d.parameter(); code != 0 {
			return code
		}
	}
	d.finish()
	return 1
}

type disposition struct {
	m    *Multipart
	s    string
	pos  int
	star string // filename*
}

func (d *disposition) end() bool { return d.pos >= len(d.s) }

func (d *disposition) blanks() {
	for !d.end() && (d.s[d.pos] == ' ' || d.s[d.pos] == '\t') {
		d.pos++
	}
}

// parameter reads one "name=value" and the semicolon after it. It returns 0 to go on, 1 at a good end.
func (d *disposition) parameter() int {
	d.blanks()
	if d.end() {
		return -3
	}
	start := d.pos
	for !d.end() && d.s[d.pos] != '=' && d.s[d.pos] != ' ' && d.s[d.pos] != '\t' {
		d.pos++
	}
	if d.end() {
		return -4
	}
	name := d.s[start:d.pos]
	d.blanks()
	switch {
	case d.end():
		return -5
	case d.s[d.pos] != '=':
		return -13
	}
	d.pos++
	d.blanks()
	if d.end() {
		return -6
	}
	value, quote, code := d.value(name)
	if code != 0 {
		return code
	}
	if code := d.set(name, value, quote); code != 0 {
		return code
	}
	if d.end() {
		return 0
	}
	d.blanks()
	if d.end() {
		d.finish()
		return 1
	}
	if d.s[d.pos] != ';' {
		if c := d.s[d.pos-1]; c == '\'' || c == '"' {
			d.m.flags.InvalidQuoting = true
		}
		return -12
	}
	d.pos++
	return 0
}

func (d *disposition) value(name string) (value string, quote byte, code int) {
	switch c := d.s[d.pos]; {
	case name == "filename*":
		value, code = d.extended()
		return value, 0, code
	case c == '"' || c == '\'':
		// Some back ends take single quotes; they are flagged for the rules to decide.
		if c == '\'' {
			d.m.flags.InvalidQuoting = true
		}
		value, code = d.quoted(c)
		return value, c, code
	}
	start := d.pos
	for !d.end() && isTokenChar(d.s[d.pos]) {
		d.pos++
	}
	return d.s[start:d.pos], 0, 0
}

func (d *disposition) quoted(quote byte) (string, int) {
	d.pos++
	if d.end() {
		return "", -7
	}
	var b []byte
	for !d.end() && d.s[d.pos] != quote {
		if d.s[d.pos] == '\\' {
			if d.pos+1 >= len(d.s) {
				return "", -8
			}
			// Only the quote and the backslash can be escaped; other escapes stay
			// as they are, because old browsers send paths so.
			if c := d.s[d.pos+1]; c == quote || c == '\\' {
				d.pos++
			}
		}
		b = append(b, d.s[d.pos])
		d.pos++
	}
	if d.end() {
		return "", -10
	}
	d.pos++
	return string(b), 0
}

// extended reads charset'language'value of RFC 8187.
func (d *disposition) extended() (string, int) {
	start := d.pos
	for !d.end() && (isAlnum(d.s[d.pos]) || strings.IndexByte("!#$%&+-^_`{}~", d.s[d.pos]) >= 0) {
		d.pos++
	}
	if d.end() || d.s[d.pos] != '\'' || d.pos == start {
		return "", -16
	}
	d.pos++
	for !d.end() && (isAlnum(d.s[d.pos]) || d.s[d.pos] == '-') {
		d.pos++
	}
	if d.end() || d.s[d.pos] != '\'' {
		return "", -17
	}
	d.pos++
	start = d.pos
	for !d.end() && d.s[d.pos] != ';' && d.s[d.pos] != ' ' && d.s[d.pos] != '\t' {
		switch c := d.s[d.pos]; {
		case c == '%':
			if d.pos+2 >= len(d.s) || !isHex(d.s[d.pos+1]) || !isHex(d.s[d.pos+2]) {
				return "", -18
			}
			d.pos += 3
		case isAlnum(c) || strings.IndexByte("!#$&+-.^_`|~", c) >= 0:
			d.pos++
		default:
			return "", -19
		}
	}
	return d.s[start:d.pos], 0
}

func (d *disposition) set(name, value string, quote byte) int {
	p := d.m.part
	switch name {
	case "name":
		d.quotes(value, quote)
		d.m.lastName = value
		if p.named {
			return -14
		}
		p.name, p.named = value, true
	case "filename":
		d.quotes(value, quote)
		d.m.lastFilename = value
		if p.isFile {
			return -15
		}
		p.filename, p.isFile = value, true
	case "filename*":
		if d.star != "" {
			return -15
		}
		d.star = unescape(value)
	default:
		return -11
	}
	return 0
}

// quotes flags a single quote inside a value that is not in double quotes: PHP
// takes quotes anywhere in a value.
func (d *disposition) quotes(value string, quote byte) {
	if quote != '"' && strings.IndexByte(value, '\'') >= 0 {
		d.m.flags.InvalidQuoting = true
	}
}

func (d *disposition) finish() {
	p := d.m.part
	switch {
	case d.star == "":
	case p.filename == "":
		p.filename, p.isFile = d.star, true
		d.m.lastFilename = d.star
	default:
		p.star = d.star
	}
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isTokenChar is a token character of RFC 2045.
func isTokenChar(c byte) bool {
	return c > ' ' && c < 127 && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

func dispositionProblem(code int, value string) string {
	return fmt.Sprintf("Multipart: Invalid Content-Disposition header (%d): %s.", code, escapeLog(value))
}

// unescape undoes percent escapes that extended has checked.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		b = append(b, c)
	}
	return string(b)
}
