package seclang

import (
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/collection"
)

// persistent is one open persistent collection of a transaction: the record as it was found, and on top of it
// what this transaction changed.
type persistent struct {
	v         varID
	name, key string // as the store knows it
	view      collection.View
	over      []overlay
	changes   []collection.Change // not yet applied
	applied   bool
	scratch   bool // no initcol opened it: it ends with the transaction
}

type overlay struct {
	name, value string
	unset       bool
}

func (p *persistent) get(name string) (string, bool) {
	for i := len(p.over) - 1; i >= 0; i-- {
		if strings.EqualFold(p.over[i].name, name) {
			return p.over[i].value, !p.over[i].unset
		}
	}
	return p.view.Get(name)
}

func (p *persistent) each(yield func(name, value string)) {
	done := func(name string) bool {
		for i := range p.over {
			if strings.EqualFold(p.over[i].name, name) {
				return true
			}
		}
		return false
	}
	for k, v := range p.view.All() {
		if !done(k) {
			yield(k, v)
		}
	}
	for i := range p.over {
		if !p.over[i].unset {
			yield(p.over[i].name, p.over[i].value)
		}
	}
}

func (p *persistent) put(name, value string, unset bool) {
	for i := range p.over {
		if strings.EqualFold(p.over[i].name, name) {
			p.over[i].value, p.over[i].unset = value, unset
			return
		}
	}
	p.over = append(p.over, overlay{name, value, unset})
}

// maxChanges bounds what one transaction may change in one record.
const maxChanges = 10000

func (p *persistent) change(c collection.Change) {
	if len(p.changes) < maxChanges {
		p.changes = append(p.changes, c)
	}
}

func (tx *Transaction) open(v varID) *persistent {
	for _, p := range tx.persist {
		if p.v == v {
			return p
		}
	}
	return nil
}

// openCollection is initcol: a collection that is open already stays as it is.
func (tx *Transaction) openCollection(v varID, name, key string) {
	old := tx.open(v)
	if key == "" || old != nil && !old.scratch {
		return
	}
	p := &persistent{v: v, name: name, key: key}
	if old != nil {
		defer func() { // what rules set before initcol is lost, as in mod_security2
			*old = *p
			tx.persist = tx.persist[:len(tx.persist)-1]
		}()
	}
	var began time.Time
	if tx.watch.on {
		began = tx.e.now()
	}
	var found bool
	if p.view, found = tx.e.store().Load(name, key, tx.began); !found {
		p.view = p.view.WithTimeout(tx.e.settings.CollectionTimeout)
	}
	if tx.watch.on {
		tx.watch.sread += tx.e.now().Sub(began)
	}
	tx.persist = append(tx.persist, p)
	tx.ver[v]++
	if tx.debugLevel >= 4 {
		tx.debugOpened(p, found)
	}
}

func (e *Engine) store() *collection.Store {
	if e.collections != nil {
		return e.collections
	}
	return e.blank
}

// initcolStep is initcol:collection=key.
type initcolStep struct {
	v    varID
	name string
	key  *macro
}

func (c *compiler) newInitcol(arg string) (step, error) {
	name, key, ok := strings.Cut(arg, "=")
	if !ok {
		return nil, noEffect("expected collection=key, such as ip=%%{REMOTE_ADDR}")
	}
	v, known := lookupVariable(strings.TrimSpace(name))
	if !known {
		return nil, noEffect("%v", unknown("collection", name, []string{"IP", "GLOBAL", "RESOURCE", "SESSION", "USER"}))
	}
	switch v.id {
	case vIP, vGlobal, vResource, vSession, vUser:
		return &initcolStep{v.id, lower(v.name), c.newMacro(strings.TrimSpace(key))}, nil
	}
	return nil, noEffect("%s is not a persistent collection, expected IP, GLOBAL, RESOURCE, SESSION or USER", v.name)
}

func (s *initcolStep) run(tx *Transaction, _ *rule) {
	name := s.name
	if s.v == vSession || s.v == vUser || s.v == vResource {
		name = tx.scoped(s.v)
	}
	tx.openCollection(s.v, name, s.key.expand(tx))
}

// openStep is setsid, setuid and setrsc.
type openStep struct {
	v   varID
	key *macro
}

func (s *openStep) run(tx *Transaction, _ *rule) {
	key := s.key.expand(tx)
	switch s.v {
	case vSession:
		tx.sessionID = key
	case vUser:
		tx.userID = key
	}
	tx.openCollection(s.v, tx.scoped(s.v), key)
}

// scoped is the stored name of a collection that belongs to one application: SESSION, USER and RESOURCE.
func (tx *Transaction) scoped(v varID) string { return tx.webAppID + "_" + lower(v.String()) }

