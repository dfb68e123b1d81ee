package trap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang/connlimit"
	"github.com/trapline/trapline/wire"
)

// Apache's default limits; a trap answers as Apache does but keeps and inspects what is longer.
const (
	apacheLine   = 8190 // LimitRequestLine, LimitRequestFieldSize
	apacheFields = 100  // LimitRequestFields
	apacheBody   = 1 << 30
)

// http1 serves one request of HTTP/0.9 to 1.1 and reports whether another may follow.
func (c *conn) http1(ctx context.Context, x *exchange) bool {
	t := c.trap
	head, verdict, err := wire.ReadHead(x.br, wire.Limits{Head: t.limits.Head})
	if verdict == wire.NotHTTP {
		c.other(ctx, x)
		return false
	}
	host, _ := head.Get("Host")
	x.begin(c, t.cfg.Host(c.local, host), c.begun)
	defer x.done()
	x.head(head.Raw)

	status := 0
	if x.stop == nil {
		status = headStatus(head, verdict)
	}
	var faults []wire.Fault
	switch {
	case verdict == wire.TooLong:
		t.count.headsCut.Add(1)
		c.unread = true
		x.noteCount("cut: head", t.limits.Head, "bytes")
		x.body(nil, 0)
	case verdict == wire.Short:
		status = c.late(x, err)
		x.body(nil, 0)
	case head.Framing.HasBody() && head.Method != http.MethodConnect:
		c.counted.Set(connlimit.Reading | connlimit.Writing)
		var bodyStatus int
		bodyStatus, faults, err = c.readBody(x, head)
		if status == 0 {
			status = bodyStatus
			x.answer.unsized = bodyStatus == http.StatusBadRequest && err == nil
		}
	default:
		x.body(nil, 0)
	}
	x.answer.unsized = x.answer.unsized || status == http.StatusRequestEntityTooLarge
	x.noteFaults(head.Faults)
	x.noteFaults(faults)
	alive := t.clients.work(c)
	c.counted.Set(connlimit.Writing)
	c.helloBytes = nil

	f := frame{
		server: x.host.serverName(), date: t.date.at(c.begun), head: head.Method == http.MethodHead,
		simple: verdict == wire.HTTP && head.Proto == "" && head.Method == http.MethodGet, ten: head.Proto == "HTTP/1.0",
	}
	f.closes = verdict != wire.HTTP || head.Framing.Close || head.Method == http.MethodConnect || len(faults) > 0 || err != nil || c.unread ||
		t.closing.Load() || !now().Add(t.limits.KeepAlive).Before(c.last())
	connection, _ := head.Get("Connection")
	f.asked = strings.EqualFold(connection, "keep-alive")
	if !alive || err != nil && !isTimeout(err) && !halfClosed(err) || x.stop == nil && verdict == wire.Short && !isTimeout(err) && !bytes.ContainsRune(head.Raw, '\n') {
		// Nobody is there to read an answer, but the rules' verdict is recorded.
		return c.unanswered(ctx, x, status)
	}
	return c.answer1(ctx, x, &f, head, status)
}

// answer1 makes the answer, has the record made durable and only then sends it.
func (c *conn) answer1(ctx context.Context, x *exchange, f *frame, head *wire.Head, status int) bool {
	if !x.refuse(head.Method, head.Target, status) {
		w := &writer{x: x, limit: c.trap.limits.Body, header: make(http.Header)}
		w.overflow = func() bool { return c.commit(ctx, x, f, head.Method) }
		w.more = func(p []byte) bool {
			if f.chunked {
				p = appendChunk(nil, p)
			}
			return c.send(p)
		}
		w.serve(ctx, head.Method, head.Target, head.Proto, func(add func(name, value string)) {
			for i := range head.Headers {
				add(head.Headers[i].Name, head.Headers[i].Value)
			}
		})
		if w.streaming {
			if f.chunked {
				w.broken = !c.send([]byte("0\r\n\r\n")) || w.broken
			}
			return !f.closes && !w.broken
		}
		if w.broken {
			return false
		}
	}
	return c.commit(ctx, x, f, head.Method) && !f.closes
}

// commit inspects the answer, hands over the record and sends what x.answer holds.
func (c *conn) commit(ctx context.Context, x *exchange, f *frame, method string) bool {
	x.inspect("HTTP/1.1", method)
	a := &x.answer
	if a.drop {
		x.settle(ctx, true)
		c.reset()
		return false
	}
	f.closes = f.closes || closing(a.status)
	n := 0
	x.out = x.out[:0]
	if !f.simple {
		x.out = a.appendHead(x.out, f)
		n = len(x.out)
	}
	withBody := !f.head && a.hasBody()
	if withBody && !f.chunked {
		x.out = append(x.out, a.body...)
	}
	x.rec.Status = a.status
	x.rec.ResponseHead = bytes.TrimSuffix(x.out[:n:n], []byte("\r\n\r\n"))
	if withBody {
		x.rec.ResponseBody = a.body
		x.rec.ResponseBodySize = max(int64(len(a.body)), a.length)
	}
	x.settle(ctx, true)
	c.pause(ctx, x.stop)
	if withBody && f.chunked {
		x.out = appendChunk(x.out, a.body)
	}
	return c.send(x.out)
}

// unanswered records a request whose client has gone.
func (c *conn) unanswered(ctx context.Context, x *exchange, status int) bool {
	if why := c.cutReason(); why != cutNot {
		x.note("cut", why.String())
		_ = c.nc.Close()
	}
	x.settle(ctx, true)
	return false
}

