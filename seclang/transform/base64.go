package transform

import (
	"encoding/base64"
	"strings"
)

func base64Encode(s string) (string, bool) {
	return finish(s, base64.StdEncoding.AppendEncode(nil, []byte(s)))
}

// base64Decode takes the characters of the alphabet up to the first other one
// and decodes those, whole groups or not, as apr_base64_decode does for
// mod_security2. Line ends are skipped, as libmodsecurity 3 does: stopping at
// them would let a folded value pass.
func base64Decode(s string) (string, bool) {
	b := make([]byte, 0, len(s)*3/4)
	var acc uint32
	n := 0
	for i := 0; i < len(s); i++ {
		v := sextet(s[i])
		if v < 0 {
			if s[i] == '\r' || s[i] == '\n' {
				continue
			}
			break
		}
		acc = acc<<6 | uint32(v)
		// 8, 16 and 24 bits are complete after the second, third and fourth character.
		switch n & 3 {
		case 1:
			b = append(b, byte(acc>>4))
		case 2:
			b = append(b, byte(acc>>2))
		case 3:
			b = append(b, byte(acc))
		}
		n++
	}
	return finish(s, b)
}

// base64DecodeExt is the forgiving decoder (RFC 2045): characters outside the
// alphabet are skipped, and only a lone character before the padding makes the
// whole value empty. Both alphabets of RFC 4648 are read: mod_security2 2.9.7
// skips - and _, after which the rest of a token (JWT) decodes to garbage.
func base64DecodeExt(s string) (string, bool) {
	b := make([]byte, 0, len(s)*3/4)
	var acc uint32
	n := 0
	last := byte(0)
	for i := 0; i < len(s); i++ {
		last = s[i]
		if last == '=' {
			if n&3 == 1 && (i+1 >= len(s) || s[i+1] != '=') {
				return "", s != ""
			}
			continue
		}
		v := sextet(last)
		if v < 0 {
			switch last {
			case '-':
				v = 62
			case '_':
				v = 63
			default:
				continue
			}
		}
		acc = acc<<6 | uint32(v)
		switch n & 3 {
		case 1:
			b = append(b, byte(acc>>4))
		case 2:
			b = append(b, byte(acc>>2))
		case 3:
			b = append(b, byte(acc))
		}
		n++
	}
	if last == '=' && n&3 == 1 {
		return "", true
	}
	return finish(s, b)
}

// sextet is the value of a character of the standard alphabet, -1 for any other.
func sextet(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// phpArgsNames renames a parameter as PHP's php_register_variable_ex does when
// it makes a variable of it.
func phpArgsNames(s string) (string, bool) {
	if s == "" {
		return s, false
	}
	if s[0] == '[' || s[0] == '=' {
		return "", true
	}
	i := 0
	for i < len(s) && s[i] == ' ' {
		i++
	}
	b := make([]byte, 0, len(s))
	open := false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case open:
			b = append(b, c)
		case c == '[':
			if strings.IndexByte(s[i:], ']') >= 0 {
				return finish(s, phpIndexes(b, s[i:]))
			}
			b = append(b, '_')
			open = true
		case c == ' ' || c == '.':
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	return finish(s, b)
}

// phpIndexes appends the [index] groups at the start of s; what follows them is dropped.
func phpIndexes(b []byte, s string) []byte {
	for s != "" && s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			break
		}
		if end == 2 && s[1] == ' ' {
			b = append(b, '[', ']') // PHP trims a lone blank
		} else {
			b = append(b, s[:end+1]...)
		}
		s = s[end+1:]
	}
	return b
}
