package match

import (
	"strconv"
	"strings"
	"unicode"
)

// class reads [...].
func (p *parser) class() (*node, error) {
	start := p.pos
	if n, err := p.wordEdge(); n != nil || err != nil {
		return n, err
	}
	p.pos++
	var set byteSet
	negate := false
	if p.peek() == '^' {
		negate = true
		p.pos++
	}
	quoted := false // between \Q and \E
	for first := true; ; first = false {
		if p.pos >= len(p.src) {
			p.pos = start
			return nil, p.fail("missing ] at the end of a character class")
		}
		c := p.src[p.pos]
		switch {
		case quoted:
			if strings.HasPrefix(p.src[p.pos:], `\E`) {
				quoted = false
				p.pos += 2
				continue
			}
		case c == ']' && !first:
			p.pos++
			if p.flags.fold {
				set.fold()
			}
			if negate {
				set.invert()
			}
			return &node{op: opSet, set: set}, nil
		case strings.HasPrefix(p.src[p.pos:], `\Q`):
			quoted = true
			p.pos += 2
			continue
		case strings.HasPrefix(p.src[p.pos:], `\E`):
			p.pos += 2
			continue
		case p.flags.blanks && (c == ' ' || c == '\t'):
			p.pos++
			continue
		case c == '[':
			if s, n, err := p.posix(); err != nil {
				return nil, err
			} else if n > 0 {
				set.union(s)
				p.pos += n
				continue
			}
		}
		if err := p.classItem(&set, quoted); err != nil {
			return nil, err
		}
	}
}

// wordEdge reads [[:<:]] and [[:>:]], the begin and the end of a word: \b(?=\w)
// and \b(?<=\w), of which a quantifier takes the lookaround.
func (p *parser) wordEdge() (*node, error) {
	rest := p.src[p.pos:]
	if !strings.HasPrefix(rest, "[[:<:]]") && !strings.HasPrefix(rest, "[[:>:]]") {
		return nil, nil
	}
	p.pos += len("[[:<:]]")
	letter, err := p.quantified(&node{op: opLook, behind: rest[3] == '>', sub: []*node{{op: opSet, set: wordBytes()}}})
	return &node{op: opConcat, sub: []*node{{op: opWord}, letter}}, err
}

// classItem reads one byte, a range, or an escape such as \d.
func (p *parser) classItem(set *byteSet, quoted bool) error {
	lo, s, err := p.classByte(quoted)
	if err != nil {
		return err
	}
	if s != nil {
		set.union(*s)
		return nil
	}
	// A range, unless the hyphen is the last of the class or what follows is no single byte.
	if quoted || p.peek() != '-' || p.pos+1 >= len(p.src) || p.src[p.pos+1] == ']' || strings.HasPrefix(p.src[p.pos+1:], `\Q`) {
		set.add(lo)
		return nil
	}
	if _, n, err := p.posixAt(p.pos + 1); err == nil && n > 0 {
		set.add(lo)
		return nil
	}
	save := p.pos
	p.pos++
	hi, s, err := p.classByte(false)
	if err != nil {
		return err
	}
	if s != nil {
		p.pos = save
		set.add(lo)
		set.add('-')
		p.pos++
		return nil
	}
	if hi < lo {
		p.pos = save
		return p.fail("range out of order in character class")
	}
	set.addRange(lo, hi)
	return nil
}

// classByte reads one byte of a class, or a set for escapes such as \d.
func (p *parser) classByte(quoted bool) (byte, *byteSet, error) {
	c := p.src[p.pos]
	p.pos++
	if c != '\\' || quoted {
		return c, nil, nil
	}
	if p.pos >= len(p.src) {
		return 0, nil, p.fail(`\ at the end of the pattern`)
	}
	e := p.src[p.pos]
	switch e {
	case 'b':
		p.pos++
		return '\b', nil, nil
	case 'N', 'R', 'X', 'B':
		return 0, nil, p.fail(`\%c is not allowed in a character class`, e)
	}
	if s, ok, err := p.escapeSet(); err != nil || ok {
		return 0, &s, err
	}
	b, err := p.escapeByte()
	return b, nil, err
}

func (p *parser) posix() (byteSet, int, error) { return p.posixAt(p.pos) }

