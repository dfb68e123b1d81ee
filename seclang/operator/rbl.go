package operator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// rbl is @rbl: the value is looked up in a list that speaks DNS. TX:0 is the sentence.
type rbl struct {
	zone string
	env  Env
}

func newRBL(arg string, env Env) (Operator, error) {
	zone := strings.TrimSpace(arg)
	if zone == "" {
		return idle("rbl", "expected the zone of a blocklist such as sbl-xbl.spamhaus.org", env), nil
	}
	if env.RBLTimeout <= 0 {
		env.RBLTimeout = DefaultRBLTimeout
	}
	return &rbl{zone, env}, nil
}

func (o *rbl) Match(in, _ string, m *Result) bool {
	name, err := o.name(in)
	if err != nil || o.env.Resolver == nil {
		m.Err = err
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.env.RBLTimeout)
	defer cancel()
	hosts, err := o.env.Resolver.LookupHost(ctx, name)
	if err != nil || len(hosts) == 0 {
		return false // not listed, or no answer in time: the request goes on
	}
	addr, err := netip.ParseAddr(hosts[0])
	if err != nil {
		return false
	}
	text := o.text(name, addr.Unmap(), m.Target)
	if m.Capture {
		m.Captures = append(m.Captures, text)
	}
	if m.Explain {
		m.Text = text
	}
	return true
}

// name is the host name to ask for: the octets of an IPv4 address or the
// nibbles of an IPv6 address (RFC 5782) backwards, a name as it is.
func (o *rbl) name(in string) (string, error) {
	key := ""
	if strings.Contains(o.zone, "httpbl.org") {
		if o.env.HTTPBLKey != nil {
			key = o.env.HTTPBLKey()
		}
		if key == "" {
			return "", errors.New("RBL httpBl called but no key defined: set SecHttpBlKey")
		}
		key += "."
	}
	addr, err := netip.ParseAddr(in)
	if err != nil {
		if in == "" || len(in) > 253 || strings.ContainsAny(in, " \t\r\n\x00/") {
			return "", fmt.Errorf("@rbl: %q is neither an address nor a host name", in)
		}
		return in + "." + o.zone, nil
	}
	addr = addr.Unmap()
	if addr.Is4() {
		b := addr.As4()
		return fmt.Sprintf("%s%d.%d.%d.%d.%s", key, b[3], b[2], b[1], b[0], o.zone), nil
	}
	var b strings.Builder
	b.WriteString(key)
	bytes := addr.As16()
	for i := len(bytes) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", bytes[i]&15, bytes[i]>>4)
	}
	return b.String() + o.zone, nil
}

// text is the sentence about an answer, with what the well-known lists mean by it.
func (o *rbl) text(name string, answer netip.Addr, target string) string {
	name = escapeText(name)
	listed := func(what string) string {
		return fmt.Sprintf("RBL lookup of %s succeeded at %s%s.", name, target, what)
	}
	if !answer.Is4() {
		return listed("")
	}
	b := answer.As4()
	switch {
	case strings.Contains(o.zone, "uribl.com"):
		switch b[3] {
		case 2:
			return listed(" (BLACK)")
		case 4:
			return listed(" (GREY)")
		case 8:
			return listed(" (RED)")
		case 14:
			return listed(" (BLACK,GREY,RED)")
		case 255:
			return listed(" (DNS IS BLOCKED)")
		}
		return listed(" (WHITE)")
	case strings.Contains(o.zone, "spamhaus.org"):
		switch b[3] {
		case 2, 3:
			return listed(" (Static UBE sources)")
		case 4, 5, 6, 7:
			return listed(" (Illegal 3rd party exploits)")
		case 10, 11:
			return listed(" (Delivering unauthenticated SMTP email)")
		}
	case strings.Contains(o.zone, "httpbl.org"):
		if b[0] != 127 {
			return fmt.Sprintf("RBL lookup of %s failed: bad response", name)
		}
		return fmt.Sprintf("RBL lookup of %s succeeded at %s. %s: %d days since last activity, threat score %d",
			name, target, visitor(b[3]), b[1], b[2])
	}
	return listed("")
}

// visitor names the type of visitor of an http:BL answer.
func visitor(kind byte) string {
	names := [...]string{
		"Search Engine", "Suspicious IP", "Harvester IP", "Suspicious harvester IP", "Comment spammer IP",
		"Suspicious comment spammer IP", "Harvester and comment spammer IP", "Suspicious harvester comment spammer IP",
	}
	if int(kind) < len(names) {
		return names[kind]
	}
	return " "
}
