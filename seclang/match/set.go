package match

import (
	"math/bits"
	"slices"
)

// Set scans a value once for the literals of many patterns and tells which of
// them can match. It is immutable and safe for concurrent use.
type Set struct {
	automaton
	words  int
	always [2][]uint64 // patterns without condition A, and without B
	out    []uint32    // per state: index into outs, 0 for none
	outs   [][]outBits
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
	words  []word // bit: 2*pattern + 0 for A, 1 for B
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
			b.words = append(b.words, word{foldText(text), 2*id + k})
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
	n := s.bytes() + 4*len(s.out)
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
		c := uint32(s.class[v[i]])
		if st < s.dense {
			st = s.rows[st<<s.shift+c]
		} else {
			st = s.deep(st, c)
		}
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

// Each calls f for every bit that is set in the mask.
func Each(mask []uint64, f func(id int)) {
	for w, x := range mask {
		for ; x != 0; x &= x - 1 {
			f(w<<6 + bits.TrailingZeros64(x))
		}
	}
}
