package gate

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/wire"
)

// maxWaitingHeads is how many HTTP/2 heads may wait for their handlers; a connection has at most 250 streams at a time.
const maxWaitingHeads = 512

// maxHeldHeads bounds their bytes, counted as SETTINGS_MAX_HEADER_LIST_SIZE counts: one byte on the wire can name a field
// of 4 KiB, and heads that the server refuses are held until the connection ends.
const maxHeldHeads = 2 << 20

// serveHTTP2 has golang.org/x/net/http2 serve the connections that agreed on h2. It is the code of net/http, but takes
// a connection through which we can look: the rules then see header fields in the order in which they came.
func (g *Gate) serveHTTP2(server *http.Server) error {
	//nolint:staticcheck // net/http itself takes only a *tls.Conn, through which nobody can look
	h2 := &http2.Server{WriteByteTimeout: g.table.Load().ioTimeout}
	if err := http2.ConfigureServer(server, h2); err != nil { //nolint:staticcheck // as above
		return err
	}
	server.TLSNextProto["h2"] = func(hs *http.Server, tc *tls.Conn, h http.Handler) {
		opts := &http2.ServeConnOpts{BaseConfig: hs, Handler: h} //nolint:staticcheck // as above
		if base, ok := h.(interface{ BaseContext() context.Context }); ok {
			opts.Context = base.BaseContext()
		}
		c := connOf(tc)
		seen := newH2Conn(tc)
		if g.cfg.Connections != nil {
			seen.streams.place = &c.place
		}
		c.h2 = seen
		h2.ServeConn(seen, opts) //nolint:staticcheck // as above
		for _, raw := range seen.unclaimed() {
			g.malformed(c, wire.Seen{Raw: raw, Complete: true}, nil, http.StatusBadRequest)
		}
		if seen.left > 0 {
			g.stats.malformed.Add(seen.left)
			countLost(g.log, &g.stats.dropped, "heads of refused HTTP/2 requests")
		}
	}
	return nil
}

// h2Conn is an HTTP/2 connection that remembers the head of each request until its handler takes it.
//
//	preface (24 bytes) ─► frame header (9) ─► HEADERS, CONTINUATION: collect, at END_HEADERS decode
//	                              ▲        └─► all others: skip
//	                              └── next frame
type h2Conn struct {
	*tls.Conn

	mu      sync.Mutex // guards what follows: the server reads on one goroutine, handlers take on others
	lost    bool       // the bytes made no sense: the server will refuse them too
	skip    int        // bytes to pass over
	need    int        // bytes wanted in buf before the next step
	buf     []byte
	frame   h2Frame
	inFrame bool
	block   []byte // header block being collected
	decoder *hpack.Decoder
	head    h2Head
	size    int
	waiting []h2Head
	refused []h2Head
	held    int   // bytes of both
	left    int64 // heads given up for maxHeldHeads
	streams h2Streams
}

type h2Frame struct {
	length int
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
}

// h2Head is a request head as its fields came.
type h2Head struct {
	method, path, authority string
	fields                  []hpack.HeaderField
	size                    int
}

func newH2Conn(tc *tls.Conn) *h2Conn {
	c := &h2Conn{Conn: tc, skip: len(http2.ClientPreface)}
	c.decoder = hpack.NewDecoder(4096, c.field)
	c.decoder.SetMaxStringLength(maxHeadBytes)
	return c
}

