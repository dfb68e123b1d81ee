package seclang

import (
	"strconv"
	"strings"
	"time"
)

// watch is where the time of one transaction went: PERF_* and the Stopwatch2 line of the record.
type watch struct {
	on            bool // somebody reads it: a rule, or a record that may be written
	phases        [6]time.Duration
	sread, swrite time.Duration // loading and changing persistent collections; the first is part of the phases, too
	rules         []ruleTime    // chains that took SecRulePerfTime and longer
}

type ruleTime struct {
	id   int
	text string // microseconds so far
	sum  time.Duration
}

// maxSlowRules bounds how many rules of one transaction are listed.
const maxSlowRules = 1000

// startWatch decides whether the clock is read at all: a request that nobody asks about must not pay for it.
func (tx *Transaction) startWatch() {
	tx.watch.on = tx.e.readsPerf || tx.auditMode != ModeOff || tx.e.honeytrap || tx.e.settings.RulePerfTime > 0
}

// timed walks rules with the clock of a phase running.
func (tx *Transaction) timed(p int, rules []*rule) {
	if !tx.watch.on || len(rules) == 0 {
		tx.walk(rules)
		return
	}
	began := tx.e.now()
	tx.walk(rules)
	tx.watch.phases[p] += tx.e.now().Sub(began)
}

// runTimed is runChain for SecRulePerfTime: it notes chains that take so long.
func (tx *Transaction) runTimed(r *rule) bool {
	began := tx.e.now()
	hit := tx.runChain(r)
	took := tx.e.now().Sub(began)
	if took.Microseconds() < tx.e.settings.RulePerfTime {
		return hit
	}
	tx.ver[vPerfRules]++
	w := &tx.watch
	for i := range w.rules {
		if w.rules[i].id == r.id {
			w.rules[i].sum += took
			w.rules[i].text = strconv.FormatInt(usec(w.rules[i].sum), 10)
			return hit
		}
	}
	if len(w.rules) < maxSlowRules {
		w.rules = append(w.rules, ruleTime{r.id, strconv.FormatInt(usec(took), 10), took})
	}
	return hit
}

// combined is the time of all phases and of writing collections; reading them is part of the phases.
func (w *watch) combined() time.Duration {
	sum := w.swrite
	for _, d := range w.phases {
		sum += d
	}
	return sum
}

// perf is the value of a PERF_* variable. The audit log is written when no rule runs any longer, and the store collects
// its own garbage: both are 0 for rules, as they mostly are in mod_security2.
func (w *watch) perf(v varID) string {
	switch v {
	case vPerfAll:
		return string(w.appendAll(nil))
	case vPerfCombined:
		return formatInt(usec(w.combined()))
	case vPerfPhase1, vPerfPhase2, vPerfPhase3, vPerfPhase4, vPerfPhase5:
		return formatInt(usec(w.phases[v-vPerfPhase1+1]))
	case vPerfSread:
		return formatInt(usec(w.sread))
	case vPerfSwrite:
		return formatInt(usec(w.swrite))
	}
	return "0"
}

// appendAll appends PERF_ALL, which Stopwatch2 ends with.
func (w *watch) appendAll(b []byte) []byte {
	add := func(name string, d time.Duration) {
		b = strconv.AppendInt(append(b, name...), usec(d), 10)
	}
	add("combined=", w.combined())
	for p := 1; p <= 5; p++ {
		add(", p"+string(rune('0'+p))+"=", w.phases[p])
	}
	add(", sr=", w.sread)
	add(", sw=", w.swrite)
	return append(b, ", l=0, gc=0"...)
}

// stopwatch2 is the line of the record: start, duration, and where the time went.
func (tx *Transaction) stopwatch2(took time.Duration) string {
	b := strconv.AppendInt(make([]byte, 0, 112), tx.began.UnixMicro(), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, took.Microseconds(), 10)
	b = append(b, "; "...)
	return string(tx.watch.appendAll(b))
}

// slowRules is the value of Rules-Performance-Info, "" when no rule was slow.
func (w *watch) slowRules() string {
	if len(w.rules) == 0 {
		return ""
	}
	all := make([]string, len(w.rules))
	for i, r := range w.rules {
		all[i] = `"` + strconv.Itoa(r.id) + "=" + r.text + `"`
	}
	return strings.Join(all, ", ") + "."
}

// readsTimes is whether some rule of the engine reads a PERF_* variable, as a target or in a macro.
func (e *Engine) readsTimes() bool {
	for _, r := range e.rules {
		if strings.Contains(strings.ToUpper(r.whole), "PERF_") || r.kind == ruleScript {
			return true
		}
	}
	return len(e.scripts) > 0
}
