package trap

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/wire"
)

// request records and answers one request; false ends the connection.
func (h *h2) request(ctx context.Context, st *stream) bool {
	h.served++
	h.control = 0
	c, x, t := h.c, h.x, h.c.trap
	raw, pseudo := st.head()
	head := wire.ParseHead(raw, wire.Limits{})
	host, _ := head.Get("Host")
	x.begin(c, t.cfg.Host(c.local, host), st.begun)
	defer x.done()
	defer delete(h.windows, st.id)
	c.helloBytes = nil
	x.head(raw)
	x.body(st.body.kept, st.body.size)
	defer st.body.free()
	x.note("pseudo", pseudo)
	if st.headCut {
		t.count.headsCut.Add(1)
		x.noteCount("cut: head", t.limits.Head, "bytes")
	}
	if st.body.size > int64(len(st.body.kept)) {
		t.count.bodiesCut.Add(1)
		x.noteCount("cut: body", len(st.body.kept), "bytes kept")
	}
	if st.note != "" {
		x.note("cut", st.note)
	}
	if !t.clients.work(c) || st.reset {
		if why := c.cutReason(); why != cutNot {
			x.note("cut", why.String())
		}
		x.settle(ctx, true)
		return c.cutReason() == cutNot
	}
	return h.answer(ctx, st, head, st.judge(head, pseudo))
}

// judge is the status for what is wrong with the request, 0 when nothing is.
func (st *stream) judge(head *wire.Head, pseudo string) int {
	switch {
	case st.status != 0:
		return st.status
	case st.headCut:
		return http.StatusRequestHeaderFieldsTooLarge
	case !strings.Contains(pseudo, ":method") || !strings.Contains(pseudo, ":path") && head.Method != http.MethodConnect:
		return http.StatusBadRequest
	}
	return headStatus(head, wire.HTTP)
}

// head reconstructs a request head: request line, Host, and the fields in the
// order they came. pseudo is the order of the pseudo-header fields, which tells
// clients apart.
func (st *stream) head() (raw []byte, pseudo string) {
	method, path, authority, hasHost := "", "", "", false
	var order []string
	for _, f := range st.fields {
		if strings.HasPrefix(f.Name, ":") {
			order = append(order, f.Name)
		}
		switch f.Name {
		case ":method":
			method = f.Value
		case ":path":
			path = f.Value
		case ":authority":
			authority = f.Value
		case "host":
			hasHost = true
		}
	}
	if path == "" && method == http.MethodConnect {
		path = authority
	}
	raw = append(raw, clean(method)...)
	raw = append(raw, ' ')
	raw = append(raw, clean(path)...)
	raw = append(raw, " HTTP/2.0"...)
	if authority != "" && !hasHost {
		raw = append(raw, "\r\nhost: "...)
		raw = append(raw, clean(authority)...)
	}
	for _, f := range st.fields {
		if strings.HasPrefix(f.Name, ":") {
			continue
		}
		raw = append(raw, "\r\n"...)
		raw = append(raw, clean(f.Name)...)
		raw = append(raw, ": "...)
		raw = append(raw, clean(f.Value)...)
	}
	return raw, strings.Join(order, " ")
}

// clean keeps one field on one line: HPACK can carry CR and LF, the form of a record cannot.
func clean(s string) string {
	if strings.ContainsAny(s, "\r\n\x00") {
		return strings.NewReplacer("\r", `\r`, "\n", `\n`, "\x00", `\0`).Replace(s)
	}
	return s
}

// answer makes the answer, has the record made durable and sends it.
func (h *h2) answer(ctx context.Context, st *stream, head *wire.Head, status int) bool {
	x := h.x
	if !x.refuse(head.Method, head.Target, status) {
		w := &writer{x: x, limit: h.c.trap.limits.Body, header: make(http.Header)}
		w.overflow = func() bool { return h.commit(ctx, st, head.Method) }
		w.more = func(p []byte) bool { return h.send(st.id, p) }
		w.serve(ctx, head.Method, head.Target, "HTTP/2.0", func(add func(name, value string)) {
			for i := range head.Headers {
				add(head.Headers[i].Name, head.Headers[i].Value)
			}
		})
		if w.streaming && !w.broken {
			_ = h.fr.WriteData(st.id, true, nil)
			return h.flush()
		}
		if w.broken {
			_ = h.fr.WriteRSTStream(st.id, http2.ErrCodeInternal)
			return h.flush()
		}
	}
	return h.commit(ctx, st, head.Method)
}

