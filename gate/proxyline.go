package gate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): a load balancer that passes TCP on says first
// who connected to it. Only proxies that the configuration names are asked; to anybody else these bytes are a bad request.

const (
	proxyV1       = "PROXY "
	proxyV2       = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyLine  = 107  // of version 1, end of line included
	maxProxyBytes = 4096 // of version 2, with its extensions
)

var errProxyLine = errors.New("no PROXY protocol header")

// readProxyLine reads the header and returns who connected to the proxy; an invalid address when the proxy speaks for
// itself (health checks).
func readProxyLine(r *bufio.Reader) (netip.AddrPort, error) {
	start, err := r.Peek(1)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if start[0] == proxyV1[0] {
		return readProxyV1(r)
	}
	head, err := r.Peek(16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !bytes.HasPrefix(head, []byte(proxyV2)) {
		return netip.AddrPort{}, errProxyLine
	}
	kind, family, length := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if kind>>4 != 2 || kind&15 > 1 || length > maxProxyBytes {
		return netip.AddrPort{}, errProxyLine
	}
	whole := make([]byte, 16+length)
	if _, err := io.ReadFull(r, whole); err != nil {
		return netip.AddrPort{}, err
	}
	addresses := whole[16:]
	switch {
	case kind&15 == 0: // LOCAL
		return netip.AddrPort{}, nil
	case family>>4 == 1 && length >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses[:4])), binary.BigEndian.Uint16(addresses[8:])), nil
	case family>>4 == 2 && length >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses[:16])).Unmap(), binary.BigEndian.Uint16(addresses[32:])), nil
	case family>>4 == 0 || family>>4 == 3: // unknown, or a socket of the proxy's own machine
		return netip.AddrPort{}, nil
	}
	return netip.AddrPort{}, errProxyLine
}

func readProxyV1(r *bufio.Reader) (netip.AddrPort, error) {
	line := make([]byte, 0, maxProxyLine)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		b, err := r.ReadByte()
		if err != nil {
			return netip.AddrPort{}, err
		}
		if line = append(line, b); len(line) > maxProxyLine || len(line) == len(proxyV1) && string(line) != proxyV1 {
			return netip.AddrPort{}, errProxyLine
		}
	}
	words := strings.Split(string(line[:len(line)-2]), " ")
	if words[0]+" " != proxyV1 || len(words) < 2 {
		return netip.AddrPort{}, errProxyLine
	}
	if words[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return netip.AddrPort{}, errProxyLine
	}
	addr, err := netip.ParseAddr(words[2])
	port, perr := strconv.ParseUint(words[4], 10, 16)
	if err != nil || perr != nil || addr.Zone() != "" {
		return netip.AddrPort{}, errProxyLine
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// bufferedConn gives back what was read beyond the header.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// CloseWrite ends our half of the connection.
func (c *bufferedConn) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}
