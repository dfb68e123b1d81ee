package match

import (
	"strconv"
	"strings"
)

// numberedRef reads \1 to \9, and \10 and above when there are so many groups.
func (p *parser) numberedRef() *node {
	i := p.pos
	for i < len(p.src) && i < p.pos+3 && p.src[i] >= '0' && p.src[i] <= '9' {
		i++
	}
	v, _ := strconv.Atoi(p.src[p.pos:i])
	if v > 9 && v > p.total {
		return nil // an octal number
	}
	p.pos = i
	n := &node{op: opBackref, n: v, fold: p.flags.fold}
	p.remember(n)
	return n
}

// namedRef reads \g{1} \g1 \g{-1} \g{name} \k<name> \k'name' \k{name}, and the
// calls \g<1> \g'name'.
func (p *parser) namedRef() (*node, error) {
	call := p.peek() == 'g'
	p.pos++
	rest := p.src[p.pos:]
	var what string
	closing := map[byte]byte{'{': '}', '<': '>', '\'': '\''}
	if end, ok := closing[p.peek()]; ok {
		call = call && end != '}'
		i := strings.IndexByte(rest[1:], end)
		if i < 0 {
			return nil, p.fail("missing %q after the name of a group", end)
		}
		what = rest[1 : i+1]
		p.pos += i + 2
	} else {
		i := 0
		for i < len(rest) && (rest[i] >= '0' && rest[i] <= '9' || i == 0 && rest[i] == '-') {
			i++
		}
		what = rest[:i]
		p.pos += i
		call = false
	}
	least := 1
	n := &node{op: opBackref, fold: p.flags.fold}
	if call {
		n.op, least = opRecurse, 0
	}
	var err error
	if n.n, err = p.groupNumber(what); err != nil {
		return nil, err
	}
	if n.n < least && !p.scouting {
		return nil, p.fail("reference to group %s, which does not exist", what)
	}
	return p.refer(n, what), nil
}

// groupNumber reads 1, -1, +1 or a name.
func (p *parser) groupNumber(what string) (int, error) {
	v, err := strconv.Atoi(what)
	switch {
	case err != nil:
		return p.groupOf(what)
	case what[0] == '+':
		v += p.groups
	case v < 0:
		v += p.groups + 1
	}
	if (v < 0 || v > maxGroup) && !p.scouting {
		return 0, p.fail("reference to group %s, which does not exist", what)
	}
	return v, nil
}

// maxGroup is the highest number of a group that can be named.
const maxGroup = 1000
