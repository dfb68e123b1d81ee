package config

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// sectionKind is a section that the builder knows.
type sectionKind struct {
	name   string
	where  place
	kind   SectionKind
	regexp bool
}

func sectionSpec(name string) (sectionKind, bool) {
	for _, s := range []sectionKind{
		{name: "VirtualHost", where: inMain},
		{name: "Directory", where: servers, kind: Directory},
		{name: "DirectoryMatch", where: servers, kind: Directory, regexp: true},
		{name: "Files", where: everywhere, kind: Files},
		{name: "FilesMatch", where: everywhere, kind: Files, regexp: true},
		{name: "Location", where: servers, kind: Location},
		{name: "LocationMatch", where: servers, kind: Location, regexp: true},
		{name: "Proxy", where: servers},
		{name: "ProxyMatch", where: servers},
		{name: "Limit", where: everywhere},
		{name: "LimitExcept", where: everywhere},
		{name: "RequireAll", where: access},
		{name: "RequireAny", where: access},
		{name: "RequireNone", where: access},
	} {
		if strings.EqualFold(s.name, name) {
			return s, true
		}
	}
	return sectionKind{}, false
}

func (b *builder) section(s *scope, n node) {
	k, ok := sectionSpec(n.section)
	if !ok {
		b.unknownSection(n)
		return
	}
	if k.where&s.place == 0 {
		b.errorf(n.d, "<%s> stands inside <%s>, expected %v", k.name, s.title(), k.where)
		return
	}
	switch k.name {
	case "RequireAll", "RequireAny", "RequireNone":
		b.requireSection(s, n, strings.ToLower(strings.TrimPrefix(k.name, "Require")))
	case "Limit", "LimitExcept":
		b.limitSection(s, n, k.name == "LimitExcept")
	case "Proxy", "ProxyMatch":
		b.proxySection(n)
	default:
		b.plainSection(s, n, k)
	}
}

func (b *builder) unknownSection(n node) {
	known := []string{
		"VirtualHost", "Directory", "DirectoryMatch", "Files", "FilesMatch", "Location", "LocationMatch", "IfModule", "IfDefine",
		"IfVersion", "IfFile", "IfDirective", "IfSection", "RequireAll", "RequireAny", "RequireNone", "Limit", "LimitExcept", "Proxy", "ProxyMatch",
	}
	switch n.section {
	case "if", "elseif", "else":
		b.errorf(n.d, "<%s> has no equivalent here: expressions are not evaluated; use SetEnvIf with env=, <LocationMatch> or a SecRule", strings.TrimLeft(n.d.Name, "<"))
		return
	}
	if near := seclang.Nearest(n.section, known); near != "" {
		b.errorf(n.d, "found the unknown section <%s>; did you mean <%s>?", n.section, near)
		return
	}
	b.errorf(n.d, "found the unknown section <%s>, expected one of <%s>", n.section, strings.Join(known, "> <"))
}

// plainSection is a <Directory>, <Files> or <Location>, or its Match.
func (b *builder) plainSection(s *scope, n node, k sectionKind) {
	args := n.d.Args
	isRegexp := k.regexp
	if len(args) == 2 && args[0] == "~" {
		args, isRegexp = args[1:], true
	}
	if len(args) != 1 || args[0] == "" {
		b.errorf(n.d, "<%s>: found %q, expected one path or pattern", k.name, strings.Join(n.d.Args, " "))
		return
	}
	sec := &Section{Kind: k.kind, Pattern: args[0], File: n.d.File, Line: n.d.Line}
	if s.place == inSection {
		sec.Within = s.sec
	}
	switch {
	case isRegexp:
		sec.Regexp = b.regexp(n.d, args[0])
	case k.kind == Directory:
		sec.Pattern = b.cfg.path(args[0])
	}
	s.host.Sections = append(s.host.Sections, sec)
	inner := *s
	inner.place, inner.sec, inner.acc = inSection, sec, &sec.Access
	var scoped []seclang.Directive
	for _, c := range n.children {
		if c.section == "" && strings.HasPrefix(strings.ToLower(c.d.Name), "sec") {
			scoped = append(scoped, c.d)
			continue
		}
		b.node(&inner, c)
	}
	if len(scoped) > 0 {
		b.scopedSec(s.host, sec, scoped)
	}
}

func (b *builder) regexp(d seclang.Directive, pattern string) *Pattern {
	re, err := CompilePattern(pattern)
	if err != nil {
		b.errorf(d, "%s: found the pattern %q, expected a regular expression: %v", strings.TrimPrefix(d.Name, "<"), pattern, err)
		return nil
	}
	return re
}

// proxySection accepts access control of a forward proxy, which we never are: a reverse proxy is open to all by <Proxy>'s usual content.
func (b *builder) proxySection(n node) {
	for _, c := range n.children {
		name := strings.ToLower(c.d.Name)
		if c.section == "" && (name == "require" && len(c.d.Args) == 2 && strings.EqualFold(c.d.Args[1], "granted") || name == "order" || name == "allow" || name == "proxyset") {
			continue
		}
		b.warnf(n.d, "<Proxy> is not evaluated: put access control for proxied paths into <Location>")
		return
	}
}

// parseAddress reads one address of <VirtualHost>: *:8000, 192.0.2.1:80, [2001:db8::1]:443, _default_:*.
func parseAddress(s string) (Address, error) {
	errAddress := errors.New("an IP address or * and a port, such as *:8000, 192.0.2.1:80 or [2001:db8::1]:443; names are not looked up")
	host, portText, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		if _, err := netip.ParseAddr(s); err != nil {
			host, portText, hasPort = s[:i], s[i+1:], true
		}
	}
	a := Address{}
	if hasPort && portText != "*" {
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || port == 0 {
			return a, errAddress
		}
		a.Port = uint16(port)
	}
	if host == "*" || strings.EqualFold(host, "_default_") {
		return a, nil
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil {
		return a, errAddress
	}
	a.IP = ip.Unmap().WithZone("")
	return a, nil
}
