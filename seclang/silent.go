package seclang

import (
	"fmt"
	"slices"
	"strings"
)

// This file speaks of rules that read a body while nothing says whether bodies are read. ModSecurity's answer to both is
// no, without a word: such a rule never matches.

// assumeBodies: a rule that reads the request's body gets it.
func (c *compiler) assumeBodies() {
	if !c.cfg.Defaults.Article || c.settings.Set("SecRequestBodyAccess") {
		return
	}
	r, v := c.firstReader(func(v varID) bool {
		name := v.String()
		return strings.HasPrefix(name, "MULTIPART_") || strings.HasPrefix(name, "FILES") || strings.HasPrefix(name, "REQBODY_") ||
			slices.Contains([]varID{vArgs, vArgsNames, vArgsPost, vArgsPostNames, vRequestBody, vRequestBodyLength, vXML, vStreamInputBody}, v)
	})
	if r == nil || c.sets("ctl:requestbodyaccess") {
		return
	}
	c.assume(r.text.dir, Assumption{
		What: "request bodies are inspected", Why: fmt.Sprintf("a rule reads %s and there is no SecRequestBodyAccess; ModSecurity would show it no body", v),
		Directive: "SecRequestBodyAccess On",
	})
}

// warnAnswers: to hold every answer back costs too much to be assumed, so a rule that reads it is told of.
func (c *compiler) warnAnswers() {
	if c.settings.Set("SecResponseBodyAccess") {
		return
	}
	r, v := c.firstReader(func(v varID) bool { return v == vResponseBody || v == vStreamOutputBody })
	if r == nil || c.sets("ctl:responsebodyaccess") {
		return
	}
	d := r.text.dir
	c.warns = append(c.warns, Warning{File: d.File, Line: d.Line, Directive: d.Name, Text: fmt.Sprintf("this rule reads %s and never gets one: expected SecResponseBodyAccess On", v)})
}

// firstReader is the first rule that looks at a variable for which is says so.
func (c *compiler) firstReader(is func(varID) bool) (*rule, varID) {
	for _, starter := range c.e.rules {
		for r := starter; r != nil; r = r.next {
			for i := range r.targets {
				if is(r.targets[i].v) {
					return r, r.targets[i].v
				}
			}
		}
	}
	return nil, 0
}

// sets says whether some rule has the action.
func (c *compiler) sets(action string) bool {
	return slices.ContainsFunc(c.e.rules, func(r *rule) bool { return strings.Contains(strings.ToLower(r.chainRaw()), action) })
}
