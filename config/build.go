package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// place is where a directive may stand.
type place uint8

const (
	inMain place = 1 << iota
	inHost
	inSection
	inLimit // <Limit>, <LimitExcept> and <Require...>: access control only

	servers    = inMain | inHost
	everywhere = inMain | inHost | inSection
	access     = inMain | inHost | inSection | inLimit
)

func (p place) String() string {
	switch p {
	case inMain:
		return "outside <VirtualHost>"
	case inHost:
		return "inside <VirtualHost>"
	case servers:
		return "outside <Directory>, <Files> and <Location>"
	case inSection:
		return "inside <Directory>, <Files> or <Location>"
	}
	return "elsewhere"
}

// spec is a directive that we honour.
type spec struct {
	name        string
	where       place
	least, most int // number of arguments; most -1 = any
	expected    string
	set         func(b *builder, s *scope, d seclang.Directive)
}

// scope is where a directive takes effect.
type scope struct {
	place place
	host  *Host
	sec   *Section // the section, or the host's Defaults
	acc   *Access
	req   *Require        // the <Require...> container, nil outside
	own   map[string]bool // lists that this host has begun anew
}

// fresh is true once per host and name: the host's own values replace those of the main server.
func (s *scope) fresh(name string) bool {
	if s.own[name] {
		return false
	}
	s.own[name] = true
	return true
}

// builder applies a tree to hosts.
type builder struct {
	*parser
	specs   map[string]spec
	without map[string]unused
	warned  map[string]bool
	// scopedRules counts the rules made for sections.
	scopedRules int
}

func newBuilder(p *parser) *builder {
	b := &builder{parser: p, specs: map[string]spec{}, without: map[string]unused{}, warned: map[string]bool{}}
	for _, s := range directives() {
		b.specs[strings.ToLower(s.name)] = s
	}
	for _, u := range unusedDirectives() {
		b.without[strings.ToLower(u.name)] = u
	}
	return b
}

// directives lists every directive that we honour.
func directives() []spec {
	return slices.Concat(coreDirectives(), pathDirectives(), accessDirectives(), headerDirectives(), proxyDirectives(),
		logDirectives(), tlsDirectives(), limitDirectives(), trapDirectives())
}

// known is true for a directive that is honoured, or accepted without effect.
func known(name string) bool {
	same := func(n string) bool { return strings.EqualFold(n, name) }
	return seclang.IsDirective(name) || same("Include") || same("IncludeOptional") || same("Define") || same("UnDefine") || same("ServerRoot") ||
		slices.ContainsFunc(directives(), func(s spec) bool { return same(s.name) }) ||
		slices.ContainsFunc(unusedDirectives(), func(u unused) bool { return same(u.name) })
}

// names lists all directive names, for the nearest one to a misspelt name.
func names() []string {
	out := []string{"Include", "IncludeOptional", "Define", "UnDefine", "ServerRoot"}
	for _, s := range directives() {
		out = append(out, s.name)
	}
	for _, u := range unusedDirectives() {
		out = append(out, u.name)
	}
	return out
}

func (b *builder) build(nodes []node) {
	main := newHost()
	main.File, main.Line = b.cfg.File, 1
	b.cfg.Main = main
	s := &scope{place: inMain, host: main, sec: &main.Defaults, acc: &main.Defaults.Access, own: map[string]bool{}}
	var hosts []node
	for _, n := range nodes {
		if n.section == "virtualhost" {
			hosts = append(hosts, n)
			continue
		}
		b.node(s, n)
	}
	main.Sec = main.ownSec
	for _, n := range hosts {
		b.virtualHost(main, n)
	}
	for _, h := range b.hosts() {
		h.finish()
		b.pipes(h)
		b.proxies(h)
	}
	b.honeytraps()
}

// proxies warns when proxies are to be believed, but none is named.
func (b *builder) proxies(h *Host) {
	r, what := h.RemoteIP, ""
	switch {
	case len(r.Trusted)+len(r.Internal) > 0:
		return
	case r.Header != "":
		what = "RemoteIPHeader " + r.Header
	case r.ProxyProtocol:
		what = "RemoteIPProxyProtocol"
	}
	if what == "" || b.warned[what] {
		return
	}
	b.warned[what] = true
	name, _, _ := strings.Cut(what, " ")
	b.warns = append(b.warns, Warning{
		File: h.File, Line: h.Line, Directive: name,
		Text: what + " is believed from nobody: name the proxies in RemoteIPInternalProxy or RemoteIPTrustedProxy (Apache would believe everybody)",
	})
}

func (b *builder) hosts() []*Host {
	return append([]*Host{b.cfg.Main}, b.cfg.Hosts...)
}

func (b *builder) virtualHost(main *Host, n node) {
	h := main.child()
	h.File, h.Line = n.d.File, n.d.Line
	if b.arity(n.d, 1, -1, "an address and port such as *:8000") {
		for _, arg := range n.d.Args {
			a, err := parseAddress(arg)
			if err != nil {
				b.errorf(n.d, "<VirtualHost>: found %q, expected %v", arg, err)
				continue
			}
			h.Addresses = append(h.Addresses, a)
		}
	}
	s := &scope{place: inHost, host: h, sec: &h.Defaults, acc: &h.Defaults.Access, own: map[string]bool{}}
	for _, c := range n.children {
		b.node(s, c)
	}
	h.Proxies = append(h.Proxies, main.Proxies...)
	h.Reverses = append(h.Reverses, main.Reverses...)
	h.Redirects = append(h.Redirects, main.Redirects...)
	h.Paths = append(h.Paths, main.Paths...)
	inherited := main.ownSec
	if h.noInheritRules {
		inherited = withoutRules(inherited)
	}
	h.Sec = slices.Concat(inherited, h.ownSec)
	b.cfg.Hosts = append(b.cfg.Hosts, h)
}

