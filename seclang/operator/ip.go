package operator

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// prefixes is a set of addresses as sorted ranges that do not touch, so that a
// lookup is one binary search whatever the list. IPv4 is kept as IPv4.
type prefixes struct {
	ranges []ipRange
}

type ipRange struct{ first, last netip.Addr }

// contains reports whether a is in the set.
func (p *prefixes) contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(p.ranges, a, func(r ipRange, a netip.Addr) int { return r.first.Compare(a) })
	if found {
		return true
	}
	return i > 0 && a.Compare(p.ranges[i-1].last) <= 0
}

// newPrefixes sorts and joins the prefixes. netip orders all of IPv4 before IPv6.
func newPrefixes(list []netip.Prefix) *prefixes {
	var all []ipRange
	for _, p := range list {
		all = append(all, ipRange{p.Masked().Addr(), lastAddr(p)})
	}
	slices.SortFunc(all, func(a, b ipRange) int { return a.first.Compare(b.first) })
	var joined []ipRange
	for _, r := range all {
		if n := len(joined); n > 0 && r.first.Compare(joined[n-1].last) <= 0 {
			if r.last.Compare(joined[n-1].last) > 0 {
				joined[n-1].last = r.last
			}
			continue
		}
		joined = append(joined, r)
	}
	return &prefixes{slices.Clip(joined)}
}

// lastAddr is the last address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// parsePrefix reads an address or a prefix; an IPv4 netmask such as
// 255.255.0.0 is accepted too.
func parsePrefix(s string) (netip.Prefix, error) {
	host, mask, found := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q: expected an IP address or a prefix such as 192.0.2.0/24", s)
	}
	if !found {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && a.Is4() {
		b := m.As4()
		v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		n := 0
		for n < 32 && v&(1<<31>>n) != 0 {
			n++
		}
		if v<<n == 0 || n == 32 {
			return netip.PrefixFrom(a, n), nil
		}
		return netip.Prefix{}, fmt.Errorf("%q: the netmask has gaps", s)
	}
	bits := 0
	for _, c := range []byte(mask) {
		if c < '0' || c > '9' || bits > 128 {
			bits = 129
			break
		}
		bits = bits*10 + int(c-'0')
	}
	if mask == "" || bits > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("%q: expected a prefix length from 0 to %d", s, a.BitLen())
	}
	return netip.PrefixFrom(a, bits), nil
}

// ipMatch is @ipMatch and @ipMatchFromFile.
type ipMatch struct {
	set  *prefixes
	arg  string // when the argument has macros, and set is nil
	text string // of the sentence
}

func newIPMatch(arg string, env Env) (Operator, error) {
	if arg == "" {
		return idle("ipMatch", "expected IP addresses or prefixes separated by commas", env), nil
	}
	o := &ipMatch{arg: arg, text: "IPmatch: \"%s\" matched at %s."}
	if hasMacro(arg) {
		return o, nil
	}
	var err error
	o.set, err = parseList(arg)
	return o, err
}

// parseList reads addresses and prefixes separated by commas.
func parseList(arg string) (*prefixes, error) {
	var list []netip.Prefix
	for _, s := range strings.Split(arg, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		p, err := parsePrefix(s)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		return nil, errors.New("expected IP addresses or prefixes separated by commas")
	}
	return newPrefixes(list), nil
}

// newIPMatchFromFile reads one address or prefix per line; # starts a comment.
func newIPMatchFromFile(arg string, env Env) (Operator, error) {
	names := strings.Fields(arg)
	if len(names) == 0 {
		return nil, errors.New("expected the name of a file with one IP address or prefix per line")
	}
	var list []netip.Prefix
	for _, name := range names {
		data, err := env.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read address file: %w%s", err, remote(name))
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			p, err := parsePrefix(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			list = append(list, p)
		}
	}
	return &ipMatch{set: newPrefixes(list), text: "IPmatchFromFile: \"%s\" matched at %s."}, nil
}

func (o *ipMatch) Match(in, arg string, m *Result) bool {
	a, err := netip.ParseAddr(in)
	if err != nil || a.Zone() != "" {
		return false
	}
	set := o.set
	if set == nil {
		if set, err = parseList(arg); err != nil {
			return false
		}
	}
	if !set.contains(a) && (!a.Is4In6() || !set.contains(a.Unmap())) {
		return false
	}
	if m.Explain {
		m.Text = fmt.Sprintf(o.text, escape(in), m.Target)
	}
	return true
}