// Read reads and looks.
func (c *h2Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.look(p[:n]) {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

// look is false when the bytes begin a request of a client that has too many connections: they are then forgotten.
func (c *h2Conn) look(p []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe(p)
	if c.streams.settle(c.lost || c.skip > 0 || c.need > 0 || len(c.block) > 0) {
		return true
	}
	c.lose()
	c.waiting = nil
	return false
}

// Write writes, and sees which answers are complete.
func (c *h2Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.streams.place == nil {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams.sent(p[:n])
	c.streams.settle(c.lost || c.skip > 0 || c.need > 0 || len(c.block) > 0)
	return n, err
}

func (c *h2Conn) observe(p []byte) {
	for len(p) > 0 && !c.lost {
		if c.skip > 0 {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			if c.skip == 0 {
				c.streams.dataEnded()
			}
			continue
		}
		if c.need == 0 {
			c.need, c.inFrame = 9, false
		}
		n := min(c.need-len(c.buf), len(p))
		c.buf = append(c.buf, p[:n]...)
		p = p[n:]
		if len(c.buf) < c.need {
			return
		}
		whole := c.buf
		c.buf, c.need = c.buf[:0], 0
		if c.inFrame {
			c.headers(whole)
		} else {
			c.frameHeader(whole)
		}
	}
}

func (c *h2Conn) frameHeader(b []byte) {
	c.frame = parseFrameHead(b)
	c.streams.arrived(c.frame)
	isHead := c.frame.kind == http2.FrameHeaders || c.frame.kind == http2.FrameContinuation
	switch {
	case !isHead:
		c.skip = c.frame.length
	case len(c.block)+c.frame.length > 2*maxHeadBytes:
		c.lose()
	case c.frame.length == 0:
		c.headers(nil)
	default:
		c.need, c.inFrame = c.frame.length, true
	}
}

// headers takes the payload of a HEADERS or CONTINUATION frame (RFC 9113, section 6.2).
func (c *h2Conn) headers(b []byte) {
	if c.frame.kind == http2.FrameHeaders {
		padding := 0
		if c.frame.flags.Has(http2.FlagHeadersPadded) {
			if len(b) < 1 {
				c.lose()
				return
			}
			padding, b = int(b[0]), b[1:]
		}
		if c.frame.flags.Has(http2.FlagHeadersPriority) {
			if len(b) < 5 {
				c.lose()
				return
			}
			b = b[5:]
		}
		if padding > len(b) {
			c.lose()
			return
		}
		b = b[:len(b)-padding]
	}
	c.block = append(c.block, b...)
	if !c.frame.flags.Has(http2.FlagHeadersEndHeaders) {
		return
	}
	c.streams.headEnded()
	c.head, c.size = h2Head{}, 0
	_, err := c.decoder.Write(c.block)
	if err == nil {
		err = c.decoder.Close()
	}
	c.block = c.block[:0]
	if err != nil {
		c.lose()
		return
	}
	if c.head.method == "" && c.head.path == "" {
		return // trailers
	}
	if len(c.waiting) >= maxWaitingHeads {
		c.setAside(0)
	}
	c.waiting = append(c.waiting, c.head)
	for c.held += c.head.size; c.held > maxHeldHeads; c.left++ {
		from := &c.refused
		if len(*from) == 0 {
			from = &c.waiting
		}
		c.held -= (*from)[0].size
		*from = slices.Delete(*from, 0, 1)
	}
}

func (c *h2Conn) lose() {
	c.lost = true
	c.buf, c.block = nil, nil
}

func (c *h2Conn) field(f hpack.HeaderField) {
	if c.size += int(f.Size()); c.size > 2*maxHeadBytes {
		return // the server refuses it; its decoder still has to follow
	}
	c.head.size = c.size
	switch f.Name {
	case ":method":
		c.head.method = f.Value
	case ":path":
		c.head.path = f.Value
	case ":authority":
		c.head.authority = f.Value
	case ":scheme", ":protocol":
	default:
		c.head.fields = append(c.head.fields, f)
	}
}

// take returns the head of the request that a handler serves now, in the form of a record; nil when it is not known.
// Handlers start in any order, and the rules must see the fields of the request that the upstream gets: of two requests
// for one URL under way only a head with the very fields of r will do.
func (c *h2Conn) take(r *http.Request) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	same := -1 // a head for the same URL
	for i := range c.waiting {
		h := &c.waiting[i]
		target := h.path
		if h.method == http.MethodConnect && target == "" {
			target = h.authority
		}
		if h.method != r.Method || target != r.RequestURI {
			continue
		}
		if h.fits(r) {
			raw := h.bytes()
			c.held -= h.size
			c.waiting = slices.Delete(c.waiting, i, i+1)
			return raw
		}
		if same < 0 {
			same = i
		}
	}
	if same >= 0 {
		c.held -= c.waiting[same].size
		c.waiting = slices.Delete(c.waiting, same, same+1) // or it would count as refused
	}
	return nil
}

// fits says whether the head became the request r: it compares with what the server makes of the fields.
func (h *h2Head) fits(r *http.Request) bool {
	made := make(http.Header, len(h.fields))
	for _, f := range h.fields {
		name := http.CanonicalHeaderKey(f.Name)
		made[name] = append(made[name], f.Value)
	}
	host := h.authority
	if host == "" {
		host = made.Get("Host")
	}
	delete(made, "Host")
	delete(made, "Trailer")
	if _, kept := r.Header["Expect"]; !kept && slices.ContainsFunc(made["Expect"], func(v string) bool { return strings.Contains(strings.ToLower(v), "100-continue") }) {
		delete(made, "Expect")
	}
	if cookies := made["Cookie"]; len(cookies) > 1 {
		made["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	return host == r.Host && maps.EqualFunc(made, r.Header, func(a, b []string) bool { return slices.Equal(a, b) })
}

// bytes is the head in the form that rules and logs know; trap writes the same.
func (h *h2Head) bytes() []byte {
	target := h.path
	if target == "" && h.method == http.MethodConnect {
		target = h.authority
	}
	b := make([]byte, 0, 512)
	b = append(append(append(append(b, oneLine(h.method)...), ' '), oneLine(target)...), " HTTP/2.0"...)
	if h.authority != "" && !slices.ContainsFunc(h.fields, func(f hpack.HeaderField) bool { return f.Name == "host" }) {
		b = append(append(b, "\r\nhost: "...), oneLine(h.authority)...)
	}
	for _, f := range h.fields {
		b = append(append(append(append(b, "\r\n"...), oneLine(f.Name)...), ": "...), oneLine(f.Value)...)
	}
	return b
}

// oneLine keeps a field on one line: HPACK can carry CR and LF, the form of a record cannot.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.NewReplacer("\r", `\r`, "\n", `\n`, "\x00", `\0`).Replace(s)
}

func (c *h2Conn) setAside(i int) {
	if len(c.refused) < maxWaitingHeads {
		c.refused = append(c.refused, c.waiting[i])
	} else {
		c.held -= c.waiting[i].size
		c.left++
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
}

// unclaimed returns the heads that no handler took: the server refused them.
func (c *h2Conn) unclaimed() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) > 0 {
		c.setAside(0)
	}
	out := make([][]byte, len(c.refused))
	for i := range c.refused {
		out[i] = c.refused[i].bytes()
	}
	c.refused, c.held = nil, 0
	return out
}
