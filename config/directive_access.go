package config

import (
	"net/netip"
	"strings"

	"github.com/trapline/trapline/seclang"
)

func accessDirectives() []spec {
	nothing := func(*builder, *scope, seclang.Directive) {}
	return []spec{
		{"Require", access, 1, -1, "all granted, all denied, ip ..., local, env ..., method ...", (*builder).require},
		{"Order", access, 1, 2, "allow,deny or deny,allow", func(b *builder, s *scope, d seclang.Directive) {
			order := strings.ToLower(strings.Join(d.Args, ""))
			if order != "allow,deny" && order != "deny,allow" && order != "mutual-failure" {
				b.errorf(d, "Order: found %q, expected allow,deny or deny,allow", strings.Join(d.Args, " "))
				return
			}
			s.acc.Order = order
		}},
		{"Allow", access, 2, -1, "from all, or from addresses", func(b *builder, s *scope, d seclang.Directive) {
			s.acc.Allow = append(s.acc.Allow, b.from(d)...)
		}},
		{"Deny", access, 2, -1, "from all, or from addresses", func(b *builder, s *scope, d seclang.Directive) {
			s.acc.Deny = append(s.acc.Deny, b.from(d)...)
		}},
		{"Satisfy", access, 1, 1, "All or Any", func(b *builder, s *scope, d seclang.Directive) {
			switch strings.ToLower(d.Args[0]) {
			case "all":
				s.acc.SatisfyAny = false
			case "any":
				s.acc.SatisfyAny = true
			default:
				b.errorf(d, "Satisfy: found %q, expected All or Any", d.Args[0])
			}
		}},
		// There are no .htaccess files here, so every value means None; the argument is still checked to be there.
		{"AllowOverride", everywhere, 1, -1, "None", func(b *builder, _ *scope, d seclang.Directive) {
			if !strings.EqualFold(d.Args[0], "None") && !b.warned["AllowOverride"] {
				b.warned["AllowOverride"] = true
				b.warnf(d, "AllowOverride %s: .htaccess files are not read here; put their directives into this file", strings.Join(d.Args, " "))
			}
		}},
		{"AllowOverrideList", everywhere, 1, -1, "None", nothing},
	}
}

// from reads the arguments of Allow and Deny.
func (b *builder) from(d seclang.Directive) []Who {
	if !strings.EqualFold(d.Args[0], "from") {
		b.errorf(d, "%s: found %q, expected from", d.Name, d.Args[0])
		return nil
	}
	var out []Who
	for _, arg := range d.Args[1:] {
		switch {
		case strings.EqualFold(arg, "all"):
			out = append(out, Who{All: true})
		case strings.HasPrefix(arg, "env="):
			name, not, ok := parseEnv(arg)
			if !ok {
				b.errorf(d, "%s: found %q, expected env=NAME or env=!NAME", d.Name, arg)
				continue
			}
			out = append(out, Who{Env: name, EnvNot: not})
		default:
			p, err := parsePrefix(arg)
			if err != nil {
				b.errorf(d, "%s: found %q, expected all, env=NAME or %v; host names are not looked up here", d.Name, arg, err)
				continue
			}
			out = append(out, Who{Prefixes: []netip.Prefix{p}})
		}
	}
	return out
}

func (b *builder) require(s *scope, d seclang.Directive) {
	if r, ok := b.parseRequire(d); ok {
		s.demand(r)
	}
}

// demand adds a Require to the container around it, or to what the section demands.
func (s *scope) demand(r Require) {
	switch {
	case s.req != nil:
		s.req.Children = append(s.req.Children, r)
	case s.acc.Require == nil:
		s.acc.Require = &Require{Kind: "any", Children: []Require{r}}
	default:
		s.acc.Require.Children = append(s.acc.Require.Children, r)
	}
}

func (b *builder) parseRequire(d seclang.Directive) (Require, bool) {
	r, args := Require{}, d.Args
	if strings.EqualFold(args[0], "not") {
		r.Not, args = true, args[1:]
	}
	if len(args) == 0 {
		b.errorf(d, "Require: found %q, expected what follows not", strings.Join(d.Args, " "))
		return r, false
	}
	kind, args := strings.ToLower(args[0]), args[1:]
	switch kind {
	case "all":
		if len(args) == 1 && strings.EqualFold(args[0], "granted") {
			r.Kind = "granted"
			return r, true
		}
		if len(args) == 1 && strings.EqualFold(args[0], "denied") {
			r.Kind = "denied"
			return r, true
		}
		b.errorf(d, "Require all: found %q, expected granted or denied", strings.Join(args, " "))
		return r, false
	case "local":
		r.Kind, r.Who = "who", Who{Local: true}
		return r, true
	case "ip", "env", "method":
		if len(args) == 0 {
			b.errorf(d, "Require %s: found nothing, expected at least one value", kind)
			return r, false
		}
	case "host", "forward-dns", "user", "group", "valid-user", "valid", "ldap-user", "ldap-group", "expr", "dbm-group":
		b.warnf(d, "Require %s is not evaluated here and counts as denied", kind)
		r.Kind, r.Not = "denied", false
		return r, true
	default:
		b.errorf(d, "Require: found %q, expected all, ip, local, env or method", kind)
		return r, false
	}
	switch kind {
	case "ip":
		r.Kind, r.Who = "who", Who{Prefixes: b.prefixes(d, args)}
	case "method":
		r.Kind, r.Methods = "method", args
	case "env":
		r.Kind = "any"
		for _, name := range args {
			r.Children = append(r.Children, Require{Kind: "who", Who: Who{Env: name}})
		}
	}
	return r, true
}

func (b *builder) requireSection(s *scope, n node, kind string) {
	r := Require{Kind: kind}
	inner := *s
	inner.req, inner.place = &r, inLimit
	for _, c := range n.children {
		b.node(&inner, c)
	}
	if len(r.Children) == 0 {
		return // as Apache: an empty container says nothing
	}
	s.demand(r)
}

func (b *builder) limitSection(s *scope, n node, except bool) {
	if !b.arity(n.d, 1, -1, "methods such as GET POST") {
		return
	}
	acc := Access{Methods: n.d.Args, Except: except}
	inner := *s
	inner.acc, inner.req = &acc, nil
	inner.place = inLimit
	for _, c := range n.children {
		b.node(&inner, c)
	}
	if !acc.IsZero() {
		s.acc.Limited = append(s.acc.Limited, acc)
	}
}
