package match

// guard is a lookahead where the value begins, as in ^(?!.*\.php)...: a pattern
// of its own, tied to the begin, that must match or must not. So the usual form
// of such patterns needs no backtracking.
type guard struct {
	re       *Regexp
	negative bool
}

// splitGuards takes the lookaheads off the begin of ^(?=...)(?!...)rest. One
// with groups stays, because what it captures must be found.
func splitGuards(n *node) (rest *node, looks []*node) {
	if n.op != opConcat || n.sub[0].op != opBegin {
		return n, nil
	}
	i := 1
	for i < len(n.sub) && n.sub[i].op == opLook && !n.sub[i].behind && !captures(n.sub[i]) {
		looks = append(looks, n.sub[i])
		i++
	}
	if looks == nil {
		return n, nil
	}
	rest = &node{op: opConcat, sub: append([]*node{n.sub[0]}, n.sub[i:]...)}
	return rest, looks
}

// guarded reports whether all guards let s through.
func (m Matcher) guarded(s string) (bool, error) {
	for _, g := range m.re.guards {
		matched, err := g.re.Within(m.allowance).MatchString(s)
		if err != nil || matched == g.negative {
			return false, err
		}
	}
	return true, nil
}
