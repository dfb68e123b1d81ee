package trap

import (
	"bufio"
	"bytes"
	"context"

	"github.com/trapline/trapline/seclang/connlimit"
	"github.com/trapline/trapline/wire"
)

// preface is how an HTTP/2 connection begins (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// speech is what the first bytes of a connection or request say.
type speech uint8

const (
	speechUnknown speech = iota // more bytes are needed
	speechHTTP1                 // an HTTP/0.9, 1.0 or 1.1 request, well-formed or not
	speechHTTP2                 // the whole connection preface of HTTP/2
	speechTLS                   // a TLS record that begins a handshake
	speechOther                 // anything else
)

// speak finds out what the client speaks and serves it. A first byte is there.
func (c *conn) speak(ctx context.Context) {
	x := c.trap.take()
	x.br.Reset(c)
	for {
		c.trap.clients.wait(c)
		c.readBy(c.begun.Add(c.trap.limits.RequestTime))
		keep := false
		switch c.listen(x.br) {
		case speechHTTP1:
			keep = c.http1(ctx, x)
		case speechHTTP2:
			c.http2(ctx, x)
		case speechTLS:
			if c.hello != nil { // TLS in TLS
				c.other(ctx, x)
			} else if keep = c.secure(ctx, x); keep {
				x.br.Reset(c)
			}
		case speechOther, speechUnknown:
			c.other(ctx, x)
		}
		if keep && x.br.Buffered() == 0 {
			// A connection that waits holds no buffers.
			c.trap.release(x)
			if !c.next(ctx) {
				return
			}
			x = c.trap.take()
			x.br.Reset(c)
		} else if keep {
			c.begun = now() // pipelined: it is here already
			c.counted.Set(connlimit.Reading)
		} else {
			c.leftover(ctx, x)
			c.linger(x)
			c.trap.release(x)
			return
		}
	}
}

// next waits for the next request of a connection that stays open.
func (c *conn) next(ctx context.Context) bool {
	c.counted.Set(connlimit.Idle)
	c.trap.clients.wait(c)
	if c.await(now().Add(c.trap.limits.KeepAlive)) {
		return true
	}
	if c.helloBytes != nil {
		_ = c.nc.Close()
		c.helloOnly(ctx, "no request after the handshake")
	}
	return false
}

// listen peeks at what comes until it can tell what it is; nothing is consumed.
func (c *conn) listen(br *bufio.Reader) speech {
	for n := 1; ; {
		b, err := br.Peek(n)
		if err == nil {
			b, _ = br.Peek(br.Buffered())
		}
		if s := sniff(b, err == nil && len(b) < br.Size()); s != speechUnknown {
			return s
		}
		if err != nil {
			return speechUnknown
		}
		n = len(b) + 1
	}
}

// sniff says what b begins. It returns speechUnknown only when b is empty or
// more bytes may come. A wrong guess costs nothing but the form of the record:
// the bytes are recorded as they are.
func sniff(b []byte, more bool) speech {
	protocol := ""
	if len(b) < 4 || string(b[:4]) != "GET " && string(b[:4]) != "POST" { // what comes most is no other protocol
		protocol = wire.Sniff(b)
	}
	switch protocol {
	case "tls":
		return speechTLS
	case "h2":
		if bytes.HasPrefix(b, []byte(preface)) {
			return speechHTTP2
		}
		if more && bytes.HasPrefix([]byte(preface), b) {
			return speechUnknown
		}
		return speechOther
	case "":
	default:
		return speechOther
	}
	if more && len(b) == 1 && b[0] == 0x16 {
		return speechUnknown
	}
	// RFC 9112, section 2.2: a server ignores empty lines before a request line.
	line := bytes.TrimLeft(b, "\r\n")
	if len(line) == 0 {
		if more || len(b) == 0 {
			return speechUnknown
		}
		return speechOther
	}
	line, _, whole := bytes.Cut(line, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	method := line
	i := bytes.IndexAny(line, " \t")
	if i >= 0 {
		method = line[:i]
	}
	switch {
	case whole || !more:
		if isRequestLine(line, method, whole) {
			return speechHTTP1
		}
		return speechOther
	case !isToken(method) && i != 0 || i < 0 && len(method) > 64:
		return speechOther
	}
	return speechUnknown
}

// isRequestLine tells a request line of HTTP, however malformed, from a line of another protocol.
func isRequestLine(line, method []byte, whole bool) bool {
	if bytes.Contains(line, []byte(" HTTP/")) {
		return true
	}
	if !isToken(method) {
		return false
	}
	rest := bytes.Trim(line[len(method):], " \t")
	if i := bytes.LastIndexByte(rest, ' '); i >= 0 && whole {
		proto := rest[i+1:]
		if bytes.HasPrefix(bytes.ToUpper(proto), []byte("HTTP")) {
			return true
		}
		if bytes.IndexByte(proto, '/') > 0 { // RTSP/1.0, SIP/2.0
			return false
		}
	}
	if isMethod(method) {
		return true
	}
	return len(rest) > 0 && (rest[0] == '/' || bytes.HasPrefix(rest, []byte("http://")) || bytes.HasPrefix(rest, []byte("https://")))
}

// isMethod knows the methods of HTTP and WebDAV that scanners send.
func isMethod(m []byte) bool {
	switch string(m) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "TRACK", "DEBUG",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT":
		return true
	}
	return false
}

// isToken is true for a token of RFC 9110, section 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// isText is true when every byte is printable ASCII or white space.
func isText(b []byte) bool {
	for _, c := range b {
		if c >= 0x7f || c < 0x20 && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}
