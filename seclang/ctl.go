package seclang

import (
	"fmt"
	"strconv"
	"strings"
)

// ctlState is what ctl actions changed for this transaction.
type ctlState struct {
	removed bitset
	targets []ctlTarget

	requestBodyAccess, responseBodyAccess bool
	requestBodyLimit, responseBodyLimit   int64
	forceRequestBody                      bool
	askedResponse                         bool // ctl:responseBodyAccess=On
	parseXMLIntoArgs                      string
	processor                             string
	hashEngine, hashEnforcement           bool // links are signed; @validateHash matches
}

func (c *ctlState) reset(e *Engine) {
	s := &e.settings
	c.requestBodyAccess, c.responseBodyAccess = e.inspectsBody, e.inspectsAnswer
	c.requestBodyLimit, c.responseBodyLimit = s.RequestBodyLimit, s.ResponseBodyLimit
	c.parseXMLIntoArgs = s.ParseXMLIntoArgs
	c.processor = ""
	c.hashEngine, c.hashEnforcement = s.Hash.Engine, s.Hash.Engine
}

type ctlTarget struct {
	rules bitset
	t     target
}

func (c *ctlState) excludes(r *rule, x *ref) bool {
	for i := range c.targets {
		e := &c.targets[i]
		// Members of a chain have no id and no tags of their own: they go on to look, in both versions.
		if e.t.v == x.v && r.starter == r && e.rules.has(r.index) && e.t.sel.match(x.key) {
			return true
		}
	}
	return false
}

// excludesCount says whether r does not count v: only all of it can be taken away.
func (c *ctlState) excludesCount(r *rule, v varID) bool {
	for i := range c.targets {
		e := &c.targets[i]
		if e.t.v == v && r.starter == r && e.rules.has(r.index) && e.t.sel.all() {
			return true
		}
	}
	return false
}

// bitset is a set of rules by index.
type bitset []uint64

func (b bitset) has(i int) bool { return i>>6 < len(b) && b[i>>6]>>(i&63)&1 == 1 }

func (b *bitset) set(i int) {
	for len(*b) <= i>>6 {
		*b = append(*b, 0)
	}
	(*b)[i>>6] |= 1 << (i & 63)
}

func (b *bitset) union(o bitset) {
	for len(*b) < len(o) {
		*b = append(*b, 0)
	}
	for i, w := range o {
		(*b)[i] |= w
	}
}

// ctlStep is a compiled ctl action.
type ctlStep struct {
	option  string
	value   string
	macro   *macro // value with macros
	rules   bitset // what ruleRemove* means, known when the whole text is compiled
	targets []target
	picks   func(*rule) bool
}

// ctlOptions are all options of ctl.
var ctlOptions = []string{
	"auditEngine", "auditLogParts", "debugLogLevel", "forceRequestBodyVariable", "parseXmlIntoArgs", "requestBodyAccess",
	"requestBodyLimit", "requestBodyProcessor", "responseBodyAccess", "responseBodyLimit", "ruleEngine", "ruleRemoveById",
	"ruleRemoveByMsg", "ruleRemoveByTag", "ruleRemoveTargetById", "ruleRemoveTargetByMsg", "ruleRemoveTargetByTag",
	"hashEngine", "hashEnforcement",
}

// maxBodyLimit is the largest limit of a body that either version takes.
const maxBodyLimit = 1 << 30

func (c *compiler) newCtl(arg string) (step, error) {
	opt, val, ok := strings.Cut(arg, "=")
	opt = lower(strings.TrimSpace(opt))
	s := &ctlStep{option: opt, value: strings.TrimSpace(val)}
	known := false
	for _, o := range ctlOptions {
		known = known || lower(o) == opt
	}
	if !known {
		return nil, unknown("ctl option", opt, ctlOptions)
	}
	if !ok {
		return nil, fmt.Errorf("ctl:%s without a value", opt)
	}
	s.value = strings.Trim(s.value, `'"`)
	var err error
	switch opt {
	case "ruleengine":
		_, err = parseMode(s.value, false)
	case "auditengine":
		_, err = parseMode(s.value, true)
	case "requestbodyaccess", "responsebodyaccess", "forcerequestbodyvariable", "hashengine", "hashenforcement":
		if _, ok := parseBool(s.value); !ok {
			err = fmt.Errorf("found %q, expected On or Off", s.value)
		}
	case "requestbodylimit", "responsebodylimit":
		var n int64
		if err = int64To(&n)(s.value, nil); err == nil && n > maxBodyLimit {
			err = fmt.Errorf("found %s, expected at most %d bytes", s.value, maxBodyLimit)
		}
	case "auditlogparts":
		_, err = auditParts(strings.TrimLeft(s.value, "+-"))
	case "debugloglevel":
		if _, err = validDebugLevel(s.value); err != nil && leadingInt(s.value) == 0 && s.value != "" {
			err = noEffect("%v", err)
		}
	default:
		if strings.HasPrefix(opt, "ruleremove") {
			err = c.ctlRules(s)
		}
	}
	if err != nil && strings.Contains(s.value, "%{") {
		s.macro, err = c.newMacro(s.value), nil
	}
	return s, err
}

