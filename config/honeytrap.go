package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// honeytraps decides which hosts have no legitimate visitor, and says how it came to think so:
// TrapHost; a virtual host of its own whose SecAuditLog pipes to mlogc; ports that a tagging rule names.
func (b *builder) honeytraps() {
	rules := b.portRules()
	for _, h := range b.hosts() {
		switch {
		case h.trapHost == trapOn:
			h.Honeytrap = true
		case h.trapHost == trapOff || h == b.cfg.Main:
		default:
			b.judgeHost(h, rules)
		}
	}
	b.barePorts(rules)
	for _, h := range b.hosts() {
		if h.Honeytrap && len(h.Proxies) > 0 && h.trapHost == trapOn {
			b.warns = append(b.warns, Warning{File: h.File, Line: h.Line, Directive: "ProxyPass", Text: "ProxyPass is not followed on a honeytrap: nothing behind it is reachable"})
		}
	}
}

func (b *builder) judgeHost(h *Host, rules []portRule) {
	own := func(p Pipe) bool {
		return p.Mlogc && slices.ContainsFunc(h.ownSec, func(d seclang.Directive) bool { return d.File == p.File && d.Line == p.Line })
	}
	i := slices.IndexFunc(h.Pipes, own)
	why, file, line := "", "", 0
	if i >= 0 {
		p := h.Pipes[i]
		why, file, line = fmt.Sprintf("its %s pipes to mlogc, as that of the published honeypot host does", p.Directive), p.File, p.Line
	} else if r, ok := ruleForAll(rules, h.Addresses); ok {
		why, file, line = fmt.Sprintf("the rule at %s:%d tags whoever comes to %s", r.file, r.line, addressList(h.Addresses)), h.File, h.Line
	} else {
		return
	}
	if len(h.Proxies) > 0 {
		b.warns = append(b.warns, Warning{
			File: h.File, Line: h.Line, Directive: "TrapHost",
			Text: fmt.Sprintf("the virtual host %s looks like a honeytrap (%s) but has a ProxyPass, so it is served as a real site; say TrapHost On or TrapHost Off", h.title(), why),
		})
		return
	}
	h.Honeytrap, h.Why = true, why
	b.assume(file, line, fmt.Sprintf("the virtual host %s is a honeytrap", h.title()), why, "TrapHost On (or Off) in its <VirtualHost>")
}

// barePorts makes a honeytrap host for ports that have a Listen, no <VirtualHost> and a rule that tags who comes there.
func (b *builder) barePorts(rules []portRule) {
	var h *Host
	for _, l := range b.cfg.Listen {
		bare := b.cfg.hostsOf(l)[0] == b.cfg.Main
		r, named := ruleFor(rules, l.Port)
		if !bare || !named || b.cfg.Main.trapHost != trapUnset {
			continue
		}
		if h == nil {
			h = b.cfg.Main.child()
			h.File, h.Line = r.file, r.line
			h.Name, h.Aliases = b.cfg.Main.Name, b.cfg.Main.Aliases
			h.Sec, h.Pipes = b.cfg.Main.Sec, b.cfg.Main.Pipes
			h.DocumentRoot, h.Builtin, h.Paths, h.TLS = "", false, nil, TLS{}
			h.Honeytrap, h.Why = true, fmt.Sprintf("the rule at %s:%d tags whoever comes there", r.file, r.line)
		}
		h.Addresses = append(h.Addresses, Address{IP: l.IP, Port: l.Port})
	}
	if h == nil {
		return
	}
	b.cfg.Hosts = append(b.cfg.Hosts, h)
	b.assume(h.File, h.Line, fmt.Sprintf("%s is a honeytrap that serves nothing of the site", addressList(h.Addresses)),
		"this rule tags whoever comes there, and no <VirtualHost> says what it serves", fmt.Sprintf("<VirtualHost %s> with TrapHost On (or Off)", spaced(h.Addresses)))
}

