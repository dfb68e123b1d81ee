package match

import (
	"math/bits"
	"slices"
)

// Set scans a value once for the literals of many patterns and tells which of
// them can match. It is immutable and safe for concurrent use.
//
// It is an Aho-Corasick automaton over lower-case bytes. States near the root,
// where most text stays, have a full row of successors; the many deep ones
// only list their own children and otherwise go where their failure state goes:
//
//	state < dense:   next = rows[state<<shift + class]
//	state >= dense:  the child in edges[first[state-dense] : ...], else fail[state-dense]
type Set struct {
	words  int
	always [2][]uint64 // patterns without condition A, and without B
	class  [256]uint8  // 0 for bytes that occur in no literal
	shift  uint8
	dense  uint32
	rows   []uint32
	first  []uint32 // into edges, one more than there are sparse states
	edges  []edge
	fail   []uint32
	out    []uint32 // per state: index into outs, 0 for none
	outs   [][]outBits
}

// edge leads from a sparse state to a child.
type edge struct {
	class uint8
	to    uint32
}

// outBits are the patterns of one mask word whose literal ends here.
type outBits struct {
	word uint32
	bits uint64
}

// Builder collects the literals of patterns for a Set.
type Builder struct {
	n      int
	always [2][]int
	words  []literal
}

type literal struct {
	text string
	bit  int // 2*pattern + 0 for A, 1 for B
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{} }

// Add registers a pattern and returns its bit in the masks of Scan.
func (b *Builder) Add(l Literals) int {
	id := b.n
	b.n++
	for k, set := range [2][]string{l.A, l.B} {
		if len(set) == 0 || slices.Contains(set, "") {
			b.always[k] = append(b.always[k], id)
			continue
		}
		for _, text := range set {
			b.words = append(b.words, literal{foldText(text), 2*id + k})
		}
	}
	return id
}

// foldText is s with the letters of ASCII in lower case and every other byte as it is.
func foldText(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

// Words is the length of a mask in 64-bit words.
func (s *Set) Words() int { return s.words }

// Bytes is the memory that the set takes.
func (s *Set) Bytes() int {
	n := 4*(len(s.rows)+len(s.first)+len(s.fail)+len(s.out)) + 8*len(s.edges)
	for _, o := range s.outs {
		n += 24 + 16*len(o)
	}
	return n
}

// Scan finds which patterns can match in v: afterwards bit id of the first
// Words() words of m is set for each of them. m has 2*Words() words; the
// second half is scratch.
func (s *Set) Scan(v string, m []uint64) {
	w := s.words
	copy(m[:w], s.always[0])
	copy(m[w:2*w], s.always[1])
	st := uint32(0)
	for i := 0; i < len(v); i++ {
		c := s.class[v[i]]
		for st >= s.dense {
			if to := s.child(st-s.dense, c); to != 0 {
				st = to
				goto next
			}
			st = s.fail[st-s.dense]
		}
		st = s.rows[st<<s.shift+uint32(c)]
	next:
		if o := s.out[st]; o != 0 {
			for _, x := range s.outs[o] {
				m[x.word] |= x.bits
			}
		}
	}
	for i := range w {
		m[i] &= m[w+i]
	}
}

// child is the state behind the edge of class c, 0 when there is none.
func (s *Set) child(sparse uint32, c uint8) uint32 {
	for _, e := range s.edges[s.first[sparse]:s.first[sparse+1]] {
		if e.class == c {
			return e.to
		}
	}
	return 0
}

// Each calls f for every bit that is set in the mask.
func Each(mask []uint64, f func(id int)) {
	for w, x := range mask {
		for ; x != 0; x &= x - 1 {
			f(w<<6 + bits.TrailingZeros64(x))
		}
	}
}
