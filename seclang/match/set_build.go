package match

import (
	"encoding/binary"
	"slices"
)

// Build makes the set. The builder must not be used afterwards.
func (b *Builder) Build() *Set {
	s := &Set{words: (b.n + 63) / 64}
	for k := range s.always {
		s.always[k] = make([]uint64, s.words)
		for _, id := range b.always[k] {
			s.always[k][id>>6] |= 1 << (id & 63)
		}
	}
	known := map[string]uint32{}
	s.outs = [][]outBits{nil}
	s.build(b.words, func(states int) { s.out = make([]uint32, states) }, func(state, fail uint32, bits []int) {
		s.out[state] = s.addOut(known, bits, s.out[fail])
	})
	return s
}

// addOut joins the literals that end in a state with those of its failure state.
func (s *Set) addOut(known map[string]uint32, own []int, inherited uint32) uint32 {
	if len(own) == 0 {
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
