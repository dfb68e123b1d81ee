package match

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// maxStates is the most states one automaton may have; no CRS pattern comes near.
	maxStates = 10000
	// missesToReset is after how many values without an answer a full automaton starts anew.
	missesToReset = 1024
)

// Rows 0 to 2 of the table stand for no state: an entry 0 is not computed yet.
const (
	rowUnknown = iota
	rowDead
	rowMatch
	rowFirst
)

// dfa answers whether a pattern matches anywhere in a value: a deterministic
// automaton that is built state by state as values need them. What was built
// lies in a cache that is given up as a whole when it is full and values keep
// missing, so that one burst of odd input does not slow what follows for ever.
type dfa struct {
	pattern string // in the syntax of package regexp
	budget  *Budget
	cache   atomic.Pointer[cache]

	mu sync.Mutex // serializes the making and the replacement of cache
	// Made with the first cache, and not changed after.
	prog   *syntax.Prog
	class  [256]uint8
	rep    []byte // a byte of each class
	stride uint32 // classes of bytes, and one for the end of the value
}

// cache is the states built so far.
//
//	table:  (no state) (no state) (no state) | row of state 3 | row of state 4 ...
//	row:    one entry per class of bytes, the last for the end of the value
//	entry:  offset of the next state's row; 0 when it was not computed yet
//
// Readers take no lock: they load the table once and its entries atomically.
// A writer holds mu; when the table grows it publishes a copy, and a reader of
// the old one at worst finds an entry missing and asks again.
type cache struct {
	d     *dfa
	start uint32 // 0 when there was no room even for the first state
	// anchored: a match can only start where the value starts, so that a state
	// without instructions is the end. (?m)^ can start again after a newline.
	anchored bool
	table    atomic.Pointer[[]uint32]
	misses   atomic.Uint32 // values without an answer since it is full

	mu    sync.Mutex
	ids   map[string]uint32 // key of a state -> its row; guarded by mu, as all below
	keys  []string          // of each state, from rowFirst on
	rows  uint32            // rows in use
	full  bool
	taken int // bytes reserved in the budget
	work  stepper
}

// Flags of what stood before a state; they matter only while the state has
// conditions whose answer the next byte decides.
const (
	ctxBegin = 1 << iota
	ctxNewline
	ctxWord
)

// newDFA makes an automaton for a pattern that package regexp accepts. The
// work is left to the first value: of many rules only some ever see one.
func newDFA(pattern string, budget *Budget) *dfa {
	return &dfa{pattern: pattern, budget: budget}
}

// compile makes the program and the classes.
func (d *dfa) compile() {
	tree, err := syntax.Parse(d.pattern, syntax.Perl)
	if err == nil {
		d.prog, err = syntax.Compile(tree.Simplify())
	}
	if err != nil {
		panic("match: automaton of a pattern that was not checked: " + err.Error())
	}
	d.classes()
}

// match reports whether the pattern matches in s. known is false when the
// automaton has no room for the states that s needs.
func (d *dfa) match(s string) (matched, known bool) {
	c := d.cache.Load()
	if c == nil {
		c = d.renew(nil)
	}
	if c.start == 0 {
		d.missed(c)
		return false, false
	}
	t := *c.table.Load()
	st := c.start
	last := rowMatch * d.stride
	for i := 0; i < len(s); i++ {
		next := atomic.LoadUint32(&t[st+uint32(d.class[s[i]])])
		if next <= last {
			if next == rowUnknown {
				if next, t = c.step(st, uint32(d.class[s[i]])); next == rowUnknown {
					d.missed(c)
					return false, false
				}
			}
			if next <= last {
				return next == last, true
			}
		}
		st = next
	}
	next := atomic.LoadUint32(&t[st+d.stride-1])
	if next == rowUnknown {
		if next, _ = c.step(st, d.stride-1); next == rowUnknown {
			d.missed(c)
			return false, false
		}
	}
	return next == last, true
}

// missed counts a value that c could not answer, and replaces c when there were many.
func (d *dfa) missed(c *cache) {
	if c.misses.Add(1) == missesToReset {
		d.renew(c)
	}
}

// renew puts an empty cache in the place of old, unless somebody did already.
// The first is made on first use.
func (d *dfa) renew(old *cache) *cache {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.cache.Load(); c != old {
		return c
	}
	if d.prog == nil {
		d.compile()
	}
	if old != nil {
		old.mu.Lock()
		old.full = true
		d.budget.free(old.taken)
		old.taken = 0
		old.mu.Unlock()
	}
	c := &cache{d: d, ids: map[string]uint32{}, rows: rowFirst}
	c.work.prog = d.prog
	t := make([]uint32, 8*d.stride)
	c.table.Store(&t)
	later := c.work.close([]uint32{uint32(d.prog.Start)}, ctxNewline)
	c.anchored = len(later.pcs) == 0 && !later.matched
	c.start = c.state(c.work.close([]uint32{uint32(d.prog.Start)}, ctxBegin), ctxBegin)
	if c.start == rowDead*d.stride || c.start == rowMatch*d.stride {
		// A row of its own whose entries all say the same.
		answer := c.start
		c.start = rowFirst * d.stride
		c.rows++
		c.keys = append(c.keys, "\x00")
		for i := uint32(0); i < d.stride; i++ {
			t[c.start+i] = answer
		}
	}
	d.cache.Store(c)
	return c
}

