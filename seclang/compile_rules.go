package seclang

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang/transform"
)

// resolveDefaults gives every rule its phase and the actions of the SecDefaultAction in force.
func (c *compiler) resolveDefaults() {
	for _, r := range c.texts {
		if r.kind == ruleMarker {
			continue
		}
		c.inherit(r, r.phase())
		for _, m := range r.chain {
			c.inherit(m, r.phase())
		}
	}
}

// phase is that of the rule's own action, of the SecDefaultAction in force, or 2.
func (r *ruleText) phase() int {
	if a, ok := r.last("phase"); ok {
		if p, err := parsePhase(a.arg); err == nil {
			return p
		}
	}
	if r.defaults.phase != 0 {
		return r.defaults.phase
	}
	return 2
}

// inherit merges the default actions into r: those of its phase, else the latest of all, as in mod_security2 where
// there is only one SecDefaultAction at a time.
func (c *compiler) inherit(r *ruleText, phase int) {
	def := r.defaults.byPhase[phase]
	if def == nil {
		def = r.defaults.byPhase[0]
	}
	if def == nil {
		return
	}
	var base []actionText
	for _, a := range def {
		if a.name == "phase" || disruptive[a.name] && r.hasDisruptive() {
			continue
		}
		base = append(base, a)
	}
	r.actions = mergeActions(base, r.actions)
}

func (r *ruleText) hasDisruptive() bool {
	for _, a := range r.actions {
		if disruptive[a.name] {
			return true
		}
	}
	return false
}

// blockMeans is what `block` stands for in r.
func (r *ruleText) blockMeans(phase int) []actionText {
	def := r.defaults.byPhase[phase]
	if def == nil {
		def = r.defaults.byPhase[0]
	}
	return def
}

func (c *compiler) compileRules() {
	c.e.settings = c.settings
	c.openUnicodeMap()
	c.operatorEnv()
	var kept []*ruleText
	for _, t := range c.texts {
		if !t.removed {
			kept = append(kept, t)
		}
	}
	for _, t := range kept {
		r := c.compileOne(t, nil)
		r.index = len(c.e.rules)
		c.e.rules = append(c.e.rules, r)
		prev := r
		for _, m := range t.chain {
			x := c.compileOne(m, r)
			prev.next, prev = x, x
			c.e.members = append(c.e.members, x)
		}
		r.adopt()
	}
	for i, m := range c.e.members {
		m.index = len(c.e.rules) + i
	}
	c.article()
	for _, r := range c.e.rules {
		if r.kind == ruleMarker {
			for p := 1; p <= 5; p++ {
				c.e.phases[p] = append(c.e.phases[p], r)
			}
			continue
		}
		c.e.phases[r.phase] = append(c.e.phases[r.phase], r)
	}
	c.checkSkips()
	c.resolveCtl()
}

func (c *compiler) compileOne(t *ruleText, starter *rule) *rule {
	c.at = t.dir
	r := &rule{
		file: t.dir.File, line: t.dir.Line, last: max(t.dir.Last, t.dir.Line), kind: t.kind, neg: t.neg, opName: t.op, opArg: t.arg, bit: -1, severity: -1,
		log: true, auditlog: true, starter: starter, id: t.id(), text: t,
	}
	if starter == nil {
		r.starter = r
	} else {
		r.id = starter.id
	}
	if t.kind == ruleMarker {
		r.label, r.raw, r.disruptive = t.arg, t.raw(), actPass
		return r
	}
	r.phase = t.phase()
	if starter != nil {
		r.phase = starter.phase
	}
	r.raw = t.raw()
	ns := c.namespaces(t)
	for _, x := range t.targets {
		if x.except {
			r.except = append(r.except, x)
			continue
		}
		x.src = c.source(x, ns)
		c.e.extractFiles = c.e.extractFiles || x.v == vFilesTmpNames
		r.targets = append(r.targets, x)
	}
	c.compileActions(r, t)
	switch t.kind {
	case ruleNormal:
		c.compileOperator(r)
	case ruleScript:
		r.script = c.loadScript(c.path(t.arg))
	}
	return r
}

