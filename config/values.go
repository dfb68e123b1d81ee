package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang"
)

// on reads On or Off.
func (b *builder) on(d seclang.Directive, arg string) bool {
	switch strings.ToLower(arg) {
	case "on":
		return true
	case "off":
	default:
		b.errorf(d, "%s: found %q, expected On or Off", d.Name, arg)
	}
	return false
}

// number reads a decimal number from least to most.
func (b *builder) number(d seclang.Directive, arg string, least, most int64) int64 {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || n < least || n > most {
		b.errorf(d, "%s: found %q, expected a number from %d to %d", d.Name, arg, least, most)
		return least
	}
	return n
}

// size reads bytes with an optional K, M, G or T, also written KB or KiB.
func (b *builder) size(d seclang.Directive, arg string) int64 {
	upper := strings.ToUpper(arg)
	digits := strings.TrimRight(upper, "KMGTIB")
	factor, known := map[string]int64{
		"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
	}[strings.TrimSuffix(strings.TrimSuffix(upper[len(digits):], "B"), "I")]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > 1<<50/factor {
		b.errorf(d, "%s: found %q, expected a size such as 4096, 64K or 1M", d.Name, arg)
		return 0
	}
	return n * factor
}

// duration reads a number with a unit; a bare number counts in unit.
func (b *builder) duration(d seclang.Directive, arg string, unit time.Duration) time.Duration {
	v, ok := parseDuration(arg, unit)
	if !ok {
		b.errorf(d, "%s: found %q, expected a time such as 10s, 500ms, 24h or 7d", d.Name, arg)
	}
	return v
}

func parseDuration(arg string, unit time.Duration) (time.Duration, bool) {
	const most = 100 * 365 * 24 * time.Hour
	lower := strings.ToLower(arg)
	digits := strings.TrimRight(lower, "abcdefghijklmnopqrstuvwxyz")
	switch lower[len(digits):] {
	case "":
	case "ms":
		unit = time.Millisecond
	case "s", "sec":
		unit = time.Second
	case "m", "min", "mi":
		unit = time.Minute
	case "h":
		unit = time.Hour
	case "d":
		unit = 24 * time.Hour
	case "w":
		unit = 7 * 24 * time.Hour
	default:
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > int64(most/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// prefix reads an address or network: 192.0.2.1, 192.0.2.0/24, 192.0.2.0/255.255.255.0, 10.1, 2001:db8::/32.
func parsePrefix(arg string) (netip.Prefix, error) {
	text, mask, hasMask := strings.Cut(arg, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return partialPrefix(arg)
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if hasMask {
		if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && addr.Is4() {
			bits, err = maskBits(m)
			if err != nil {
				return netip.Prefix{}, err
			}
		} else if n, err := strconv.ParseUint(mask, 10, 8); err != nil || int(n) > bits {
			return netip.Prefix{}, fmt.Errorf("a network such as 192.0.2.0/24 or 2001:db8::/32")
		} else {
			bits = int(n)
		}
	}
	return netip.PrefixFrom(addr, bits).Masked(), nil
}

// partialPrefix reads the first octets of an IPv4 network, as Allow and Require ip do: "10.1" is 10.1.0.0/16.
func partialPrefix(arg string) (netip.Prefix, error) {
	octets := strings.Split(strings.TrimSuffix(arg, "."), ".")
	var a [4]byte
	if len(octets) > 3 {
		return netip.Prefix{}, fmt.Errorf("an IP address or network")
	}
	for i, o := range octets {
		n, err := strconv.ParseUint(o, 10, 8)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("an IP address or network")
		}
		a[i] = byte(n)
	}
	return netip.PrefixFrom(netip.AddrFrom4(a), 8*len(octets)), nil
}

func maskBits(m netip.Addr) (int, error) {
	bits, ended := 0, false
	for _, octet := range m.As4() {
		for i := 7; i >= 0; i-- {
			set := octet>>i&1 == 1
			if set && ended {
				return 0, fmt.Errorf("a netmask of ones followed by zeros")
			}
			ended = ended || !set
			if set {
				bits++
			}
		}
	}
	return bits, nil
}

func (b *builder) prefixes(d seclang.Directive, args []string) []netip.Prefix {
	var out []netip.Prefix
	for _, arg := range args {
		p, err := parsePrefix(arg)
		if err != nil {
			b.errorf(d, "%s: found %q, expected %v", d.Name, arg, err)
			continue
		}
		out = append(out, p)
	}
	return out
}
