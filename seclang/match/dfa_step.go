package match

import (
	"encoding/binary"
	"regexp/syntax"
)

// stepper runs the program over sets of instructions. Its memory is reused;
// the owner of the automaton's lock owns it.
type stepper struct {
	prog  *syntax.Prog
	stack []uint32
	mark  []uint32 // per instruction, the round in which it was last seen
	round uint32
	pcs   []uint32
	out   []uint32
}

// closed is a set of instructions that wait for a byte.
type closed struct {
	pcs     []uint32
	matched bool
	pending bool // some wait for a condition that the next byte decides
}

func (w *stepper) next() {
	if w.mark == nil {
		w.mark = make([]uint32, len(w.prog.Inst))
	}
	w.round++
	if w.round == 0 {
		clear(w.mark)
		w.round = 1
	}
}

// walk goes from pcs over everything that takes no byte, each instruction
// once. f is asked about all others and says whether to go on behind them.
func (w *stepper) walk(pcs []uint32, f func(pc uint32, in *syntax.Inst) bool) {
	w.next()
	w.stack = append(w.stack[:0], pcs...)
	for len(w.stack) > 0 {
		pc := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if w.mark[pc] == w.round {
			continue
		}
		w.mark[pc] = w.round
		switch in := &w.prog.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			w.stack = append(w.stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			w.stack = append(w.stack, in.Out)
		case syntax.InstFail:
		default:
			if f(pc, in) {
				w.stack = append(w.stack, in.Out)
			}
		}
	}
}

// close follows every instruction that takes no byte and depends on nothing
// that comes later. What stays is runes and conditions on the next byte.
func (w *stepper) close(pcs []uint32, ctx uint8) closed {
	set := closed{pcs: w.pcs[:0]}
	var have syntax.EmptyOp
	if ctx&ctxBegin != 0 {
		have |= syntax.EmptyBeginText | syntax.EmptyBeginLine
	}
	if ctx&ctxNewline != 0 {
		have |= syntax.EmptyBeginLine
	}
	const early = syntax.EmptyBeginText | syntax.EmptyBeginLine
	w.walk(pcs, func(pc uint32, in *syntax.Inst) bool {
		switch in.Op {
		case syntax.InstMatch:
			set.matched = true
			return false
		case syntax.InstEmptyWidth:
			need := syntax.EmptyOp(in.Arg)
			if need&^early == 0 {
				return need&^have == 0
			}
			set.pending = true
		}
		set.pcs = append(set.pcs, pc)
		return false
	})
	w.pcs = set.pcs
	return set
}

// advance takes the byte b (or the end): it resolves the conditions with what
// holds here and collects where the runes that take b lead.
func (w *stepper) advance(pcs []uint32, have syntax.EmptyOp, b byte, end bool) (out []uint32, matched bool) {
	w.out = w.out[:0]
	w.walk(pcs, func(_ uint32, in *syntax.Inst) bool {
		switch in.Op {
		case syntax.InstMatch:
			matched = true
		case syntax.InstEmptyWidth:
			return syntax.EmptyOp(in.Arg)&^have == 0
		default:
			if !end && in.MatchRune(rune(b)) {
				w.out = append(w.out, in.Out)
			}
		}
		return false
	})
	return w.out, matched
}

// decode reads the instructions of a state's key.
func (w *stepper) decode(key string) []uint32 {
	pcs := make([]uint32, 0, len(key)/4)
	for i := 0; i+4 <= len(key); i += 4 {
		pcs = append(pcs, binary.LittleEndian.Uint32([]byte(key[i:i+4])))
	}
	return pcs
}
