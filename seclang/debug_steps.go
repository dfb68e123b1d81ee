package seclang

import (
	"strings"
	"time"

	"github.com/trapline/trapline/collection"
)

// noCollection is whether a persistent collection has not been opened: what rules set in it is there for the rest of the
// transaction, as in version 3, and gone with it.
func (tx *Transaction) noCollection(v varID) bool {
	p := tx.open(v)
	return v != vTX && (p == nil || p.scratch)
}

// sayNoCollection tells the logs what the rule wanted with it.
func (tx *Transaction) sayNoCollection(what string, v varID, name string) {
	tx.debugLine(3, "Could not "+what+` variable "`+lower(v.String())+"."+quotedText(name)+`" as the collection does not exist.`)
}

// debugStep runs a non-disruptive action with its lines around it. Only a transaction whose log wants them comes here.
func (tx *Transaction) debugStep(s step, r *rule) {
	switch x := s.(type) {
	case *setvarStep:
		tx.debugSetvar(x, r)
	case *setenvStep:
		tx.debugSetenv(x, r)
	case *expireStep:
		tx.debugExpire(x, r)
	case *deprecateStep:
		tx.debugDeprecate(x, r)
	case *ctlStep:
		x.run(tx, r)
		tx.debugCtl(x)
	default:
		s.run(tx, r)
	}
}

// quiet runs fn without lines of its own: what it expands has been said.
func (tx *Transaction) quiet(fn func()) {
	level := tx.debugLevel
	tx.debugLevel = min(level, 3)
	fn()
	tx.debugLevel = level
}

func (tx *Transaction) expandQuietly(m *macro) (s string) {
	tx.quiet(func() { s = m.expand(tx) })
	return s
}

// variable is the value of a variable that rules can set.
func (tx *Transaction) variable(v varID, name string) (string, bool) {
	if v == vTX {
		if slot := tx.tx.slot(tx.e, name, false); slot >= 0 {
			return tx.tx.get(slot)
		}
		return "", false
	}
	if p := tx.open(v); p != nil {
		return p.get(name)
	}
	return "", false
}

func (tx *Transaction) debugSetvar(s *setvarStep, r *rule) {
	col := lower(s.v.String())
	value := s.value.text
	switch s.op {
	case '!':
		col = "!" + col
		if value == "" {
			value = "1"
		}
	case '+', '-':
		value = string(s.op) + value
	}
	tx.debugf(9, "Setting variable: %s.%s=%s", col, plainText(s.name.text), plainText(value))
	name := tx.expandQuietly(s.name)
	old, had := tx.variable(s.v, name)
	if !had {
		old = "0"
	}
	s.run(tx, r)
	now, has := tx.variable(s.v, name)
	full := quotedText(col + "." + name)
	switch {
	case tx.noCollection(s.v): // has been said
	case s.op == '!':
		tx.debugf(9, `Unset variable "%s".`, strings.TrimPrefix(full, "!"))
	case s.op != '=':
		tx.debugf(9, `Recorded original collection variable: %s = "%s"`, full, quotedText(old))
		var n int64
		tx.quiet(func() { n = s.delta(tx) })
		tx.debugf(9, "Relative change: %s=%d%+d", quotedText(name), leadingInt(old), n)
		fallthrough
	case has:
		tx.debugf(9, `Set variable "%s" to "%s".`, full, quotedText(now))
	}
}

func (tx *Transaction) debugSetenv(s *setenvStep, r *rule) {
	not := ""
	if s.unset {
		not = "!"
	}
	tx.debugf(9, "Setting env variable: %s%s=%s", not, plainText(s.name.text), plainText(s.value.text))
	s.run(tx, r)
	name := tx.expandQuietly(s.name)
	if s.unset {
		tx.debugf(9, `Unset env variable "%s%s".`, not, quotedText(name))
		return
	}
	tx.debugf(9, `Set env variable "%s" to: %s`, quotedText(name), quotedText(tx.expandQuietly(s.value)))
}

func (tx *Transaction) debugExpire(s *expireStep, r *rule) {
	col := lower(s.v.String())
	tx.debugf(9, "Expiring variable: %s.%s=%s", col, plainText(s.name.text), plainText(s.seconds.text))
	s.run(tx, r)
	full := quotedText(col + "." + tx.expandQuietly(s.name))
	if tx.noCollection(s.v) {
		return // has been said
	}
	tx.debugf(4, `Variable "%s" set to expire in %s seconds.`, full, plainText(tx.expandQuietly(s.seconds)))
}

func (tx *Transaction) debugDeprecate(s *deprecateStep, r *rule) {
	col := lower(s.v.String())
	tx.debugf(9, "Deprecating variable: %s.%s=%d/%d", col, plainText(s.name.text), s.amount, s.every)
	name := tx.expandQuietly(s.name)
	old, had := tx.variable(s.v, name)
	last, stored := tx.variable(s.v, "LAST_UPDATE_TIME")
	s.run(tx, r)
	now, _ := tx.variable(s.v, name)
	since := tx.began.Unix() - leadingInt(last)
	full := quotedText(col + "." + name)
	switch {
	case tx.noCollection(s.v): // has been said
	case !had:
		tx.debugf(9, `Asked to deprecate variable "%s", but it does not exist.`, full)
	case !stored: // the record has never been stored
	case now == old:
		tx.debugf(9, `Not deprecating variable "%s" because the new value (%s) is the same as the old one (%s) (%d seconds since last update).`,
			full, quotedText(now), quotedText(old), since)
	default:
		tx.debugf(4, `Deprecated variable "%s" from %s to %s (%d seconds since last update).`, full, quotedText(old), quotedText(now), since)
	}
}

