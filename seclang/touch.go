package seclang

import (
	"github.com/trapline/trapline/collection"
)

// connectionOnly says whether v is known as soon as a connection is.
func connectionOnly(v varID) bool {
	return v == vServerPort || v == vServerAddr || v == vRemoteAddr || v == vRemotePort
}

// isConnectionRule says whether the whole chain of r looks at the connection only.
func isConnectionRule(r *rule) bool {
	for m := r; m != nil; m = m.next {
		if m.kind != ruleNormal || len(m.targets) == 0 {
			return false
		}
		for _, t := range m.targets {
			if !connectionOnly(t.v) || t.count {
				return false
			}
		}
	}
	return true
}

// opensCollection says whether the chain has an initcol.
func opensCollection(r *rule) bool {
	for m := r; m != nil; m = m.next {
		for _, s := range m.steps {
			if _, ok := s.(*initcolStep); ok {
				return true
			}
		}
	}
	return false
}

// writesCollection says whether the chain sets a variable of a persistent collection.
func writesCollection(r *rule) bool {
	for m := r; m != nil; m = m.next {
		for _, s := range m.steps {
			if x, ok := s.(*setvarStep); ok && x.v != vTX {
				return true
			}
		}
	}
	return false
}

// Touch runs the connection rules for a bare connection: chains that look at SERVER_PORT, SERVER_ADDR, REMOTE_ADDR
// and REMOTE_PORT only, whatever their phase. It takes no disruptive action and applies what does not add up when the
// transaction does it again: absolute setvar, unset, expirevar. When it returns, the change is in force for every
// later transaction; the Ticket tells when it is on disk.
func (e *Engine) Touch(c Conn) collection.Ticket {
	if !e.tags || e.settings.RuleEngine == ModeOff || e.collections == nil {
		return collection.Ticket{}
	}
	tx := e.NewTransaction(c)
	defer tx.Close()
	tx.setDebugLevel(0) // the log tells of requests
	tx.watch.on = false
	tx.phase = 1
	for _, o := range e.openers {
		o.run(tx, nil)
	}
	for _, r := range e.touch {
		tx.touch(r)
	}
	return tx.Commit()
}

func (tx *Transaction) touch(starter *rule) {
	var steps []step
	for r := starter; r != nil; r = r.next {
		hit := false
		for i := range r.targets {
			for _, x := range tx.values(r.targets[i].src) {
				c := tx.resolve(tx.cellOf(&x), &r.chain)
				tx.result.Reset()
				tx.result.Capture, tx.result.Explain = false, false
				arg := ""
				if r.argOf != nil {
					arg = r.argOf.expand(tx)
				}
				if !tx.excluded(r, &x) && r.operator(arg).Match(c.s, arg, &tx.result) != r.neg {
					hit = true
					tx.matched.add(tx, x)
				}
			}
		}
		if hit {
			steps = append(steps, r.steps...) // each member acts when it matches, whatever the rest of the chain does
		}
		if !hit {
			break
		}
	}
	for _, s := range steps {
		switch x := s.(type) {
		case *setvarStep:
			if x.v != vTX && (x.op == '=' || x.op == '!') {
				x.run(tx, starter)
			}
		case *expireStep:
			x.run(tx, starter)
		case *initcolStep:
			x.run(tx, starter)
		}
	}
}

// missedConnectionRules runs connection rules of phases that an interruption, or a connection without a request, kept
// from running: on a host without legitimate visitors the match belongs into the record.
func (tx *Transaction) missedConnectionRules() {
	if tx.mode == ModeOff {
		return
	}
	was := tx.phase
	for _, r := range tx.e.touch {
		if r.phase == 5 || tx.interruption == nil && tx.phaseDone[r.phase] || tx.hasFired(r) || tx.ctl.removed.has(r.index) {
			continue
		}
		tx.phase = 5 // no further disruptive action
		tx.runChain(r)
	}
	tx.phase = was
}

func (tx *Transaction) hasFired(r *rule) bool {
	for _, f := range tx.fired {
		if f.starter == r {
			return true
		}
	}
	return false
}
