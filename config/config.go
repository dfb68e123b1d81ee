// Package config reads trapline.conf: Apache's directives and sections, the
// Sec* directives of ModSecurity, and our own Trap* directives. In comes text
// (files, with Include, Define and ${VAR} resolved); out comes a Config: typed
// values for every listener and virtual host, and for each host the Sec* lines
// that apply to it, with file and line, for seclang to compile. Loading changes
// nothing on disk and starts nothing, so there is nothing to lose in a crash;
// all errors of all files are reported together, each with file:line, what was
// found and what was expected.
package config

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// Warning is something accepted that the owner should know about.
type Warning = seclang.Warning

// Assumption is a decision made where the file is silent: what, why, and the directive that would say so.
type Assumption = seclang.Assumption

// Config is one loaded configuration. It is immutable after Load returns.
type Config struct {
	// File is the name of the main file, "" for the embedded default.
	File string
	// Root is ServerRoot, or the folder of File; relative paths start here.
	Root string
	// Main is the main server: what no <VirtualHost> takes.
	Main *Host
	// Hosts are the virtual hosts in file order, then those made for honeytrap ports that have a Listen and no <VirtualHost>.
	Hosts []*Host
	// Listen are the listeners in file order, without repetitions.
	Listen []Listen
	// Trap holds the settings of the whole program that Trap* directives make.
	Trap Trap
	// Assumptions were made where the file is silent; seclang adds its own.
	Assumptions []Assumption
}

// Listen is one Listen directive.
type Listen struct {
	IP    netip.Addr // invalid for every address
	Port  uint16
	HTTPS bool // "Listen 443 https"
	File  string
	Line  int
}

// Address is the address in the form that net.Listen takes.
func (l Listen) Address() string {
	if !l.IP.IsValid() {
		return joinHostPort("", l.Port)
	}
	return joinHostPort(l.IP.String(), l.Port)
}

// Address is one address of a <VirtualHost>.
type Address struct {
	IP   netip.Addr // invalid for every address
	Port uint16     // 0 for every port
}

func (a Address) String() string {
	host := "*"
	if a.IP.IsValid() {
		host = a.IP.String()
	}
	if a.Port == 0 {
		return host
	}
	return joinHostPort(host, a.Port)
}

// Port is a listener together with the hosts that answer on it.
type Port struct {
	Listen
	// Hosts in order of preference; the first is the default. Never empty.
	Hosts []*Host
	// Honeytrap is true when every host is a honeytrap: the port has no legitimate visitor and room trap serves it.
	Honeytrap bool
	// TLS is true when the hosts of the port speak TLS.
	TLS bool
}

// Ports lists the listeners with their hosts.
func (c *Config) Ports() []Port {
	ports := make([]Port, 0, len(c.Listen))
	for _, l := range c.Listen {
		p := Port{Listen: l, Hosts: c.hostsOf(l), Honeytrap: true, TLS: l.HTTPS}
		for _, h := range p.Hosts {
			p.Honeytrap = p.Honeytrap && h.Honeytrap
			p.TLS = p.TLS || h.TLS.On
		}
		ports = append(ports, p)
	}
	return ports
}

func (c *Config) hostsOf(l Listen) []*Host {
	best, hosts := 0, []*Host(nil)
	for _, h := range c.Hosts {
		rank := 0
		for _, a := range h.Addresses {
			rank = max(rank, a.rank(l.IP, l.Port))
		}
		// A listener on every address serves also the hosts of one address: the choice is made per connection (HostFor).
		if rank == 0 {
			continue
		}
		if l.IP.IsValid() && rank > best {
			best, hosts = rank, nil
		}
		if !l.IP.IsValid() || rank == best {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return []*Host{c.Main}
	}
	return hosts
}

// rank says how well the address fits: 0 not at all, higher is more specific.
func (a Address) rank(ip netip.Addr, port uint16) int {
	switch {
	case a.Port != 0 && a.Port != port:
		return 0
	case a.IP.IsValid() && ip.IsValid() && a.IP != ip:
		return 0
	}
	rank := 1
	if a.Port != 0 {
		rank++
	}
	if a.IP.IsValid() {
		rank += 2
	}
	return rank
}

// HostFor chooses the virtual host of a request as Apache does: the hosts whose
// address fits the local end best, among them the first whose ServerName or
// ServerAlias is name (a Host header or SNI, port allowed), else the first.
func (c *Config) HostFor(local netip.AddrPort, name string) *Host {
	addr := local.Addr().Unmap().WithZone("")
	best, first := 0, c.Main
	var named *Host
	name = hostOnly(name)
	for _, h := range c.Hosts {
		rank := 0
		for _, a := range h.Addresses {
			rank = max(rank, a.rank(addr, local.Port()))
		}
		if rank == 0 || rank < best {
			continue
		}
		if rank > best {
			best, first, named = rank, h, nil
		}
		if named == nil && h.Answers(name) {
			named = h
		}
	}
	if named != nil {
		return named
	}
	return first
}

// Answers is true when name (lower case, without port) is the host's ServerName or one of its aliases.
func (h *Host) Answers(name string) bool {
	if name == "" {
		return false
	}
	if strings.EqualFold(h.Name, name) {
		return true
	}
	return slices.ContainsFunc(h.Aliases, func(alias string) bool {
		alias = strings.ToLower(alias)
		if !strings.ContainsAny(alias, "*?") {
			return alias == name
		}
		return wildcard(alias, name)
	})
}

// wildcard matches * and ? as ServerAlias means them: both match dots too.
func wildcard(pattern, s string) bool {
	px, sx, star, mark := 0, 0, -1, 0
	for sx < len(s) {
		switch {
		case px < len(pattern) && (pattern[px] == '?' || pattern[px] == s[sx] && pattern[px] != '*'):
			px++
			sx++
		case px < len(pattern) && pattern[px] == '*':
			star, mark = px, sx
			px++
		case star >= 0:
			mark++
			px, sx = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[px:], "*") == ""
}

// hostOnly removes the port and the final dot of a Host header and lowers its case.
func hostOnly(name string) string {
	name = strings.ToLower(name)
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		if _, err := strconv.ParseUint(name[i+1:], 10, 16); err == nil || i == len(name)-1 {
			name = name[:i]
		}
	}
	return strings.TrimSuffix(strings.Trim(name, "[]"), ".")
}

func joinHostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// path makes a path of the file absolute: relative ones start at ServerRoot.
func (c *Config) path(p string) string {
	if p == "" || filepath.IsAbs(p) || c.Root == "" {
		return filepath.Clean(p)
	}
	return filepath.Join(c.Root, p)
}

// byPlace orders errors and warnings by file and line.
func byPlace(file1 string, line1 int, file2 string, line2 int) int {
	return cmp.Or(cmp.Compare(file1, file2), cmp.Compare(line1, line2))
}
