package match

// maxInlined bounds how many nodes the calls of groups may add.
const maxInlined = 20000

// inline replaces calls of groups, (?1) and the like, by copies of the group
// without its captures. A call of a group that it stands in is a true
// recursion, which no matcher here knows; ok is then false.
func inline(root *node) bool {
	groups := map[int]*node{0: root}
	root.walk(func(n *node) {
		if n.op == opCapture {
			if groups[n.n] == nil {
				groups[n.n] = n.sub[0]
			}
		}
	})
	budget := maxInlined
	active := map[int]bool{0: true}
	var resolve func(n *node) bool
	resolve = func(n *node) bool {
		switch n.op {
		case opRecurse:
			g := groups[n.n]
			if active[n.n] || g == nil {
				return false
			}
			active[n.n] = true
			c := plainCopy(g, &budget)
			ok := budget >= 0 && resolve(c)
			active[n.n] = false
			*n = *c
			return ok
		case opCapture:
			was := active[n.n]
			active[n.n] = true
			ok := resolve(n.sub[0])
			active[n.n] = was
			return ok
		}
		for _, s := range n.sub {
			if !resolve(s) {
				return false
			}
		}
		return true
	}
	return resolve(root)
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