// compileActions fills r from the merged actions of t.
func (c *compiler) compileActions(r *rule, t *ruleText) {
	var chain []string
	r.disruptive = actPass
	for _, a := range t.actions {
		switch a.name {
		case "t":
			name := lower(strings.TrimSpace(a.arg))
			if name == "none" {
				chain = chain[:0]
				continue
			}
			chain = append(chain, name)
		case "log":
			r.log, r.auditlog = true, true
		case "nolog":
			r.log, r.auditlog = false, false // an auditlog after it takes the second half back
		case "auditlog":
			r.auditlog = true
		case "noauditlog":
			r.auditlog = false
		case "capture":
			r.capture = true
		case "multimatch":
			r.multi = true
		default:
			c.compileMeta(r, a)
			c.compileDisruptive(r, t, a)
			c.compileStep(r, a)
		}
	}
	r.noted = r.log || r.auditlog
	r.chain = c.transforms(chain)
}

func (c *compiler) compileMeta(r *rule, a actionText) {
	n := int(leadingInt(a.arg))
	switch a.name {
	case "msg":
		r.msg = c.newMacro(a.arg)
	case "logdata":
		r.logdata = c.newMacro(a.arg)
	case "tag":
		r.tags = append(r.tags, c.newMacro(a.arg))
	case "rev":
		r.rev = a.arg
	case "ver":
		r.ver = a.arg
	case "severity":
		r.severity = severityOf(a.arg)
	case "maturity":
		r.maturity = n
	case "accuracy":
		r.accuracy = n
	case "skip":
		r.skip = n
	case "skipafter":
		r.skipAfter = a.arg
	}
}

func (c *compiler) compileDisruptive(r *rule, t *ruleText, a actionText) {
	switch a.name {
	case "pass":
		r.disruptive = actPass
	case "allow":
		r.disruptive, r.allow = actAllow, lower(a.arg)
	case "deny":
		r.disruptive = actDeny
	case "drop":
		r.disruptive = actDrop
	case "redirect", "proxy":
		r.disruptive = actRedirect
		if a.name == "proxy" {
			r.disruptive = actProxy
		}
		r.location = c.newMacro(a.arg)
	case "status":
		r.status = statusOf(a.arg)
	case "pause":
		if strings.Contains(a.arg, "%{") {
			r.pauseOf = c.newMacro(a.arg)
			return
		}
		r.pause = time.Duration(leadingInt(a.arg)) * time.Millisecond
	case "block":
		r.disruptive = actPass
		for _, d := range t.blockMeans(r.phase) {
			if disruptive[d.name] || d.name == "status" && !t.has("status") || d.name == "pause" && !t.has("pause") {
				c.compileDisruptive(r, t, d)
			}
		}
	}
}

// transforms interns a chain of transformations.
func (c *compiler) transforms(names []string) transChain {
	key := strings.Join(names, ",")
	if id, ok := c.chainID[key]; ok {
		return c.e.chains[id]
	}
	var ch transChain
	for _, n := range names {
		id, ok := c.transID[n]
		if !ok {
			fn, known := transform.Lookup(n)
			if !known {
				c.fail(unknown("transformation", n, transform.Names()))
				continue
			}
			if n == "urldecodeuni" && c.e.unicode != nil {
				fn = transform.URLDecodeUni(c.e.unicode)
			}
			id = uint8(len(c.e.transforms))
			c.transID[n] = id
			c.e.transforms = append(c.e.transforms, usedTransform{n, fn, transform.Says(n)})
			c.e.learnBytes(id, n)
		}
		ch.ids = append(ch.ids, id)
		ch.set |= 1 << id
	}
	ch.id = len(c.e.chains)
	c.chainID[key] = ch.id
	c.e.chains = append(c.e.chains, ch)
	return ch
}

