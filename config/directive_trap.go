package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang"
)

func defaultTrap() Trap {
	return Trap{Console: "127.0.0.1:8090", TagConnect: true}
}

func trapDirectives() []spec {
	return []spec{
		{"TrapHost", inHost | inMain, 1, 1, "On or Off", func(b *builder, s *scope, d seclang.Directive) {
			s.host.trapHost = trapOff
			if b.on(d, d.Args[0]) {
				s.host.trapHost = trapOn
				s.host.Why = "TrapHost On at " + d.Pos()
			}
		}},
		{"TrapTagConnect", servers, 1, 1, "On or Off", func(b *builder, s *scope, d seclang.Directive) {
			on := b.on(d, d.Args[0])
			s.host.TagConnect = on
			if s.place == inMain {
				b.cfg.Trap.TagConnect = on
			}
		}},
		{"TrapConsole", inMain, 1, -1, "address:port, and the host names by which browsers reach it, or Off", func(b *builder, _ *scope, d seclang.Directive) {
			if strings.EqualFold(d.Args[0], "off") {
				b.cfg.Trap.Console = ""
				return
			}
			if _, err := netip.ParseAddrPort(d.Args[0]); err != nil {
				b.errorf(d, "TrapConsole: found %q, expected Off or an IP address and port such as 127.0.0.1:8090", d.Args[0])
				return
			}
			b.cfg.Trap.Console, b.cfg.Trap.ConsoleNames = d.Args[0], d.Args[1:]
		}},
		{"TrapData", inMain, 1, 1, "a folder", func(b *builder, _ *scope, d seclang.Directive) { b.cfg.Trap.Data = b.cfg.path(d.Args[0]) }},
		{"TrapStore", inMain, 2, 4, "events sqlite, and perhaps age= and size=", (*builder).trapStore},
		{"TrapSpool", inMain, 1, 1, "size=", (*builder).trapSpool},
		{"TrapReport", inMain, 1, -1, "a console's URL, and user=, password=, token=, protocol=, insecure", func(b *builder, _ *scope, d seclang.Directive) {
			if p, ok := b.peer(d); ok {
				b.cfg.Trap.Report = append(b.cfg.Trap.Report, p)
			}
		}},
		{"TrapDecision", inMain, 3, 3, "collection.variable, ban or watch, and how long", (*builder).trapDecision},
		{"TrapAllow", inMain, 1, -1, "addresses or networks", func(b *builder, _ *scope, d seclang.Directive) {
			for _, arg := range d.Args {
				b.cfg.Trap.Allow = append(b.cfg.Trap.Allow, b.prefixes(d, []string{arg})...)
			}
		}},
		{"TrapLimit", inMain, 2, 2, "headers, body, request, connection, client-connections, client-records or connections, and a value", (*builder).trapLimit},
	}
}

func (b *builder) trapStore(_ *scope, d seclang.Directive) {
	if !strings.EqualFold(d.Args[0], "events") || !strings.EqualFold(d.Args[1], "sqlite") {
		b.errorf(d, "TrapStore: found %q, expected events sqlite, and perhaps age=90d or size=10G", strings.Join(d.Args, " "))
		return
	}
	store := &Store{What: "events", URL: "sqlite", File: d.File, Line: d.Line}
	b.storeLimits(store, d)
	b.cfg.Trap.Store = store
}

// storeLimits reads age=90d and size=10G.
func (b *builder) storeLimits(s *Store, d seclang.Directive) {
	for _, arg := range d.Args[2:] {
		key, value, _ := strings.Cut(arg, "=")
		switch strings.ToLower(key) {
		case "age":
			s.MaxAge = b.duration(d, value, 24*time.Hour)
		case "size":
			s.MaxBytes = b.size(d, value)
		default:
			b.errorf(d, "TrapStore: found %q, expected age=90d or size=10G", arg)
		}
	}
}

// leastSpool holds a few of the largest records, and segments that are worth a file.
const leastSpool = 64 << 20

func (b *builder) trapSpool(_ *scope, d seclang.Directive) {
	key, value, _ := strings.Cut(d.Args[0], "=")
	if !strings.EqualFold(key, "size") {
		b.errorf(d, "TrapSpool: found %q, expected size=4G", d.Args[0])
		return
	}
	n := b.size(d, value)
	if n > 0 && n < leastSpool {
		b.errorf(d, "TrapSpool: found %q, expected size=64M or more", d.Args[0])
	}
	b.cfg.Trap.SpoolBytes = n
}

func (b *builder) peer(d seclang.Directive) (Peer, bool) {
	p := Peer{URL: d.Args[0], Protocol: "batch", File: d.File, Line: d.Line}
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		b.errorf(d, "%s: found %q, expected a URL such as https://console.example.org/", d.Name, p.URL)
		return p, false
	}
	if strings.HasSuffix(u.Path, "/rpc/auditLogReceiver") {
		p.Protocol = "mlogc"
	}
	for _, arg := range d.Args[1:] {
		key, value, has := strings.Cut(arg, "=")
		switch strings.ToLower(key) {
		case "user":
			p.User = value
		case "password":
			p.Password = value
		case "token":
			p.Token = value
		case "insecure":
			p.Insecure = !has || b.on(d, value)
		case "protocol":
			p.Protocol = strings.ToLower(value)
			if p.Protocol != "batch" && p.Protocol != "mlogc" {
				b.errorf(d, "%s: found %q, expected protocol=batch or protocol=mlogc", d.Name, arg)
				return p, false
			}
		default:
			b.errorf(d, "%s: found %q, expected user=, password=, token=, protocol= or insecure", d.Name, arg)
			return p, false
		}
	}
	return p, true
}

func (b *builder) trapDecision(_ *scope, d seclang.Directive) {
	collection, variable, ok := strings.Cut(strings.ToLower(d.Args[0]), ".")
	if !ok || collection != "ip" || variable == "" {
		b.errorf(d, "TrapDecision: found %q, expected a variable of the IP collection such as ip.malicious_client", d.Args[0])
		return
	}
	kind := strings.ToLower(d.Args[1])
	if kind != "ban" && kind != "watch" {
		b.errorf(d, "TrapDecision: found %q, expected ban or watch", d.Args[1])
		return
	}
	b.cfg.Trap.Decisions = append(b.cfg.Trap.Decisions, Decision{
		Collection: collection, Variable: variable, Type: kind, For: b.duration(d, d.Args[2], time.Second), File: d.File, Line: d.Line,
	})
}

func (b *builder) trapLimit(_ *scope, d seclang.Directive) {
	l, value := &b.cfg.Trap.Limits, d.Args[1]
	switch strings.ToLower(d.Args[0]) {
	case "headers":
		l.HeaderBytes = b.size(d, value)
	case "body":
		l.BodyBytes = b.size(d, value)
	case "request":
		l.Request = b.duration(d, value, time.Second)
	case "connection":
		l.Connection = b.duration(d, value, time.Second)
	case "client-connections":
		l.PerClient = int(b.number(d, value, 1, 1<<20))
	case "client-records":
		if l.ClientRecords = -1; !strings.EqualFold(value, "off") {
			l.ClientRecords = int(b.number(d, value, 1, 1<<20))
		}
	case "connections":
		l.Connections = int(b.number(d, value, 1, 1<<24))
	default:
		b.errorf(d, "TrapLimit: found %q, expected headers, body, request, connection, client-connections, client-records or connections", d.Args[0])
	}
}
