package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/trapline/trapline/seclang"
)

func headerDirectives() []spec {
	return []spec{
		{"Header", everywhere, 2, -1, "an action, a header name and a value", func(b *builder, s *scope, d seclang.Directive) {
			if op, ok := b.headerOp(d, false); ok {
				s.sec.Headers = append(s.sec.Headers, op)
			}
		}},
		{"RequestHeader", everywhere, 2, -1, "an action, a header name and a value", func(b *builder, s *scope, d seclang.Directive) {
			if op, ok := b.headerOp(d, true); ok {
				s.sec.RequestHeaders = append(s.sec.RequestHeaders, op)
			}
		}},
		{"SetEnv", everywhere, 1, 2, "a name and a value", func(_ *builder, s *scope, d seclang.Directive) {
			v := EnvVar{Name: d.Args[0]}
			if len(d.Args) == 2 {
				v.Value = d.Args[1]
			}
			s.sec.SetEnv = append(s.sec.SetEnv, SetEnv{Vars: []EnvVar{v}})
		}},
		{"UnsetEnv", everywhere, 1, -1, "names", func(_ *builder, s *scope, d seclang.Directive) {
			for _, name := range d.Args {
				s.sec.SetEnv = append(s.sec.SetEnv, SetEnv{Vars: []EnvVar{{Name: name, Unset: true}}})
			}
		}},
		{"PassEnv", everywhere, 1, -1, "names", func(b *builder, s *scope, d seclang.Directive) {
			for _, name := range d.Args {
				value, ok := b.opt.Env(name)
				if !ok {
					b.warnf(d, "PassEnv %s: the environment has no such variable", name)
					continue
				}
				s.sec.SetEnv = append(s.sec.SetEnv, SetEnv{Vars: []EnvVar{{Name: name, Value: value}}})
			}
		}},
		{"SetEnvIf", everywhere, 3, -1, "an attribute, a pattern and variables", func(b *builder, s *scope, d seclang.Directive) {
			b.setEnvIf(s, d, d.Args, false)
		}},
		{"SetEnvIfNoCase", everywhere, 3, -1, "an attribute, a pattern and variables", func(b *builder, s *scope, d seclang.Directive) {
			b.setEnvIf(s, d, d.Args, true)
		}},
		{"BrowserMatch", everywhere, 2, -1, "a pattern and variables", func(b *builder, s *scope, d seclang.Directive) {
			b.setEnvIf(s, d, append([]string{"User-Agent"}, d.Args...), false)
		}},
		{"BrowserMatchNoCase", everywhere, 2, -1, "a pattern and variables", func(b *builder, s *scope, d seclang.Directive) {
			b.setEnvIf(s, d, append([]string{"User-Agent"}, d.Args...), true)
		}},
		{"RemoteIPHeader", servers, 1, 1, "a header name", func(_ *builder, s *scope, d seclang.Directive) {
			s.host.RemoteIP.Header = d.Args[0]
		}},
		{"RemoteIPProxyProtocol", servers, 1, 1, "On or Off", func(b *builder, s *scope, d seclang.Directive) {
			s.host.RemoteIP.ProxyProtocol = b.on(d, d.Args[0])
		}},
		{"RemoteIPTrustedProxy", servers, 1, -1, "addresses or networks", func(b *builder, s *scope, d seclang.Directive) {
			s.remoteIPFresh()
			s.host.RemoteIP.Trusted = append(s.host.RemoteIP.Trusted, b.prefixes(d, d.Args)...)
		}},
		{"RemoteIPInternalProxy", servers, 1, -1, "addresses or networks", func(b *builder, s *scope, d seclang.Directive) {
			s.remoteIPFresh()
			s.host.RemoteIP.Internal = append(s.host.RemoteIP.Internal, b.prefixes(d, d.Args)...)
		}},
		{"RemoteIPTrustedProxyList", servers, 1, 1, "a file", func(b *builder, s *scope, d seclang.Directive) {
			s.remoteIPFresh()
			s.host.RemoteIP.Trusted = append(s.host.RemoteIP.Trusted, b.prefixFile(d)...)
		}},
		{"RemoteIPInternalProxyList", servers, 1, 1, "a file", func(b *builder, s *scope, d seclang.Directive) {
			s.remoteIPFresh()
			s.host.RemoteIP.Internal = append(s.host.RemoteIP.Internal, b.prefixFile(d)...)
		}},
	}
}