// debugCtl writes what a ctl action has changed.
func (tx *Transaction) debugCtl(s *ctlStep) {
	val := s.value
	if s.macro != nil {
		val = tx.expandQuietly(s.macro)
	}
	val = plainText(val)
	bit := 0
	if strings.EqualFold(val, "on") {
		bit = 1
	}
	switch s.option {
	case "ruleengine":
		tx.debugf(4, "Ctl: Set ruleEngine to %s.", [...]string{"Off", "On", "DetectionOnly"}[tx.mode])
	case "auditengine":
		tx.debugf(4, "Ctl: Set auditEngine to %d.", [...]int{0, 1, 0, 2}[tx.auditMode])
	case "auditlogparts":
		tx.debugf(4, "Ctl: Set auditLogParts to %s.", tx.auditParts)
	case "requestbodyaccess":
		tx.debugf(4, "Ctl: Set requestBodyAccess to %d.", bit)
	case "responsebodyaccess":
		tx.debugf(4, "Ctl: Set responseBodyAccess to %d.", bit)
	case "requestbodylimit":
		tx.debugf(4, "Ctl: Set requestBodyLimit to %d.", tx.ctl.requestBodyLimit)
	case "responsebodylimit":
		tx.debugf(4, "Ctl: Set responseBodyLimit to %d.", tx.ctl.responseBodyLimit)
	case "requestbodyprocessor":
		tx.debugf(4, "Ctl: Set requestBodyProcessor to %s.", plainText(tx.ctl.processor))
	case "debugloglevel":
		tx.debugf(4, "Ctl: Set debugLogLevel to %d.", tx.debugLevel)
	case "ruleremovebyid":
		tx.debugf(4, "Ctl: Removed rule by id : %s.", val)
	case "ruleremovebytag":
		tx.debugf(4, "Ctl: Removed rule by tag : %s.", val)
	case "ruleremovebymsg":
		tx.debugf(4, "Ctl: Removed rule by msg : %s.", val)
	case "ruleremovetargetbyid", "ruleremovetargetbytag", "ruleremovetargetbymsg":
		what, targets, _ := strings.Cut(val, ";")
		by := s.option[len("ruleremovetargetby"):]
		tx.debugf(4, "Ctl: ruleRemoveTargetBy%s %s=%s targets=%s", strings.ToUpper(by[:1])+by[1:], by, what, targets)
	}
}

// debugMacro writes what a macro stands for.
func (tx *Transaction) debugMacro(p *macroPart, val string) {
	name := p.v.String()
	if p.key != "" {
		name += "." + p.key
	}
	tx.debugf(9, "Resolved macro %%{%s} to: %s", plainText(name), plainText(val))
}

// debugOpened writes what initcol, setsid and their like have found.
func (tx *Transaction) debugOpened(p *persistent, found bool) {
	name := p.name
	scoped := p.v == vSession || p.v == vUser || p.v == vResource
	if scoped {
		name = tx.webAppID + "_" + p.v.String()
	}
	name = quotedText(name)
	if found {
		for k, v := range p.view.All() {
			tx.debugf(9, `collection_unpack: Read variable: name "%s", value "%s".`, quotedText(k), quotedText(v))
		}
		tx.debugf(4, `collection_retrieve_ex: Retrieved collection (name "%s", key "%s").`, name, quotedText(p.key))
	} else {
		tx.debugf(4, `Creating collection (name "%s", key "%s").`, name, quotedText(p.key))
		tx.debugf(4, "Setting default timeout collection value %d.", int64(tx.e.settings.CollectionTimeout/time.Second))
	}
	if counter, ok := p.get("UPDATE_COUNTER"); ok {
		tx.debugf(9, `Recorded original collection variable: %s.UPDATE_COUNTER = "%s"`, name, quotedText(counter))
	}
	if scoped {
		tx.debugf(4, `Added collection "%s" to the list as "%s".`, name, p.v.String())
		return
	}
	tx.debugf(4, `Added collection "%s" to the list.`, name)
}

// debugStored writes what Commit gives to the store.
func (tx *Transaction) debugStored(p *persistent, changes []collection.Change) {
	for _, c := range changes {
		switch c.Op {
		case collection.OpSet:
			tx.debugf(9, `collection_store: Wrote variable: name "%s", value "%s".`, quotedText(c.Name), quotedText(c.Text))
		case collection.OpAdd:
			tx.debugf(9, "collection_store: Delta applied for %s.%s (%d)", quotedText(p.name), quotedText(c.Name), c.N)
		case collection.OpExpire:
			tx.debugf(9, `collection_store: Wrote variable: name "__expire_%s", value "%d".`, quotedText(c.Name), c.At.Unix())
		}
	}
	tx.debugf(4, `collection_store: Persisted collection (name "%s", key "%s").`, quotedText(p.name), quotedText(p.key))
}
