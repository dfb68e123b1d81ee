package seclang

import (
	"strings"
)

// macro is a text with %{VAR} or %{VAR.key} in it.
type macro struct {
	text  string
	parts []macroPart
}

type macroPart struct {
	literal string
	v       varID // vNone: literal
	key     string
	slot    int32             // of a TX variable
	rx      func(string) bool // of %{TX:/pattern/}
}

// newMacro parses text. Macros that name no variable expand to nothing, as in mod_security2; bad reports them.
func (c *compiler) newMacro(text string) *macro {
	m := &macro{text: text}
	rest := text
	for {
		i := strings.Index(rest, "%{")
		if i < 0 {
			break
		}
		j := strings.IndexByte(rest[i:], '}')
		if j < 0 {
			break
		}
		if i > 0 {
			m.parts = append(m.parts, macroPart{literal: rest[:i]})
		}
		name := rest[i+2 : i+j]
		rest = rest[i+j+1:]
		if !strings.HasPrefix(rest, "%{") {
			rest = strings.TrimPrefix(rest, "%") // %{NAME}% of old rules
		}
		base, key := name, ""
		if k := strings.IndexAny(name, ".:"); k >= 0 {
			base, key = name[:k], name[k+1:]
		}
		v, ok := lookupVariable(base)
		if !ok {
			c.warn(unknown("variable in the macro", base, variableNames()).Error() + "; it expands to nothing")
			continue
		}
		p := macroPart{v: v.id, key: key, slot: -1}
		if len(key) > 1 && key[0] == '/' && key[len(key)-1] == '/' && v.id.keyed() && v.id != vXML {
			if rx, err := compileSelectorPattern(key[1 : len(key)-1]); err == nil {
				p.rx = rx
				m.parts = append(m.parts, p)
				continue
			}
		}
		if v.id == vTX && key != "" && !c.runtime {
			p.slot = c.txSlot(key)
		}
		m.parts = append(m.parts, p)
	}
	if rest != "" || len(m.parts) == 0 {
		m.parts = append(m.parts, macroPart{literal: rest})
	}
	return m
}

// literalMacro is a text in which nothing is expanded.
func literalMacro(s string) *macro { return &macro{text: s, parts: []macroPart{{literal: s}}} }

// static returns the text when there is nothing to expand.
func (m *macro) static() (string, bool) {
	if len(m.parts) == 1 && m.parts[0].v == vNone {
		return m.parts[0].literal, true
	}
	return "", false
}

// maxExpansion bounds what macros may build from what a client sent: each level of setvar could double it.
const maxExpansion = 1 << 20

// expand returns the text with every macro replaced by its value.
func (m *macro) expand(tx *Transaction) string {
	if m == nil {
		return ""
	}
	if s, ok := m.static(); ok {
		return s
	}
	if len(m.parts) == 1 {
		s := tx.macroValue(&m.parts[0])
		if tx.debugLevel >= 9 {
			tx.debugMacro(&m.parts[0], s)
		}
		return s
	}
	b := tx.buf[:0]
	for i := range m.parts {
		p := &m.parts[i]
		if p.v == vNone {
			b = append(b, p.literal...)
		} else {
			s := tx.macroValue(p)
			if tx.debugLevel >= 9 {
				tx.debugMacro(p, s)
			}
			b = append(b, s[:min(len(s), max(0, maxExpansion-len(b)))]...)
		}
	}
	tx.buf = b
	return string(b)
}

func (tx *Transaction) macroValue(p *macroPart) string {
	if p.slot >= 0 {
		s, _ := tx.tx.get(p.slot)
		return s
	}
	switch p.v {
	case vRule:
		return tx.ruleField(p.key)
	}
	if !p.v.keyed() {
		if s, ok := tx.scalar(p.v); ok {
			return s
		}
		return ""
	}
	s, _ := tx.lookup(p.v, selector{key: p.key, rx: p.rx})
	return s
}

// expandText expands macros in a text that is known only now.
func (tx *Transaction) expandText(s string) string {
	if !strings.Contains(s, "%{") {
		return s
	}
	c := compiler{e: tx.e, runtime: true, warned: map[string]bool{}} // the engine is shared: no new slots
	return c.newMacro(s).expand(tx)
}