// withoutRules keeps settings only: what SecRuleInheritance Off leaves of the main server's directives.
func withoutRules(ds []seclang.Directive) []seclang.Directive {
	rules := []string{
		"SecRule", "SecAction", "SecMarker", "SecRuleScript", "SecRuleRemoveById", "SecRuleRemoveByMsg", "SecRuleRemoveByTag",
		"SecRuleUpdateActionById", "SecRuleUpdateTargetById", "SecRuleUpdateTargetByMsg", "SecRuleUpdateTargetByTag",
	}
	return slices.DeleteFunc(slices.Clone(ds), func(d seclang.Directive) bool {
		return slices.ContainsFunc(rules, func(r string) bool { return strings.EqualFold(r, d.Name) })
	})
}

func (b *builder) node(s *scope, n node) {
	if n.section != "" {
		b.section(s, n)
		return
	}
	d, name := n.d, strings.ToLower(n.d.Name)
	if strings.HasPrefix(name, "sec") {
		b.sec(s, d)
		return
	}
	sp, ok := b.specs[name]
	if !ok {
		b.unhonoured(d)
		return
	}
	if sp.where&s.place == 0 {
		b.errorf(d, "%s stands inside <%s>, expected %v", sp.name, s.title(), sp.where)
		return
	}
	if b.arity(d, sp.least, sp.most, sp.expected) {
		sp.set(b, s, d)
	}
}

func (s *scope) title() string {
	switch {
	case s.req != nil:
		return "Require" + strings.ToUpper(s.req.Kind[:1]) + s.req.Kind[1:]
	case s.place == inLimit:
		return "Limit"
	case s.place == inSection:
		return s.sec.Kind.String()
	case s.place == inHost:
		return "VirtualHost"
	}
	return "main server"
}

// unhonoured handles a directive without bearing here, and an unknown one.
func (b *builder) unhonoured(d seclang.Directive) {
	u, ok := b.without[strings.ToLower(d.Name)]
	switch {
	case !ok:
		if near := seclang.Nearest(d.Name, names()); near != "" {
			b.errorf(d, "found the unknown directive %q; did you mean %s?", d.Name, near)
			return
		}
		b.errorf(d, "found the unknown directive %q; expected a directive of Apache that bears on serving, a Sec... or a Trap... directive", d.Name)
	case u.refuse:
		b.errorf(d, "%s has no equivalent here: %s", u.name, u.reason)
	case u.warn && !b.warned[u.name]:
		b.warned[u.name] = true
		b.warnf(d, "%s has no effect here: %s", u.name, u.reason)
	}
}

func newHost() *Host {
	return &Host{
		TagConnect: true,
		LogLevel:   "warn",
		LogFormats: map[string]string{
			"":               commonFormat,
			"common":         commonFormat,
			"combined":       combinedFormat,
			"combinedio":     combinedFormat + " %I %O",
			"vhost_common":   "%v " + commonFormat,
			"vhost_combined": "%v:%p " + combinedFormat,
			"referer":        "%{Referer}i -> %U",
			"agent":          "%{User-agent}i",
		},
	}
}

const (
	commonFormat   = `%h %l %u %t "%r" %>s %b`
	combinedFormat = commonFormat + ` "%{Referer}i" "%{User-Agent}i"`
)

// child is a virtual host before its own directives. What is listed own-first (ProxyPass, Redirect, Alias) joins later.
func (h *Host) child() *Host {
	c := *h
	c.Addresses, c.Name, c.Aliases = nil, "", nil
	c.Proxies, c.Reverses, c.Redirects, c.Paths = nil, nil, nil, nil
	c.trapHost, c.ownSec, c.Sec, c.Pipes = trapUnset, nil, nil, nil
	c.TLS.On, c.TLS.Pairs = false, nil
	c.Sections = slices.Clone(h.Sections)
	c.CustomLogs = slices.Clip(h.CustomLogs)
	c.LogFormats = maps.Clone(h.LogFormats)
	c.RemoteIP.Trusted = slices.Clip(h.RemoteIP.Trusted)
	c.RemoteIP.Internal = slices.Clip(h.RemoteIP.Internal)
	d := &c.Defaults
	d.Headers, d.RequestHeaders, d.SetEnv = slices.Clip(d.Headers), slices.Clip(d.RequestHeaders), slices.Clip(d.SetEnv)
	d.ErrorDocuments, d.Types = maps.Clone(d.ErrorDocuments), maps.Clone(d.Types)
	return &c
}

// finish puts sections into the order in which Apache merges them: folders from the shortest, folder patterns, files, locations.
func (h *Host) finish() {
	rank := func(s *Section) int {
		switch {
		case s.Kind == Directory && s.Regexp == nil:
			return strings.Count(strings.TrimSuffix(s.Pattern, "/"), "/") - 1_000_000
		case s.Kind == Directory:
			return 0
		}
		return int(s.Kind)
	}
	slices.SortStableFunc(h.Sections, func(a, b *Section) int { return rank(a) - rank(b) })
}
