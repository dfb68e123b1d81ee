package seclang

// matchedVars are MATCHED_VAR and its kin: what the rules of the current chain matched.
type matchedVars struct {
	all  []ref
	last ref // kept beyond the chain
	any  bool
}

// maxMatchedVars bounds MATCHED_VARS, which a client can make as long as its list of arguments.
const maxMatchedVars = 1000

func (m *matchedVars) reset() { m.all = m.all[:0] }

func (m *matchedVars) add(tx *Transaction, x ref) {
	val := x.val
	if x.tried {
		val = x.seen
	}
	m.last, m.any = ref{v: x.v, key: x.key, val: val, count: x.count}, true
	if len(m.all) < maxMatchedVars {
		m.all = append(m.all, ref{v: x.v, key: x.key, val: val, count: x.count})
	}
	tx.ver[vMatchedVars]++
	tx.ver[vMatchedVarsNames]++
}
