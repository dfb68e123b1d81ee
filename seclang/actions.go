package seclang

import (
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
)

func pauseOf(ms int) time.Duration {
	return time.Duration(min(max(ms, 0), 600_000)) * time.Millisecond
}

// compileStep adds the non-disruptive action a to r.
func (c *compiler) compileStep(r *rule, a actionText) {
	var s step
	var err error
	switch a.name {
	case "setvar":
		s, err = c.newSetvar(a.arg)
	case "expirevar":
		s, err = c.newExpirevar(a.arg)
	case "deprecatevar":
		s, err = c.newDeprecatevar(a.arg)
	case "ctl":
		s, err = c.newCtl(a.arg)
		c.late(r, a)
	case "initcol":
		s, err = c.newInitcol(a.arg)
	case "setsid":
		s = &openStep{v: vSession, key: c.newMacro(a.arg)}
	case "setuid":
		s = &openStep{v: vUser, key: c.newMacro(a.arg)}
	case "setrsc":
		s = &openStep{v: vResource, key: c.newMacro(a.arg)}
	case "setenv":
		s = c.newSetenv(a.arg)
	case "exec":
		s, err = c.newExec(a.arg)
	case "append", "prepend":
		s = &injectStep{before: a.name == "prepend", text: c.newMacro(a.arg)}
	case "sanitisearg", "sanitiserequestheader", "sanitiseresponseheader":
		s = &sanitiseStep{kind: a.name, name: a.arg}
	case "sanitisematched":
		r.sanMatched = true
	case "sanitisematchedbytes":
		if r.sanBytes, err = parseBytesRange(a.arg); err == nil {
			r.sanMatched = true
		}
	}
	if err != nil {
		if !c.idle(a, err) {
			c.fail(err)
		}
		return
	}
	if s != nil {
		r.steps = append(r.steps, s)
	}
}

// setvarStep is setvar:collection.name=value and its kin.
type setvarStep struct {
	v     varID
	name  *macro
	slot  int32 // of a TX variable with a fixed name
	fixed string
	op    byte // '=', '+', '-', '!'
	value *macro
	n     int64 // of '+' and '-' with a fixed number
	isN   bool
}

// splitVariable reads collection.name; ENV, GEO and such cannot be set.
func (c *compiler) splitVariable(text string) (varID, string, error) {
	base, name, ok := strings.Cut(text, ".")
	if !ok {
		if base, name, ok = strings.Cut(text, ":"); !ok {
			return vNone, "", noEffect("%q has no collection: expected collection.name, such as tx.%s", text, text)
		}
	}
	v, known := lookupVariable(strings.TrimSpace(base))
	if !known {
		return vNone, "", noEffect("%v", unknown("collection", base, []string{"TX", "IP", "SESSION", "USER", "RESOURCE", "GLOBAL"}))
	}
	switch v.id {
	case vTX, vIP, vSession, vUser, vResource, vGlobal:
		return v.id, strings.TrimSpace(name), nil
	}
	return vNone, "", noEffect("rules cannot set %s, expected TX, IP, SESSION, USER, RESOURCE or GLOBAL", v.name)
}

func (c *compiler) newSetvar(arg string) (step, error) {
	s := &setvarStep{op: '=', slot: -1}
	name, value, assigned := strings.Cut(arg, "=")
	name = strings.TrimSpace(name)
	if strings.HasPrefix(name, "!") {
		s.op, name, value = '!', name[1:], ""
	} else if !assigned {
		value = "1"
	}
	value = strings.TrimLeft(value, " \t") // quotes around the value alone belong to it, in both versions
	if s.op == '=' && assigned && (strings.HasPrefix(value, "+") || strings.HasPrefix(value, "-")) {
		s.op, value = value[0], value[1:]
	}
	s.value = c.newMacro(value)
	if strings.HasPrefix(name, "%{") {
		return &namedSetvar{s.op, c.newMacro(name), s.value}, nil
	}
	v, name, err := c.splitVariable(name)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, noEffect("the name of the variable is missing")
	}
	s.v, s.name = v, c.newMacro(name)
	if t, ok := s.value.static(); ok {
		s.n, s.isN = leadingInt(t), true
	}
	if f, ok := s.name.static(); ok {
		s.fixed = f
		if v == vTX {
			s.slot = c.txSlot(f)
		}
	}
	return s, nil
}

// leadingInt reads a number as C's atoi does: leading blanks, a sign, digits, and nothing is an error.
func leadingInt(s string) int64 {
	s = strings.TrimLeft(s, " \t\r\n\v\f")
	end := 0
	if end < len(s) && (s[end] == '+' || s[end] == '-') {
		end++
	}
	for end < len(s) && s[end] >= '0' && s[end] <= '9' && end < 19 {
		end++
	}
	n, _ := strconv.ParseInt(s[:end], 10, 64)
	return n
}

func (s *setvarStep) run(tx *Transaction, _ *rule) {
	name := s.fixed
	if name == "" {
		name = s.name.expand(tx)
	}
	if s.v != vTX {
		tx.setPersistent(s, name)
		return
	}
	slot := s.slot
	if slot < 0 {
		slot = tx.tx.slot(tx.e, name, s.op != '!')
	}
	if slot < 0 {
		return
	}
	switch s.op {
	case '!':
		tx.unsetTX(slot)
	case '=':
		tx.setTX(slot, name, s.value.expand(tx))
	default:
		old, _ := tx.tx.get(slot)
		tx.setTX(slot, name, formatInt(addFloor(leadingInt(old), s.delta(tx))))
	}
}

// delta is the signed number of a relative setvar.
func (s *setvarStep) delta(tx *Transaction) int64 {
	n := s.n
	if !s.isN {
		n = leadingInt(s.value.expand(tx))
	}
	if s.op == '-' {
		return -n
	}
	return n
}

// addFloor adds without overflow; counters never go below zero.
func addFloor(a, n int64) int64 {
	switch {
	case n > 0 && a > 1<<62-n:
		return 1 << 62
	case a+n < 0:
		return 0
	}
	return a + n
}

// smallInts are the texts of the numbers that scores are made of.
var smallInts = func() (t [256]string) {
	for i := range t {
		t[i] = strconv.Itoa(i)
	}
	return t
}()

func formatInt(n int64) string {
	if n >= 0 && n < int64(len(smallInts)) {
		return smallInts[n]
	}
	return strconv.FormatInt(n, 10)
}

type setenvStep struct {
	name, value *macro
	unset       bool
}

func (c *compiler) newSetenv(arg string) step {
	name, value, ok := strings.Cut(arg, "=")
	s := &setenvStep{value: c.newMacro(value)}
	if !ok {
		s.value = c.newMacro("1")
	}
	if strings.HasPrefix(name, "!") {
		s.unset, name = true, name[1:]
	}
	s.name = c.newMacro(name)
	return s
}

func (s *setenvStep) run(tx *Transaction, _ *rule) {
	name := s.name.expand(tx)
	tx.ver[vEnv]++
	for i := range tx.env {
		if tx.env[i].Name == name {
			tx.env = append(tx.env[:i:i], tx.env[i+1:]...)
			break
		}
	}
	if !s.unset {
		tx.env = append(tx.env, audit.Field{Name: name, Value: s.value.expand(tx)})
	}
}

// injectStep is append and prepend: text around the response body, when SecContentInjection is On.
type injectStep struct {
	before bool
	text   *macro
}

func (s *injectStep) run(tx *Transaction, _ *rule) {
	if s.before {
		tx.prepend = s.text.expand(tx)
	} else {
		tx.append = s.text.expand(tx)
	}
}
