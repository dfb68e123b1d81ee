package gate

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/trapline/trapline/config"
)

// clientOf says who the client is: the peer of the handshake, unless RemoteIPHeader names another and the peer is a
// proxy named in RemoteIPTrustedProxy or RemoteIPInternalProxy. It removes from the header what it believed,
// as mod_remoteip does. trusted is true when the peer is such a proxy.
func clientOf(remote *config.RemoteIP, peer netip.AddrPort, header http.Header) (client netip.AddrPort, trusted bool) {
	if remote.Header == "" {
		return peer, false
	}
	kind := proxyKind(remote, peer.Addr())
	if kind == stranger {
		return peer, false
	}
	name := http.CanonicalHeaderKey(remote.Header)
	values := strings.Join(header[name], ",")
	client = peer
	for values != "" && kind != stranger {
		i := strings.LastIndexByte(values, ',')
		addr, ok := parseForwarded(values[i+1:])
		// A trusted proxy on the Internet may not name private addresses: they would be ours.
		if !ok || kind == trustedProxy && (addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified()) {
			break
		}
		client, values = netip.AddrPortFrom(addr, 0), strings.TrimRight(values[:max(i, 0)], ", \t")
		kind = proxyKind(remote, addr)
	}
	if values == "" {
		delete(header, name)
	} else if client != peer {
		header[name] = []string{values}
	}
	return client, true
}

type proxy uint8

const (
	stranger proxy = iota
	trustedProxy
	internalProxy
)

func proxyKind(remote *config.RemoteIP, addr netip.Addr) proxy {
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	switch {
	case slices.ContainsFunc(remote.Internal, contains):
		return internalProxy
	case slices.ContainsFunc(remote.Trusted, contains):
		return trustedProxy
	}
	return stranger
}

// parseForwarded reads one element of X-Forwarded-For; some proxies add a port.
func parseForwarded(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t\"")
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	p, err := netip.ParseAddrPort(s)
	return p.Addr().Unmap().WithZone(""), err == nil
}