func (tx *Transaction) setPersistent(s *setvarStep, name string) {
	p := tx.open(s.v)
	if (p == nil || p.scratch) && tx.says(3) {
		tx.sayNoCollection("set", s.v, name)
	}
	if p == nil {
		// Nothing is stored without initcol, but later rules of the transaction see the value, as in version 3.
		p = &persistent{v: s.v, name: "scratch", scratch: true}
		p.view, _ = tx.e.blank.Load("scratch", "", tx.began)
		tx.persist = append(tx.persist, p)
	}
	if len(name) > collection.MaxName {
		return
	}
	tx.ver[s.v]++
	switch s.op {
	case '!':
		p.put(name, "", true)
		p.change(collection.Change{Op: collection.OpUnset, Name: name})
	case '=':
		val := s.value.expand(tx)
		p.put(name, val, false)
		p.change(collection.Change{Op: collection.OpSet, Name: name, Text: val})
	default:
		old, _ := p.get(name)
		n := s.delta(tx)
		p.put(name, formatInt(addFloor(leadingInt(old), n)), false)
		p.change(collection.Change{Op: collection.OpAdd, Name: name, N: n})
	}
}

// expireStep is expirevar:collection.name=seconds.
type expireStep struct {
	v       varID
	name    *macro
	seconds *macro
}

func (c *compiler) newExpirevar(arg string) (step, error) {
	name, secs, ok := strings.Cut(arg, "=")
	if !ok {
		secs = "1" // as in version 2; version 3 has nothing to say either
	}
	if !strings.ContainsAny(name, ".:") {
		return nil, noEffect("expected collection.name=seconds")
	}
	v, name, err := c.splitVariable(strings.TrimSpace(name))
	if err != nil {
		return nil, err
	}
	if v == vTX {
		return nil, noEffect("TX ends with the transaction, expected a persistent collection")
	}
	return &expireStep{v, c.newMacro(name), c.newMacro(strings.Trim(strings.TrimSpace(secs), "'"))}, nil
}

func (s *expireStep) run(tx *Transaction, _ *rule) {
	p := tx.open(s.v)
	if (p == nil || p.scratch) && tx.says(3) {
		tx.sayNoCollection("expire", s.v, s.name.expand(tx))
	}
	if p == nil {
		return
	}
	name := s.name.expand(tx)
	if _, ok := p.get(name); !ok {
		return
	}
	at := tx.began.Add(time.Duration(min(leadingInt(s.seconds.expand(tx)), 1<<31)) * time.Second)
	p.change(collection.Change{Op: collection.OpExpire, Name: name, At: at})
}

// deprecateStep is deprecatevar:collection.name=amount/seconds: the value falls by amount for every so many seconds
// since the record was last stored.
type deprecateStep struct {
	v      varID
	name   *macro
	amount int64
	every  int64
}

func (c *compiler) newDeprecatevar(arg string) (step, error) {
	name, rate, ok := strings.Cut(arg, "=")
	amount, every, ok2 := strings.Cut(strings.Trim(strings.TrimSpace(rate), "'"), "/")
	a, err1 := strconv.ParseInt(strings.TrimSpace(amount), 10, 32)
	e, err2 := strconv.ParseInt(strings.TrimSpace(every), 10, 32)
	if !ok || !ok2 || err1 != nil || err2 != nil || e <= 0 {
		return nil, noEffect("expected collection.name=amount/seconds")
	}
	v, name, err := c.splitVariable(strings.TrimSpace(name))
	if err != nil {
		return nil, err
	}
	return &deprecateStep{v, c.newMacro(name), a, e}, nil
}

func (s *deprecateStep) run(tx *Transaction, _ *rule) {
	p := tx.open(s.v)
	if (p == nil || p.scratch) && tx.says(3) {
		tx.sayNoCollection("deprecate", s.v, s.name.expand(tx))
	}
	if p == nil {
		return
	}
	name := s.name.expand(tx)
	old, ok := p.get(name)
	last, stored := p.get("LAST_UPDATE_TIME")
	if !ok || !stored {
		return
	}
	steps := (tx.began.Unix() - leadingInt(last)) / s.every
	if steps <= 0 {
		return
	}
	n := steps * s.amount
	p.put(name, formatInt(addFloor(leadingInt(old), -n)), false)
	p.change(collection.Change{Op: collection.OpAdd, Name: name, N: -n})
	tx.ver[s.v]++
}

// Commit applies what the rules changed in persistent collections so far: every transaction that starts after it
// returns sees the change, and the Ticket tells when the disk has it. It may be called several times.
func (tx *Transaction) Commit() collection.Ticket {
	var last collection.Ticket
	if tx.e.collections == nil {
		return last
	}
	var began time.Time
	if tx.watch.on && len(tx.persist) > 0 {
		began = tx.e.now()
	}
	for _, p := range tx.persist {
		if len(p.changes) == 0 || p.scratch {
			continue
		}
		apply := tx.e.collections.Apply
		if p.applied {
			apply = tx.e.collections.Continue
		}
		last = apply(p.name, p.key, tx.e.settings.CollectionTimeout, tx.e.now(), p.changes)
		if tx.debugLevel >= 4 {
			tx.debugStored(p, p.changes)
		}
		p.applied, p.changes = true, nil
	}
	if tx.watch.on && len(tx.persist) > 0 {
		tx.watch.swrite += tx.e.now().Sub(began)
	}
	if tx.debugLevel >= 4 && tx.phaseDone[5] {
		tx.debugf(4, "Recording persistent data took %d microseconds.", usec(tx.watch.swrite))
	}
	return last
}
