package config

import (
	"crypto/tls"
	"net/url"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang"
)

func proxyDirectives() []spec {
	onOff := "On or Off"
	return []spec{
		{"ProxyPass", everywhere, 1, -1, "a URL prefix, a URL and options", func(b *builder, s *scope, d seclang.Directive) { b.proxyPass(s, d, false) }},
		{"ProxyPassMatch", everywhere, 1, -1, "a pattern, a URL and options", func(b *builder, s *scope, d seclang.Directive) { b.proxyPass(s, d, true) }},
		{"ProxyPassReverse", everywhere, 1, 3, "a URL prefix and a URL", func(b *builder, s *scope, d seclang.Directive) {
			args := d.Args
			if n := len(args); n > 1 && strings.EqualFold(args[n-1], "interpolate") {
				args = args[:n-1]
			}
			prefix, target, ok := b.prefixAndURL(s, d, args)
			if ok {
				s.host.Reverses = append(s.host.Reverses, ProxyReverse{Prefix: prefix, URL: target})
			}
		}},
		{"ProxyPassReverseCookieDomain", everywhere, 2, 3, "an internal and a public domain", func(_ *builder, s *scope, d seclang.Directive) {
			s.host.Reverses = append(s.host.Reverses, ProxyReverse{Kind: "domain", URL: d.Args[0], Prefix: d.Args[1]})
		}},
		{"ProxyPassReverseCookiePath", everywhere, 2, 3, "an internal and a public path", func(_ *builder, s *scope, d seclang.Directive) {
			s.host.Reverses = append(s.host.Reverses, ProxyReverse{Kind: "path", URL: d.Args[0], Prefix: d.Args[1]})
		}},
		{"ProxyPreserveHost", everywhere, 1, 1, onOff, func(b *builder, s *scope, d seclang.Directive) { s.host.PreserveHost = b.on(d, d.Args[0]) }},
		{"ProxyErrorOverride", everywhere, 1, -1, onOff, func(b *builder, s *scope, d seclang.Directive) { s.host.ErrorOverride = b.on(d, d.Args[0]) }},
		{"ProxyTimeout", servers, 1, 1, "a time in seconds", func(b *builder, s *scope, d seclang.Directive) {
			s.host.ProxyTimeout = b.duration(d, d.Args[0], time.Second)
		}},
		{"ProxyRequests", servers, 1, 1, "Off", func(b *builder, _ *scope, d seclang.Directive) {
			if b.on(d, d.Args[0]) {
				b.errorf(d, "ProxyRequests: found On, expected Off: an open proxy is not offered")
			}
		}},
		{"SSLProxyVerify", servers, 1, 1, "none or require", func(b *builder, s *scope, d seclang.Directive) {
			switch strings.ToLower(d.Args[0]) {
			case "none":
				s.host.ProxyInsecure = true
			case "require", "optional", "optional_no_ca":
				s.host.ProxyInsecure = false
			default:
				b.errorf(d, "SSLProxyVerify: found %q, expected none or require", d.Args[0])
			}
		}},
	}
}

// prefixAndURL reads "prefix URL", or only "URL" in a <Location>, whose path is then the prefix.
func (b *builder) prefixAndURL(s *scope, d seclang.Directive, args []string) (prefix, target string, ok bool) {
	switch {
	case len(args) == 1 && s.place == inSection && s.sec.Kind == Location && s.sec.Regexp == nil:
		return s.sec.Pattern, args[0], true
	case len(args) == 2:
		return args[0], args[1], true
	}
	b.errorf(d, "%s: found %q, expected a URL prefix and a URL (the prefix is left out only in <Location>)", d.Name, strings.Join(args, " "))
	return "", "", false
}

func (b *builder) proxyPass(s *scope, d seclang.Directive, match bool) {
	words, options := []string(nil), []string(nil)
	for i, arg := range d.Args {
		option := len(words) > 0 && strings.Contains(arg, "=") && !strings.Contains(arg, "://") && arg != "!"
		switch {
		case option || i > 0 && (strings.EqualFold(arg, "interpolate") || strings.EqualFold(arg, "nocanon") || strings.EqualFold(arg, "noquery")):
			options = append(options, arg)
		default:
			words = append(words, arg)
		}
	}
	pass := ProxyPass{File: d.File, Line: d.Line}
	var ok bool
	if pass.Prefix, pass.URL, ok = b.prefixAndURL(s, d, words); !ok {
		return
	}
	if match {
		if pass.Regexp = b.regexp(d, pass.Prefix); pass.Regexp == nil {
			return
		}
	} else if !strings.HasPrefix(pass.Prefix, "/") {
		b.errorf(d, "%s: found the prefix %q, expected a URL path that begins with /", d.Name, pass.Prefix)
		return
	}
	if pass.URL != "!" && !b.upstream(d, pass.URL) {
		return
	}
	for _, o := range options {
		b.proxyOption(&pass, d, o)
	}
	s.host.Proxies = append(s.host.Proxies, pass)
}

