package gate

import (
	"io"
	"net"

	"github.com/trapline/trapline/seclang/connlimit"
)

// counted is the TCP connection beneath everything else: it tells when an idle connection begins to read again, and ends
// one whose client has too many, before its bytes have been looked at.
type counted struct {
	net.Conn
	place *connlimit.Conn
	// frames is true for HTTP/2: its frames say when a request begins, for others may come at any time.
	frames bool
}

// count begins to count a connection; false means that it has been refused and closed. Everybody comes through a proxy
// that the configuration names: of those only the clients that a PROXY header introduced are counted.
func (d *door) count(c *conn) bool {
	g := d.gate
	if g.cfg.Connections == nil {
		return true
	}
	c.raw = &counted{Conn: c.raw, place: &c.place}
	if c.client == c.peer && proxyKind(&g.table.Load().config.HostFor(c.local, "").RemoteIP, c.peer.Addr()) != stranger {
		return true
	}
	if !c.place.Open(g.cfg.Connections, c.client.Addr()) {
		_ = c.raw.Close()
		return false
	}
	return true
}

// Read reads; the first bytes after idleness are those of a request, or a beginning of one.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.frames && c.place.Idle() && !c.place.Begin() {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

// ReadFrom keeps sendfile working.
func (c *counted) ReadFrom(src io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, src)
}

// CloseWrite ends our half of the connection.
func (c *counted) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}

// Close closes the connection.
func (c *counted) Close() error {
	c.place.Close()
	return c.Conn.Close()
}

// rest says that a request has been answered. What the client has sent behind it may be the beginning of another:
// nothing else would tell of it.
func (c *conn) rest() {
	c.place.Set(connlimit.Idle)
	if c.rec.Partial() && !c.place.Begin() {
		_ = c.raw.Close()
	}
}

// received says that the request's head has come, and whether a body is to follow.
func (c *conn) received(body bool) {
	if body {
		c.place.Set(connlimit.Reading | connlimit.Writing)
	} else {
		c.place.Set(connlimit.Writing)
	}
}
