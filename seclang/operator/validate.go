package operator

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// byteRange is @validateByteRange: it matches values with a byte outside the ranges.
type byteRange struct {
	allowed [256]bool
	arg     string
}

// newByteRange reads "10,13,32-126" as mod_security2 does, with atoi: what is
// no number is 0, and nothing at all allows nothing. Both are worth a warning.
func newByteRange(arg string, env Env) (Operator, error) {
	o := &byteRange{arg: arg}
	warned := env.Warn == nil
	for _, part := range strings.Split(arg, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		if _, err := strconv.Atoi(strings.TrimSpace(from)); err != nil && !warned {
			warned = true
			env.Warn(fmt.Sprintf("@validateByteRange: %q counts as 0: expected numbers from 0 to 255 such as 10,13,32-126", part))
		}
		if arg == "" {
			break
		}
		lo, hi := atoi(from), atoi(to)
		if lo < 0 || hi > 255 || lo > hi {
			return nil, fmt.Errorf("invalid range %q: expected numbers from 0 to 255 such as 10,13,32-126", part)
		}
		for c := lo; c <= hi; c++ {
			o.allowed[c] = true
		}
	}
	return o, nil
}

func (o *byteRange) Match(in, _ string, m *Result) bool {
	i := 0
	for i < len(in) && o.allowed[in[i]] {
		i++
	}
	if i == len(in) {
		return false
	}
	if m.Explain {
		n := 0
		for ; i < len(in); i++ {
			if !o.allowed[in[i]] {
				n++
			}
		}
		m.Text = fmt.Sprintf("Found %d byte(s) in %s outside range: %s.", n, m.Target, o.arg)
	}
	return true
}

// urlEncoding is @validateUrlEncoding: it matches values with a broken escape.
type urlEncoding struct{}

func newURLEncoding(string, Env) (Operator, error) { return urlEncoding{}, nil }

func (urlEncoding) Match(in, _ string, m *Result) bool {
	for i := strings.IndexByte(in, '%'); i >= 0 && i < len(in); i++ {
		if in[i] != '%' {
			continue
		}
		if i+2 >= len(in) {
			m.explain("Invalid URL Encoding: Not enough characters at the end of input at %s.")
			return true
		}
		if !isHex(in[i+1]) || !isHex(in[i+2]) {
			m.explain("Invalid URL Encoding: Non-hexadecimal digits used at %s.")
			return true
		}
		i += 2
	}
	return false
}

// explain makes the sentence when it is wanted; format has one %s for the target.
func (m *Result) explain(format string) {
	if m.Explain {
		m.Text = fmt.Sprintf(format, m.Target)
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// utf8Encoding is @validateUtf8Encoding: it matches values that are not UTF-8 (RFC 3629).
type utf8Encoding struct{}

func newUTF8Encoding(string, Env) (Operator, error) { return utf8Encoding{}, nil }

func (utf8Encoding) Match(in, _ string, m *Result) bool {
	if utf8.ValidString(in) {
		return false
	}
	for i := 0; i < len(in); {
		n, fault := utf8Char(in[i:])
		if fault != "" {
			if m.Explain {
				m.Text = fmt.Sprintf("Invalid UTF-8 encoding: %s at %s. [offset \"%d\"]", fault, m.Target, i)
			}
			return true
		}
		i += n
	}
	return false
}

// utf8Char reads one character at the start of s; fault says what is wrong with it.
func utf8Char(s string) (n int, fault string) {
	c := s[0]
	least := rune(0)
	switch {
	case c < 0x80:
		return 1, ""
	case c&0xe0 == 0xc0:
		n, least = 2, 0x80
	case c&0xf0 == 0xe0:
		n, least = 3, 0x800
	case c&0xf8 == 0xf0:
		n, least = 4, 0x10000
		if c >= 0xf5 {
			return 0, "use of restricted character"
		}
	default:
		return 0, "invalid byte value in character"
	}
	if len(s) < n {
		return 0, "not enough bytes in character"
	}
	d := rune(c & (0xff >> (n + 1)))
	for _, x := range []byte(s[1:n]) {
		if x&0xc0 != 0x80 {
			return 0, "invalid byte value in character"
		}
		d = d<<6 | rune(x&0x3f)
	}
	switch {
	case d >= 0xd800 && d <= 0xdfff: // F4 90 and what follows it, beyond the last character, pass in both versions of ModSecurity
		return 0, "use of restricted character"
	case d < least:
		return 0, "overlong character detected"
	}
	return n, ""
}
