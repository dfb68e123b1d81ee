package transform

import "strconv"

// utf8ToUnicode writes every UTF-8 sequence as %uHHHH. As in ModSecurity, NUL
// bytes and the lead bytes of broken sequences vanish, a surrogate or an
// overlong sequence is followed by its lead byte, and other stray bytes stay.
func utf8ToUnicode(s string) (string, bool) {
	i := 0
	for i < len(s) && s[i] < 0x80 && s[i] != 0 {
		i++
	}
	if i == len(s) {
		return s, false
	}
	b := make([]byte, i, len(s)*3+8)
	copy(b, s)
	for i < len(s) {
		c := s[i]
		if c < 0x80 {
			if c != 0 {
				b = append(b, c)
			}
			i++
			continue
		}
		n, least := sequenceLength(c)
		if n == 0 {
			b = append(b, c)
			i++
			continue
		}
		if c >= 0xf5 {
			b = append(b, c)
		}
		d, ok := sequence(s[i:], n)
		if !ok {
			i++
			continue
		}
		b = append(b, "%u"...)
		for limit := rune(0x1000); limit > 1 && d < limit; limit >>= 4 {
			b = append(b, '0')
		}
		b = strconv.AppendInt(b, int64(d), 16)
		if d >= 0xd800 && d <= 0xdfff {
			b = append(b, c)
		}
		if d < least {
			b = append(b, c)
		}
		i += n
	}
	return finish(s, b)
}

// sequenceLength is how many bytes the sequence has that c leads, 0 when it leads none, and the least
// code point that needs so many.
func sequenceLength(c byte) (n int, least rune) {
	switch {
	case c&0xe0 == 0xc0:
		return 2, 0x80
	case c&0xf0 == 0xe0:
		return 3, 0x800
	case c&0xf8 == 0xf0:
		return 4, 0x10000
	}
	return 0, 0
}

// sequence reads the code point of the n-byte sequence at the start of s.
func sequence(s string, n int) (rune, bool) {
	if len(s) < n {
		return 0, false
	}
	d := rune(s[0] & (0xff >> (n + 1)))
	for _, c := range []byte(s[1:n]) {
		if c&0xc0 != 0x80 {
			return 0, false
		}
		d = d<<6 | rune(c&0x3f)
	}
	return d, true
}
