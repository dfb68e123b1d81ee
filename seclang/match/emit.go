package match

import (
	"fmt"
	"strings"
)

// emitter writes a parsed pattern in another syntax.
type emitter struct {
	b      strings.Builder
	groups []int // for the i-th group written, the number it had in the pattern
	// loose: write a pattern that matches at least wherever the original does,
	// without groups, for the filter in front of the backtracking matcher.
	loose bool
}

// emitRE2 writes n in the syntax of package regexp, over runes 0 to 255, which stand for the bytes.
func emitRE2(n *node, loose bool) (pattern string, groups []int) {
	e := &emitter{loose: loose}
	e.re2(n)
	return e.b.String(), e.groups
}

func (e *emitter) re2(n *node) {
	switch n.op {
	case opEmpty, opKeep:
		e.b.WriteString("(?:)")
	case opSet:
		e.runeSet(n.set)
	case opConcat:
		for _, s := range n.sub {
			e.re2(s)
		}
	case opAlternate:
		e.alternate(n.sub)
	case opRepeat:
		e.repeat(n)
	case opCapture:
		if !e.loose {
			e.groups = append(e.groups, n.n)
			e.b.WriteString("(")
		} else {
			e.b.WriteString("(?:")
		}
		e.re2(n.sub[0])
		e.b.WriteString(")")
	case opAtomic:
		e.b.WriteString("(?:")
		e.re2(n.sub[0])
		e.b.WriteString(")")
	case opCond:
		e.alternate(n.sub[:2])
	case opLook, opEndNL, opStart, opVerb, opDefine:
		e.b.WriteString("(?:)") // only with loose: taken as always true
	case opBackref, opRecurse:
		e.b.WriteString("(?s:.*)") // only with loose
	case opBegin:
		e.b.WriteString(`\A`)
	case opEnd:
		e.b.WriteString(`\z`)
	case opLineBegin:
		e.b.WriteString(`(?m:^)`)
	case opLineEnd:
		e.b.WriteString(`(?m:$)`)
	case opWord:
		e.b.WriteString(`\b`)
	case opNoWord:
		e.b.WriteString(`\B`)
	}
}

func (e *emitter) alternate(subs []*node) {
	e.b.WriteString("(?:")
	for i, s := range subs {
		if i > 0 {
			e.b.WriteByte('|')
		}
		e.re2(s)
	}
	e.b.WriteString(")")
}

// maxRepeat is the largest number that package regexp takes in {}.
const maxRepeat = 1000

func (e *emitter) repeat(n *node) {
	lo, hi := n.min, n.max
	part := func(quantifier string) {
		e.b.WriteString("(?:")
		e.re2(n.sub[0])
		e.b.WriteString(")")
		e.b.WriteString(quantifier)
		if n.lazy {
			e.b.WriteByte('?')
		}
	}
	switch {
	case hi == 0:
		e.b.WriteString("(?:)")
	case lo == 0 && hi == -1:
		part("*")
	case lo == 1 && hi == -1:
		part("+")
	case lo == 0 && hi == 1:
		part("?")
	case lo == 1 && hi == 1:
		part("{1}")
	case lo <= maxRepeat && hi == -1:
		part(fmt.Sprintf("{%d,}", lo))
	case lo <= maxRepeat && hi <= maxRepeat:
		part(fmt.Sprintf("{%d,%d}", lo, hi))
	default:
		e.longRepeat(lo, hi, part)
	}
}

// longRepeat writes {lo,hi} with numbers above maxRepeat as a row of smaller ones.
func (e *emitter) longRepeat(lo, hi int, part func(string)) {
	rest := hi - lo
	for ; lo > 0; lo -= maxRepeat {
		part(fmt.Sprintf("{%d}", min(lo, maxRepeat)))
	}
	if hi == -1 {
		part("*")
		return
	}
	for ; rest > 0; rest -= maxRepeat {
		part(fmt.Sprintf("{0,%d}", min(rest, maxRepeat)))
	}
}

// runeSet writes a set of bytes as a class of runes.
func (e *emitter) runeSet(s byteSet) {
	switch s.len() {
	case 0:
		e.b.WriteString(`[^\x00-\x{10FFFF}]`)
		return
	case 1:
		s.ranges(func(lo, _ byte) { e.runeLiteral(lo) })
		return
	case 256:
		e.b.WriteString(`(?s:.)`)
		return
	}
	e.b.WriteByte('[')
	s.ranges(func(lo, hi byte) {
		e.runeLiteral(lo)
		if lo != hi {
			e.b.WriteByte('-')
			e.runeLiteral(hi)
		}
	})
	e.b.WriteByte(']')
}

func (e *emitter) runeLiteral(c byte) {
	if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
		e.b.WriteByte(c)
		return
	}
	const digits = "0123456789abcdef"
	e.b.WriteString(`\x`)
	e.b.WriteByte(digits[c>>4])
	e.b.WriteByte(digits[c&15])
}
