package match

import (
	"slices"
	"sort"
	"strings"
	"sync"
)

// Phrases finds the first of many strings in a value, without regard to the
// case of ASCII letters. It is immutable and safe for concurrent use.
type Phrases struct {
	automaton
	list []string
	out  []uint32 // per state: 1 + the longest phrase that ends here, 0 for none

	once   sync.Once
	sorted []word // the phrases in alphabetical order, guarded by once; made for the first match that is told
	most   int    // length of the longest
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

// Path is what mod_security2 tells of a match that ends at end of s: not the
// phrase, but the longest beginning of any phrase that has been read there, as
// the first phrase that begins so is written. For the phrases "word" and "two
// words" it is "two word" in "two words", and "word" elsewhere.
func (p *Phrases) Path(s string, end int) string {
	p.once.Do(func() {
		for i, text := range p.list {
			p.sorted = append(p.sorted, word{foldText(text), i})
			p.most = max(p.most, len(text))
		}
		slices.SortFunc(p.sorted, func(a, b word) int { return strings.Compare(a.text, b.text) })
	})
	read := foldText(s[max(0, end-p.most):end])
	for ; read != ""; read = read[1:] {
		i := sort.Search(len(p.sorted), func(i int) bool { return p.sorted[i].text >= read })
		first := len(p.list)
		for ; i < len(p.sorted) && strings.HasPrefix(p.sorted[i].text, read); i++ {
			first = min(first, p.sorted[i].bit)
		}
		if first < len(p.list) {
			return p.list[first][:len(read)]
		}
	}
	return ""
}
