package match

import "slices"

// opcode is the kind of an instruction of the backtracking matcher.
type opcode uint8

const (
	iChar      opcode = iota // the byte a
	iText                    // the string texts[a]
	iSet                     // one byte of set
	iGreedy                  // lo to hi bytes of set; b is the byte that must follow, or -1
	iLazy                    // ... as few as will do
	iPossess                 // ... and gives none back
	iTry                     // goes on here and, if that fails, at a; set, rest: what can start here, and there; b: the kind of frame
	iJump                    // to a
	iOpen                    // group a begins
	iClose                   // ... and ends
	iAssert                  // the condition a, an op
	iBack                    // a bytes back
	iBackref                 // what group a took; b: without regard to case
	iLoopInit                // register a counts rounds from here
	iLoop                    // another round of register a (lo to hi), or on to b; lazy; set, rest as iTry
	iLoopEnter               // a round begins
	iLoopNext                // ... and ends; b: the iLoop
	iMark                    // register a: how high the stack is, and where we are
	iCut                     // no way back behind the iMark a
	iLookEnd                 // ... and back to where it was
	iNegEnd                  // what must not match did: fail, or go to b
	iCondGroup               // to b unless group a is set
	iCondCall                // to b unless inside a call of group a (-1: of any)
	iCall                    // group a, then go on
	iReturn                  // the end of group a: back to the caller, if one called
	iFail                    // (*FAIL)
	iAccept                  // (*ACCEPT); a, b: begin and end of the lookaround it stands in, or -1
	iVerb                    // a: what to do when the matcher comes back here, a frame kind; b: register or name
	iMatch
)

// inst is one instruction.
type inst struct {
	op     opcode
	lazy   bool
	a, b   int32
	lo, hi int32 // hi -1: no bound
	set    int32 // index into sets; -1 for none
	rest   int32
}

// program is a pattern for the backtracking matcher. It is immutable.
type program struct {
	code    []inst
	sets    []byteSet
	texts   []string
	entry   []int32 // of each group that is called: its iOpen
	groups  int     // highest group
	regs    int     // how many registers: captures, open groups, counters
	keep    int     // the group that marks \K, 0 for none
	anchor  bool    // a match can start only where the search starts, if at all ...
	begin   bool    // ... and only where the value begins
	first   byteSet // with which bytes a match can start
	started bool    // first says something
	lead    int32   // the set of leads; -1 for none
	verbs   bool
}

// assembler turns a tree into a program.
type assembler struct {
	p      *program
	seen   map[byteSet]int32
	called map[int]bool
	open   []int  // groups that are open
	look   []look // lookarounds that are open
	then   []then
}

// look is a lookaround: where it begins, and which (*ACCEPT)s inside end it.
type look struct {
	begin   int32
	accepts []int
}

// then is the alternation that (*THEN) goes on in: its register, and whether its last branch is read.
type then struct {
	reg  int32
	last bool
}

// assembleProgram writes the program of n, whose highest group is groups; keep marks \K.
func assembleProgram(n *node, groups, keep int) *program {
	p := &program{groups: groups, keep: keep, regs: 3 * (groups + 1), lead: -1}
	a := &assembler{p: p, seen: map[byteSet]int32{}, called: map[int]bool{}}
	n.walk(func(x *node) {
		switch x.op {
		case opRecurse:
			a.called[x.n] = true
		case opVerb:
			p.verbs = true
		}
	})
	p.entry = slices.Repeat([]int32{-1}, groups+1)
	p.entry[0] = 0
	a.node(n, tail{end: !a.called[0]})
	if a.called[0] {
		a.emit(inst{op: iReturn})
	}
	a.emit(inst{op: iMatch})
	if !p.verbs {
		p.begin = beginsAt(n, opBegin)
		p.anchor = p.begin || beginsAt(n, opStart)
		if s, ok := leads(n); ok {
			p.lead = a.set(s)
		}
		p.first, p.started = n.first()
	}
	return p
}

// beginsAt reports whether every match of n begins with the condition o.
func beginsAt(n *node, o op) bool {
	switch n.op {
	case o:
		return true
	case opConcat:
		return beginsAt(n.sub[0], o)
	case opCapture, opAtomic:
		return beginsAt(n.sub[0], o)
	case opAlternate:
		for _, s := range n.sub {
			if !beginsAt(s, o) {
				return false
			}
		}
		return true
	}
	return false
}

// leads is the set whose repeat, without an upper bound, n begins with: what does
// not match from one place does not match from a later place in the same run
// of such bytes either, as the repeat can end only in places that were tried.
// That holds unless the text of the run matters for what follows.
func leads(n *node) (s byteSet, ok bool) {
	plain := true
	n.walk(func(x *node) {
		switch x.op {
		case opBackref, opCond, opRecurse:
			plain = false
		}
	})
	for n.op == opConcat || n.op == opCapture && plain {
		n = n.sub[0]
	}
	if n.op == opRepeat && n.max < 0 && n.sub[0].op == opSet {
		return n.sub[0].set, true
	}
	return s, false
}

func (a *assembler) emit(i inst) int {
	a.p.code = append(a.p.code, i)
	return len(a.p.code) - 1
}

func (a *assembler) here() int32 { return int32(len(a.p.code)) }

