package seclang

import (
	"sync"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang/body"
)

// finish builds what all rules share: the literal scan, the groups of values, the pools.
func (c *compiler) finish() *Engine {
	e := c.e
	e.scan = c.builder.Build()
	e.txSlots = c.txSlots
	e.warnings, e.assumptions = c.warns, c.assumed
	type key struct {
		src, chain int
		multi      bool
	}
	groups := map[key]int{}
	for _, list := range [][]*rule{e.rules, e.members} {
		for _, r := range list {
			if r.kind != ruleNormal || r.bit < 0 {
				r.always = true
				continue
			}
			for i := range r.targets {
				k := key{r.targets[i].src, r.chain.id, r.multi}
				g, ok := groups[k]
				if !ok {
					g = len(groups)
					groups[k] = g
				}
				r.targets[i].group = g
			}
		}
	}
	e.groups = len(groups)
	for _, r := range e.rules {
		r.whole = r.chainRaw()
	}
	e.readsPerf = e.readsTimes()
	e.randomKey = randomKey(c.cfg.Secret)
	e.learnSettings()
	e.pool = &sync.Pool{}
	e.temp = body.NewTempFiles()
	blank, err := collection.Open(collection.Config{Shards: 1})
	if err != nil {
		panic("seclang: a store in memory does not open: " + err.Error())
	}
	e.blank = blank
	return e
}

// learnSettings notes what would cost a look-up per request. Without SecRequestBodyAccess bodies are inspected as
// libmodsecurity does, but nothing is refused for their sake.
func (e *Engine) learnSettings() {
	s := &e.settings
	e.learnHash()
	e.bodyLimitSet = s.Set("SecRequestBodyLimit")
	e.mimeListed = s.mimeTypesSet()
	e.respLimitSet = s.Set("SecResponseBodyLimit")
	e.inspectsBody = s.RequestBodyAccess || !s.Set("SecRequestBodyAccess")
	e.inspectsAnswer = s.ResponseBodyAccess || !s.Set("SecResponseBodyAccess")
	e.rejectsBody = s.RequestBodyLimitAction == LimitReject && (s.RequestBodyAccess || s.Set("SecRequestBodyLimitAction"))
}
