package trap

import (
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// answer is a response before it is put into the form of its protocol.
type answer struct {
	status int
	// header is in the order of sending, without Date, Server, Content-Length and Connection.
	header []audit.Field
	body   []byte
	length int64 // of the whole body when it is known before its end, else -1
	// unsized leaves Content-Length out, as Apache does when it stops reading a body.
	unsized bool
	open    bool // more body follows after what is in body
	drop    bool // the connection is reset instead
}

func (a *answer) reset() {
	if cap(a.body) > keptBuffer {
		a.body = nil
	}
	*a = answer{header: a.header[:0], body: a.body[:0], length: -1}
}

func (a *answer) set(name, value string) {
	a.header = append(a.header, audit.Field{Name: name, Value: value})
}

// page makes the answer an error page of Apache.
func (a *answer) page(status int, method, url string) {
	a.status = status
	switch status {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		a.set("Allow", "GET,POST,OPTIONS,HEAD")
	}
	if url != "" {
		a.set("Location", url)
	}
	a.length = -1
	a.body = appendPage(a.body[:0], status, method, url)
	a.set("Content-Type", "text/html; charset=iso-8859-1")
}

// interrupt makes the answer what a rule demands.
func (a *answer) interrupt(stop *seclang.Interruption, method string) {
	status := stop.Status
	switch stop.Action {
	case "drop":
		a.drop = true
		return
	case "redirect":
		if status < 300 || status > 399 {
			status = http.StatusFound
		}
		a.page(status, method, stop.URL)
		return
	}
	// A trap is no proxy: "proxy" answers like "deny".
	if status < 200 || status > 599 {
		status = http.StatusForbidden
	}
	a.page(status, method, "")
}

// frame says how an answer is put on an HTTP/1 connection.
type frame struct {
	server  string
	date    string
	head    bool // the request was HEAD: no body
	simple  bool // HTTP/0.9: no head either
	closes  bool
	asked   bool // the client sent "Connection: keep-alive": Apache confirms it only then
	ten     bool // HTTP/1.0
	chunked bool // set by appendHead when the length is not known
}

// appendHead appends status line and headers in Apache's order, with the final empty line.
func (a *answer) appendHead(dst []byte, f *frame) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(a.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, statusText(a.status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = append(dst, f.date...)
	dst = append(dst, "\r\nServer: "...)
	dst = append(dst, f.server...)
	dst = append(dst, "\r\n"...)
	for i := range a.header {
		if a.header[i].Name != "Content-Type" {
			dst = appendField(dst, a.header[i].Name, a.header[i].Value)
		}
	}
	switch {
	case !a.hasBody(), a.unsized:
	case !a.open:
		dst = append(dst, "Content-Length: "...)
		n := int64(len(a.body))
		if f.head && a.length >= 0 {
			n = a.length
		}
		dst = strconv.AppendInt(dst, n, 10)
		dst = append(dst, "\r\n"...)
	case a.length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, a.length, 10)
		dst = append(dst, "\r\n"...)
	case f.ten:
		f.closes = true
	default:
		f.chunked = true
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if f.closes {
		dst = append(dst, "Connection: close\r\n"...)
	} else if f.asked {
		dst = append(dst, "Keep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\n"...)
	}
	for i := range a.header {
		if a.header[i].Name == "Content-Type" {
			dst = appendField(dst, a.header[i].Name, a.header[i].Value)
		}
	}
	return append(dst, "\r\n"...)
}

// hasBody is false for answers that RFC 9110 forbids a body.
func (a *answer) hasBody() bool {
	return a.status >= 200 && a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	for i := range len(value) {
		// A value made from what a client sent must not end its line.
		if c := value[i]; c == '\r' || c == '\n' || c == 0 {
			dst = append(dst, ' ')
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, "\r\n"...)
}

// reset ends the connection with RST, as ModSecurity's action drop asks.
func (c *conn) reset() {
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.nc.Close()
}

// send writes one answer; the client has RequestTime to take it, and for long
// answers no more than that after the connection's own time.
func (c *conn) send(b []byte) bool {
	until := now().Add(c.trap.limits.RequestTime)
	if end := c.last().Add(c.trap.limits.RequestTime); end.Before(until) {
		until = end
	}
	_ = c.nc.SetWriteDeadline(until)
	_, err := c.rw.Write(b)
	return err == nil
}

// linger lets the client read the answer before the connection goes: closing
// with unread bytes in the socket would reset it (Apache's lingering close).
func (c *conn) linger(x *exchange) {
	if !c.unread || c.cutReason() != cutNot {
		return
	}
	c.closeNotify()
	closer, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || closer.CloseWrite() != nil {
		return
	}
	c.trap.clients.wait(c)
	c.readBy(now().Add(lingerTime))
	buf := x.br
	for dropped := int64(0); dropped < c.trap.limits.Drain; {
		if _, err := buf.Peek(1); err != nil {
			return
		}
		n, _ := buf.Discard(buf.Buffered())
		dropped += int64(n)
		c.trap.count.bytesDropped.Add(uint64(n))
	}
}

// lingerTime is how long a closed connection is still read from.
const lingerTime = 2 * time.Second
