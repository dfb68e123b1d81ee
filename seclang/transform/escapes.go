package transform

import "strings"

// jsDecode decodes the escapes of JavaScript strings: \uHHHH (low byte, full
// width brought to ASCII), \xHH, octal, \n and the like; \C is C.
func jsDecode(s string) (string, bool) {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		switch rest := s[i:]; {
		case rest[0] != '\\' || len(rest) == 1:
			b = append(b, rest[0])
			i++
		case len(rest) > 5 && rest[1] == 'u' && isHex(rest[2]) && isHex(rest[3]) && isHex(rest[4]) && isHex(rest[5]):
			b = append(b, fullWidth(rest[2:6]))
			i += 6
		case len(rest) > 3 && rest[1] == 'x' && isHex(rest[2]) && isHex(rest[3]):
			b = append(b, unhex2(rest[2], rest[3]))
			i += 4
		case isOctal(rest[1]):
			c, n := octal(rest[1:])
			if n == 3 && rest[1] > '3' {
				// Only one byte: \377 is the largest, of \400 the third digit is text.
				c, n = octal(rest[1:3])
			}
			b = append(b, byte(c))
			i += 1 + n
		default:
			c, ok := control(rest[1])
			if !ok {
				c = rest[1]
			}
			b = append(b, c)
			i += 2
		}
	}
	return finish(s, b)
}

// escapeSeqDecode decodes the escapes of ANSI C: like jsDecode, but \X counts,
// \u does not, and a three-digit octal number is cut to its low byte.
func escapeSeqDecode(s string) (string, bool) {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		rest := s[i:]
		if rest[0] != '\\' || len(rest) == 1 {
			b = append(b, rest[0])
			i++
			continue
		}
		switch c, ok := control(rest[1]); {
		case ok:
			b = append(b, c)
			i += 2
		case (rest[1] == 'x' || rest[1] == 'X') && len(rest) > 3 && isHex(rest[2]) && isHex(rest[3]):
			b = append(b, unhex2(rest[2], rest[3]))
			i += 4
		case isOctal(rest[1]):
			c, n := octal(rest[1:])
			b = append(b, byte(c))
			i += 1 + n
		default:
			b = append(b, rest[1])
			i += 2
		}
	}
	return finish(s, b)
}

// cssDecode decodes the escapes of CSS 2: one to six hexadecimal digits and the
// one blank after them; \ and newline is nothing, \C is C. Of more than two
// digits the last two count, with full-width ASCII brought to ASCII.
func cssDecode(s string) (string, bool) {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		if s[i] != '\\' {
			b = append(b, s[i])
			i++
			continue
		}
		i++
		if i == len(s) {
			break // a backslash at the end continues to nothing
		}
		n := 0
		for n < 6 && i+n < len(s) && isHex(s[i+n]) {
			n++
		}
		if n == 0 {
			if s[i] != '\n' {
				b = append(b, s[i])
			}
			i++
			continue
		}
		b = append(b, cssCode(s[i:i+n]))
		i += n
		if i < len(s) && isSpace(s[i]) {
			i++
		}
	}
	return finish(s, b)
}

// cssCode is the byte for one to six digits.
func cssCode(h string) byte {
	switch n := len(h); {
	case n == 1:
		return unhex(h[0])
	case n == 4, n == 5 && h[0] == '0', n == 6 && h[:2] == "00":
		return fullWidth(h[n-4:])
	default:
		return unhex2(h[n-2], h[n-1])
	}
}

// control is the character that \c stands for in C.
func control(c byte) (byte, bool) {
	switch c {
	case 'a':
		return '\a', true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'v':
		return '\v', true
	case '\\', '?', '\'', '"':
		return c, true
	}
	return 0, false
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// octal reads up to three octal digits at the start of s.
func octal(s string) (value, n int) {
	for n < 3 && n < len(s) && isOctal(s[n]) {
		value = value*8 + int(s[n]-'0')
		n++
	}
	return value, n
}
