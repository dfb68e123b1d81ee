package match

// loop decides whether there is another round, and where to go on.
func (m *machine) loop(in *inst, pc int32, pos int) int32 {
	n := m.regs[in.a]
	switch {
	case n < int(in.lo):
		return pc + 1
	case in.hi >= 0 && n >= int(in.hi), !m.can(in.set, pos):
		return in.b
	case !m.can(in.rest, pos):
		return pc + 1
	case in.lazy:
		m.push(frameChoice, pc+1, pos, 0)
		return in.b
	}
	m.push(frameChoice, in.b, pos, 0)
	return pc + 1
}

// mark notes how high the stack is.
func (m *machine) mark(in *inst, pos int) {
	height := len(m.stack)
	// The registers are written behind the height, so that going back to it undoes them.
	m.push(frameUndo, in.a, 0, m.regs[in.a])
	m.push(frameUndo, in.a+1, 0, m.regs[in.a+1])
	m.regs[in.a], m.regs[in.a+1] = height, pos
}

// cut drops the ways back above a height and keeps what must be undone some day.
func (m *machine) cut(height int) {
	kept := m.stack[:height]
	for _, f := range m.stack[height:] {
		switch f.kind {
		case frameUndo, frameReturn, frameCall, frameName:
			kept = append(kept, f)
		}
	}
	m.work -= int64(len(m.stack)-height) / 4
	m.stack = kept
}

// unwind undoes everything above a height.
func (m *machine) unwind(height int) {
	for len(m.stack) > height {
		m.undo(m.pop())
	}
}

func (m *machine) pop() frame {
	f := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	m.work--
	return f
}

// undo takes back what a frame notes.
func (m *machine) undo(f frame) {
	switch f.kind {
	case frameUndo:
		m.regs[f.pc] = f.x
	case frameReturn:
		copy(m.regs, m.saved[f.x:])
		m.saved = m.saved[:f.x]
		m.call = f.pc
	case frameCall:
		m.call, m.calls, m.saved = f.pc, m.calls[:f.pos], m.saved[:f.x]
	}
}

// back goes back to the last choice and says where to go on; pc is -1 when there is none.
func (m *machine) back() (pc int32, pos int) {
	for len(m.stack) > 0 {
		f := &m.stack[len(m.stack)-1]
		switch f.kind {
		case frameChoice:
			pc, pos = f.pc, f.pos
			m.pop()
			return m.counted(pc), pos
		case frameHolds:
			pc, pos = f.pc, f.pos
			m.pop()
			return pc, pos
		case frameGreedy:
			if pos, ok := m.less(f); ok {
				return m.counted(f.pc), pos
			}
			m.pop()
		case frameLazy:
			if f.x == 0 || !m.can(m.p.code[f.pc].set, f.pos) {
				m.pop()
				continue
			}
			f.pos++
			f.x--
			return m.counted(f.pc + 1), f.pos
		case frameCommit, framePrune, frameSkip, frameThen:
			if !m.obey(m.pop()) {
				return -1, 0
			}
		default:
			m.undo(m.pop())
		}
	}
	return -1, 0
}

// less gives back one byte of a greedy repeat, or as many as lead to the byte that must follow.
func (m *machine) less(f *frame) (pos int, ok bool) {
	if f.pos <= f.x {
		return 0, false
	}
	f.pos--
	if c := m.p.code[f.pc-1].b; c >= 0 {
		if f.pos = m.last(f.x, f.pos, byte(c)); f.pos < 0 {
			return 0, false
		}
	}
	return f.pos, true
}

// counted counts a way back.
func (m *machine) counted(pc int32) int32 {
	if m.backs--; m.backs < 0 {
		m.err = ErrLimit
		return -1
	}
	return pc
}

// obey does what a verb wants when the matcher comes back to it, and reports
// whether to go on going back. In a negative lookaround, a condition or a call
// verbs reach no farther than its begin.
func (m *machine) obey(f frame) bool {
	if f.kind == frameThen {
		for len(m.stack) > f.x {
			m.undo(m.pop())
		}
		return true
	}
	at := f.pos
	if f.kind == frameSkip && f.pc > 0 {
		i := len(m.stack) - 1
		for i >= 0 && (m.stack[i].kind != frameName || m.stack[i].pc != f.pc) {
			i--
		}
		if i < 0 {
			return true // no such (*MARK): the (*SKIP) is ignored
		}
		at = m.stack[i].pos
	}
	returned := 0 // calls that had returned when the verb was met
	for len(m.stack) > 0 {
		top := m.pop()
		m.undo(top)
		switch {
		case top.kind == frameBarrier, top.kind == frameCall && returned == 0:
			return true
		case top.kind == frameCall:
			returned--
		case top.kind == frameReturn:
			returned++
		}
	}
	switch f.kind {
	case frameCommit:
		m.stop = true
	case frameSkip:
		m.next = at
	}
	return false
}

// verb notes a verb for the way back.
func (m *machine) verb(in *inst, pos int) {
	k := frameKind(in.a)
	switch k {
	case frameThen:
		// The choice of the next branch is the first frame behind the mark and its two registers.
		height := m.regs[in.b] + 2
		if !in.lazy {
			height++
		}
		m.push(k, 0, pos, height)
	default:
		m.push(k, in.b, pos, 0)
	}
}

// enter calls a group. ok is false when that can only go on for ever.
func (m *machine) enter(in *inst, pc int32, pos int) (int32, bool) {
	for c := m.call; c >= 0 && m.calls[c].pos == pos; c = m.calls[c].parent {
		if m.work--; m.calls[c].group == in.a {
			m.err = errLoop
			return 0, false
		}
	}
	if len(m.saved) > maxSaved {
		m.err = ErrLimit
		return 0, false
	}
	m.push(frameCall, m.call, len(m.calls), len(m.saved))
	m.calls = append(m.calls, callFrame{back: pc + 1, group: in.a, parent: m.call, pos: pos, saved: len(m.saved)})
	m.saved = append(m.saved, m.regs...)
	m.work -= int64(len(m.regs)) / 4
	m.call = int32(len(m.calls) - 1)
	return m.p.entry[in.a], true
}

// leave returns to the caller, whose captures are as they were; \K stays.
func (m *machine) leave() int32 {
	c := &m.calls[m.call]
	m.push(frameReturn, m.call, 0, len(m.saved))
	m.saved = append(m.saved, m.regs...)
	m.work -= int64(len(m.regs)) / 4
	var keep [2]int
	copy(keep[:], m.regs[2*m.p.keep:])
	copy(m.regs, m.saved[c.saved:c.saved+len(m.regs)])
	if m.p.keep > 0 {
		copy(m.regs[2*m.p.keep:], keep[:])
	}
	m.call = c.parent
	return c.back
}

// maxSaved bounds what calls of groups may keep, in registers: 8 MiB.
const maxSaved = 1 << 20