func (b *builder) upstream(d seclang.Directive, target string) bool {
	// $1 of ProxyPassMatch may stand where a URL would not parse.
	u, err := url.Parse(strings.ReplaceAll(target, "$", ""))
	switch {
	case err == nil && u.Scheme == "balancer":
		b.errorf(d, "%s: found %q; balancer:// has no equivalent here: name one http:// or https:// upstream", d.Name, target)
	case err == nil && (u.Scheme == "unix" || u.Scheme == "fcgi" || u.Scheme == "ajp" || u.Scheme == "uwsgi" || u.Scheme == "scgi" || u.Scheme == "h2c" || u.Scheme == "h2"):
		b.errorf(d, "%s: found the scheme %s, expected http, https, ws or wss", d.Name, u.Scheme)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ws" && u.Scheme != "wss":
		b.errorf(d, "%s: found %q, expected a URL such as http://127.0.0.1:8080/, or !", d.Name, target)
	default:
		return true
	}
	return false
}

func (b *builder) proxyOption(p *ProxyPass, d seclang.Directive, option string) {
	key, value, _ := strings.Cut(option, "=")
	switch strings.ToLower(key) {
	case "timeout":
		p.Timeout = b.duration(d, value, time.Second)
	case "connectiontimeout":
		p.ConnectTimeout = b.duration(d, value, time.Second)
	case "retry":
		p.Retry = b.duration(d, value, time.Second)
	case "max":
		p.MaxConns = int(b.number(d, value, 1, 1<<20))
	case "flushpackets":
		p.Flush = strings.EqualFold(value, "on")
	case "disablereuse":
		p.KeepAliveOff = b.on(d, value)
	case "enablereuse":
		p.KeepAliveOff = !b.on(d, value)
	case "upgrade":
		p.Upgrade = value
	case "keepalive", "ttl", "acquire", "min", "smax", "flushwait", "iobuffersize", "receivebuffersize", "responsefieldsize",
		"addressttl", "ping", "status", "route", "redirect", "nocanon", "noquery", "interpolate", "mapping":
		// Tuning of Apache's own connection pool.
	case "secret", "loadfactor", "stickysession", "lbmethod", "nofailover":
		b.warnf(d, "%s: the option %s has no effect here: it belongs to balancers and AJP", d.Name, key)
	default:
		b.errorf(d, "%s: found the option %q, expected timeout= connectiontimeout= retry= max= flushpackets= disablereuse= or another of Apache's", d.Name, option)
	}
}

func tlsDirectives() []spec {
	file := func(set func(*KeyPair, string)) func(*builder, *scope, seclang.Directive) {
		return func(b *builder, s *scope, d seclang.Directive) {
			t := &s.host.TLS
			if s.fresh("SSLCertificate") {
				t.Pairs = nil
			}
			path := b.cfg.path(d.Args[0])
			probe := KeyPair{}
			set(&probe, path)
			// Each SSLCertificateFile begins a pair; a key or chain joins the first pair without one.
			for i := range t.Pairs {
				p := &t.Pairs[i]
				if probe.Certificate != "" && p.Certificate == "" || probe.Key != "" && p.Key == "" || probe.Chain != "" && p.Chain == "" {
					set(p, path)
					return
				}
			}
			t.Pairs = append(t.Pairs, probe)
			t.File, t.Line = d.File, d.Line
		}
	}
	return []spec{
		{"SSLEngine", servers, 1, 1, "On or Off", func(b *builder, s *scope, d seclang.Directive) {
			s.host.TLS.On, s.host.TLS.File, s.host.TLS.Line = b.on(d, d.Args[0]), d.File, d.Line
		}},
		{"SSLCertificateFile", servers, 1, 1, "a file", file(func(k *KeyPair, p string) { k.Certificate = p })},
		{"SSLCertificateKeyFile", servers, 1, 1, "a file", file(func(k *KeyPair, p string) { k.Key = p })},
		{"SSLCertificateChainFile", servers, 1, 1, "a file", file(func(k *KeyPair, p string) { k.Chain = p })},
		{"SSLProtocol", servers, 1, -1, "protocols such as all -SSLv3", (*builder).sslProtocol},
	}
}

// sslProtocol keeps the lowest version that is switched on. TLS 1.0 and 1.1 stay off unless named by themselves.
func (b *builder) sslProtocol(s *scope, d seclang.Directive) {
	versions := []string{"tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"}
	ids := []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	on := [4]bool{}
	for _, arg := range d.Args {
		sign, name := byte('+'), strings.ToLower(arg)
		if name[:min(1, len(name))] == "+" || name[:min(1, len(name))] == "-" {
			sign, name = name[0], name[1:]
		}
		switch name {
		case "all":
			on = [4]bool{sign == '+', sign == '+', sign == '+', sign == '+'}
			continue
		case "sslv2", "sslv3":
			if sign == '+' {
				b.warnf(d, "SSLProtocol %s is not offered any more", arg)
			}
			continue
		}
		found := false
		for i, v := range versions {
			if v == name {
				on[i], found = sign == '+', true
			}
		}
		if !found {
			b.errorf(d, "SSLProtocol: found %q, expected all, TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3 with + or -", arg)
			return
		}
	}
	for i := range on {
		if on[i] {
			s.host.TLS.MinVersion = ids[i]
			return
		}
	}
	b.errorf(d, "SSLProtocol: found %q, which leaves no protocol", strings.Join(d.Args, " "))
}
