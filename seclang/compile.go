package seclang

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang/match"
	"github.com/trapline/trapline/seclang/operator"
)

// compiler holds what Compile learns on its way. It is thrown away afterwards.
type compiler struct {
	cfg      Config
	settings Settings
	texts    []*ruleText
	updates  []update
	defaults *defaultActions
	errs     []*Error
	warns    []Warning
	assumed  []Assumption
	at       Directive   // what is being compiled, for error positions
	faulty   []*ruleText // rules with faults, and starters that stand for them: they are compiled to find more faults
	warned   map[string]bool
	fetched  map[string]string // texts of SecRemoteRules, with the file that names them

	e       *Engine
	builder *match.Builder
	env     operator.Env
	bits    map[string]int
	srcIDs  map[string]int
	chainID map[string]int
	transID map[string]uint8
	txSlots map[string]int32
	runtime bool // expanding a text of a transaction
	marked  map[string]bool
	classes map[string]uint64 // byte classes by name

	ownInit, foreignInit bool // initcol:ip in the files of the honeytrap rules, and in others
}

func newCompiler(cfg Config) *compiler {
	if cfg.ReadFile == nil {
		cfg.ReadFile = defaultReadFile
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &compiler{
		cfg: cfg, settings: defaultSettings(), warned: map[string]bool{}, bits: map[string]int{},
		srcIDs: map[string]int{}, chainID: map[string]int{}, transID: map[string]uint8{}, txSlots: map[string]int32{},
		marked: map[string]bool{}, builder: match.NewBuilder(), defaults: &defaultActions{},
	}
	c.settings.Origin = map[string]Directive{}
	c.e = &Engine{
		luaTime:     luaTime,
		collections: cfg.Collections, logger: cfg.Logger, now: cfg.Now, readFile: cfg.ReadFile, honeytrap: cfg.Honeytrap,
		debug: cfg.Debug,
	}
	for i := range c.e.txCaptures {
		c.e.txCaptures[i] = c.txSlot(string(rune('0' + i)))
	}
	c.e.limitSlot = c.txSlot("MSC_PCRE_LIMITS_EXCEEDED")
	return c
}

func (c *compiler) fail(err error) {
	for _, e := range unjoin(err) {
		var own *Error
		if errors.As(e, &own) { // knows its place
			c.errs = append(c.errs, own)
			continue
		}
		c.errs = append(c.errs, &Error{c.at.File, c.at.Line, e.Error()})
	}
}

// unjoin takes errors.Join apart, so that each fault gets its own position.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, unjoin(e)...)
		}
		return out
	}
	return []error{err}
}

func (c *compiler) warn(text string) {
	key := c.at.Pos() + text
	if c.warned[key] {
		return
	}
	c.warned[key] = true
	c.warns = append(c.warns, Warning{c.at.File, c.at.Line, text, c.at.Name})
}

// sortFaults puts errors and warnings into the order of the text: the passes of the compiler find them in another.
func (c *compiler) sortFaults() {
	type place struct {
		file string
		line int
	}
	order := map[place]int{}
	for i, d := range c.cfg.Directives {
		if _, ok := order[place{d.File, d.Line}]; !ok {
			order[place{d.File, d.Line}] = i
		}
	}
	slices.SortStableFunc(c.errs, func(x, y *Error) int {
		return order[place{x.File, x.Line}] - order[place{y.File, y.Line}]
	})
	slices.SortStableFunc(c.warns, func(a, b Warning) int {
		return order[place{a.File, a.Line}] - order[place{b.File, b.Line}]
	})
}

// path joins a relative name to the folder of the file that mentions it.
func (c *compiler) path(name string) string {
	if filepath.IsAbs(name) || c.at.File == "" {
		return name
	}
	return filepath.Join(filepath.Dir(c.origin(c.at.File)), name)
}

