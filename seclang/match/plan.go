package match

// relax turns atomic groups and possessive repeats into plain ones where that
// cannot change what matches, so that a linear matcher can run the pattern. It
// reports whether everything that a linear matcher does not know is gone.
//
// A possessive X*+ differs from X* only when giving back a byte would let the
// rest match. It cannot when X is one set of bytes and the rest must start with
// a byte outside it, or when nothing follows at all, or only \z.
//
// A group that is called may be followed by anything, so a pattern with calls stays as it is.
func relax(n *node) bool {
	called := false
	n.walk(func(x *node) { called = called || x.op == opRecurse })
	return !called && relaxBefore(n, tail{end: true})
}

// tail is what is known of everything that follows a node.
type tail struct {
	set  byteSet // the bytes it can start with
	ok   bool    // it always starts with a byte of set
	end  bool    // nothing follows, or only \z
	line bool
}

func relaxBefore(n *node, t tail) bool {
	switch n.op {
	case opLook, opBackref, opCond, opRecurse, opDefine, opVerb, opStart, opEndNL:
		return false
	case opLineBegin:
		// PCRE does not match ^ after a newline that ends the subject; RE2 does.
		// That shows only where the rest can match there without taking a byte.
		return t.line
	case opAlternate:
		ok := true
		for _, s := range n.sub {
			ok = relaxBefore(s, t) && ok
		}
		return ok
	case opCapture:
		return relaxBefore(n.sub[0], t)
	case opConcat:
		return relaxConcat(n, t)
	case opRepeat:
		return relaxRepeat(n, t)
	case opAtomic:
		if !relaxBefore(n.sub[0], t) {
			return false
		}
		// Without a choice inside there is nothing to give back.
		if !choice(n.sub[0]) || t.end && !captures(n.sub[0]) && !choiceBeforeEnd(n.sub[0]) {
			n.op, n.sub = opConcat, []*node{n.sub[0]}
			return true
		}
		return false
	}
	return true
}

func relaxConcat(n *node, t tail) bool {
	ok := true
	for i := len(n.sub) - 1; i >= 0; i-- {
		s := n.sub[i]
		ok = relaxBefore(s, t) && ok
		t = before(s, t)
	}
	return ok
}

// before is the tail of what stands in front of s, when t is the tail of s.
func before(s *node, t tail) tail {
	switch s.op {
	case opEmpty, opKeep:
		return t
	case opEnd:
		return tail{end: true}
	}
	line := t.line || s.minLen() > 0
	f, ok := s.first()
	if ok {
		return tail{set: f, ok: true, line: line}
	}
	if s.op == opRepeat && s.min == 0 {
		if f, ok := s.sub[0].first(); ok && t.ok {
			f.union(t.set)
			return tail{set: f, ok: true, line: line}
		}
	}
	return tail{line: line}
}

func relaxRepeat(n *node, t tail) bool {
	s := n.sub[0]
	// Inside a repeat anything may follow, its own start included.
	inner := tail{}
	if n.max == 1 {
		inner = t
	}
	if !relaxBefore(s, inner) {
		return false
	}
	if !n.possess {
		return true
	}
	if s.op != opSet {
		return false
	}
	if n.min == n.max || t.end || t.ok && !t.set.overlaps(s.set) {
		n.possess = false
		return true
	}
	return false
}

// choice reports whether n can match at one place in more than one way.
func choice(n *node) bool {
	c := false
	n.walk(func(x *node) {
		c = c || x.op == opAlternate || x.op == opRepeat && x.min != x.max || x.op == opCond
	})
	return c
}

func captures(n *node) bool {
	c := false
	n.walk(func(x *node) { c = c || x.op == opCapture })
	return c
}

// emptyRounds reports whether some repeat may end with a round that takes no
// byte and has groups inside: PCRE shows the empty round in the groups, package
// regexp does not make it.
func emptyRounds(n *node) bool {
	c := false
	n.walk(func(x *node) {
		c = c || x.op == opRepeat && (x.max < 0 || x.max > 1) && x.sub[0].minLen() == 0 && captures(x.sub[0])
	})
	return c
}

// choiceBeforeEnd is true for choices that \z after the group could overrule:
// with nothing after the group the first way that matches is the match; with
// \z another way might reach the end. Only sets and their repeats are safe.
func choiceBeforeEnd(n *node) bool {
	c := false
	n.walk(func(x *node) { c = c || x.op == opAlternate || x.op == opRepeat && (x.lazy || x.sub[0].op != opSet) })
	return c
}

// trimKeep replaces \K by an empty capture group numbered k, whose place is
// where the match then starts.
func trimKeep(n *node, k int) {
	n.walk(func(x *node) {
		if x.op == opKeep {
			*x = node{op: opCapture, n: k, sub: []*node{{op: opEmpty}}}
		}
	})
}
