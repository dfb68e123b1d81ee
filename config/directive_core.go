package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang"
)

func coreDirectives() []spec {
	return []spec{
		{"Listen", inMain, 1, 2, "a port or address:port, and perhaps http or https", (*builder).listen},
		{"ServerName", servers, 1, 1, "a host name", (*builder).serverName},
		{"ServerAlias", inHost, 1, -1, "host names", func(_ *builder, s *scope, d seclang.Directive) {
			s.host.Aliases = append(s.host.Aliases, d.Args...)
		}},
		{"ServerAdmin", servers, 1, 1, "a mail address", func(_ *builder, s *scope, d seclang.Directive) { s.host.Admin = d.Args[0] }},
		{"Timeout", servers, 1, 1, "a time in seconds", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Timeouts.Request = b.duration(d, d.Args[0], time.Second)
		}},
		{"KeepAlive", servers, 1, 1, "On or Off", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Timeouts.KeepAliveOff = !b.on(d, d.Args[0])
		}},
		{"KeepAliveTimeout", servers, 1, 1, "a time in seconds", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Timeouts.KeepAlive = b.duration(d, d.Args[0], time.Second)
		}},
		{"MaxKeepAliveRequests", servers, 1, 1, "a number", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Timeouts.MaxKeepAlive = int(b.number(d, d.Args[0], 0, 1<<30))
		}},
	}
}

func (b *builder) listen(_ *scope, d seclang.Directive) {
	l := Listen{File: d.File, Line: d.Line}
	host, portText := "", d.Args[0]
	if i := strings.LastIndexByte(portText, ':'); i >= 0 {
		host, portText = portText[:i], portText[i+1:]
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		b.errorf(d, "Listen: found %q, expected a port from 1 to 65535, or address:port", d.Args[0])
		return
	}
	l.Port = uint16(port)
	if host != "" && host != "*" {
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil {
			b.errorf(d, "Listen: found the address %q, expected an IP address", host)
			return
		}
		l.IP = addr.Unmap().WithZone("")
	}
	if len(d.Args) == 2 {
		switch strings.ToLower(d.Args[1]) {
		case "http":
		case "https":
			l.HTTPS = true
		default:
			b.errorf(d, "Listen: found the protocol %q, expected http or https", d.Args[1])
		}
	}
	for _, have := range b.cfg.Listen {
		if have.IP == l.IP && have.Port == l.Port {
			b.warnf(d, "Listen %s is given twice, first at %s:%d", l.Address(), have.File, have.Line)
			return
		}
	}
	b.cfg.Listen = append(b.cfg.Listen, l)
}

func (b *builder) serverName(s *scope, d seclang.Directive) {
	name := d.Args[0]
	if _, rest, ok := strings.Cut(name, "://"); ok {
		name = rest
	}
	s.host.Name = hostOnly(name)
	if s.host.Name == "" || strings.ContainsAny(s.host.Name, "/ ") {
		b.errorf(d, "ServerName: found %q, expected a host name such as www.example.com", d.Args[0])
	}
}

func pathDirectives() []spec {
	return []spec{
		{"DocumentRoot", servers, 1, 1, "a folder", func(b *builder, s *scope, d seclang.Directive) {
			s.host.DocumentRoot, s.host.Builtin = b.cfg.path(d.Args[0]), false
		}},
		{"TrapSite", servers, 1, 1, "builtin or Off", func(b *builder, s *scope, d seclang.Directive) {
			switch strings.ToLower(d.Args[0]) {
			case "builtin":
				s.host.Builtin, s.host.DocumentRoot = true, ""
			case "off":
				s.host.Builtin = false
			default:
				b.errorf(d, "TrapSite: found %q, expected builtin or Off", d.Args[0])
			}
		}},
		{"DirectoryIndex", everywhere, 1, -1, "file names, or disabled", func(_ *builder, s *scope, d seclang.Directive) {
			index := d.Args
			if len(index) == 1 && strings.EqualFold(index[0], "disabled") {
				index = []string{}
			}
			s.sec.DirectoryIndex = index
		}},
		{"Alias", servers, 2, 2, "a URL prefix and a path", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Paths = append(s.host.Paths, PathAlias{URL: d.Args[0], Path: b.cfg.path(d.Args[1])})
		}},
		{"AliasMatch", servers, 2, 2, "a pattern and a path", func(b *builder, s *scope, d seclang.Directive) {
			if re := b.regexp(d, d.Args[0]); re != nil {
				s.host.Paths = append(s.host.Paths, PathAlias{Regexp: re, Path: b.cfg.path(d.Args[1])})
			}
		}},
		{"Redirect", servers, 2, 3, "a status, a URL prefix and a URL", func(b *builder, s *scope, d seclang.Directive) {
			b.redirect(s, d, "302", false)
		}},
		{"RedirectMatch", servers, 2, 3, "a status, a pattern and a URL", func(b *builder, s *scope, d seclang.Directive) {
			b.redirect(s, d, "302", true)
		}},
		{"RedirectPermanent", servers, 2, 2, "a URL prefix and a URL", func(b *builder, s *scope, d seclang.Directive) {
			b.redirect(s, d, "301", false)
		}},
		{"RedirectTemp", servers, 2, 2, "a URL prefix and a URL", func(b *builder, s *scope, d seclang.Directive) {
			b.redirect(s, d, "302", false)
		}},
		{"ErrorDocument", everywhere, 2, -1, "a status and a text, a path or a URL", (*builder).errorDocument},
		{"Options", everywhere, 1, -1, "None, All or options", (*builder).options},
		{"AddType", everywhere, 2, -1, "a MIME type and extensions", func(_ *builder, s *scope, d seclang.Directive) {
			if s.sec.Types == nil {
				s.sec.Types = map[string]string{}
			}
			for _, ext := range d.Args[1:] {
				s.sec.Types["."+strings.ToLower(strings.TrimPrefix(ext, "."))] = d.Args[0]
			}
		}},
		{"ForceType", inSection, 1, 1, "a MIME type", func(_ *builder, s *scope, d seclang.Directive) { s.sec.ForceType = d.Args[0] }},
		{"AddDefaultCharset", everywhere, 1, 1, "a character set, On or Off", func(_ *builder, s *scope, d seclang.Directive) {
			s.sec.DefaultCharset = d.Args[0]
			if strings.EqualFold(d.Args[0], "on") {
				s.sec.DefaultCharset = "iso-8859-1"
			}
		}},
	}
}

