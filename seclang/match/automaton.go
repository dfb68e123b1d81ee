package match

import (
	"cmp"
	"slices"
	"strings"
)

// automaton is an Aho-Corasick automaton over lower-case bytes. States near the
// root, where most text stays, have a full row of successors; the many deep
// ones only list their own children and otherwise go where their failure state
// goes, which keeps a set of a hundred thousand strings in a few megabytes:
//
//	state < dense:   next = rows[state<<shift + class]
//	state >= dense:  the child in edges[first[state-dense]:first[state-dense+1]], else as fail[state-dense]
type automaton struct {
	class [256]uint8 // 0 for bytes that occur in no string
	shift uint8
	dense uint32
	rows  []uint32
	first []uint32
	edges []edge
	fail  []uint32
}

// edge leads from a deep state to a child.
type edge struct {
	class uint8
	to    uint32
}

// word is one string, in lower case, and what it stands for.
type word struct {
	text string
	bit  int
}

// denseDepth is up to which depth states have full rows: with three letters
// of context nearly all steps of ordinary text need no search.
const denseDepth = 2

// trieNode is a node of the trie while a Set is built. Children are a list.
type trieNode struct {
	child, sibling uint32 // 0 for none
	class          uint8
	depth          uint16
	fail           uint32
	bits           []int // of the literals that end here
}

// build makes the automaton. It says how many states there are, then calls out for
// each state, failure states first, with the bits of the strings that end there.
func (a *automaton) build(words []word, states func(int), out func(state, fail uint32, bits []int)) {
	a.shift = uint8(len64(a.classify(words)))
	nodes := a.trie(words)
	states(len(nodes))
	a.fill(nodes, breadthFirst(nodes), out)
}

// deep is the state after st, a state without a row, on class c.
func (a *automaton) deep(st, c uint32) uint32 {
	for st >= a.dense {
		i := st - a.dense
		for _, e := range a.edges[a.first[i]:a.first[i+1]] {
			if uint32(e.class) == c {
				return e.to
			}
		}
		st = a.fail[i]
	}
	return a.rows[st<<a.shift+c]
}

func (a *automaton) bytes() int {
	return 4*(len(a.rows)+len(a.first)+len(a.fail)) + 8*len(a.edges)
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
func (a *automaton) classify(words []word) int {
	var used [256]bool
	for _, w := range words {
		for i := 0; i < len(w.text); i++ {
			used[lower(w.text[i])] = true
		}
	}
	n := 1
	for c := range used {
		if used[c] {
			a.class[c] = uint8(n)
			n++
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c+32]
	}
	return n
}

// trie makes the tree of the words. They are sorted, so each shares its
// beginning with the one before it and nothing needs to be searched.
func (a *automaton) trie(words []word) []trieNode {
	slices.SortFunc(words, func(x, y word) int { return cmp.Or(strings.Compare(x.text, y.text), x.bit-y.bit) })
	nodes := make([]trieNode, 1, 1024)
	path := []uint32{0} // the nodes of the word before
	before := ""
	for _, w := range words {
		n := 0
		for n < len(before) && n < len(w.text) && before[n] == w.text[n] {
			n++
		}
		path = path[:n+1]
		for i := n; i < len(w.text); i++ {
			at, to := path[i], uint32(len(nodes))
			nodes = append(nodes, trieNode{sibling: nodes[at].child, class: a.class[w.text[i]], depth: uint16(min(i+1, 1<<16-1))})
			nodes[at].child = to
			path = append(path, to)
		}
		end := path[len(w.text)]
		nodes[end].bits = append(nodes[end].bits, w.bit)
		before = w.text
	}
	return nodes
}

// breadthFirst is the nodes breadth first, which is also the numbering of the states.
// It computes the failure links on the way.
func breadthFirst(nodes []trieNode) []uint32 {
	top := topRows(nodes)
	order := make([]uint32, 1, len(nodes))
	for i := 0; i < len(order); i++ {
		at := order[i]
		for c := nodes[at].child; c != 0; c = nodes[c].sibling {
			order = append(order, c)
			if at != 0 {
				nodes[c].fail = failOf(nodes, top, at, nodes[c].class)
			}
		}
	}
	return order
}

// topRow is where topRows keeps the row of a node of depth 0 or 1.
func topRow(n *trieNode) int {
	if n.depth == 0 {
		return 0
	}
	return 1 + int(n.class)
}

// topRows are full rows of children for the root and its children, which have
// many and where most searches for a failure state end.
func topRows(nodes []trieNode) *[257][256]uint32 {
	rows := new([257][256]uint32)
	add := func(n *trieNode) {
		for c := n.child; c != 0; c = nodes[c].sibling {
			rows[topRow(n)][nodes[c].class] = c
		}
	}
	add(&nodes[0])
	for c := nodes[0].child; c != 0; c = nodes[c].sibling {
		add(&nodes[c])
	}
	return rows
}

// failOf is the longest proper suffix of the child of at by class c that is in the trie.
func failOf(nodes []trieNode, top *[257][256]uint32, at uint32, c uint8) uint32 {
	for f := nodes[at].fail; ; f = nodes[f].fail {
		n := &nodes[f]
		if n.depth <= 1 {
			if to := top[topRow(n)][c]; to != 0 || f == 0 {
				return to
			}
			continue
		}
		for to := n.child; to != 0; to = nodes[to].sibling {
			if nodes[to].class == c {
				return to
			}
		}
	}
}

// fill writes the tables of the automaton.
func (a *automaton) fill(nodes []trieNode, order []uint32, out func(state, fail uint32, bits []int)) {
	state := make([]uint32, len(nodes)) // node -> state
	for i, n := range order {
		state[n] = uint32(i)
		if nodes[n].depth <= denseDepth {
			a.dense = uint32(i) + 1
		}
	}
	a.rows = make([]uint32, int(a.dense)<<a.shift)
	a.first = append(a.first, 0)
	for i, n := range order {
		fail := state[nodes[n].fail]
		if i < int(a.dense) {
			row := a.rows[i<<a.shift : (i+1)<<a.shift]
			if i > 0 {
				// The failure state is shallower, so its row is complete.
				copy(row, a.rows[fail<<a.shift:(fail+1)<<a.shift])
			}
			for c := nodes[n].child; c != 0; c = nodes[c].sibling {
				row[nodes[c].class] = state[c]
			}
		} else {
			for c := nodes[n].child; c != 0; c = nodes[c].sibling {
				a.edges = append(a.edges, edge{nodes[c].class, state[c]})
			}
			a.first = append(a.first, uint32(len(a.edges)))
			a.fail = append(a.fail, fail)
		}
		out(uint32(i), fail, nodes[n].bits)
	}
	a.edges = slices.Clip(a.edges)
}
