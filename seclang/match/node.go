package match

// op is the kind of a node of a parsed pattern.
type op uint8

const (
	opEmpty op = iota
	opSet      // one byte of set
	opConcat
	opAlternate
	opRepeat  // sub[0] min to max times, max -1 for no limit
	opCapture // group n
	opAtomic  // (?>...)
	opLook    // lookaround: behind, negative
	opBackref // what group n took; fold
	opCond    // sub[0] or sub[1], by kind: group n, a call of group n, or the lookaround sub[2]
	opRecurse // (?R), (?1)
	opDefine  // (?(DEFINE)...): what only calls reach
	opVerb    // (*...): verb, and n for its name
	opKeep    // \K
	opStart   // \G
	opBegin   // \A
	opEnd     // \z, and $ with PCRE_DOLLAR_ENDONLY
	opEndNL   // \Z, and $ without it
	opLineBegin
	opLineEnd
	opWord   // \b
	opNoWord // \B
)

// node is one node of a parsed pattern. Case folding and flags are already
// resolved into sets and kinds.
type node struct {
	op       op
	set      byteSet
	sub      []*node
	n        int
	min, max int
	lazy     bool
	possess  bool // a possessive repeat
	behind   bool
	negative bool
	fold     bool
	kind     condKind
	verb     verb // of n, the number of its name or 0
}

// condKind is what a conditional group asks.
type condKind uint8

const (
	condGroup condKind = iota
	condLook
	condCall // n is -1 for any call
)

// verb is a backtracking verb.
type verb uint8

const (
	verbFail verb = iota
	verbAccept
	verbCommit
	verbPrune
	verbSkip
	verbThen
	verbMark
)

// walk calls f for n and everything in it.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, s := range n.sub {
		s.walk(f)
	}
}

// minLen is the least number of bytes that n takes; a lower bound where the
// exact value would need more than the tree.
func (n *node) minLen() int {
	switch n.op {
	case opSet:
		return 1
	case opConcat:
		l := 0
		for _, s := range n.sub {
			l = min(l+s.minLen(), 1<<20)
		}
		return l
	case opAlternate, opCond:
		subs := n.sub
		if n.op == opCond {
			subs = n.sub[:2]
		}
		l := subs[0].minLen()
		for _, s := range subs[1:] {
			l = min(l, s.minLen())
		}
		return l
	case opRepeat:
		return min(n.min*n.sub[0].minLen(), 1<<20)
	case opCapture, opAtomic:
		return n.sub[0].minLen()
	}
	return 0
}

// verbs reports whether there are verbs in n.
func (n *node) verbs() bool {
	found := false
	n.walk(func(x *node) { found = found || x.op == opVerb })
	return found
}

// first is the set of bytes with which a match of n can start. ok is false when
// n can match without taking a byte, or when that is not known.
func (n *node) first() (s byteSet, ok bool) {
	switch n.op {
	case opSet:
		return n.set, true
	case opConcat:
		for _, c := range n.sub {
			switch c.op {
			case opLook:
				if c.verbs() {
					return s, false // which are met even if the rest cannot start here
				}
				continue
			case opEmpty, opKeep, opDefine, opStart, opBegin, opLineBegin, opWord, opNoWord:
				continue // they take nothing, so the byte that follows is the first
			}
			f, ok := c.first()
			s.union(f)
			if ok {
				return s, true
			}
			if c.op != opRepeat || c.min != 0 {
				return s, false
			}
			// An optional part: what follows may start instead, if the part itself always takes a byte.
			if g, ok := c.sub[0].first(); ok {
				s.union(g)
				continue
			}
			return s, false
		}
		return s, false
	case opAlternate:
		for _, c := range n.sub {
			f, ok := c.first()
			if !ok {
				return s, false
			}
			s.union(f)
		}
		return s, true
	case opRepeat:
		f, ok := n.sub[0].first()
		return f, ok && n.min > 0
	case opCapture, opAtomic:
		return n.sub[0].first()
	}
	return s, false
}

// fixedLen is the number of bytes that every match of n takes. ok is false when
// they differ.
func (n *node) fixedLen() (l int, ok bool) {
	switch n.op {
	case opSet:
		return 1, true
	case opConcat:
		for _, s := range n.sub {
			k, ok := s.fixedLen()
			if !ok {
				return 0, false
			}
			l += k
		}
		return l, l < 1<<16
	case opAlternate, opCond:
		subs := n.sub
		if n.op == opCond {
			subs = n.sub[:2]
		}
		l, ok = subs[0].fixedLen()
		for _, s := range subs[1:] {
			k, known := s.fixedLen()
			ok = ok && known && k == l
		}
		return l, ok
	case opRepeat:
		l, ok = n.sub[0].fixedLen()
		return l * n.min, ok && n.min == n.max && l*n.min < 1<<16
	case opCapture, opAtomic:
		return n.sub[0].fixedLen()
	case opBackref, opRecurse:
		return 0, false
	}
	return 0, true
}