func (b *builder) redirect(s *scope, d seclang.Directive, status string, match bool) {
	args := d.Args
	if len(args) == 3 || len(args) == 2 && (strings.EqualFold(args[0], "gone") || isStatus(args[0])) {
		status, args = args[0], args[1:]
	}
	words := map[string]int{"permanent": 301, "temp": 302, "seeother": 303, "gone": 410}
	r := Redirect{Status: words[strings.ToLower(status)]}
	if r.Status == 0 {
		n, err := strconv.Atoi(status)
		if err != nil || n < 300 || n > 599 {
			b.errorf(d, "%s: found the status %q, expected permanent, temp, seeother, gone or a number from 300 to 599", d.Name, status)
			return
		}
		r.Status = n
	}
	away := r.Status < 400
	if away != (len(args) == 2) {
		b.errorf(d, "%s: found %q, expected a URL for a status from 300 to 399 and none for others", d.Name, strings.Join(d.Args, " "))
		return
	}
	if away {
		r.URL = args[1]
	}
	if match {
		if r.Regexp = b.regexp(d, args[0]); r.Regexp == nil {
			return
		}
	} else if r.Prefix = args[0]; !strings.HasPrefix(r.Prefix, "/") {
		b.errorf(d, "%s: found %q, expected a URL path that begins with /", d.Name, r.Prefix)
		return
	}
	s.host.Redirects = append(s.host.Redirects, r)
}

func isStatus(s string) bool {
	return len(s) == 3 && strings.Trim(s, "0123456789") == ""
}

func (b *builder) errorDocument(s *scope, d seclang.Directive) {
	status := int(b.number(d, d.Args[0], 400, 599))
	text := strings.Join(d.Args[1:], " ")
	docs := map[int]string{}
	for k, v := range s.sec.ErrorDocuments {
		docs[k] = v
	}
	if strings.EqualFold(text, "default") {
		text = ""
	}
	docs[status] = text
	s.sec.ErrorDocuments = docs
}

// options reads Options. Of Apache's options two bear on serving files: Indexes and FollowSymLinks.
func (b *builder) options(s *scope, d seclang.Directive) {
	known := []string{"None", "All", "ExecCGI", "FollowSymLinks", "Includes", "IncludesNOEXEC", "Indexes", "MultiViews", "SymLinksIfOwnerMatch"}
	plain := slices.ContainsFunc(d.Args, func(a string) bool { return a[:min(1, len(a))] != "+" && a[:min(1, len(a))] != "-" })
	set := func(to **bool, on bool) { *to = &on }
	if plain {
		set(&s.sec.Indexes, false)
		set(&s.sec.FollowSymLinks, false)
	}
	for _, arg := range d.Args {
		name := strings.TrimLeft(arg, "+-")
		on := !strings.HasPrefix(arg, "-")
		switch strings.ToLower(name) {
		case "none":
		case "all":
			set(&s.sec.Indexes, true)
			set(&s.sec.FollowSymLinks, true)
		case "indexes":
			set(&s.sec.Indexes, on)
		case "followsymlinks", "symlinksifownermatch":
			set(&s.sec.FollowSymLinks, on && strings.EqualFold(name, "FollowSymLinks"))
		default:
			if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
				b.errorf(d, "Options: found %q, expected one of %s", arg, strings.Join(known, " "))
			}
		}
	}
}