// readDirectives sorts the directives into settings, rules and updates of rules.
func (c *compiler) readDirectives() {
	var open *ruleText // starter of a chain that wants another member
	for _, d := range c.cfg.Directives {
		if c.at = d; !c.mayHold(d) {
			continue
		}
		switch name := lower(d.Name); name {
		case "secrule", "secaction", "secmarker", "secrulescript":
			r, err := parseRule(d)
			if err != nil {
				c.fail(err)
				open = c.afterFault(open, d, r)
				continue
			}
			faults := len(c.errs)
			if c.check(r); len(c.errs) > faults {
				open = c.afterFault(open, d, r)
				continue
			}
			open = c.addRule(open, r)
			c.checkOrder(r)
		case "secdefaultaction":
			c.defaultAction(d)
		case "secruleremovebyid", "secruleremovebytag", "secruleremovebymsg", "secruleupdatetargetbyid",
			"secruleupdatetargetbytag", "secruleupdatetargetbymsg", "secruleupdateactionbyid":
			u, err := parseUpdate(d)
			if err != nil {
				c.fail(err)
				continue
			}
			if u.idle != "" {
				c.warn(u.idle)
			}
			c.updates = append(c.updates, u)
		case "secremoterules":
			c.settings.note(name, d) // fetchRemote has put its rules behind it
		default:
			known, warn, err := c.settings.setting(d)
			switch {
			case err != nil:
				c.fail(err)
			case !known:
				c.fail(unknown("directive", d.Name, directiveNames))
			case warn != "":
				c.warn(warn)
			}
		}
	}
	if open != nil {
		c.at = open.dir
		c.warn("the chain that begins here has no further rule; its last rule ends it")
	}
}

// addRule appends r to the rules, or to the chain that is open, and returns the chain that is then open.
func (c *compiler) addRule(open, r *ruleText) *ruleText {
	r.defaults = c.defaults
	if open != nil {
		if r.kind == ruleMarker {
			c.warn("SecMarker inside a chain: the chain ends before it")
			c.texts = append(c.texts, r)
			return nil
		}
		c.checkMember(open, r)
		open.chain = append(open.chain, r)
	} else {
		if r.kind != ruleMarker && r.id() == 0 {
			if r.kind == ruleAction {
				c.warn("SecAction without an id: mod_security2 refuses it")
			} else {
				c.fail(errors.New("rule without an id: expected id:NUMBER among its actions"))
			}
		}
		c.texts = append(c.texts, r)
		open = r
	}
	if r.has("chain") {
		return open
	}
	return nil
}

// checkMember refuses in a chain member what only its starter may carry.
func (c *compiler) checkMember(open, r *ruleText) {
	for _, a := range r.actions {
		switch a.name {
		case "deny", "drop", "redirect", "proxy", "allow", "pass", "pause":
			c.fail(fmt.Errorf("action %s is allowed in the first rule of a chain only: a chain acts as that says", a.name))
		case "phase":
			if p, err := parsePhase(a.arg); err == nil && open.kind != ruleMarker && p != open.phase() {
				c.warn(fmt.Sprintf("phase:%s in a chained rule has no effect: a chain runs in the phase of its first rule, which is %d", a.arg, open.phase()))
			}
		case "block":
			c.warn("action block in a chained rule has no effect: a chain acts as its first rule says")
		}
	}
}

// checkIDs reports ids that occur twice: an error within one file, a warning between files, naming both places.
func (c *compiler) checkIDs() {
	first := map[int]*ruleText{}
	for _, r := range c.texts {
		id := r.id()
		if id == 0 || r.removed {
			continue
		}
		p := first[id]
		if p == nil {
			first[id] = r
			continue
		}
		c.at = r.dir
		text := fmt.Sprintf("rule id %d is already used at %s", id, p.dir.Pos())
		if p.dir.File == r.dir.File && !strings.EqualFold(p.dir.Raw, r.dir.Raw) {
			c.fail(errors.New(text))
			continue
		}
		c.warn(text)
	}
}

func (c *compiler) txSlot(name string) int32 {
	k := lower(name)
	if s, ok := c.txSlots[k]; ok {
		return s
	}
	s := int32(len(c.e.txNames))
	c.txSlots[k] = s
	c.e.txNames = append(c.e.txNames, name)
	return s
}
