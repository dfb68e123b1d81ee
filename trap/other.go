package trap

import (
	"bufio"
	"bytes"
	"context"
	"net/http"

	"github.com/trapline/trapline/audit"
)

// other records bytes that are not HTTP. It waits until the client is silent,
// for a client of another protocol sends its first message and waits for ours.
func (c *conn) other(ctx context.Context, x *exchange) {
	t := c.trap
	raw, cutShort := c.gather(x.br)
	x.begin(c, c.host, c.begun)
	defer x.done()
	x.rec.Kind = audit.KindBytes
	x.rec.RequestBodySize = 0
	if cutShort {
		t.count.rawCut.Add(1)
		x.noteCount("cut: bytes", t.limits.Raw, "kept")
	}
	x.head(raw)
	x.body(nil, 0)
	c.unread = true
	c.helloBytes = nil
	alive := t.clients.work(c)
	if !alive || !isText(raw[:min(len(raw), 512)]) || x.stop == nil && len(bytes.TrimLeft(raw, "\r\n")) == 0 {
		// What is binary gets no answer: an HTTP page would only tell what we are.
		if why := c.cutReason(); why != cutNot {
			x.note("cut", why.String())
		}
		x.settle(ctx, true)
		return
	}
	x.refuse("", "", http.StatusBadRequest)
	c.commit(ctx, x, &frame{server: x.host.serverName(), date: t.date.at(c.begun), closes: true}, "")
}

// leftover records bytes that came after the last request of a connection: what
// a client hid behind "Connection: close", or sent after an Upgrade.
func (c *conn) leftover(ctx context.Context, x *exchange) {
	n := x.br.Buffered()
	if c.unread || n == 0 {
		return // nothing, or the rest of what a limit cut
	}
	b, _ := x.br.Peek(n)
	if len(bytes.TrimLeft(b, "\r\n")) == 0 {
		return // old clients end a body with an empty line more
	}
	raw := bytes.Clone(b)
	_, _ = x.br.Discard(n)
	x.begin(c, c.host, now())
	defer x.done()
	x.rec.Kind = audit.KindBytes
	x.note("bytes", "after the last request of the connection")
	x.head(raw)
	x.body(nil, 0)
	c.unread = true
	x.settle(ctx, true)
}

// gather reads until silence, the end, the time or the limit of a request.
func (c *conn) gather(br *bufio.Reader) (raw []byte, cutShort bool) {
	limits := c.trap.limits
	end := c.begun.Add(limits.RequestTime)
	for {
		if n := br.Buffered(); n > 0 {
			b, _ := br.Peek(min(n, limits.Raw-len(raw)))
			raw = append(raw, b...)
			_, _ = br.Discard(len(b))
		}
		if len(raw) >= limits.Raw {
			return raw, true
		}
		until := now().Add(limits.Quiet)
		if end.Before(until) {
			until = end
		}
		c.readBy(until)
		if _, err := br.Peek(1); err != nil {
			return raw, false
		}
	}
}