// commit inspects the answer, hands over the record and sends what x.answer holds.
func (h *h2) commit(ctx context.Context, st *stream, method string) bool {
	x, c := h.x, h.c
	x.inspect("HTTP/2.0", method)
	a := &x.answer
	if a.drop {
		x.settle(ctx, true)
		c.reset()
		return false
	}
	withBody := a.hasBody() && method != http.MethodHead
	fields := h.fields(a)
	x.rec.Status = a.status
	x.rec.ResponseHead = shown(fields)
	if withBody {
		x.rec.ResponseBody, x.rec.ResponseBodySize = a.body, max(int64(len(a.body)), a.length)
	}
	x.settle(ctx, true)
	c.pause(ctx, x.stop)
	h.hb.Reset()
	for _, f := range fields {
		_ = h.enc.WriteField(f)
	}
	body := withBody && (len(a.body) > 0 || a.open)
	if !h.writeHead(st.id, !body) {
		return false
	}
	if !body {
		return h.flush()
	}
	if !h.send(st.id, a.body) {
		return false
	}
	if !a.open {
		_ = h.fr.WriteData(st.id, true, nil)
	}
	return h.flush()
}

// writeHead writes the encoded header block, split as the peer's frame size demands.
func (h *h2) writeHead(id uint32, endStream bool) bool {
	block := h.hb.Bytes()
	n := min(len(block), h.peerMax)
	err := h.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block[:n], EndStream: endStream, EndHeaders: n == len(block),
	})
	for block = block[n:]; err == nil && len(block) > 0; block = block[n:] {
		n = min(len(block), h.peerMax)
		err = h.fr.WriteContinuation(id, n == len(block), block[:n])
	}
	return err == nil
}

func (h *h2) fields(a *answer) []hpack.HeaderField {
	out := []hpack.HeaderField{
		{Name: ":status", Value: strconv.Itoa(a.status)},
		{Name: "date", Value: h.c.trap.date.at(now())},
		{Name: "server", Value: h.x.host.serverName()},
	}
	for _, f := range a.header {
		out = append(out, hpack.HeaderField{Name: strings.ToLower(f.Name), Value: strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(f.Value)})
	}
	switch {
	case !a.hasBody():
	case !a.open:
		out = append(out, hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(a.body))})
	case a.length >= 0:
		out = append(out, hpack.HeaderField{Name: "content-length", Value: strconv.FormatInt(a.length, 10)})
	}
	return out
}

// shown is the response head in the form of the record.
func shown(fields []hpack.HeaderField) []byte {
	var b []byte
	for i, f := range fields {
		if i == 0 {
			status, _ := strconv.Atoi(f.Value)
			b = append(b, "HTTP/2.0 "+f.Value+" "+statusText(status)...)
			continue
		}
		b = append(b, "\r\n"+f.Name+": "+f.Value...)
	}
	return b
}

// send writes body bytes as the client's windows allow, reading its frames while it has to wait.
func (h *h2) send(id uint32, p []byte) bool {
	for len(p) > 0 {
		n := min(int64(len(p)), int64(h.peerMax), h.window, h.windows[id])
		if n <= 0 {
			if _, ok := h.read(); !ok {
				return false
			}
			continue
		}
		if h.fr.WriteData(id, false, p[:n]) != nil || !h.flush() {
			return false
		}
		h.window -= n
		h.windows[id] -= n
		p = p[n:]
	}
	return true
}

// abandon records the requests that did not come to their end.
func (h *h2) abandon(ctx context.Context) {
	for _, st := range h.ready {
		st.reset = true
		h.request(ctx, st)
	}
	h.ready = nil
	ids := make([]uint32, 0, len(h.streams))
	for id := range h.streams {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		st := h.streams[id]
		if st.note == "" {
			st.note = "request incomplete when the connection ended"
		}
		st.reset = true
		h.request(ctx, st)
	}
}

// prefaceOnly records a client that spoke HTTP/2 but asked for nothing.
func (h *h2) prefaceOnly(ctx context.Context) {
	x := h.x
	x.begin(h.c, h.c.host, h.c.begun)
	defer x.done()
	x.head([]byte("PRI * HTTP/2.0"))
	x.body(nil, 0)
	x.note("http2", "no request after the preface")
	x.settle(ctx, true)
}
