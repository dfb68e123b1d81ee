package transform

import (
	"fmt"
	"strconv"
	"strings"
)

// UnicodeMap is one code page of a SecUnicodeMapFile: for a Unicode code point
// the byte that IIS takes for it (best-fit mapping). It is immutable.
type UnicodeMap struct {
	to map[uint16]byte
}

// decode is the byte for %u and the four digits in h.
func (m *UnicodeMap) decode(h string) byte {
	if m != nil {
		code := uint16(unhex2(h[0], h[1]))<<8 | uint16(unhex2(h[2], h[3]))
		if c, ok := m.to[code]; ok {
			return c
		}
	}
	return fullWidth(h)
}

// ParseUnicodeMap reads the given code page (such as 20127) from the text of a
// unicode.mapping file: a line that starts with the number of the page, then
// pairs "HHHH:HH" up to the next page. Errors name file, line and what was expected.
func ParseUnicodeMap(file string, text []byte, codepage int) (*UnicodeMap, error) {
	want := strconv.Itoa(codepage)
	m := &UnicodeMap{to: map[uint16]byte{}}
	inside := false
	line := 0
	for l := range strings.Lines(string(text)) {
		line++
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		if !strings.Contains(words[0], ":") {
			if inside && len(m.to) > 0 {
				break
			}
			inside = inside || words[0] == want
			// Reduced files hold number and pairs on one line.
			words = words[1:]
		}
		if !inside {
			continue
		}
		for _, w := range words {
			from, to, ok := strings.Cut(w, ":")
			if !ok {
				continue // the title of the page: "(US-ASCII)"
			}
			code, err1 := strconv.ParseUint(from, 16, 16)
			b, err2 := strconv.ParseUint(to, 16, 8)
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("%s:%d: %q: expected a pair of hexadecimal numbers such as 00e9:65", file, line, w)
			}
			m.to[uint16(code)] = byte(b)
		}
	}
	if len(m.to) == 0 {
		return nil, fmt.Errorf("%s: no code page %d in this file: expected a line that starts with %d and pairs such as 00e9:65", file, codepage, codepage)
	}
	// With any code page, mod_security2 takes the characters that separate labels of a domain name for dots (RFC 3490, section 3.1).
	for _, code := range []uint16{0x3002, 0xff0e, 0xff61} {
		if _, ok := m.to[code]; !ok {
			m.to[code] = '.'
		}
	}
	return m, nil
}
