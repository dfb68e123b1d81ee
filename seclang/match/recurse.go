package match

// calls reports whether n still calls group g somewhere.
func calls(n *node, g int) bool {
	found := false
	n.walk(func(x *node) { found = found || x.op == opRecurse && x.n == g })
	return found
}

// maxInlined bounds how many nodes the calls of groups may add.
const maxInlined = 20000

// inline replaces calls of groups, (?1) and the like, by copies of the group
// without its captures, so that an automaton can run the pattern. What stays is
// left to the backtracking matcher: a call of a group that it stands in, and of
// one whose captures matter while it runs.
func inline(root *node) {
	groups := map[int]*node{0: root}
	root.walk(func(n *node) {
		if n.op == opCapture && groups[n.n] == nil {
			groups[n.n] = n.sub[0]
		}
	})
	budget := maxInlined
	active := map[int]bool{0: true}
	var resolve func(n *node)
	resolve = func(n *node) {
		switch n.op {
		case opRecurse:
			g := groups[n.n]
			if active[n.n] || g == nil || !copyable(g) {
				return
			}
			c := plainCopy(g, &budget)
			if budget < 0 {
				return
			}
			active[n.n] = true
			resolve(c)
			active[n.n] = false
			*n = *c
			return
		case opCapture:
			was := active[n.n]
			active[n.n] = true
			resolve(n.sub[0])
			active[n.n] = was
			return
		}
		for _, s := range n.sub {
			resolve(s)
		}
	}
	resolve(root)
}

// copyable reports whether a call of n does what a copy without captures does.
func copyable(n *node) bool {
	ok := true
	n.walk(func(x *node) {
		switch x.op {
		case opBackref, opCond, opVerb, opRecurse, opDefine, opKeep:
			ok = false
		}
	})
	return ok
}

// plainCopy copies n without its captures.
func plainCopy(n *node, budget *int) *node {
	*budget--
	if *budget < 0 {
		return &node{op: opEmpty}
	}
	c := *n
	if c.op == opCapture {
		return plainCopy(n.sub[0], budget)
	}
	c.sub = make([]*node, len(n.sub))
	for i, s := range n.sub {
		c.sub[i] = plainCopy(s, budget)
	}
	return &c
}
