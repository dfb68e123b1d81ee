package body

import "strings"

// ParseForm splits a query string or form into arguments as mod_security2
// does: cut at sep, name and value at the first '=', both decoded. A pair
// without '=' is a name with an empty value; an empty pair between two
// separators is an argument without name and value. offset is added to the
// offsets. invalid is true when an escape was malformed; it then stays as it is.
func ParseForm(text string, sep byte, offset int) (args []Arg, invalid bool) {
	if sep == 0 {
		sep = '&'
	}
	args, invalid, _ = parseForm(text, sep, offset, len(text)+1)
	return args, invalid
}

func parseForm(text string, sep byte, offset, limit int) (args []Arg, invalid, over bool) {
	if text == "" {
		return nil, false, false
	}
	args = make([]Arg, 0, min(strings.Count(text, string(rune(sep)))+1, limit, 64))
	for pos := 0; pos < len(text); {
		end := strings.IndexByte(text[pos:], sep)
		if end < 0 {
			end = len(text) - pos
		}
		pair := text[pos : pos+end]
		if len(args) >= limit {
			return args, invalid, true
		}
		name, value, found := strings.Cut(pair, "=")
		at := offset + pos + len(name)
		if found {
			at++
		}
		name, bad1 := decodeForm(name)
		value, bad2 := decodeForm(value)
		invalid = invalid || bad1 || bad2
		args = append(args, Arg{Name: name, Value: value, Offset: at})
		pos += end + 1
	}
	return args, invalid, false
}

// decodeForm undoes form encoding: '+' is a space, %XX a byte; other percent
// signs stay and are reported. It does not allocate when there is nothing to undo.
func decodeForm(s string) (out string, invalid bool) {
	i := strings.IndexAny(s, "+%")
	if i < 0 {
		return s, false
	}
	b := make([]byte, i, len(s))
	copy(b, s)
	for ; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
				c = unhex(s[i+1])<<4 | unhex(s[i+2])
				i += 2
			} else {
				invalid = true
			}
		}
		b = append(b, c)
	}
	return string(b), invalid
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// appendForm appends s in form encoding, as part I of the audit log has it.
func appendForm(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			dst = append(dst, '+')
		case c == '*', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
