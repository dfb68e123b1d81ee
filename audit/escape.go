package audit

const hexDigits = "0123456789abcdef"

// appendEscaped appends s as ModSecurity's log_escape does: it is safe between
// double quotes on one line.
func appendEscaped(dst []byte, s string) []byte { return appendEscape(dst, s, true) }

// appendEscapedNoQuote is log_escape_nq: double quotes stay.
func appendEscapedNoQuote(dst []byte, s string) []byte { return appendEscape(dst, s, false) }

func appendEscape(dst []byte, s string, quotes bool) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '\\' && (c != '"' || !quotes) {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\v':
			dst = append(dst, '\\', 'v')
		default:
			dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, s[start:]...)
}

// appendEscapedHex is log_escape_hex, which ModSecurity uses for [data "..."].
func appendEscapedHex(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '\\' && c != '"' {
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		start = i + 1
	}
	return append(dst, s[start:]...)
}

// appendToken appends s as one word: blanks, control bytes and backslashes become \xHH, nothing becomes "-".
func appendToken(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '-')
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c > 0x20 && c < 0x7f && c != '\\' && (c != '-' || len(s) > 1) {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// token is the reverse of appendToken.
func token(s string) string {
	if s == "-" {
		return ""
	}
	return unescape(s)
}

// appendLine appends text that is already in log form. Only what would break
// the line is escaped: texts of rules hold quotes and backslashes that must stay.
func appendLine(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		var c byte
		switch s[i] {
		case '\n':
			c = 'n'
		case '\r':
			c = 'r'
		default:
			continue
		}
		dst = append(append(dst, s[start:i]...), '\\', c)
		start = i + 1
	}
	return append(dst, s[start:]...)
}

// unescape undoes appendEscaped, appendEscapedHex and the \xHH of version 3. An escape it
// does not know, or one that was cut off, stays as it is.
func unescape(s string) string {
	i := 0
	for i < len(s) && s[i] != '\\' {
		i++
	}
	if i == len(s) {
		return s
	}
	out := append(make([]byte, 0, len(s)), s[:i]...)
	for i < len(s) {
		c := s[i]
		if c != '\\' || i+1 == len(s) {
			out = append(out, c)
			i++
			continue
		}
		n := 2
		switch s[i+1] {
		case '"', '\\':
			out = append(out, s[i+1])
		case 'b':
			out = append(out, '\b')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'v':
			out = append(out, '\v')
		case 'x':
			b, ok := hexByte(s[i+2:])
			if !ok {
				out = append(out, '\\', 'x')
				break
			}
			out = append(out, b)
			n = 4
		default:
			out = append(out, '\\', s[i+1])
		}
		i += n
	}
	return string(out)
}

func hexByte(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := hexValue(s[0]), hexValue(s[1])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	return byte(hi<<4 | lo), true
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendQuoted appends s escaped between double quotes.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

// cutQuoted takes one quoted, escaped value off the front of s.
func cutQuoted(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	end := quoteEnd(s[1:])
	if end < 0 {
		return "", s, false
	}
	return unescape(s[1 : 1+end]), s[end+2:], true
}

// quoteEnd returns the index of the first double quote in s that no backslash escapes.
func quoteEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
