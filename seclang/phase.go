package seclang

import (
	"strconv"
	"time"

	"github.com/trapline/trapline/seclang/operator"
)

// maxMatches bounds the messages of one transaction: a client chooses how many of its arguments match.
const maxMatches = 1000

// runPhase walks the rules of phase p in order.
func (tx *Transaction) runPhase(p int) *Interruption {
	if tx.phaseDone[p] {
		return tx.interruption
	}
	tx.phaseDone[p] = true
	tx.phase = p
	if tx.debugLevel >= 4 {
		tx.debugPhase(p)
	}
	if tx.mode == ModeOff || tx.interruption != nil && p != 5 || tx.allowSkips(p) {
		return tx.interruption
	}
	tx.timed(p, tx.e.phases[p])
	if len(tx.verdicts) > 0 { // a rule has raised the level for itself
		tx.debugVerdicts()
	}
	if tx.allowed == allowPhase {
		tx.allowed = allowNone
	}
	return tx.interruption
}

func (tx *Transaction) allowSkips(p int) bool {
	switch tx.allowed {
	case allowAll:
		return p != 5
	case allowRequest:
		return p < 3
	}
	return false
}

// walk runs rules in order, with skip, skipAfter and allow.
func (tx *Transaction) walk(rules []*rule) {
	skip, perf := 0, tx.e.settings.RulePerfTime > 0
	for i := 0; i < len(rules); i++ {
		r := rules[i]
		if r.kind == ruleMarker {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if tx.ctl.removed.has(r.index) {
			if tx.debugLevel >= 5 {
				tx.debugRemoved(r)
			}
			continue
		}
		if !r.always && !tx.full && !tx.mayMatch(r) {
			continue
		}
		hit := false
		if perf {
			hit = tx.runTimed(r)
		} else {
			hit = tx.runChain(r)
		}
		if tx.failed && tx.ruleFailed() {
			return
		}
		if !hit {
			continue
		}
		if tx.mode == ModeOff || tx.interruption != nil && tx.phase != 5 || tx.allowed == allowAll && tx.phase != 5 ||
			tx.allowed == allowPhase || tx.allowed == allowRequest && tx.phase < 3 {
			return
		}
		if tx.debugLevel >= 4 {
			tx.debugSkip(r)
		}
		skip = r.skip
		if r.jump > 0 {
			i = r.jump - 1
		}
	}
}

// runChain runs a rule with its chain and says whether all of it matched.
func (tx *Transaction) runChain(starter *rule) bool {
	if len(tx.matched.all) > 0 {
		tx.matched.reset()
		tx.changed(vMatchedVars, vMatchedVarsNames)
	}
	for r := starter; r != nil; r = r.next {
		if !tx.runRule(r) {
			return false
		}
		if tx.interruption != nil && tx.phase != 5 {
			return true
		}
	}
	return true
}

func (tx *Transaction) runRule(r *rule) bool {
	if tx.debugLevel >= 4 {
		return tx.debugRule(r)
	}
	return tx.evaluate(r)
}

// evaluate runs one rule over all of its values. Every value that matches fires the rule's actions, as in
// mod_security2; it stops at an interruption.
func (tx *Transaction) evaluate(r *rule) bool {
	outer := tx.rule
	tx.rule = r
	defer func() { tx.rule = outer }()
	switch r.kind {
	case ruleAction:
		if tx.debugLevel >= 4 {
			tx.debugAlways()
		}
		tx.fire(r, ref{v: vRemoteAddr, val: tx.client()}, "Unconditional match in SecAction.")
		return true
	case ruleScript:
		return tx.runScript(r)
	}
	hit, stale := false, false
	arg := ""
	if r.argOf != nil {
		arg = r.argOf.expand(tx)
	}
	for i := range r.targets {
		t := &r.targets[i]
		if stale {
			arg, stale = r.argOf.expand(tx), false
		}
		if t.count && len(tx.ctl.targets) > 0 && tx.ctl.excludesCount(r, t.v) {
			continue
		} else if t.count {
			n := len(tx.values(t.src)) // exclusions do not change a count
			x := ref{v: t.v, val: formatInt(int64(n)), counted: t.sel.key, count: true}
			if tx.tryChain(r, &x, arg) { // a count is transformed as well
				hit, stale = true, r.argOf != nil
			}
		} else {
			for _, x := range tx.values(t.src) {
				if stale { // what a match has set is in force for the value after it
					arg, stale = r.argOf.expand(tx), false
				}
				if tx.excluded(r, &x) || !tx.tryChain(r, &x, arg) {
					continue
				}
				if hit, stale = true, r.argOf != nil; tx.stopped() {
					return true
				}
			}
		}
		if tx.stopped() {
			return true
		}
	}
	return hit
}

func (tx *Transaction) stopped() bool { return tx.interruption != nil && tx.phase != 5 }

// tryChain applies the rule's transformations to x and the operator to what comes out.
func (tx *Transaction) tryChain(r *rule, x *ref, arg string) bool {
	if r.multi && len(r.chain.ids) > 0 {
		return tx.tryEach(r, x, arg)
	}
	if r.bit < 0 && r.needs == 0 && len(r.chain.ids) == 0 {
		return tx.try(r, x, x.val, arg)
	}
	c := tx.resolve(tx.cellOf(x), &r.chain)
	if tx.debugLevel >= 9 {
		tx.debugTransforms(r, tx.cellOf(x), 0, len(r.chain.ids))
	}
	return tx.canMatch(r, c) && tx.try(r, x, c.s, arg)
}

// tryEach is multiMatch: the operator runs on the value and after every transformation that says it changed it.
func (tx *Transaction) tryEach(r *rule, x *ref, arg string) bool {
	c := tx.cellOf(x)
	var missed *cell // what the operator has not matched, and so would not again
	hit := false
	if tx.canMatch(r, c) {
		if hit = tx.try(r, x, c.s, arg); !hit && !r.once && !tx.full {
			missed = c
		}
	}
	for i, t := range r.chain.ids {
		if tx.stopped() {
			return hit
		}
		if tx.debugLevel >= 9 {
			tx.debugTransforms(r, c, i, i+1)
		}
		before := c
		c = tx.transformed(c, t)
		said := c != before
		if says := tx.e.transforms[t].says; says != nil {
			said = says(before.s, c.s)
		}
		switch {
		case !said || c == missed || !tx.canMatch(r, c):
		case tx.try(r, x, c.s, arg):
			hit = true
		case !r.once && !tx.full:
			missed = c
		}
	}
	return hit
}

// canMatch says whether c has the bytes and the literals that r's operator needs. A traced transaction looks anyway.
func (tx *Transaction) canMatch(r *rule, c *cell) bool {
	if tx.full {
		return true
	}
	if r.needs != 0 {
		if !c.started {
			tx.e.seed(c)
		}
		if c.has&r.needs == 0 {
			return false
		}
	}
	return r.bit < 0 || tx.candidates(c)[r.bit>>6]>>(r.bit&63)&1 == 1
}

// try runs the operator on one value and fires the rule when it matches.
func (tx *Transaction) try(r *rule, x *ref, value, arg string) bool {
	res := &tx.result
	res.Reset()
	res.Capture = r.capture
	if res.Explain = r.once; r.once {
		res.Target = x.name()
	}
	var began time.Time
	if tx.full && tx.debugLevel >= 4 {
		began = tx.e.now()
		tx.debugTry(r, x, value, began)
	}
	ok := r.operator(arg).Match(value, arg, res)
	if res.Err != nil {
		tx.operatorError(res.Err)
	}
	if res.Replaced {
		tx.replaceStream(x, res.Output)
	}
	if res.Geo != nil {
		tx.geo = append([]operator.Field(nil), res.Geo...)
		tx.ver[vGeo]++
	}
	if tx.full {
		tx.traceTry(r, x, value, ok != r.neg)
		tx.debugTried(r, ok, began)
	}
	if ok && r.capture {
		tx.setCaptures(res.Captures) // also when the operator is negated, and so the rule does not match
	}
	if ok == r.neg {
		return false
	}
	text := res.Text
	if (r.next == nil && r.starter.noted || tx.full) && (!r.once || r.neg) {
		text = tx.explain(r, x, value, arg)
	}
	x.seen, x.tried = value, true
	tx.fire(r, *x, text)
	return true
}

// operator is the one to ask, given the argument with its macros expanded.
func (r *rule) operator(arg string) operator.Operator {
	if arg == "" && r.opEmpty != nil {
		return r.opEmpty
	}
	return r.op
}

// explain makes the sentence of a match: the operator runs once more, which is rare, so that it costs nothing when
// nothing matches.
func (tx *Transaction) explain(r *rule, x *ref, value, arg string) string {
	if r.neg {
		return operator.Required(r.opName, r.opArg, x.spec())
	}
	res := &tx.result
	res.Reset()
	res.Capture, res.Explain, res.Target = false, true, x.name()
	r.operator(arg).Match(value, arg, res)
	return res.Text
}

// fire does what a match of r on x asks for.
func (tx *Transaction) fire(r *rule, x ref, text string) {
	if tx.tracer != nil {
		before := tx.setNow()
		defer func() { tx.traceFire(r, x, text, before) }()
	}
	tx.matched.add(tx, x)
	starter := r.starter
	if len(tx.fired) < maxMatches && (len(tx.fired) == 0 || tx.fired[len(tx.fired)-1] != r) {
		tx.fired = append(tx.fired, r)
	}
	if starter.severity >= 0 && starter.severity < tx.severity && r.next == nil {
		tx.severity = starter.severity
	}
	for _, s := range r.steps {
		if tx.debugLevel >= 4 {
			tx.debugStep(s, r)
			continue
		}
		s.run(tx, r)
	}
	if r.next == nil {
		tx.decide(r, x, text)
	}
}

// decide takes the disruptive action of the chain that has matched, and notes the match.
func (tx *Transaction) decide(r *rule, x ref, text string) {
	s := r.starter
	acted := false
	if s.disruptive > actPass && tx.mode == ModeOn && (tx.interruption == nil || tx.phase != 5) {
		acted = tx.interrupt(s)
	}
	if s.auditlog {
		tx.relevant = true
	}
	if keep := s.noted && len(tx.matches) < maxMatches; keep || tx.debugLevel >= 4 {
		tx.note(r, x, text, acted, keep)
	}
}

// interrupt takes the action of s; it reports whether the transaction is interrupted by it.
func (tx *Transaction) interrupt(s *rule) bool {
	if s.disruptive == actAllow {
		switch {
		case tx.phase == 5: // there is nothing left to allow
		case s.allow == "phase", s.allow == "request" && tx.phase > 2: // of the request nothing is left, but the phase ends
			tx.allowed = allowPhase
		case s.allow == "request":
			tx.allowed = allowRequest
		default:
			tx.allowed = allowAll
		}
		return false
	}
	if tx.phase == 5 {
		return false // the answer is out
	}
	it := &Interruption{Action: s.disruptive.String(), Phase: tx.phase, RuleID: s.id, Pause: s.pause}
	if s.pauseOf != nil {
		ms, _ := strconv.Atoi(s.pauseOf.expand(tx))
		it.Pause = pauseOf(ms)
	}
	switch s.disruptive {
	case actDeny, actDrop:
		it.Status = 403
		if s.status != 0 {
			it.Status = s.status
		}
	case actRedirect:
		it.Status = redirectStatus(s.status)
		it.URL = s.location.expand(tx)
	case actProxy:
		it.URL = s.location.expand(tx)
	}
	tx.interruption = it
	return true
}