func (h *Host) title() string {
	if h.Name == "" {
		return addressList(h.Addresses)
	}
	return h.Name + " (" + addressList(h.Addresses) + ")"
}

func addressList(as []Address) string { return strings.ReplaceAll(spaced(as), " ", ", ") }

func spaced(as []Address) string {
	text := make([]string, len(as))
	for i, a := range as {
		text[i] = a.String()
	}
	return strings.Join(text, " ")
}

// portRule is a rule that tags who comes to certain ports.
type portRule struct {
	ports []uint16
	file  string
	line  int
}

func ruleFor(rules []portRule, port uint16) (portRule, bool) {
	for _, r := range rules {
		if slices.Contains(r.ports, port) {
			return r, true
		}
	}
	return portRule{}, false
}

func ruleForAll(rules []portRule, as []Address) (r portRule, ok bool) {
	for _, a := range as {
		if r, ok = ruleFor(rules, a.Port); !ok || a.Port == 0 {
			return r, false
		}
	}
	return r, ok
}

// portRules finds the rules of the main server and of hosts that set a variable of the IP collection for a list of ports.
func (b *builder) portRules() []portRule {
	var out []portRule
	seen := map[string]bool{}
	for _, h := range b.hosts() {
		for i, d := range h.Sec {
			chained := i > 0 && hasAction(h.Sec[i-1], "chain")
			if !strings.EqualFold(d.Name, "SecRule") || len(d.Args) != 3 || chained || seen[d.Pos()] {
				continue
			}
			seen[d.Pos()] = true
			ports, ok := portsOf(d.Args[0], d.Args[1])
			if ok && !hasAction(d, "chain") && tags(d.Args[2]) {
				out = append(out, portRule{ports: ports, file: d.File, line: d.Line})
			}
		}
	}
	return out
}

func hasAction(d seclang.Directive, name string) bool {
	if len(d.Args) == 0 || !strings.EqualFold(d.Name, "SecRule") && !strings.EqualFold(d.Name, "SecAction") {
		return false
	}
	for action := range strings.SplitSeq(d.Args[len(d.Args)-1], ",") {
		if strings.EqualFold(strings.TrimSpace(action), name) {
			return true
		}
	}
	return false
}

// portsOf lists the ports that the rule's operator lets through, if it is a plain list of alternatives: ^(8000|8080)$,
// ^8000$, @eq 8000, @streq 8000, @within 8000 8080. Any other pattern might mean ports that it does not name.
func portsOf(variable, operator string) ([]uint16, bool) {
	if !strings.EqualFold(strings.TrimSpace(variable), "SERVER_PORT") {
		return nil, false
	}
	name, arg := "@rx", strings.TrimSpace(operator)
	if strings.HasPrefix(arg, "@") {
		name, arg, _ = strings.Cut(arg, " ")
		arg = strings.TrimSpace(arg)
	}
	var words []string
	switch strings.ToLower(name) {
	case "@rx":
		m := regexp.MustCompile(`^\^(?:\((?:\?:)?([0-9]+(?:\|[0-9]+)*)\)|([0-9]+))\$$`).FindStringSubmatch(arg)
		if m == nil {
			return nil, false
		}
		words = strings.Split(m[1]+m[2], "|")
	case "@eq", "@streq":
		words = []string{arg}
	case "@within":
		words = strings.FieldsFunc(arg, func(r rune) bool { return r == ' ' || r == ',' })
	}
	var ports []uint16
	for _, w := range words {
		n, err := strconv.ParseUint(w, 10, 16)
		if err != nil || n == 0 {
			return nil, false
		}
		ports = append(ports, uint16(n))
	}
	return ports, len(ports) > 0
}

// tags is true for actions that set a variable of the IP collection to a value. A counter (=+1) may as well
// belong to a rule that counts visits to the real site.
func tags(actions string) bool {
	return regexp.MustCompile(`(?i)(?:^|[,\s])setvar:\s*'?ip\.[^=,'!]+=[^-+,]`).MatchString(actions)
}
