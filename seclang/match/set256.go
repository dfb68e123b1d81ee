package match

import "math/bits"

// byteSet is a set of bytes. PCRE without UTF, as ModSecurity uses it, knows
// only bytes; every atom of a pattern that takes one character is such a set.
type byteSet [4]uint64

func (s *byteSet) add(c byte) { s[c>>6] |= 1 << (c & 63) }

func (s *byteSet) addRange(lo, hi byte) {
	for c := int(lo); c <= int(hi); c++ {
		s.add(byte(c))
	}
}

func (s *byteSet) union(o byteSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *byteSet) invert() {
	for i := range s {
		s[i] = ^s[i]
	}
}

// fold adds the other case of every ASCII letter in s. The C locale knows no other letters.
func (s *byteSet) fold() {
	for c := byte('a'); c <= 'z'; c++ {
		if s.has(c) || s.has(c-32) {
			s.add(c)
			s.add(c - 32)
		}
	}
}

func (s byteSet) has(c byte) bool { return s[c>>6]>>(c&63)&1 == 1 }

func (s byteSet) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s byteSet) overlaps(o byteSet) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// ranges calls f for every run of bytes in s, in order.
func (s byteSet) ranges(f func(lo, hi byte)) {
	for c := 0; c < 256; {
		lo := s.next(c)
		if lo == 256 {
			return
		}
		c = setNot(s).next(lo)
		f(byte(lo), byte(c-1))
	}
}

// next is the first member at or after c, 256 for none.
func (s byteSet) next(c int) int {
	for ; c < 256; c = (c | 63) + 1 {
		if w := s[c>>6] >> (c & 63); w != 0 {
			return c + bits.TrailingZeros64(w)
		}
	}
	return 256
}

func setOf(cs ...byte) byteSet {
	var s byteSet
	for _, c := range cs {
		s.add(c)
	}
	return s
}

func setRange(pairs string) byteSet {
	var s byteSet
	for i := 0; i+1 < len(pairs); i += 2 {
		s.addRange(pairs[i], pairs[i+1])
	}
	return s
}

func setNot(s byteSet) byteSet {
	s.invert()
	return s
}

// The classes of PCRE in the C locale.
func anyByte() byteSet    { return setNot(byteSet{}) }
func digits() byteSet     { return byteSet{0x03ff000000000000} }
func wordBytes() byteSet  { return byteSet{0x03ff000000000000, 0x07fffffe87fffffe} }
func spaces() byteSet     { return setRange("\t\r  ") }         // with VT, since PCRE 8.34
func horizontal() byteSet { return setRange("\t\t  \xa0\xa0") } // \h
func vertical() byteSet   { return setRange("\n\r\x85\x85") }   // \v
func notNewline() byteSet { return setNot(setOf('\n')) }        // \N, and . without (?s)
func posixClass(name string) (byteSet, bool) {
	switch name {
	case "alpha":
		return setRange("AZaz"), true
	case "digit":
		return digits(), true
	case "alnum":
		return setRange("09AZaz"), true
	case "upper":
		return setRange("AZ"), true
	case "lower":
		return setRange("az"), true
	case "space":
		return spaces(), true
	case "blank":
		return setOf(' ', '\t'), true
	case "punct":
		return setRange("!/:@[`{~"), true
	case "cntrl":
		return setRange("\x00\x1f\x7f\x7f"), true
	case "graph":
		return setRange("!~"), true
	case "print":
		return setRange(" ~"), true
	case "xdigit":
		return setRange("09AFaf"), true
	case "word":
		return wordBytes(), true
	case "ascii":
		return setRange("\x00\x7f"), true
	}
	return byteSet{}, false
}
