package seclang

import (
	"fmt"
	"strings"

	"github.com/trapline/trapline/seclang/body"
	"github.com/trapline/trapline/seclang/operator"
)

// source is one variable with one selector: the unit in which values are collected once for all rules.
type source struct {
	v     varID
	sel   selector
	slot  int32       // of a TX variable named outright, -1 otherwise
	xpath *body.XPath // of XML:expression
}

// source interns what a target looks at.
func (c *compiler) source(t target, ns map[string]string) int {
	key := t.v.String() + ":" + t.sel.String()
	if t.sel.rx != nil {
		key += "\x00rx"
	}
	if !t.sel.all() && t.sel.rx == nil {
		key = lower(key)
	}
	if t.v == vXML {
		key = fmt.Sprint("XML:", t.sel.key, ns)
	}
	if id, ok := c.srcIDs[key]; ok {
		return id
	}
	s := source{v: t.v, sel: t.sel, slot: -1}
	if t.v == vTX && t.sel.key != "" && t.sel.rx == nil {
		s.slot = c.txSlot(t.sel.key)
	}
	if t.v == vXML && t.sel.key != "" {
		var err error
		if s.xpath, err = body.CompileXPath(t.sel.key, ns); err != nil {
			// Both versions load it, and find out with the first document.
			c.warn(fmt.Sprintf("XML:%s is empty: %v", t.sel.key, err))
			s.xpath, _ = body.CompileXPath("/*[0]", nil)
		}
	}
	id := len(c.e.sources)
	c.srcIDs[key] = id
	c.e.sources = append(c.e.sources, s)
	return id
}

// compileOperator builds the operator of r and enters it into the literal scan when that can rule it out.
func (c *compiler) compileOperator(r *rule) {
	arg := r.opArg
	name := lower(r.opName)
	// @rx patterns may hold %{...} as text only when nothing of that name exists; mod_security2 expands them too.
	if strings.Contains(arg, "%{") {
		r.argOf = c.newMacro(arg)
		if _, static := r.argOf.static(); static {
			r.argOf = nil
		}
	}
	if name == "inspectfile" && arg != "" {
		arg = c.path(arg)
	}
	if name == "rsub" {
		r.targets = c.streams(r.targets)
	}
	op, err := operator.New(r.opName, arg, c.envFor(r))
	if err != nil {
		if !operator.Known(r.opName) {
			err = unknown("operator", "@"+r.opName, atNames())
		}
		c.fail(err)
		return
	}
	if name == "inspectfile" {
		c.loadInspector(arg)
	}
	r.once = name == "inspectfile" || name == "rbl"
	r.op = op
	r.always = true
	if r.argOf != nil {
		// For operators "" stands for the argument as written, so one that expands to nothing needs its own.
		if r.opEmpty, err = operator.New(r.opName, "", c.envFor(r)); err != nil {
			r.opEmpty = r.op
		}
	}
	if r.neg || r.argOf != nil {
		return
	}
	for _, t := range r.targets {
		if t.count || t.v == vRule { // RULE is another one for each rule that asks
			return
		}
	}
	r.needs = c.neededBytes(name, arg, op)
	lit, ok := op.(operator.Literaler)
	if !ok {
		return
	}
	ls := lit.Literals()
	if ls.A == nil {
		return
	}
	key := name + " " + arg
	bit, seen := c.bits[key]
	if !seen {
		bit = c.builder.Add(ls)
		c.bits[key] = bit
	}
	r.bit = bit
	r.always = false
}

// streams are the targets that @rsub can change: asked of another it matches never, as in mod_security2.
func (c *compiler) streams(all []target) []target {
	var kept []target
	for _, t := range all {
		if (t.v == vStreamInputBody || t.v == vStreamOutputBody) && !t.count {
			kept = append(kept, t)
		} else {
			c.warn(fmt.Sprintf("@rsub on %s never matches: expected STREAM_INPUT_BODY or STREAM_OUTPUT_BODY", t.v))
		}
	}
	return kept
}

func atNames() []string {
	names := operator.Names()
	for i := range names {
		names[i] = "@" + names[i]
	}
	return names
}
