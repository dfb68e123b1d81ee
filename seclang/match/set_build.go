package match

import (
	"encoding/binary"
	"slices"
)

// denseDepth is up to which depth states have full rows: with three letters
// of context nearly all steps of ordinary text need no search.
const denseDepth = 2

// trieNode is a node of the trie while a Set is built. Children are a list.
type trieNode struct {
	child, sibling uint32 // 0 for none
	parent         uint32
	class          uint8
	depth          uint16
	fail           uint32
	bits           []int // of the literals that end here
}

// Build makes the set. The builder must not be used afterwards.
func (b *Builder) Build() *Set {
	s := &Set{words: (b.n + 63) / 64}
	for k := range s.always {
		s.always[k] = make([]uint64, s.words)
		for _, id := range b.always[k] {
			s.always[k][id>>6] |= 1 << (id & 63)
		}
	}
	classes := s.classify(b.words)
	s.shift = uint8(len64(classes))
	nodes := b.trie(s)
	order := s.order(nodes)
	s.fill(nodes, order)
	return s
}

// len64 is the number of bits that n-1 needs.
func len64(n int) int {
	l := 0
	for 1<<l < n {
		l++
	}
	return l
}

// classify gives every byte that occurs in a literal a class of its own, both cases of a letter the same.
func (s *Set) classify(words []literal) int {
	var used [256]bool
	for _, w := range words {
		for i := 0; i < len(w.text); i++ {
			used[lower(w.text[i])] = true
		}
	}
	n := 1
	for c := range used {
		if used[c] {
			s.class[c] = uint8(n)
			n++
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		s.class[c] = s.class[c+32]
	}
	return n
}

func (b *Builder) trie(s *Set) []trieNode {
	nodes := make([]trieNode, 1, 1024)
	for _, w := range b.words {
		at := uint32(0)
		for i := 0; i < len(w.text); i++ {
			c := s.class[w.text[i]]
			to := nodes[at].child
			for to != 0 && nodes[to].class != c {
				to = nodes[to].sibling
			}
			if to == 0 {
				to = uint32(len(nodes))
				nodes = append(nodes, trieNode{sibling: nodes[at].child, parent: at, class: c, depth: nodes[at].depth + 1})
				nodes[at].child = to
			}
			at = to
		}
		nodes[at].bits = append(nodes[at].bits, w.bit)
	}
	return nodes
}

// order is the nodes breadth first, which is also the numbering of the states.
// It computes the failure links on the way.
func (s *Set) order(nodes []trieNode) []uint32 {
	order := make([]uint32, 1, len(nodes))
	for i := 0; i < len(order); i++ {
		at := order[i]
		for c := nodes[at].child; c != 0; c = nodes[c].sibling {
			order = append(order, c)
			if at != 0 {
				nodes[c].fail = failOf(nodes, at, nodes[c].class)
			}
		}
	}
	return order
}

// failOf is the longest proper suffix of the child of at by class c that is in the trie.
func failOf(nodes []trieNode, at uint32, c uint8) uint32 {
	for f := nodes[at].fail; ; f = nodes[f].fail {
		for to := nodes[f].child; to != 0; to = nodes[to].sibling {
			if nodes[to].class == c {
				return to
			}
		}
		if f == 0 {
			return 0
		}
	}
}

// fill writes the tables of the automaton.
func (s *Set) fill(nodes []trieNode, order []uint32) {
	state := make([]uint32, len(nodes)) // node -> state
	for i, n := range order {
		state[n] = uint32(i)
		if nodes[n].depth <= denseDepth {
			s.dense = uint32(i) + 1
		}
	}
	s.rows = make([]uint32, int(s.dense)<<s.shift)
	s.out = make([]uint32, len(nodes))
	s.outs = [][]outBits{nil}
	known := map[string]uint32{}
	s.first = append(s.first, 0)
	for i, n := range order {
		fail := state[nodes[n].fail]
		if i < int(s.dense) {
			row := s.rows[i<<s.shift : (i+1)<<s.shift]
			if i > 0 {
				// The failure state is shallower, so its row is complete.
				copy(row, s.rows[fail<<s.shift:(fail+1)<<s.shift])
			}
			for c := nodes[n].child; c != 0; c = nodes[c].sibling {
				row[nodes[c].class] = state[c]
			}
		} else {
			for c := nodes[n].child; c != 0; c = nodes[c].sibling {
				s.edges = append(s.edges, edge{nodes[c].class, state[c]})
			}
			s.first = append(s.first, uint32(len(s.edges)))
			s.fail = append(s.fail, fail)
		}
		s.out[i] = s.addOut(known, nodes[n].bits, s.out[fail], i)
	}
	s.edges = slices.Clip(s.edges)
}

// addOut joins the literals that end in a state with those of its failure state.
func (s *Set) addOut(known map[string]uint32, own []int, inherited uint32, state int) uint32 {
	if len(own) == 0 {
		if state == 0 {
			return 0
		}
		return inherited
	}
	var out []outBits
	if inherited != 0 {
		out = append(out, s.outs[inherited]...)
	}
	for _, bit := range own {
		word := uint32(bit&1*s.words + bit>>7)
		i := slices.IndexFunc(out, func(o outBits) bool { return o.word == word })
		if i < 0 {
			i = len(out)
			out = append(out, outBits{word: word})
		}
		out[i].bits |= 1 << (bit >> 1 & 63)
	}
	slices.SortFunc(out, func(a, b outBits) int { return int(a.word) - int(b.word) })
	key := make([]byte, 0, 12*len(out))
	for _, o := range out {
		key = binary.LittleEndian.AppendUint32(key, o.word)
		key = binary.LittleEndian.AppendUint64(key, o.bits)
	}
	if i, ok := known[string(key)]; ok {
		return i
	}
	i := uint32(len(s.outs))
	s.outs = append(s.outs, slices.Clip(out))
	known[string(key)] = i
	return i
}
