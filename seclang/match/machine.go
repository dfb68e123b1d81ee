package match

import "strings"

// frameKind is what a frame of the stack is for.
type frameKind int8

const (
	frameChoice  frameKind = iota // go on at pc, pos
	frameHolds                    // ... because a lookaround has come to its end, which is no way back
	frameGreedy                   // give back one byte: pos down to x, then on at pc
	frameLazy                     // take one more byte of iLazy pc: x more are allowed
	frameUndo                     // put x back into register pc
	frameReturn                   // undo a return: the registers saved at x, the call pc
	frameCall                     // undo a call: the call pc; calls and saved as long as pos, x
	frameBarrier                  // verbs stop here
	frameCommit                   // the rest are verbs: what a way back to them means
	framePrune
	frameSkip // pos; pc is the name, or 0
	frameThen // x is how high the stack is at the alternation
	frameName // pc is the name of (*MARK)
)

// frame is one entry of the stack of the backtracking matcher.
type frame struct {
	kind frameKind
	pc   int32
	pos  int
	x    int
}

// callFrame is one call of a group that has not returned.
type callFrame struct {
	back, group, parent int32
	pos                 int // where it was called
	saved               int // registers of the caller
}

// machine runs a program. It serves one match at a time.
type machine struct {
	p     *program
	s     string
	from  int // where the search begins: \G
	regs  []int
	stack []frame
	calls []callFrame
	saved []int
	call  int32 // the call we are in, -1 for none

	work  int64 // steps left
	begun int64 // ... and how many there were
	backs int   // ways back left from this start
	depth int   // most frames
	next  int   // where (*SKIP) wants the next start; -1: nowhere
	stop  bool  // (*COMMIT): no other start
	err   error
}

// find searches for a match that starts at from or later and reports whether there is one; loc then has its captures.
func (m *machine) find(s string, from int, limit int) bool {
	p := m.p
	m.s, m.from, m.stop, m.err = s, from, false, nil
	m.regs = resized(m.regs, p.regs)
	for at := from; at <= len(s); {
		if p.started {
			skip := at
			for at < len(s) && !p.first.has(s[at]) {
				at++
			}
			if m.work -= int64(at-skip) / 4; at == len(s) {
				return false
			}
		}
		if p.begin && at > 0 || p.anchor && at > from {
			return false
		}
		m.next, m.backs = -1, limit+linear*len(s)
		if m.run(at) {
			return true
		}
		if m.err != nil || m.stop {
			return false
		}
		run := 0
		if p.lead >= 0 {
			run = m.span(&p.sets[p.lead], at, -1)
		}
		at = max(at+max(run, 1), m.next)
	}
	return false
}

func resized(r []int, n int) []int {
	if cap(r) < n {
		return make([]int, n)
	}
	return r[:n]
}

// set writes a register so that it can be taken back.
func (m *machine) set(r int32, v int) {
	if len(m.stack) > 0 {
		m.stack = append(m.stack, frame{kind: frameUndo, pc: r, x: m.regs[r]})
	}
	m.regs[r] = v
}

func (m *machine) push(k frameKind, pc int32, pos, x int) {
	m.stack = append(m.stack, frame{k, pc, pos, x})
}

// can reports whether the byte at pos is in a set of the program; -1 knows nothing.
func (m *machine) can(set int32, pos int) bool {
	return set < 0 || pos < len(m.s) && m.p.sets[set].has(m.s[pos])
}

// span is how many bytes of a set there are from pos on, at most most (-1: any number).
func (m *machine) span(set *byteSet, pos int, most int32) int {
	end := len(m.s)
	if most >= 0 && int(most) < end-pos {
		end = pos + int(most)
	}
	i := pos
	if *set == anyByte() {
		i = end
	}
	for i < end && set.has(m.s[i]) {
		i++
	}
	m.work -= int64(i-pos) / 4
	return i - pos
}