// late says what becomes of a head that did not come to its end.
func (c *conn) late(x *exchange, err error) int {
	c.unread = true
	if isTimeout(err) {
		if c.cutReason() == cutNot {
			c.trap.count.slowReq.Add(1)
			x.noteCount("cut: request incomplete after", int(c.trap.limits.RequestTime.Seconds()), "s")
		}
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// readBody reads and inspects the body. The status is 0 when nothing is wrong with it.
func (c *conn) readBody(x *exchange, head *wire.Head) (status int, faults []wire.Fault, err error) {
	t := c.trap
	if head.Framing.Expect100 && x.stop == nil && x.br.Buffered() == 0 {
		// Not the answer yet: the tag is in force since the connection was accepted.
		if !c.send([]byte("HTTP/1.1 100 Continue\r\n\r\n")) {
			x.body(nil, 0)
			return 0, nil, errGone
		}
	}
	if head.Framing.Expect100 && x.stop != nil && x.br.Buffered() == 0 {
		// The client waits for a final status before it sends anything.
		x.body(nil, 0)
		c.unread = true
		return 0, nil, nil
	}
	b := wire.NewBodyReader(x.br, head.Framing)
	k := &x.keeper
	most := int64(t.limits.Body) + t.limits.Drain
	var dropped int
	buf := x.scratch()
	for err == nil && k.size < most {
		var n int
		n, err = b.Read(buf)
		dropped += k.add(buf[:n])
	}
	faults = b.Faults()
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case err == nil:
		faults = append(faults, wire.FaultBodyLong)
	}
	if len(b.Trailer()) > 0 {
		x.note("trailer", strconv.QuoteToASCII(string(b.Trailer())))
	}
	if dropped > 0 {
		t.count.bodiesCut.Add(1)
		t.count.bytesDropped.Add(uint64(dropped))
		x.noteCount("cut: body", len(k.kept), "bytes kept")
		status = http.StatusRequestEntityTooLarge
	}
	switch {
	case err != nil:
		status = c.late(x, err)
	case len(faults) > 0:
		c.unread = true
		if status == 0 {
			status = http.StatusBadRequest
		}
	}
	x.body(k.kept, k.size)
	return status, faults, err
}

// headStatus is what Apache 2.4 answers to a head before any handler sees it; 0: nothing is wrong.
func headStatus(h *wire.Head, verdict wire.Verdict) int {
	line, _, whole := bytes.Cut(h.Raw, []byte("\n"))
	if len(line) > apacheLine {
		return http.StatusRequestURITooLong
	}
	if verdict == wire.TooLong && whole {
		return http.StatusRequestHeaderFieldsTooLarge
	}
	for _, f := range h.Faults {
		switch f {
		case wire.FaultLeadingLine, wire.FaultNoProtocol, wire.FaultFold, wire.FaultLengthAndCoding:
			// Apache reads on.
		case wire.FaultVersion:
			// Apache takes HTTP/2.0 and HTTP/4.0 in a request line for HTTP/1.1.
			if h.Proto[5] == '0' {
				return http.StatusBadRequest
			}
		default:
			return http.StatusBadRequest
		}
	}
	if len(h.Headers) > apacheFields {
		return http.StatusBadRequest
	}
	for i := range h.Headers {
		if len(h.Headers[i].Name)+len(h.Headers[i].Value) > apacheLine {
			return http.StatusBadRequest
		}
	}
	if h.Framing.ContentLength > apacheBody {
		return http.StatusRequestEntityTooLarge
	}
	switch h.Method {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		return http.StatusMethodNotAllowed
	}
	return targetStatus(h.Target)
}

// targetStatus judges the path as Apache does: 400 for what cannot be decoded or
// climbs above the root, 404 for an encoded slash or NUL (AllowEncodedSlashes Off).
func targetStatus(target string) int {
	path, _, _ := strings.Cut(target, "?")
	if i := strings.Index(path, "://"); i > 0 {
		_, path, _ = strings.Cut(path[i+3:], "/")
		path = "/" + path
	}
	if path == "*" {
		return 0
	}
	if path == "" || path[0] != '/' {
		return http.StatusBadRequest
	}
	status := 0
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return http.StatusBadRequest
		}
		if code := path[i+1 : i+3]; code == "00" || strings.EqualFold(code, "2f") {
			status = http.StatusNotFound
		}
	}
	if climbs(path) {
		return http.StatusBadRequest
	}
	return status
}

// climbs is true for a path that leaves the root, dots encoded or not.
func climbs(path string) bool {
	depth := 0
	for part := range strings.SplitSeq(path[1:], "/") {
		dots := 0
		for rest := part; rest != ""; dots++ {
			if rest[0] == '.' {
				rest = rest[1:]
			} else if len(rest) >= 3 && strings.EqualFold(rest[:3], "%2e") {
				rest = rest[3:]
			} else {
				dots = -1
				break
			}
		}
		switch {
		case dots == 2:
			if depth--; depth < 0 {
				return true
			}
		case part != "" && dots != 1:
			depth++
		}
	}
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// closing is true for the statuses after which Apache closes the connection.
func closing(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusLengthRequired, http.StatusRequestEntityTooLarge,
		http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge, http.StatusInternalServerError, http.StatusNotImplemented, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// appendChunk appends p as one chunk (RFC 9112, section 7.1).
func appendChunk(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst
	}
	dst = strconv.AppendInt(dst, int64(len(p)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, p...)
	return append(dst, "\r\n"...)
}

// errGone says that the client does not take what we send.
var errGone = errors.New("client has gone")

// halfClosed is true when the client has ended its side; it may still read our answer.
func halfClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
