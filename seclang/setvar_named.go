package seclang

import "strings"

// namedSetvar is setvar whose collection is known only when its macros are expanded: setvar:%{tx.what}=1.
type namedSetvar struct {
	op          byte
	name, value *macro
}

func (s *namedSetvar) run(tx *Transaction, r *rule) {
	tx.setNamed(s.op, s.name.expand(tx), s.value.expand(tx), r)
}

// setNamed sets collection.name as setvar does. It reports whether rules can set it.
func (tx *Transaction) setNamed(op byte, name, value string, r *rule) bool {
	base, key, ok := strings.Cut(name, ".")
	if !ok || key == "" {
		return false
	}
	v, known := lookupVariable(base)
	if !known {
		return false
	}
	switch v.id {
	case vTX, vIP, vSession, vUser, vResource, vGlobal:
	default:
		return false
	}
	s := &setvarStep{v: v.id, op: op, slot: -1, fixed: key, name: literalMacro(key), value: literalMacro(value)}
	if tx.debugLevel >= 4 {
		tx.debugStep(s, r)
	} else {
		s.run(tx, r)
	}
	return true
}
