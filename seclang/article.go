package seclang

import (
	"fmt"
	"path/filepath"
)

// tagName is a variable of a persistent collection.
type tagName struct {
	v    varID
	name string
}

// article finds the rules that tag clients on trap ports and those that look for the tag, and makes them mean what
// the article that they come from says, where the text is silent or speaks of something else.
func (c *compiler) article() {
	tags := map[tagName]bool{}
	for _, r := range c.e.rules {
		r.connection = isConnectionRule(r)
		writes := writesCollection(r)
		if !r.connection || !writes && !opensCollection(r) {
			continue
		}
		c.e.touch = append(c.e.touch, r)
		if !writes {
			continue
		}
		c.e.tags = true
		r.article = true
		for m := r; m != nil; m = m.next {
			for _, s := range m.steps {
				if x, ok := s.(*setvarStep); ok && x.v != vTX && x.fixed != "" {
					tags[tagName{x.v, lower(x.fixed)}] = true
				}
			}
		}
	}
	for _, r := range c.e.rules {
		for m := r; m != nil; m = m.next {
			for _, t := range m.targets {
				if tags[tagName{t.v, lower(t.sel.key)}] {
					r.article = true
				}
			}
		}
	}
	files := map[string]bool{}
	var first *rule
	for _, r := range c.e.rules {
		if r.article {
			files[r.file] = true
			if first == nil {
				first = r
			}
		}
	}
	if c.cfg.Defaults.Article {
		c.assumeEngine(first)
	}
	if first == nil {
		return
	}
	c.findOpeners(files)
	if c.cfg.Defaults.Article {
		c.assumeBlock()
		c.assumeCollection(first, files)
		c.assumeDataDir(first)
	}
}

func (c *compiler) assume(d Directive, a Assumption) {
	a.File, a.Line = d.File, d.Line
	c.assumed = append(c.assumed, a)
}

// assumeEngine: without SecRuleEngine ModSecurity runs no rule at all.
func (c *compiler) assumeEngine(first *rule) {
	if c.settings.Set("SecRuleEngine") || len(c.e.rules) == 0 {
		return
	}
	if first == nil {
		first = c.e.rules[0]
	}
	c.e.settings.RuleEngine = ModeOn
	c.assume(first.text.dir, Assumption{
		What: "SecRuleEngine On", Why: "there are rules and no SecRuleEngine; ModSecurity would run none of them",
		Directive: "SecRuleEngine On",
	})
}

// assumeBlock: `block` of a honeytrap rule means deny. A SecDefaultAction of another file, such as CRS's `pass`, was
// not written with these rules in mind.
func (c *compiler) assumeBlock() {
	said := map[string]bool{}
	for _, r := range c.e.rules {
		if !r.article || r.disruptive == actDeny {
			continue
		}
		if a, ok := r.text.lastDisruptive(); !ok || a.name != "block" {
			continue
		}
		why := "block without a SecDefaultAction is only a warning in ModSecurity"
		if d := r.text.blockDirective(r.phase); d.Name != "" {
			if d.File == r.file {
				continue
			}
			why = fmt.Sprintf("the SecDefaultAction in force is that of %s, which was not written for this rule", d.Pos())
		}
		r.disruptive, r.location = actDeny, nil
		if !r.text.has("status") {
			r.status = 403
		}
		if !said[r.file] {
			said[r.file] = true
			c.assume(r.text.dir, Assumption{
				What: "block means deny,status:403 in the honeytrap rules", Why: why,
				Directive: fmt.Sprintf(`SecDefaultAction "phase:%d,log,auditlog,deny,status:403" in %s`, r.phase, filepath.Base(r.file)),
			})
		}
	}
}

func (r *ruleText) lastDisruptive() (actionText, bool) {
	for i := len(r.actions) - 1; i >= 0; i-- {
		if disruptive[r.actions[i].name] {
			return r.actions[i], true
		}
	}
	return actionText{}, false
}

// blockDirective is the SecDefaultAction that gives `block` its meaning in r.
func (r *ruleText) blockDirective(phase int) Directive {
	if r.defaults.byPhase[phase] != nil {
		return r.defaults.dir[phase]
	}
	return r.defaults.dir[0]
}

// findOpeners collects the unconditional initcol:ip of the honeytrap rules' own files, and notes whether others exist.
func (c *compiler) findOpeners(files map[string]bool) {
	var others []*initcolStep
	for _, r := range c.e.rules {
		for _, s := range r.steps {
			x, ok := s.(*initcolStep)
			if !ok {
				continue
			}
			own := files[r.file]
			c.ownInit = c.ownInit || own && x.v == vIP
			c.foreignInit = c.foreignInit || !own && x.v == vIP
			if r.kind != ruleAction || r.next != nil || !connectionMacro(x.key) {
				continue
			}
			if own {
				c.e.openers = append(c.e.openers, x)
			} else {
				others = append(others, x)
			}
		}
	}
	if len(c.e.openers) == 0 && !c.cfg.Defaults.Article {
		c.e.openers = others
	}
}

// connectionMacro says whether a text can be expanded as soon as there is a connection.
func connectionMacro(m *macro) bool {
	for _, p := range m.parts {
		if p.v != vNone && !connectionOnly(p.v) {
			return false
		}
	}
	return true
}

// assumeCollection: without initcol ModSecurity stores no tag and says nothing; CRS's own initcol makes the tag
// depend on the User-Agent.
func (c *compiler) assumeCollection(first *rule, files map[string]bool) {
	if c.ownInit {
		if c.foreignInit && len(c.e.openers) > 0 {
			c.e.openFirst = true
			c.assume(first.text.dir, Assumption{
				What:      "the initcol:ip of " + filepath.Base(first.file) + " runs before all rules",
				Why:       "another file opens the collection IP too, and the first one to do so decides whom a tag means",
				Directive: "SecAction \"id:999003,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}\" before the Include of the other file",
			})
		}
		return
	}
	c.e.initIP = true
	why := "no initcol opens the collection IP; ModSecurity would store no tag, without a word"
	if c.foreignInit {
		why = "another file opens the collection IP for its own purposes, perhaps with the User-Agent as part of the key"
	}
	c.assume(first.text.dir, Assumption{
		What: "initcol:ip=%{REMOTE_ADDR} before every rule", Why: why,
		Directive: `SecAction "id:999003,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}" in ` + filepath.Base(first.file),
	})
}

func (c *compiler) assumeDataDir(first *rule) {
	if c.settings.Set("SecDataDir") {
		return
	}
	c.assume(first.text.dir, Assumption{
		What: "tags are kept in the program's own data directory", Why: "there is no SecDataDir; ModSecurity would forget every tag at once",
		Directive: "SecDataDir /var/lib/trapline",
	})
}
