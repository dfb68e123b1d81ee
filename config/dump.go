package config

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang"
)

// Dump writes what "trapline check" shows of the configuration: ports, hosts with what they do, rules per host, settings of
// the program and assumptions. The text is stable for one configuration.
func (c *Config) Dump(w io.Writer) {
	for _, p := range c.Ports() {
		kind := "site"
		if p.Honeytrap {
			kind = "honeytrap"
		}
		if p.TLS {
			kind += " TLS"
		}
		var hosts []string
		for _, h := range p.Hosts {
			hosts = append(hosts, h.label(c))
		}
		fmt.Fprintf(w, "port %s %s: %s (%s:%d)\n", p.Address(), kind, strings.Join(hosts, ", "), p.File, p.Line)
	}
	c.Main.dump(w, c)
	for _, h := range c.Hosts {
		h.dump(w, c)
	}
	c.Trap.dump(w)
	for _, a := range c.Assumptions {
		fmt.Fprintln(w, a)
	}
}

func (h *Host) label(c *Config) string {
	switch {
	case h == c.Main && h.Name == "":
		return "main server"
	case h == c.Main:
		return "main server " + h.Name
	case h.Name == "":
		return addressList(h.Addresses)
	}
	return h.Name
}

func (h *Host) dump(w io.Writer, c *Config) {
	fmt.Fprintf(w, "host %s (%s:%d)\n", h.label(c), h.File, h.Line)
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(w, "  %s %s\n", name, text)
		}
	}
	line("addresses", "%s", addressList(h.Addresses))
	line("aliases", "%s", strings.Join(h.Aliases, ", "))
	if h.Honeytrap {
		line("honeytrap", "because %s; a bare connection tags: %t", h.Why, h.TagConnect)
	}
	if h.Builtin {
		line("serves", "the built-in page")
	}
	line("folder", "%s", h.DocumentRoot)
	for _, p := range h.Proxies {
		line("proxy", "%s -> %s", p.Prefix, p.URL)
	}
	for _, s := range h.Sections {
		line("section", "%s %s (%s:%d)", s.Kind, s.Pattern, s.File, s.Line)
	}
	if h.TLS.On {
		for _, p := range h.TLS.Pairs {
			line("certificate", "%s %s", p.Certificate, p.Key)
		}
	}
	if h.RemoteIP.Header != "" {
		line("client", "%s from %v", h.RemoteIP.Header, append(h.RemoteIP.Internal[:len(h.RemoteIP.Internal):len(h.RemoteIP.Internal)], h.RemoteIP.Trusted...))
	}
	for _, p := range h.Pipes {
		if p.Mlogc {
			line("pipe", "%s to mlogc, runs inside, %s", p.Directive, p.Conf)
			continue
		}
		line("pipe", "%s to %s", p.Directive, p.Command)
	}
	rules := CountRules(h.Sec)
	line("rules", "%d (%d lines of ModSecurity's)", rules, len(h.Sec))
}

// CountRules counts the SecRule and SecAction lines.
func CountRules(ds []seclang.Directive) int {
	n := 0
	for _, d := range ds {
		if strings.EqualFold(d.Name, "SecRule") || strings.EqualFold(d.Name, "SecAction") {
			n++
		}
	}
	return n
}

func (t *Trap) dump(w io.Writer) {
	console := t.Console
	if console == "" {
		console = "off"
	}
	fmt.Fprintf(w, "console %s\n", console)
	if t.Data != "" {
		fmt.Fprintf(w, "data %s\n", t.Data)
	}
	if s := t.Store; s != nil {
		limits := ""
		if s.MaxAge > 0 {
			limits += " for " + span(s.MaxAge)
		}
		if s.MaxBytes > 0 {
			limits += " up to " + size(s.MaxBytes)
		}
		fmt.Fprintf(w, "store %s %s%s\n", s.What, redacted(s.URL), limits)
	}
	if t.SpoolBytes > 0 {
		fmt.Fprintf(w, "spool up to %s\n", size(t.SpoolBytes))
	}
	for _, p := range t.Report {
		fmt.Fprintf(w, "report %s as %s by %s\n", redacted(p.URL), p.User, p.Protocol)
	}
	for _, d := range t.Decisions {
		fmt.Fprintf(w, "decision %s.%s: %s for %s\n", d.Collection, d.Variable, d.Type, span(d.For))
	}
	if len(t.Allow) > 0 {
		fmt.Fprintf(w, "allow %v\n", t.Allow)
	}
}

// span writes a time as TrapStore and TrapDecision take it: "90d", "36h", "1h30m0s".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.Round(time.Second).String()
}

// size writes bytes in the largest unit that leaves no rest: "10 GiB".
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && n%1024 == 0 && i < len(units)-1 {
		n, i = n>>10, i+1
	}
	return fmt.Sprintf("%d %s", n, units[i])
}

// redacted hides the password of a URL.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not shown)"
	}
	return u.Redacted()
}
