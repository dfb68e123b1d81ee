package transform

import "strings"

// urlDecode decodes %HH and '+'; an invalid escape stays as it is.
func urlDecode(s string) (string, bool) {
	i := strings.IndexAny(s, "%+")
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
			i++
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex2(s[i+1], s[i+2]))
			i += 3
		default:
			b = append(b, s[i])
			i++
		}
	}
	return finish(s, b)
}

// URLDecodeUni is urlDecode with the %uHHHH of IIS. A code point that m maps
// becomes that byte; any other becomes its low byte, full-width ASCII
// (FF01 to FF5E) the ASCII character. m may be nil (no SecUnicodeMapFile).
func URLDecodeUni(m *UnicodeMap) Func {
	return func(s string) (string, bool) {
		i := strings.IndexAny(s, "%+")
		if i < 0 {
			return s, false
		}
		b := begin(s, i)
		for i < len(s) {
			switch {
			case s[i] == '+':
				b = append(b, ' ')
				i++
			case s[i] != '%':
				b = append(b, s[i])
				i++
			case i+1 < len(s) && (s[i+1] == 'u' || s[i+1] == 'U'):
				if i+5 < len(s) && isHex(s[i+2]) && isHex(s[i+3]) && isHex(s[i+4]) && isHex(s[i+5]) {
					b = append(b, m.decode(s[i+2:i+6]))
					i += 6
					continue
				}
				b = append(b, s[i], s[i+1])
				i += 2
			case i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
				b = append(b, unhex2(s[i+1], s[i+2]))
				i += 3
			default:
				b = append(b, '%')
				i++
			}
		}
		return finish(s, b)
	}
}

// urlEncode leaves letters, digits and '*' alone, as ModSecurity does.
func urlEncode(s string) (string, bool) {
	const digits = "0123456789abcdef"
	i := 0
	for i < len(s) && urlPlain(s[i]) {
		i++
	}
	if i == len(s) {
		return s, false
	}
	b := make([]byte, i, 3*len(s))
	copy(b, s)
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			b = append(b, '+')
		case urlPlain(c):
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return finish(s, b)
}

func urlPlain(c byte) bool {
	return c == '*' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// fullWidth is the low byte of the code point that the four digits in h spell,
// with full-width ASCII brought to ASCII.
func fullWidth(h string) byte {
	c := unhex2(h[2], h[3])
	if c > 0 && c < 0x5f && lower(h[0]) == 'f' && lower(h[1]) == 'f' {
		c += 0x20
	}
	return c
}
