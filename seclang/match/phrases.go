package match

import "slices"

// Phrases finds the first of many strings in a value, without regard to the
// case of ASCII letters. It is immutable and safe for concurrent use.
type Phrases struct {
	automaton
	list []string
	out  []uint32 // per state: 1 + the longest phrase that ends here, 0 for none
}

// NewPhrases makes a matcher of the phrases; empty ones are ignored.
func NewPhrases(phrases []string) *Phrases {
	p := &Phrases{list: slices.Clone(phrases)}
	var words []word
	for i, text := range phrases {
		if text != "" {
			words = append(words, word{foldText(text), i})
		}
	}
	p.build(words, func(states int) { p.out = make([]uint32, states) }, func(state, fail uint32, bits []int) {
		p.out[state] = p.out[fail]
		if len(bits) > 0 {
			p.out[state] = uint32(bits[0]) + 1
		}
	})
	return p
}

// Find returns the phrase whose end comes first in s, as it was given; of those
// that end at the same place the longest. end is the offset behind it.
func (p *Phrases) Find(s string) (phrase string, end int, ok bool) {
	st := uint32(0)
	for i := 0; i < len(s); i++ {
		c := uint32(p.class[s[i]])
		if st < p.dense {
			st = p.rows[st<<p.shift+c]
		} else {
			st = p.deep(st, c)
		}
		if o := p.out[st]; o != 0 {
			return p.list[o-1], i + 1, true
		}
	}
	return "", 0, false
}
