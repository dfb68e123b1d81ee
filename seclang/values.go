package seclang

import "github.com/trapline/trapline/seclang/operator"

// ref is one value of a variable, as a rule sees it.
type ref struct {
	v       varID
	key     string // "" for scalars
	val     string
	seen    string // what the operator matched, after transformations
	tried   bool   // seen holds
	counted string // selector of &VAR:selector
	count   bool   // of &VAR
	c       *cell
}

// name is the variable as messages and MATCHED_VAR_NAME print it: what the client chose of it is escaped.
func (x *ref) name() string {
	switch {
	case x.count, x.key == "" && varKinds[x.v] != kindMap, x.v == vXML, x.v == vEnv: // of these mod_security2 does not show the name
		return x.v.String()
	case x.v == vMatchedVars:
		return operator.EscapeName(x.key) // is a name already
	}
	return x.v.String() + ":" + operator.EscapeName(x.key)
}

// full is the variable with the name it has in rules, as traces show it.
func (x *ref) full() string {
	if x.key == "" && (x.count || varKinds[x.v] != kindMap) {
		return x.v.String()
	}
	return x.v.String() + ":" + x.key
}

// spec is the variable as messages of negated operators print it: of &VAR:selector all of it, the name escaped once more.
func (x *ref) spec() string {
	switch {
	case !x.count:
		return x.name()
	case x.counted == "":
		return "&" + x.v.String()
	}
	return "&" + x.v.String() + ":" + x.counted
}

type sourceCache struct {
	ver  uint32
	refs []ref
}

type groupCache struct {
	ver  uint32
	mask []uint64
}

// cellOf returns the cell of x's value before transformations.
func (tx *Transaction) cellOf(x *ref) *cell {
	if x.c == nil {
		x.c = tx.cells.intern(x.val)
	}
	return x.c
}

// values returns what a source holds now. The slice stays as it is when rules change the variable meanwhile.
func (tx *Transaction) values(src int) []ref {
	s := &tx.e.sources[src]
	cache := &tx.sources[src]
	if s.slot >= 0 {
		return tx.txValue(s, cache)
	}
	switch varKinds[s.v] {
	case kindScalar:
		if cache.ver == 0 {
			cache.ver = 1
			cache.refs = tx.scalarRefs(s.v)
		}
		return cache.refs
	case kindMoving:
		val, ok := tx.scalar(s.v)
		if !ok {
			cache.refs, cache.ver = nil, cache.ver+1
			return nil
		}
		if len(cache.refs) == 1 && cache.refs[0].val == val {
			return cache.refs
		}
		cache.refs = tx.one(ref{v: s.v, val: val})
		cache.ver++
		return cache.refs
	}
	if cache.ver != tx.ver[s.v] || s.v == vRule { // RULE is the rule that asks
		cache.refs = tx.collect(s)
		cache.ver = tx.ver[s.v]
	}
	return cache.refs
}

// one returns a slice of just x, out of the transaction's arena.
func (tx *Transaction) one(x ref) []ref {
	n := len(tx.refs)
	tx.refs = append(tx.refs, x)
	return tx.refs[n : n+1 : n+1]
}

func (tx *Transaction) scalarRefs(v varID) []ref {
	val, ok := tx.scalar(v)
	if !ok {
		return nil
	}
	return tx.one(ref{v: v, val: val})
}

func (tx *Transaction) txValue(s *source, cache *sourceCache) []ref {
	x := &tx.tx.slots[s.slot]
	if !x.set {
		return nil
	}
	if len(cache.refs) == 1 && cache.refs[0].val == x.value {
		return cache.refs
	}
	cache.refs = tx.one(ref{v: vTX, key: x.name, val: x.value})
	cache.ver++
	return cache.refs
}

// collect gathers the values of a keyed variable that the selector picks, in order of arrival.
func (tx *Transaction) collect(s *source) []ref {
	n := len(tx.refs)
	tx.each(s, func(key, val string) {
		if s.v == vXML || s.sel.match(key) {
			tx.refs = append(tx.refs, ref{v: s.v, key: key, val: val})
		}
	})
	return tx.refs[n:len(tx.refs):len(tx.refs)]
}

// lookup returns the first value of that name, for macros and Lua.
func (tx *Transaction) lookup(v varID, sel selector) (string, bool) {
	out, found := "", false
	s := source{v: v, sel: sel, slot: -1}
	tx.each(&s, func(k, val string) {
		if !found && sel.match(k) {
			out, found = val, true
		}
	})
	return out, found
}

// excluded says whether r does not look at x: !VAR in the rule, or a ctl action of this transaction.
func (tx *Transaction) excluded(r *rule, x *ref) bool {
	for i := range r.except {
		t := &r.except[i]
		if t.v == x.v && t.sel.match(x.key) {
			return true
		}
	}
	return len(tx.ctl.targets) > 0 && tx.ctl.excludes(r, x)
}

// mayMatch says whether any value of r's targets holds the literals that r's operator needs. It never says no
// to a rule that would match: exclusions only take values away.
func (tx *Transaction) mayMatch(r *rule) bool {
	for i := range r.targets {
		t := &r.targets[i]
		refs := tx.values(t.src)
		if len(refs) == 0 {
			continue
		}
		g := &tx.groups[t.group]
		if ver := tx.sources[t.src].ver; g.ver != ver || g.mask == nil {
			g.ver = ver
			g.mask = tx.union(refs, r)
		}
		if g.mask[r.bit>>6]>>(r.bit&63)&1 == 1 {
			return true
		}
	}
	return false
}

// union is the candidates of all values together.
func (tx *Transaction) union(refs []ref, r *rule) []uint64 {
	if len(refs) == 1 && !r.multi {
		return tx.candidates(tx.resolve(tx.cellOf(&refs[0]), &r.chain))
	}
	m := tx.cells.words(tx.e.scan.Words())
	for i := range refs {
		c := tx.cellOf(&refs[i])
		if !r.multi {
			orInto(m, tx.candidates(tx.resolve(c, &r.chain)))
			continue
		}
		orInto(m, tx.candidates(c))
		for _, t := range r.chain.ids {
			if next := tx.transformed(c, t); next != c {
				c = next
				orInto(m, tx.candidates(c))
			}
		}
	}
	return m
}

func orInto(m, o []uint64) {
	for i, w := range o {
		m[i] |= w
	}
}
