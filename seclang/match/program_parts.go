package match

// repeat writes a repeat. One byte repeated is one instruction; a group needs
// a counter only when it has numbers, or rounds that may take no byte.
func (a *assembler) repeat(n *node, t tail) {
	s := n.sub[0]
	switch {
	case n.max == 0:
		if captures(s) { // which may be called from elsewhere
			a.node(&node{op: opDefine, sub: []*node{s}}, t)
		}
		return
	case s.op == opSet:
		a.repeatSet(n, t)
		return
	case n.possess:
		plain := *n
		plain.possess = false
		a.atomic(func() { a.repeat(&plain, tail{}) })
		return
	case n.min == 1 && n.max == 1:
		a.node(s, t)
		return
	}
	// What a round can start with, and what stands after the last; both say when there is no choice.
	body, out := int32(-1), int32(-1)
	if f, ok := s.first(); ok {
		body = a.set(f)
	}
	if t.ok {
		out = a.set(t.set)
	}
	inner := tail{}
	if f, ok := s.first(); ok && t.ok {
		f.union(t.set)
		inner = tail{set: f, ok: true}
	}
	switch {
	case n.min == 0 && n.max == 1 && !n.lazy:
		try := a.emit(inst{op: iTry, set: body, rest: out})
		a.node(s, t)
		a.p.code[try].a = a.here()
	case n.min == 0 && n.max < 0 && !n.lazy && s.minLen() > 0:
		try := a.emit(inst{op: iTry, set: body, rest: out})
		a.node(s, inner)
		a.emit(inst{op: iJump, a: int32(try)})
		a.p.code[try].a = a.here()
	default:
		reg := a.register(2)
		a.emit(inst{op: iLoopInit, a: reg})
		loop := a.emit(inst{op: iLoop, a: reg, lo: int32(n.min), hi: int32(n.max), lazy: n.lazy, set: body, rest: out})
		a.emit(inst{op: iLoopEnter, a: reg})
		a.node(s, inner)
		a.emit(inst{op: iLoopNext, a: reg, b: int32(loop)})
		a.p.code[loop].b = a.here()
	}
}

// repeatSet writes a repeat of one byte. It gives nothing back when what
// follows cannot start with a byte of the set, or when nothing follows.
func (a *assembler) repeatSet(n *node, t tail) {
	s := n.sub[0]
	i := inst{op: iGreedy, set: a.set(s.set), lo: int32(n.min), hi: int32(n.max), b: -1}
	switch {
	case n.lazy && !n.possess:
		i.op = iLazy
	case n.possess, n.min == n.max, t.end, t.ok && !t.set.overlaps(s.set):
		i.op = iPossess
	case t.ok && t.set.len() == 1:
		i.b = int32(t.set.next(0))
	}
	a.emit(i)
}

// lookaround writes a lookahead or lookbehind. no is -1, or the lookaround is a
// condition: then the result is the instruction that must be told where to go
// when it does not hold.
func (a *assembler) lookaround(n *node, no int32) (fix int) {
	reg := a.register(2)
	begin := a.emit(inst{op: iMark, a: reg})
	a.look = append(a.look, look{begin: int32(begin)})
	fix = -1
	if n.negative || no >= 0 {
		fix = a.emit(inst{op: iTry, b: int32(frameHolds), set: -1, rest: -1})
	}
	if a.p.verbs && fix >= 0 {
		a.emit(inst{op: iVerb, a: int32(frameBarrier)})
	}
	open, then := a.open, a.then // (*THEN) goes no farther than its lookaround
	a.open, a.then = nil, nil
	if n.behind {
		a.behind(n.sub[0])
	} else {
		a.node(n.sub[0], tail{})
	}
	a.open, a.then = open, then
	l := a.look[len(a.look)-1]
	a.look = a.look[:len(a.look)-1]
	for _, i := range l.accepts {
		a.p.code[i].b = a.here()
	}
	if n.negative {
		end := a.emit(inst{op: iNegEnd, a: reg, b: -1})
		a.p.code[fix].a = a.here()
		return end
	}
	a.emit(inst{op: iLookEnd, a: reg})
	return fix
}

// behind writes the branches of a lookbehind, each of which knows how far it goes back.
func (a *assembler) behind(n *node) {
	branches := []*node{n}
	if n.op == opAlternate {
		branches = n.sub
	}
	var ends []int
	for i, s := range branches {
		l, _ := s.fixedLen() // checked by the parser
		try := -1
		if i < len(branches)-1 {
			try = a.emit(inst{op: iTry, set: -1, rest: -1})
		}
		a.emit(inst{op: iBack, a: int32(l)})
		a.node(s, tail{})
		if try >= 0 {
			ends = append(ends, a.emit(inst{op: iJump}))
			a.p.code[try].a = a.here()
		}
	}
	for _, e := range ends {
		a.p.code[e].a = a.here()
	}
}

// cond writes (?(condition)yes|no).
func (a *assembler) cond(n *node, t tail) {
	var fix int
	switch n.kind {
	case condLook:
		fix = a.lookaround(n.sub[2], 0)
	case condCall:
		fix = a.emit(inst{op: iCondCall, a: int32(n.n)})
	default:
		fix = a.emit(inst{op: iCondGroup, a: int32(n.n)})
	}
	a.node(n.sub[0], t)
	end := a.emit(inst{op: iJump})
	if in := &a.p.code[fix]; in.op == iTry {
		in.a = a.here()
	} else {
		in.b = a.here()
	}
	a.node(n.sub[1], t)
	a.p.code[end].a = a.here()
}

// verb writes (*...).
func (a *assembler) verb(n *node) {
	name := int32(n.n)
	switch n.verb {
	case verbFail:
		a.emit(inst{op: iFail})
	case verbAccept:
		for i := len(a.open) - 1; i >= 0; i-- {
			a.emit(inst{op: iClose, a: int32(a.open[i])})
		}
		i := a.emit(inst{op: iAccept, a: -1, b: -1})
		if l := len(a.look); l > 0 {
			a.p.code[i].a = a.look[l-1].begin
			a.look[l-1].accepts = append(a.look[l-1].accepts, i)
		}
	case verbThen:
		in := inst{op: iVerb, a: int32(frameThen), b: -1}
		if l := len(a.then); l > 0 {
			in.b, in.lazy = a.then[l-1].reg, a.then[l-1].last
		} else {
			in.a = int32(framePrune)
		}
		a.emit(in)
	case verbCommit:
		a.emit(inst{op: iVerb, a: int32(frameCommit), b: -1})
	case verbPrune:
		a.emit(inst{op: iVerb, a: int32(framePrune), b: -1})
	case verbSkip:
		a.emit(inst{op: iVerb, a: int32(frameSkip), b: name})
	case verbMark:
		a.emit(inst{op: iVerb, a: int32(frameName), b: name})
	}
}