// run tries to match at one place.
//
//nolint:revive // the instructions of one machine: a table
func (m *machine) run(start int) bool {
	p, s := m.p, m.s
	for i := range m.regs {
		m.regs[i] = -1
	}
	m.stack, m.calls, m.saved, m.call = m.stack[:0], m.calls[:0], m.saved[:0], -1
	m.regs[0] = start
	pc, pos := int32(0), start
	for {
		if m.work--; m.work < 0 || len(m.stack) > m.depth {
			m.err = ErrLimit
			return false
		}
		in := &p.code[pc]
		ok := true
		switch in.op {
		case iChar:
			if ok = pos < len(s) && s[pos] == byte(in.a); ok {
				pos++
			}
		case iSet:
			if ok = pos < len(s) && p.sets[in.set].has(s[pos]); ok {
				pos++
			}
		case iText:
			if ok = strings.HasPrefix(s[pos:], p.texts[in.a]); ok {
				pos += len(p.texts[in.a])
			}
		case iGreedy, iLazy, iPossess:
			pos, ok = m.span1(in, pc, pos)
		case iTry:
			switch {
			case !m.can(in.set, pos):
				pc = in.a
				continue
			case m.can(in.rest, pos):
				m.push(frameKind(in.b), in.a, pos, 0)
			}
		case iJump:
			pc = in.a
			continue
		case iOpen:
			m.set(int32(2*(p.groups+1))+in.a, pos)
		case iClose:
			m.set(2*in.a, m.regs[int32(2*(p.groups+1))+in.a])
			m.set(2*in.a+1, pos)
		case iAssert:
			ok = m.holds(op(in.a), pos)
		case iBack:
			pos -= int(in.a)
			ok = pos >= 0
		case iBackref:
			pos, ok = m.backref(in, pos)
		case iLoopInit:
			m.set(in.a, 0)
		case iLoop:
			pc = m.loop(in, pc, pos)
			continue
		case iLoopEnter:
			m.set(in.a, m.regs[in.a]+1)
			m.set(in.a+1, pos)
		case iLoopNext:
			// A round that took nothing is the last.
			l := &p.code[in.b]
			if pc = in.b; l.hi < 0 && m.regs[in.a] >= int(l.lo) && m.regs[in.a+1] == pos {
				pc = l.b
			}
			continue
		case iMark:
			m.mark(in, pos)
		case iCut:
			m.cut(m.regs[in.a])
		case iLookEnd:
			pos = m.regs[in.a+1]
			m.cut(m.regs[in.a])
		case iNegEnd:
			height, back := m.regs[in.a], m.regs[in.a+1]
			m.unwind(height)
			if ok = in.b >= 0; ok {
				pc, pos = in.b, back
				continue
			}
		case iCondGroup:
			if m.regs[2*in.a+1] < 0 {
				pc = in.b
				continue
			}
		case iCondCall:
			if m.call < 0 || in.a >= 0 && m.calls[m.call].group != in.a {
				pc = in.b
				continue
			}
		case iCall:
			if pc, ok = m.enter(in, pc, pos); !ok {
				return false
			}
			continue
		case iReturn:
			if m.call >= 0 && m.calls[m.call].group == in.a {
				pc = m.leave()
				continue
			}
		case iFail:
			ok = false
		case iAccept:
			switch {
			case in.a >= 0 && (m.call < 0 || p.entry[m.calls[m.call].group] <= in.a):
				pc = in.b
			case m.call >= 0:
				pc = m.leave()
			default:
				m.regs[1] = pos
				return true
			}
			continue
		case iVerb:
			m.verb(in, pos)
		case iMatch:
			m.regs[1] = pos
			return true
		}
		if ok {
			pc++
			continue
		}
		if pc, pos = m.back(); pc < 0 {
			return false
		}
	}
}

// span1 runs a repeat of one byte.
func (m *machine) span1(in *inst, pc int32, pos int) (int, bool) {
	set := &m.p.sets[in.set]
	if in.op == iLazy {
		n := m.span(set, pos, in.lo)
		if n < int(in.lo) {
			return pos, false
		}
		if pos += n; in.hi < 0 || in.hi > in.lo {
			more := int(in.hi - in.lo)
			if in.hi < 0 {
				more = len(m.s)
			}
			m.push(frameLazy, pc, pos, more)
		}
		return pos, true
	}
	n := m.span(set, pos, in.hi)
	if n < int(in.lo) {
		return pos, false
	}
	least := pos + int(in.lo)
	pos += n
	if in.op == iPossess || pos == least {
		return pos, true
	}
	if in.b >= 0 {
		// Only where the byte stands that must follow is it worth going on.
		if pos = m.last(least, pos, byte(in.b)); pos < 0 {
			return 0, false
		}
	}
	if pos > least {
		m.push(frameGreedy, pc+1, pos, least)
	}
	return pos, true
}

// last is the last place from least to pos where c stands; -1 for none.
func (m *machine) last(least, pos int, c byte) int {
	if pos < len(m.s) && m.s[pos] == c {
		return pos
	}
	i := strings.LastIndexByte(m.s[least:pos], c)
	m.work -= int64(pos-least-i) / 16
	if i < 0 {
		return -1
	}
	return least + i
}

// holds says whether a condition on the place holds.
func (m *machine) holds(o op, pos int) bool {
	s := m.s
	switch o {
	case opBegin:
		return pos == 0
	case opStart:
		return pos == m.from
	case opEnd:
		return pos == len(s)
	case opEndNL:
		return pos == len(s) || pos == len(s)-1 && s[pos] == '\n'
	case opLineBegin:
		return pos == 0 || s[pos-1] == '\n' && pos < len(s)
	case opLineEnd:
		return pos == len(s) || s[pos] == '\n'
	}
	before := pos > 0 && wordBytes().has(s[pos-1])
	after := pos < len(s) && wordBytes().has(s[pos])
	return (before != after) == (o == opWord)
}

func (m *machine) backref(in *inst, pos int) (int, bool) {
	start, end := m.regs[2*in.a], m.regs[2*in.a+1]
	if end < 0 || len(m.s)-pos < end-start {
		return pos, false
	}
	was, is := m.s[start:end], m.s[pos:pos+end-start]
	m.work -= int64(len(was)) / 8
	if was != is && in.b == 0 {
		return pos, false
	}
	for i := range len(was) {
		if lower(was[i]) != lower(is[i]) {
			return pos, false
		}
	}
	return pos + len(was), true
}