// ctlRules finds out which rules a ruleRemove* option means.
func (c *compiler) ctlRules(s *ctlStep) error {
	val := s.value
	if strings.Contains(s.option, "target") {
		var targets string
		var ok bool
		if val, targets, ok = strings.Cut(s.value, ";"); !ok {
			return noEffect("expected rules;VARIABLE")
		}
		ts, err := parseTargets(targets)
		if err != nil {
			// Both versions load it and then remove nothing.
			c.warn(fmt.Sprintf("ctl:%s=%s has no effect: %v", s.option, s.value, err))
		}
		s.targets = ts
	}
	switch {
	case strings.HasSuffix(s.option, "byid"):
		ids, err := parseRanges(val)
		if len(ids) == 0 {
			return err
		}
		s.picks = func(r *rule) bool { return r.kind != ruleMarker && inRanges(ids, r.id) }
		return nil
	case strings.HasSuffix(s.option, "bytag"):
		m, err := compileUpdatePattern(val)
		if err != nil {
			return err
		}
		s.picks = func(r *rule) bool {
			for x := r; x != nil; x = x.next {
				for _, t := range x.tags {
					if m(t.text) {
						return true
					}
				}
			}
			return false
		}
	default:
		m, err := compileUpdatePattern(val)
		if err != nil {
			return err
		}
		s.picks = func(r *rule) bool { return r.msg != nil && m(r.msg.text) }
	}
	return nil
}

// resolveCtl turns the ruleRemove* options into sets of rules, now that all rules are known.
func (c *compiler) resolveCtl() {
	for _, list := range [][]*rule{c.e.rules, c.e.members} {
		for _, r := range list {
			for _, s := range r.steps {
				x, ok := s.(*ctlStep)
				if !ok || x.picks == nil {
					continue
				}
				for _, o := range c.e.rules {
					if x.picks(o) {
						x.rules.set(o.index)
					}
				}
				x.picks = nil
			}
		}
	}
}

func (s *ctlStep) run(tx *Transaction, _ *rule) {
	val := s.value
	if s.macro != nil {
		val = s.macro.expand(tx)
	}
	on, _ := parseBool(val)
	switch s.option {
	case "ruleengine":
		if m, err := parseMode(val, false); err == nil {
			tx.mode = m
		}
	case "auditengine":
		if m, err := parseMode(val, true); err == nil {
			tx.auditMode = m
		}
	case "debugloglevel":
		if n, err := validDebugLevel(val); err == nil {
			tx.setDebugLevel(n)
		}
	case "auditlogparts":
		tx.auditParts = changeParts(tx.auditParts, val)
	case "forcerequestbodyvariable":
		tx.ctl.forceRequestBody = on
	case "parsexmlintoargs":
		tx.ctl.parseXMLIntoArgs = val
	case "requestbodyaccess":
		tx.ctl.requestBodyAccess = on
	case "responsebodyaccess":
		tx.ctl.responseBodyAccess, tx.ctl.askedResponse = on, on
	case "requestbodylimit":
		tx.ctl.requestBodyLimit, _ = strconv.ParseInt(val, 10, 64)
	case "responsebodylimit":
		tx.ctl.responseBodyLimit, _ = strconv.ParseInt(val, 10, 64)
	case "hashengine":
		tx.ctl.hashEngine = on
	case "hashenforcement":
		tx.ctl.hashEnforcement = on
	case "requestbodyprocessor":
		tx.ctl.processor = strings.ToUpper(val)
	case "ruleremovebyid", "ruleremovebytag", "ruleremovebymsg":
		tx.ctl.removed.union(s.rules)
	case "ruleremovetargetbyid", "ruleremovetargetbytag", "ruleremovetargetbymsg":
		for _, t := range s.targets {
			if len(tx.ctl.targets) < maxMatches {
				tx.ctl.targets = append(tx.ctl.targets, ctlTarget{s.rules, t})
			}
		}
	}
}

// changeParts applies "+E", "-C" or a whole list of parts.
func changeParts(parts, val string) string {
	if val == "" {
		return parts
	}
	switch val[0] {
	case '+':
		for _, l := range strings.ToUpper(val[1:]) {
			if !strings.ContainsRune(parts, l) {
				parts = strings.TrimSuffix(parts, "Z") + string(l) + "Z"
			}
		}
		return parts
	case '-':
		return strings.Map(func(l rune) rune {
			if strings.ContainsRune(strings.ToUpper(val[1:]), l) && l != 'A' && l != 'Z' {
				return -1
			}
			return l
		}, parts)
	}
	if p, err := auditParts(val); err == nil {
		return p
	}
	return parts
}