// step finds the state after st on class k, computing it when needed, and the
// newest table. It is 0 when there is no room for it.
func (c *cache) step(st, k uint32) (uint32, []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := *c.table.Load()
	if next := atomic.LoadUint32(&t[st+k]); next != rowUnknown || c.full {
		return next, t
	}
	next := c.compute(st, k)
	t = *c.table.Load()
	if next != rowUnknown {
		atomic.StoreUint32(&t[st+k], next)
	}
	return next, t
}

// compute finds the successor; 0 when there is no room for it.
func (c *cache) compute(st, k uint32) uint32 {
	stride := c.d.stride
	key := c.keys[st/stride-rowFirst]
	ctx := key[0]
	end := k == stride-1
	b := byte(0)
	if !end {
		b = c.d.rep[k]
	}
	out, matched := c.work.advance(c.work.decode(key[1:]), flagsBetween(ctx, b, end), b, end)
	if matched {
		return rowMatch * stride
	}
	if end {
		return rowDead * stride
	}
	next := uint8(0)
	if b == '\n' {
		next |= ctxNewline
	}
	if syntax.IsWordChar(rune(b)) {
		next |= ctxWord
	}
	return c.state(c.work.close(append(out, uint32(c.d.prog.Start)), next), next)
}

// state is the row of the state with these instructions, made when new, or 0.
func (c *cache) state(set closed, ctx uint8) uint32 {
	stride := c.d.stride
	if set.matched {
		return rowMatch * stride
	}
	if len(set.pcs) == 0 && c.anchored {
		return rowDead * stride
	}
	if !set.pending {
		ctx = 0
	}
	slices.Sort(set.pcs)
	key := make([]byte, 1, 1+4*len(set.pcs))
	key[0] = ctx
	for _, pc := range set.pcs {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	if row, ok := c.ids[string(key)]; ok {
		return row
	}
	cost := int(stride)*4 + len(key) + 64
	if c.rows >= maxStates || !c.d.budget.take(cost) {
		c.full = true
		return rowUnknown
	}
	c.taken += cost
	row := c.rows * stride
	c.rows++
	if t := *c.table.Load(); int(c.rows*stride) > len(t) {
		bigger := make([]uint32, 2*len(t))
		for i := range t {
			bigger[i] = atomic.LoadUint32(&t[i])
		}
		c.table.Store(&bigger)
	}
	k := string(key)
	c.ids[k] = row
	c.keys = append(c.keys, k)
	return row
}

// flagsBetween is what holds between what stood before (ctx) and the byte b or the end.
func flagsBetween(ctx, b byte, end bool) syntax.EmptyOp {
	var f syntax.EmptyOp
	if ctx&ctxBegin != 0 {
		f |= syntax.EmptyBeginText | syntax.EmptyBeginLine
	}
	if ctx&ctxNewline != 0 {
		f |= syntax.EmptyBeginLine
	}
	if end {
		f |= syntax.EmptyEndText | syntax.EmptyEndLine
	}
	if !end && b == '\n' {
		f |= syntax.EmptyEndLine
	}
	if (ctx&ctxWord != 0) != (!end && syntax.IsWordChar(rune(b))) {
		f |= syntax.EmptyWordBoundary
	} else {
		f |= syntax.EmptyNoWordBoundary
	}
	return f
}

// classes finds which bytes the program never tells apart.
func (d *dfa) classes() {
	var parts partition
	parts.n = 1
	seen := map[string]bool{}
	ctx := false
	for i := range d.prog.Inst {
		in := &d.prog.Inst[i]
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1:
			key := string(in.Rune) + string(rune(in.Arg))
			if !seen[key] {
				seen[key] = true
				parts.split(func(b byte) bool { return in.MatchRune(rune(b)) })
			}
		case syntax.InstRuneAnyNotNL:
			parts.split(func(b byte) bool { return b == '\n' })
		case syntax.InstEmptyWidth:
			ctx = true
		}
	}
	if ctx {
		parts.split(func(b byte) bool { return b == '\n' })
		parts.split(func(b byte) bool { return syntax.IsWordChar(rune(b)) })
	}
	d.class = parts.class
	d.rep = make([]byte, parts.n)
	for b := 255; b >= 0; b-- {
		d.rep[d.class[b]] = byte(b)
	}
	d.stride = uint32(parts.n) + 1
}

// partition is a partition of the bytes into classes.
type partition struct {
	class [256]uint8
	n     int
}

// split divides every class by what f says.
func (p *partition) split(f func(byte) bool) {
	var moved [256]int16 // class -> the class of its members for which f holds
	var hold, other [256]bool
	var is [256]bool
	for b := range is {
		is[b] = f(byte(b))
		if is[b] {
			hold[p.class[b]] = true
		} else {
			other[p.class[b]] = true
		}
	}
	for b := range is {
		c := p.class[b]
		if !is[b] || !hold[c] || !other[c] {
			continue
		}
		if moved[c] == 0 {
			moved[c] = int16(p.n)
			p.n++
		}
		p.class[b] = uint8(moved[c])
	}
}