func (s *scope) remoteIPFresh() {
	if s.place == inHost && s.fresh("RemoteIP") {
		s.host.RemoteIP.Trusted, s.host.RemoteIP.Internal = nil, nil
	}
}

// prefixFile reads one address or network per word; # begins a comment.
func (b *builder) prefixFile(d seclang.Directive) []netip.Prefix {
	text, err := b.opt.ReadFile(b.cfg.path(d.Args[0]))
	if err != nil {
		b.errorf(d, "%s: %v", d.Name, err)
		return nil
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words = append(words, strings.Fields(line)...)
	}
	return b.prefixes(d, words)
}

// headerOp reads: [condition] action name [value [replacement]] [env=[!]NAME | early].
func (b *builder) headerOp(d seclang.Directive, request bool) (HeaderOp, bool) {
	op, args := HeaderOp{File: d.File, Line: d.Line}, d.Args
	if !request && (strings.EqualFold(args[0], "always") || strings.EqualFold(args[0], "onsuccess")) {
		op.Always, args = strings.EqualFold(args[0], "always"), args[1:]
	}
	values := map[string]int{"set": 1, "append": 1, "add": 1, "merge": 1, "setifempty": 1, "unset": 0, "edit": 2, "edit*": 2, "echo": 0}
	actions := []string{"set", "append", "add", "merge", "setifempty", "unset", "edit", "edit*"}
	if !request {
		actions = append(actions, "echo")
	}
	op.Action = strings.ToLower(args[0])
	if !slices.Contains(actions, op.Action) {
		b.errorf(d, "%s: found the action %q, expected one of %s", d.Name, args[0], strings.Join(actions, " "))
		return op, false
	}
	want := values[op.Action]
	if len(args) < 2+want || len(args) > 3+want {
		b.errorf(d, "%s %s: found %d arguments, expected a header name, %d value(s) and perhaps env=NAME", d.Name, op.Action, len(args)-1, want)
		return op, false
	}
	op.Name = strings.TrimSuffix(args[1], ":")
	if op.Name == "" || strings.ContainsAny(op.Name, " \t\r\n:") {
		b.errorf(d, "%s: found the header name %q, expected a token", d.Name, args[1])
		return op, false
	}
	switch op.Action {
	case "edit", "edit*":
		if op.Regexp = b.regexp(d, args[2]); op.Regexp == nil {
			return op, false
		}
		op.Replace = args[3]
	case "echo":
		if op.Regexp = b.regexp(d, "(?i)"+args[1]); op.Regexp == nil {
			return op, false
		}
	default:
		if want == 1 {
			op.Value = args[2]
		}
	}
	return op, b.headerCondition(&op, d, args[2+want:])
}

func (b *builder) headerCondition(op *HeaderOp, d seclang.Directive, rest []string) (ok bool) {
	switch {
	case len(rest) == 0:
		return true
	case strings.EqualFold(rest[0], "early"):
		b.warnf(d, "%s: early is not a separate step here; the header is changed with the others", d.Name)
		return true
	}
	if op.Env, op.EnvNot, ok = parseEnv(rest[0]); !ok {
		b.errorf(d, "%s: found %q, expected env=NAME or env=!NAME; expr= is not evaluated here", d.Name, rest[0])
	}
	return ok
}

func (b *builder) setEnvIf(s *scope, d seclang.Directive, args []string, noCase bool) {
	pattern := args[1]
	if noCase {
		pattern = "(?i)" + pattern
	}
	e := SetEnv{Attribute: args[0], Regexp: b.regexp(d, pattern)}
	if e.Regexp == nil {
		return
	}
	if strings.ContainsAny(e.Attribute, `^$[]()*+?|\`) { // as Apache: an attribute may itself be a pattern of header names
		if e.AttrRegex = b.regexp(d, "(?i)"+e.Attribute); e.AttrRegex == nil {
			return
		}
	}
	for _, arg := range args[2:] {
		name, value, has := strings.Cut(arg, "=")
		v := EnvVar{Name: name, Value: value}
		if !has {
			v.Value = "1"
		}
		if strings.HasPrefix(name, "!") {
			v = EnvVar{Name: name[1:], Unset: true}
		}
		if v.Name == "" {
			b.errorf(d, "%s: found %q, expected NAME, NAME=value or !NAME", d.Name, arg)
			continue
		}
		e.Vars = append(e.Vars, v)
	}
	s.sec.SetEnv = append(s.sec.SetEnv, e)
}
