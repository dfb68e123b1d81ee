package seclang

import (
	"github.com/trapline/trapline/seclang/operator"
	"github.com/trapline/trapline/seclang/transform"
)

// A cell is one distinct string of a transaction. Transformations lead from cell to cell, and the literal scan
// of a string is kept in its cell: what two variables, or two chains of transformations, have in common is
// computed once.
type cell struct {
	s       string
	same    uint64 // transformations known to leave s as it is
	edges   []edge
	mask    []uint64 // patterns that s can match; nil until scanned
	has     uint64   // classes of bytes that occur in s: see Engine.activeBytes
	started bool     // same and has were seeded from the bytes of s
}

type edge struct {
	t  uint8
	to *cell
}

// transChain is a list of transformations by index into Engine.transforms.
type transChain struct {
	ids []uint8
	set uint64 // the same as a mask
	id  int    // index of the chain among all chains of the engine
}

const cellBlock = 64

// cells is the pool of one transaction.
type cells struct {
	byText map[string]*cell
	blocks [][]cell
	used   int // cells handed out
	masks  []uint64
	maskAt int
}

func (p *cells) reset() {
	// Clearing a map costs as much as its largest size ever: one huge request must not slow all later ones.
	if len(p.byText) > 4096 || p.byText == nil {
		p.byText = make(map[string]*cell, 128)
		p.blocks = nil
	} else {
		clear(p.byText)
	}
	for i := 0; i < p.used && i/cellBlock < len(p.blocks); i++ {
		c := &p.blocks[i/cellBlock][i%cellBlock]
		*c = cell{edges: c.edges[:0]}
	}
	p.used, p.maskAt = 0, 0
	if len(p.masks) > 1<<16 {
		p.masks = nil
	}
}

func (p *cells) intern(s string) *cell {
	if c := p.byText[s]; c != nil {
		return c
	}
	b := p.used / cellBlock
	if b == len(p.blocks) {
		p.blocks = append(p.blocks, make([]cell, cellBlock))
	}
	c := &p.blocks[b][p.used%cellBlock]
	p.used++
	c.s = s
	p.byText[s] = c
	return c
}

// words returns n zero words that live until reset.
func (p *cells) words(n int) []uint64 {
	if p.maskAt+n > len(p.masks) {
		p.masks = make([]uint64, max(64*n, 1024, 2*len(p.masks)))
		p.maskAt = 0
	}
	m := p.masks[p.maskAt : p.maskAt+n : p.maskAt+n]
	p.maskAt += n
	clear(m)
	return m
}

// resolve returns the cell that holds what ch makes of c.
func (tx *Transaction) resolve(c *cell, ch *transChain) *cell {
	if !c.started {
		tx.e.seed(c)
	}
	if ch.set&^c.same == 0 {
		return c
	}
	for _, t := range ch.ids {
		c = tx.transformed(c, t)
	}
	return c
}

func (tx *Transaction) transformed(c *cell, t uint8) *cell {
	if !c.started {
		tx.e.seed(c)
	}
	if c.same>>t&1 == 1 {
		return c
	}
	for _, e := range c.edges {
		if e.t == t {
			return e.to
		}
	}
	out, changed := tx.e.transforms[t].fn(c.s)
	if !changed || out == c.s {
		c.same |= 1 << t
		return c
	}
	to := tx.cells.intern(out)
	c.edges = append(c.edges, edge{t, to})
	return to
}

// candidates returns the mask of patterns that the cell's string can match.
func (tx *Transaction) candidates(c *cell) []uint64 {
	if c.mask == nil {
		w := tx.e.scan.Words()
		m := tx.cells.words(2 * w)
		tx.e.scan.Scan(c.s, m)
		c.mask = m[:w]
	}
	return c.mask
}

// usedTransform is one transformation that some rule of the engine uses.
type usedTransform struct {
	name string
	fn   transform.Func
	says func(in, out string) bool // see transform.Says
}

// seed marks the transformations that cannot change s because none of the bytes they act on occurs in it.
func (e *Engine) seed(c *cell) {
	var active uint64
	for i := 0; i < len(c.s); i++ {
		active |= e.activeBytes[c.s[i]]
	}
	c.same, c.has = e.byteDriven&^active, active
	c.started = true
}

// actsOn says which bytes a transformation needs to change a value; known is false for those that may change anything.
func actsOn(name string, b byte) (acts, known bool) {
	switch name {
	case "lowercase":
		return b >= 'A' && b <= 'Z', true
	case "uppercase":
		return b >= 'a' && b <= 'z', true
	case "urldecode", "urldecodeuni":
		return b == '%' || b == '+', true
	case "jsdecode", "cssdecode", "escapeseqdecode":
		return b == '\\', true
	case "htmlentitydecode":
		return b == '&', true
	case "removenulls", "replacenulls":
		return b == 0, true
	case "replacecomments":
		return b == '/', true
	case "utf8tounicode":
		return b >= 0x80 || b == 0, true // NUL bytes vanish
	}
	return false, false
}

// byteClass returns a bit that is set in cell.has when one of the bytes for which in is true occurs; 0 when all 64
// bits are taken. Bits of transformations grow from the low end, these from the high end.
func (c *compiler) byteClass(name string, in func(byte) bool) uint64 {
	if m, ok := c.classes[name]; ok {
		return m
	}
	n := 63 - len(c.classes)
	if n <= maxTransforms {
		return 0
	}
	m := uint64(1) << n
	if c.classes == nil {
		c.classes = map[string]uint64{}
	}
	c.classes[name] = m
	for b := 0; b < 256; b++ {
		if in(byte(b)) {
			c.e.activeBytes[b] |= m
		}
	}
	return m
}

// maxTransforms is how many transformations there are, aliases included, and some to come.
const maxTransforms = 48

// neededBytes returns a mask of byte classes without which the operator cannot match; 0 when there is none. It keeps
// the costly operators away from plain words.
func (c *compiler) neededBytes(name, arg string, op operator.Operator) uint64 {
	switch name {
	case "detectsqli":
		// A single word or number is no fingerprint of libinjection.
		return c.byteClass(name, func(b byte) bool { return !isWordByte(b) })
	case "detectxss":
		// Tags and comments begin with <; an attribute counts when it has a value.
		return c.byteClass(name, func(b byte) bool { return b == '<' || b == '=' })
	case "validateurlencoding":
		return c.byteClass(name, func(b byte) bool { return b == '%' })
	case "validateutf8encoding":
		return c.byteClass(name, func(b byte) bool { return b >= 0x80 })
	case "validatebyterange":
		var res operator.Result
		return c.byteClass(name+arg, func(b byte) bool { return op.Match(string([]byte{b}), "", &res) })
	}
	return 0
}

func isWordByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_'
}
