package app

import (
	"cmp"
	"fmt"
	"net"
	"strings"
)

// listening is what came of opening the listeners, for the banner.
type listening struct {
	traps, sites []string
	secure       bool // the first site speaks TLS
	console      string
	skipped      []string
}

// banner prints what runs where, and what to try. It goes to standard output: it is for people.
func (s *Sensor) banner(l listening) error {
	var b strings.Builder
	set := s.settings.Load()
	fmt.Fprintf(&b, "trapline %s\n", s.opt.Version)
	for _, line := range l.skipped {
		fmt.Fprintln(&b, line)
	}
	for _, a := range set.assumptions {
		fmt.Fprintln(&b, a)
	}
	for _, w := range set.warnings {
		fmt.Fprintln(&b, "warning:", w)
	}
	fmt.Fprintf(&b, "  traps    %s\n", cmp.Or(strings.Join(l.traps, " "), "none"))
	fmt.Fprintf(&b, "  site     %s\n", cmp.Or(strings.Join(l.sites, " "), "none"))
	if l.console != "" {
		fmt.Fprintf(&b, "  console  http://%s/\n", l.console)
	}
	fmt.Fprintf(&b, "  data     %s\n", s.data)
	if s.console != nil {
		s.console.tell(&b, true)
	}
	if len(l.traps) > 0 && len(l.sites) > 0 {
		site := "http://" + reachable(l.sites[0])
		if l.secure {
			site = "-k https://" + reachable(l.sites[0])
		}
		fmt.Fprintf(&b, "try:  curl http://%s/   then   curl %s/   and   curl --interface 127.0.0.2 %[2]s/\n", reachable(l.traps[0]), site)
	}
	_, err := fmt.Fprint(s.opt.Out, b.String())
	return err
}

// reachable turns a listener's address into one that a client on this machine can ask.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
