package seclang

// Step is one thing that happened while rules ran, for people who ask why.
type Step struct {
	Phase int
	Rule  *RuleView // nil for what is not of a rule
	// Variable and Value are what the operator looked at, after transformations; Matched is its answer.
	Variable, Value string
	Matched         bool
	Text            string // sentence of the match, or a note
	// Member is the place in a chain of Members rules, from 1: the rule as a whole has matched when they are equal.
	Member, Members int
	// Message and Data are msg and logdata with their macros expanded, where the whole rule has matched.
	Message, Data string
	Set           []Change
	Verdict       *Interruption
}

// Change is what an action set, such as TX:score to "5".
type Change struct{ Name, Value string }

// Trace calls fn for every value that an operator looked at, and for every match. It is meant for explain and tests:
// a traced transaction is slower. Call it before the first phase.
func (tx *Transaction) Trace(fn func(Step)) {
	tx.tracer = fn
	tx.setDebugLevel(tx.debugLevel)
}

func (tx *Transaction) traceNote(text string) {
	if tx.tracer != nil {
		tx.tracer(Step{Phase: tx.phase, Text: text})
	}
}

func (tx *Transaction) traceTry(r *rule, x *ref, value string, matched bool) {
	if tx.tracer == nil {
		return
	}
	v, name := r.starter.view(), x.full()
	if x.counted != "" {
		name += ":" + x.counted
	}
	tx.tracer(Step{Phase: tx.phase, Rule: &v, Variable: name, Value: value, Matched: matched})
}

func (tx *Transaction) traceFire(r *rule, x ref, text string, before []Change) {
	v := r.starter.view()
	s := Step{Phase: tx.phase, Rule: &v, Variable: x.full(), Value: x.val, Matched: true, Text: text, Verdict: tx.interruption}
	if text == "" {
		s.Text = "matched"
	}
	s.Member, s.Members = r.place()
	if r.next == nil {
		s.Message, s.Data = r.message(tx), r.data(tx)
	}
	had := map[Change]bool{}
	for _, c := range before {
		had[c] = true
	}
	for _, c := range tx.setNow() {
		if !had[c] {
			s.Set = append(s.Set, c)
		}
	}
	tx.tracer(s)
}

// place says which member of how many r is in its chain.
func (r *rule) place() (member, members int) {
	for m := r.starter; m != nil; m = m.next {
		members++
		if m == r {
			member = members
		}
	}
	return member, members
}

// setNow is every variable that rules have set, for traced transactions only.
func (tx *Transaction) setNow() []Change {
	var out []Change
	for _, slot := range tx.tx.order {
		out = append(out, Change{"TX:" + tx.tx.slots[slot].name, tx.tx.slots[slot].value})
	}
	for _, p := range tx.persist {
		for _, o := range p.over {
			if !o.unset {
				out = append(out, Change{p.v.String() + ":" + o.name, o.value})
			}
		}
	}
	for _, f := range tx.env {
		out = append(out, Change{"ENV:" + f.Name, f.Value})
	}
	return out
}