// posixAt reads [:name:] at i; n is 0 when there is none.
func (p *parser) posixAt(i int) (s byteSet, n int, err error) {
	rest := p.src[i:]
	if !strings.HasPrefix(rest, "[:") {
		return s, 0, nil
	}
	end := strings.Index(rest, ":]")
	if end < 0 || strings.ContainsAny(rest[2:end], `]\`) {
		return s, 0, nil
	}
	name, negate := strings.CutPrefix(rest[2:end], "^")
	s, ok := posixClass(name)
	if !ok {
		return s, 0, p.fail("unknown POSIX class name [:%s:]", name)
	}
	if negate {
		s.invert()
	}
	// [:upper:] and [:lower:] match both cases under (?i); the caller folds.
	return s, end + 2, nil
}

func (p *parser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

// escape reads an escape outside of classes.
func (p *parser) escape() (*node, error) {
	p.pos++
	if p.pos >= len(p.src) {
		return nil, p.fail(`\ at the end of the pattern`)
	}
	c := p.src[p.pos]
	simple := map[byte]op{'A': opBegin, 'G': opStart, 'z': opEnd, 'Z': opEndNL, 'b': opWord, 'B': opNoWord}
	if o, ok := simple[c]; ok {
		p.pos++
		return &node{op: o}, nil
	}
	switch c {
	case 'Q':
		return p.quotedText()
	case 'E':
		p.pos++
		return nil, nil
	case 'K':
		p.pos++
		p.keep = true
		return &node{op: opKeep}, nil
	case 'R':
		p.pos++
		if p.newlineR {
			return lineEnd(setOf('\r', '\n')), nil
		}
		return lineEnd(vertical()), nil
	case 'X':
		// Without UTF the characters are those of Latin-1, of which none extends another: only CRLF is a cluster of two.
		p.pos++
		return lineEnd(anyByte()), nil
	case 'g', 'k':
		return p.namedRef()
	case 'L', 'l', 'U', 'u':
		return nil, p.fail(`\%c (of Perl) is unknown to PCRE`, c)
	case 'N':
		if strings.HasPrefix(p.src[p.pos:], "N{U+") {
			return nil, p.fail(`\N{U+...} is for UTF; expected a byte such as \xff`)
		}
	}
	if c >= '1' && c <= '9' {
		if n := p.numberedRef(); n != nil {
			return n, nil
		}
	}
	if s, ok, err := p.escapeSet(); err != nil || ok {
		return &node{op: opSet, set: s}, err
	}
	b, err := p.escapeByte()
	if err != nil {
		return nil, err
	}
	return p.literal(b), nil
}

// lineEnd is CRLF or one byte of s, and no way back.
func lineEnd(s byteSet) *node {
	crlf := &node{op: opConcat, sub: []*node{{op: opSet, set: setOf('\r')}, {op: opSet, set: setOf('\n')}}}
	return &node{op: opAtomic, sub: []*node{{op: opAlternate, sub: []*node{crlf, {op: opSet, set: s}}}}}
}

// quotedText reads \Q...\E as one node; a quantifier after it takes the last byte.
func (p *parser) quotedText() (*node, error) {
	p.pos++
	text, _, found := strings.Cut(p.src[p.pos:], `\E`)
	p.pos += len(text)
	if found {
		p.pos += 2
	}
	n := &node{op: opConcat}
	for i := 0; i < len(text); i++ {
		n.sub = append(n.sub, p.literal(text[i]))
	}
	switch len(n.sub) {
	case 0:
		return nil, nil
	case 1:
		return n.sub[0], nil
	}
	last := len(n.sub) - 1
	var err error
	n.sub[last], err = p.quantified(n.sub[last])
	return n, err
}

// escapeSet reads \d \w \s \h \v \N \p{..} \C and their negations; p.pos is after the backslash.
func (p *parser) escapeSet() (byteSet, bool, error) {
	var s byteSet
	c := p.src[p.pos]
	switch c {
	case 'd', 'D':
		s = digits()
	case 'w', 'W':
		s = wordBytes()
	case 's', 'S':
		s = spaces()
	case 'h', 'H':
		s = horizontal()
	case 'v', 'V':
		s = vertical()
	case 'N':
		p.pos++
		return notNewline(), true, nil
	case 'C':
		p.pos++
		return anyByte(), true, nil
	case 'p', 'P':
		return p.property()
	default:
		return s, false, nil
	}
	p.pos++
	if c < 'a' {
		s.invert()
	}
	return s, true, nil
}

// property reads \p{Lu} and the like. Without UTF the 256 characters are those of Latin-1.
func (p *parser) property() (byteSet, bool, error) {
	negate := p.src[p.pos] == 'P'
	p.pos++
	name := string(p.peek())
	if name == "{" {
		end := strings.IndexByte(p.src[p.pos:], '}')
		if end < 0 {
			return byteSet{}, false, p.fail(`missing } after \p{`)
		}
		name = p.src[p.pos+1 : p.pos+end]
		p.pos += end
	}
	p.pos++
	name, caret := strings.CutPrefix(name, "^")
	has := propertyOf(name)
	if has == nil {
		return byteSet{}, false, p.fail(`unknown property name after \p: %q`, name)
	}
	var s byteSet
	for c := range rune(256) {
		if has(c) {
			s.add(byte(c))
		}
	}
	if negate != caret {
		s.invert()
	}
	return s, true, nil
}

// propertyOf knows the categories and scripts of Unicode, and those of PCRE's own; nil for others.
func propertyOf(name string) func(rune) bool {
	in := func(tables ...*unicode.RangeTable) func(rune) bool {
		return func(c rune) bool { return unicode.In(c, tables...) }
	}
	switch name {
	case "Any":
		return func(rune) bool { return true }
	case "L&":
		return in(unicode.Lu, unicode.Ll, unicode.Lt)
	case "Xan":
		return in(unicode.L, unicode.N)
	case "Xwd":
		return func(c rune) bool { return c == '_' || unicode.In(c, unicode.L, unicode.N) }
	case "Xsp", "Xps":
		return func(c rune) bool { return c >= '\t' && c <= '\r' || c == 0x85 || unicode.Is(unicode.Z, c) }
	}
	if t := unicode.Categories[name]; t != nil {
		return in(t)
	}
	if t := unicode.Scripts[name]; t != nil {
		return in(t)
	}
	return nil
}

// escapeByte reads an escape that stands for one byte; p.pos is after the backslash.
func (p *parser) escapeByte() (byte, error) {
	c := p.src[p.pos]
	p.pos++
	switch c {
	case 'a':
		return '\a', nil
	case 'e':
		return 0x1b, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'c':
		if p.pos >= len(p.src) {
			return 0, p.fail(`\c at the end of the pattern`)
		}
		x := p.src[p.pos]
		p.pos++
		if x >= 'a' && x <= 'z' {
			x -= 32
		}
		return x ^ 0x40, nil
	case 'x':
		return p.hexByte()
	case 'o':
		if p.peek() == '{' {
			return p.braced(8)
		}
	}
	if c >= '0' && c <= '7' {
		v := int(c - '0')
		for n := 1; n < 3 && p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '7'; n++ {
			v = v*8 + int(p.src[p.pos]-'0')
			p.pos++
		}
		if v > 255 {
			return 0, p.fail("octal value is greater than \\377 and one character is one byte")
		}
		return byte(v), nil
	}
	// PCRE 1 takes a letter without meaning as itself; so do we, in and out of classes.
	return c, nil
}

// hexByte reads up to two digits, or \x{...}.
func (p *parser) hexByte() (byte, error) {
	if p.peek() == '{' {
		if end := strings.IndexByte(p.src[p.pos:], '}'); end > 1 {
			return p.braced(16)
		}
	}
	v := 0
	for n := 0; n < 2 && p.pos < len(p.src); n++ {
		d, err := strconv.ParseUint(p.src[p.pos:p.pos+1], 16, 8)
		if err != nil {
			return byte(v), nil //nolint:nilerr // what is no digit ends the number: it is the next character of the pattern
		}
		v = v*16 + int(d)
		p.pos++
	}
	return byte(v), nil
}

// braced reads {digits}.
func (p *parser) braced(base int) (byte, error) {
	end := strings.IndexByte(p.src[p.pos:], '}')
	if end < 0 {
		return 0, p.fail("missing }")
	}
	text := p.src[p.pos+1 : p.pos+end]
	v, err := strconv.ParseUint(text, base, 32)
	if err != nil {
		return 0, p.fail("{%s}: expected a number of base %d", text, base)
	}
	if v > 255 {
		return 0, p.fail("{%s}: character value too large: one character is one byte", text)
	}
	p.pos += end + 1
	return byte(v), nil
}
