package transform

import (
	"math"
	"strings"
)

// htmlEntityDecode decodes numeric entities (low byte) and the five named ones
// that ModSecurity knows, with or without semicolon.
func htmlEntityDecode(s string) (string, bool) {
	i := strings.IndexByte(s, '&')
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		if s[i] != '&' {
			b = append(b, s[i])
			i++
			continue
		}
		c, n, raw := entity(s[i:])
		if n == 0 {
			b = append(b, s[i:i+raw]...)
			i += raw
			continue
		}
		b = append(b, c)
		i += n
		if i < len(s) && s[i] == ';' {
			i++
		}
	}
	return finish(s, b)
}

// entity reads the entity at the start of s ('&'). n is its length without
// semicolon; when n is 0, the first raw bytes are text.
func entity(s string) (c byte, n, raw int) {
	j := 1
	if len(s) == 1 {
		return 0, 0, 1
	}
	if s[1] != '#' {
		for j < len(s) && isAlnum(s[j]) {
			j++
		}
		if c, ok := named(s[1:j]); ok {
			return c, j, 0
		}
		return 0, 0, j
	}
	if len(s) == 2 {
		return 0, 0, 2
	}
	base, k := 10, 2
	if s[2] == 'x' || s[2] == 'X' {
		base, k = 16, 3
	}
	j = k
	v := uint64(0)
	for j < len(s) && (base == 16 && isHex(s[j]) || s[j] >= '0' && s[j] <= '9') {
		digit := uint64(unhex(s[j]))
		if v > (math.MaxInt64-digit)/uint64(base) {
			// strtol stops at LONG_MAX, whose low byte is ff.
			v = math.MaxInt64
			for j < len(s) && (base == 16 && isHex(s[j]) || s[j] >= '0' && s[j] <= '9') {
				j++
			}
			break
		}
		v = v*uint64(base) + digit
		j++
	}
	if j == k {
		return 0, 0, min(k, len(s))
	}
	return byte(v), j, 0
}

func named(name string) (byte, bool) {
	switch {
	case strings.EqualFold(name, "quot"):
		return '"', true
	case strings.EqualFold(name, "amp"):
		return '&', true
	case strings.EqualFold(name, "lt"):
		return '<', true
	case strings.EqualFold(name, "gt"):
		return '>', true
	case strings.EqualFold(name, "nbsp"):
		return nbsp, true
	}
	return 0, false
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