func logDirectives() []spec {
	return []spec{
		{"ErrorLog", servers, 1, 1, "a file", func(b *builder, s *scope, d seclang.Directive) {
			s.host.ErrorLog = b.logTarget(d.Args[0])
		}},
		{"LogLevel", everywhere, 1, -1, "a level, and perhaps module:level", (*builder).logLevel},
		{"LogFormat", servers, 1, 2, "a format and perhaps a name for it", func(_ *builder, s *scope, d seclang.Directive) {
			name := ""
			if len(d.Args) == 2 {
				name = d.Args[1]
			}
			s.host.LogFormats[name] = d.Args[0]
		}},
		{"CustomLog", servers, 2, 3, "a file, a format or its name, and perhaps env=NAME", func(b *builder, s *scope, d seclang.Directive) {
			log := CustomLog{Target: b.logTarget(d.Args[0]), Format: d.Args[1]}
			if len(d.Args) == 3 {
				var ok bool
				if log.Env, log.EnvNot, ok = parseEnv(d.Args[2]); !ok {
					b.errorf(d, "CustomLog: found %q, expected env=NAME or env=!NAME", d.Args[2])
					return
				}
			}
			b.addLog(s, log)
		}},
		{"TransferLog", servers, 1, 1, "a file", func(b *builder, s *scope, d seclang.Directive) {
			b.addLog(s, CustomLog{Target: b.logTarget(d.Args[0])})
		}},
	}
}

func (b *builder) addLog(s *scope, log CustomLog) {
	if f, ok := s.host.LogFormats[log.Format]; ok {
		log.Format = f
	}
	if s.place == inHost && s.fresh("CustomLog") {
		s.host.CustomLogs = nil
	}
	s.host.CustomLogs = append(s.host.CustomLogs, log)
}

// logTarget makes a file name absolute, and leaves piped programs and syslog as they are.
func (b *builder) logTarget(arg string) string {
	if strings.HasPrefix(arg, "|") || strings.HasPrefix(arg, "syslog") || strings.HasPrefix(arg, "/dev/") {
		return arg
	}
	return b.cfg.path(arg)
}

func (b *builder) logLevel(s *scope, d seclang.Directive) {
	levels := []string{"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"}
	for _, arg := range d.Args {
		module, level, hasModule := strings.Cut(strings.ToLower(arg), ":")
		if !hasModule {
			level = module
		}
		if strings.HasPrefix(level, "trace") && len(level) == 6 && level[5] >= '1' && level[5] <= '8' {
			level = "debug"
		}
		if !slices.Contains(levels, level) {
			b.errorf(d, "LogLevel: found %q, expected one of %s or trace1 to trace8", arg, strings.Join(levels, " "))
			continue
		}
		if !hasModule && s.place != inSection {
			s.host.LogLevel = level
		}
	}
}

// parseEnv reads env=NAME and env=!NAME.
func parseEnv(arg string) (name string, not, ok bool) {
	name, ok = strings.CutPrefix(arg, "env=")
	if !ok {
		return "", false, false
	}
	name, not = strings.CutPrefix(name, "!")
	return name, not, name != ""
}

func limitDirectives() []spec {
	return []spec{
		{"LimitRequestBody", everywhere, 1, 1, "a number of bytes", func(b *builder, s *scope, d seclang.Directive) {
			n := b.number(d, d.Args[0], 0, 1<<50)
			s.sec.BodyLimit = &n
			if s.place != inSection {
				s.host.Limits.BodyBytes = n
			}
		}},
		{"LimitRequestFields", servers, 1, 1, "a number", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Limits.Fields = unlimited(b.number(d, d.Args[0], 0, 32767))
		}},
		{"LimitRequestFieldSize", servers, 1, 1, "a number of bytes", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Limits.FieldBytes = unlimited(b.number(d, d.Args[0], 0, 1<<24))
		}},
		{"LimitRequestLine", servers, 1, 1, "a number of bytes", func(b *builder, s *scope, d seclang.Directive) {
			s.host.Limits.LineBytes = unlimited(b.number(d, d.Args[0], 0, 1<<24))
		}},
	}
}

// mlogcProgram is true for mlogc under any path, and for our own binary in its place.
func mlogcProgram(program string, args []string) (rest []string, ok bool) {
	base := strings.TrimSuffix(strings.ToLower(filepath.Base(program)), ".exe")
	switch {
	case base == "mlogc":
		return args, true
	case base == "trapline" && len(args) > 0 && args[0] == "mlogc":
		return args[1:], true
	}
	return nil, false
}

// unlimited turns the 0 of LimitRequest* directives into -1, so that 0 means "not given".
func unlimited(n int64) int {
	if n == 0 {
		return -1
	}
	return int(n)
}
