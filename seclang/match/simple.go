package match

import "strings"

// simple is a pattern that names whole strings: alternatives of text without
// case folding, tied to the begin and the end of the value or not.
type simple struct {
	words      []string
	begin, end bool
	group      bool // a group around the alternatives
	all        bool // ^.*$ and the like: the whole value, whatever it is
}

// maxWords is how many alternatives are tried one after the other.
const maxWords = 8

// simplify recognizes such a pattern, or returns nil.
func simplify(n *node) *simple {
	s := &simple{}
	parts := []*node{n}
	if n.op == opConcat {
		parts = n.sub
	}
	if wholeValue(parts) {
		return &simple{words: []string{""}, all: true}
	}
	if len(parts) > 0 && parts[0].op == opBegin {
		s.begin = true
		parts = parts[1:]
	}
	if len(parts) > 0 && parts[len(parts)-1].op == opEnd {
		s.end = true
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 1 && parts[0].op == opCapture && parts[0].n == 1 {
		s.group = true
		parts = parts[0].sub
	}
	if len(parts) == 1 && parts[0].op == opAlternate {
		for _, a := range parts[0].sub {
			w, ok := text(a)
			if !ok {
				return nil
			}
			s.words = append(s.words, w)
		}
	} else {
		w, ok := text(&node{op: opConcat, sub: parts})
		if !ok {
			return nil
		}
		s.words = []string{w}
	}
	if len(s.words) > maxWords || len(s.words) > 1 && !s.begin {
		return nil
	}
	return s
}

// wholeValue is true for ^.* and ^.*$ with (?s).
func wholeValue(parts []*node) bool {
	if len(parts) == 3 && parts[2].op == opEnd {
		parts = parts[:2]
	}
	return len(parts) == 2 && parts[0].op == opBegin && parts[1].op == opRepeat && parts[1].min == 0 && parts[1].max == -1 &&
		!parts[1].lazy && parts[1].sub[0].op == opSet && parts[1].sub[0].set == anyByte()
}

// text is the one string that n matches.
func text(n *node) (string, bool) {
	switch n.op {
	case opEmpty:
		return "", true
	case opSet:
		if n.set.len() != 1 {
			return "", false
		}
		var c byte
		n.set.ranges(func(lo, _ byte) { c = lo })
		return string([]byte{c}), true
	case opConcat:
		var b strings.Builder
		for _, s := range n.sub {
			t, ok := text(s)
			if !ok {
				return "", false
			}
			b.WriteString(t)
		}
		return b.String(), true
	}
	return "", false
}

func (m *simple) match(s string) bool {
	_, _, ok := m.place(s, 0)
	return ok
}

// place finds the first match in s at or after from.
func (m *simple) place(s string, from int) (start, end int, ok bool) {
	if m.all {
		return 0, len(s), from == 0
	}
	for _, w := range m.words {
		switch {
		case m.begin && m.end:
			if s == w && from == 0 {
				return 0, len(w), true
			}
		case m.begin:
			if from == 0 && strings.HasPrefix(s, w) {
				return 0, len(w), true
			}
		case m.end:
			if strings.HasSuffix(s[from:], w) {
				return len(s) - len(w), len(s), true
			}
		default:
			if i := strings.Index(s[from:], w); i >= 0 {
				return from + i, from + i + len(w), true
			}
		}
	}
	return 0, 0, false
}

func (m *simple) find(s string, dst []string) ([]string, bool, error) {
	i, j, ok := m.place(s, 0)
	if !ok {
		return dst, false, nil
	}
	dst = append(dst, s[i:j])
	if m.group {
		dst = append(dst, s[i:j])
	}
	return dst, true, nil
}

func (m *simple) each(s string, max int, f func(loc []int)) {
	for at := 0; max != 0 && at <= len(s); max-- {
		i, j, ok := m.place(s, at)
		if !ok {
			return
		}
		loc := []int{i, j}
		if m.group {
			loc = append(loc, i, j)
		}
		f(loc)
		at = j
		if i == j {
			at++
		}
	}
}