func (e *Engine) learnBytes(id uint8, name string) {
	for b := 0; b < 256; b++ {
		acts, known := actsOn(name, byte(b))
		if !known {
			return
		}
		if acts {
			e.activeBytes[b] |= 1 << id
		}
	}
	e.byteDriven |= 1 << id
}

func (c *compiler) openUnicodeMap() {
	s := &c.settings
	if s.UnicodeMapFile == "" {
		return
	}
	c.at = s.Origin["secunicodemapfile"]
	if c.at.Name == "" {
		c.at = s.Origin["secunicodemap"]
	}
	path := c.path(s.UnicodeMapFile)
	text, err := c.cfg.ReadFile(path)
	if err != nil {
		text := fmt.Sprintf("%s: read %s: %v", c.at.Name, path, err)
		if filepath.Base(path) != "unicode.mapping" {
			c.fail(errors.New(text))
			return
		}
		// The recommended configuration names this file, and people copy the one without the other.
		c.warn(text + "; t:urlDecodeUni goes on without a code page")
		return
	}
	page := s.UnicodeCodePage
	if page == 0 {
		page = 20127
	}
	if c.e.unicode, err = transform.ParseUnicodeMap(path, text, page); err != nil {
		c.fail(err)
	}
}

// checkSkips warns about skipAfter whose marker does not come behind it: it then skips to the end of the phase, as in mod_security2.
func (c *compiler) checkSkips() {
	labels := map[string]*rule{}
	for _, r := range c.e.rules {
		if r.kind == ruleMarker {
			labels[r.label] = r
		} else {
			labels[strconv.Itoa(r.id)] = r
		}
	}
	for p := 1; p <= 5; p++ {
		for i, r := range c.e.phases[p] {
			if r.skipAfter == "" {
				continue
			}
			found := false
			if r.jump, found = landing(c.e.phases[p], i, r.skipAfter); found {
				continue
			}
			c.at = r.text.dir
			switch m := labels[r.skipAfter]; {
			case m == nil:
				c.warn(fmt.Sprintf("skipAfter:%s has no SecMarker of that name: it skips to the end of the phase", r.skipAfter))
			case m.kind == ruleMarker:
				c.warn(fmt.Sprintf("skipAfter:%s goes forward only, and SecMarker %s at %s:%d stands before it: it skips to the end of the phase", r.skipAfter, m.label, m.file, m.line))
			default:
				c.warn(fmt.Sprintf("skipAfter:%s: rule %d at %s:%d does not come behind it in phase %d: it skips to the end of the phase", r.skipAfter, m.id, m.file, m.line, p))
			}
		}
	}
}

// namespaces are the prefixes that xmlns:prefix=uri actions declare.
func (c *compiler) namespaces(t *ruleText) map[string]string {
	var ns map[string]string
	for _, a := range t.actions {
		if a.name != "xmlns" {
			continue
		}
		prefix, uri, ok := strings.Cut(a.arg, "=")
		uri = strings.Trim(uri, `"'`)
		if !ok || prefix == "" || !strings.Contains(uri, ":") {
			c.fail(fmt.Errorf("xmlns:%s, expected prefix=uri, such as soap=http://schemas.xmlsoap.org/soap/envelope/", a.arg))
			continue
		}
		if ns == nil {
			ns = map[string]string{}
		}
		ns[prefix] = uri
	}
	return ns
}

// landing is where rules go on after a skipAfter at index at: behind the marker or rule of that name, else at the end.
func landing(rules []*rule, at int, label string) (next int, found bool) {
	for i := at + 1; i < len(rules); i++ {
		if r := rules[i]; r.kind == ruleMarker && r.label == label {
			return i + 1, true
		} else if r.kind != ruleMarker && strconv.Itoa(r.id) == label {
			return i + 1, true
		}
	}
	return len(rules), false
}