// register reserves n registers and returns the first.
func (a *assembler) register(n int) int32 {
	r := a.p.regs
	a.p.regs += n
	return int32(r)
}

func (a *assembler) set(s byteSet) int32 {
	i, ok := a.seen[s]
	if !ok {
		i = int32(len(a.p.sets))
		a.p.sets = append(a.p.sets, s)
		a.seen[s] = i
	}
	return i
}

// starts is the set of what n and then t can start with; -1 when that is not known.
func (a *assembler) starts(n *node, t tail) int32 {
	if t = before(n, t); t.ok {
		return a.set(t.set)
	}
	return -1
}

// node writes n, which t follows.
func (a *assembler) node(n *node, t tail) {
	switch n.op {
	case opEmpty, opDefine:
		if n.op == opDefine {
			skip := a.emit(inst{op: iJump})
			a.node(n.sub[0], tail{})
			a.p.code[skip].a = a.here()
		}
	case opSet:
		a.one(n.set)
	case opConcat:
		a.concat(n.sub, t)
	case opAlternate:
		a.alternate(n.sub, t)
	case opRepeat:
		a.repeat(n, t)
	case opCapture:
		a.capture(n, t)
	case opAtomic:
		a.atomic(func() { a.node(n.sub[0], tail{}) })
	case opLook:
		a.lookaround(n, -1)
	case opBackref:
		a.emit(inst{op: iBackref, a: int32(n.n), b: flagOf(n.fold)})
	case opCond:
		a.cond(n, t)
	case opRecurse:
		a.emit(inst{op: iCall, a: int32(n.n)})
	case opVerb:
		a.verb(n)
	default:
		a.emit(inst{op: iAssert, a: int32(n.op)})
	}
}

func flagOf(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func (a *assembler) one(s byteSet) {
	switch c := s.next(0); {
	case s.len() == 1:
		a.emit(inst{op: iChar, a: int32(c)})
	default:
		a.emit(inst{op: iSet, set: a.set(s)})
	}
}

// concat writes a row of nodes; neighbouring bytes become one text.
func (a *assembler) concat(subs []*node, t tail) {
	tails := make([]tail, len(subs))
	for i := len(subs) - 1; i >= 0; i-- {
		tails[i] = t
		t = before(subs[i], t)
	}
	for i := 0; i < len(subs); i++ {
		var b []byte
		for j := i; j < len(subs) && subs[j].op == opSet && subs[j].set.len() == 1; j++ {
			b = append(b, byte(subs[j].set.next(0)))
		}
		if len(b) > 1 {
			a.p.texts = append(a.p.texts, string(b))
			a.emit(inst{op: iText, a: int32(len(a.p.texts) - 1)})
			i += len(b) - 1
			continue
		}
		a.node(subs[i], tails[i])
	}
}

// alternate writes branches. Those that cannot start with the byte that is
// there are passed over, so that a way back is kept only where there is one.
func (a *assembler) alternate(subs []*node, t tail) {
	marked := containsThen(subs)
	var reg int32
	if marked {
		reg = a.register(2)
		a.emit(inst{op: iMark, a: reg})
	}
	var ends []int
	for i, s := range subs {
		last := i == len(subs)-1
		try := -1
		if !last {
			in := inst{op: iTry, set: -1, rest: -1}
			if !marked {
				in.set, in.rest = a.starts(s, t), a.startsAny(subs[i+1:], t)
			}
			try = a.emit(in)
		}
		if marked {
			a.then = append(a.then, then{reg, last})
		}
		a.node(s, t)
		if marked {
			a.then = a.then[:len(a.then)-1]
		}
		if !last {
			ends = append(ends, a.emit(inst{op: iJump}))
			a.p.code[try].a = a.here()
		}
	}
	for _, e := range ends {
		a.p.code[e].a = a.here()
	}
}

// startsAny is the set of what any of the branches can start with; -1 when that is not known.
func (a *assembler) startsAny(subs []*node, t tail) int32 {
	var all byteSet
	for _, s := range subs {
		b := before(s, t)
		if !b.ok {
			return -1
		}
		all.union(b.set)
	}
	return a.set(all)
}

func containsThen(subs []*node) bool {
	found := false
	for _, s := range subs {
		s.walk(func(x *node) { found = found || x.op == opVerb && x.verb == verbThen })
	}
	return found
}

func (a *assembler) capture(n *node, t tail) {
	if a.p.entry[n.n] < 0 {
		a.p.entry[n.n] = a.here()
	}
	if a.called[n.n] {
		t = tail{} // a caller goes on elsewhere
	}
	a.emit(inst{op: iOpen, a: int32(n.n)})
	a.open = append(a.open, n.n)
	a.node(n.sub[0], t)
	a.open = a.open[:len(a.open)-1]
	a.emit(inst{op: iClose, a: int32(n.n)})
	if a.called[n.n] {
		a.emit(inst{op: iReturn, a: int32(n.n)})
	}
}

// atomic writes what there is no way back into. What follows must not be known
// inside: the first way through is the one that counts, wherever it leads.
func (a *assembler) atomic(body func()) {
	reg := a.register(2)
	a.emit(inst{op: iMark, a: reg})
	body()
	a.emit(inst{op: iCut, a: reg})
}
