package wire

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
)

// maxWaiting is how many heads may wait for a handler. net/http serves one
// request at a time per connection, so more than a few wait only when a client
// pipelines, or when the bytes are no longer requests. net/http reads 4,096 bytes
// at a time and its shortest request has 22, so a client gets no more to wait than 187.
const maxWaiting = 256

// Recorder is a connection under net/http that remembers the head of each
// HTTP/1 request exactly as it came. It follows the framing of the requests as
// net/http does, so that body bytes are passed over without a copy. A handler
// takes the head of its request with Take; heads that net/http refused itself
// (malformed, no Host, too large) are left and found with Unclaimed.
//
// When it cannot follow (framing that net/http refuses, a head over the limit,
// too many pipelined heads, Stop) it stops observing and says so with ok=false.
type Recorder struct {
	net.Conn
	limit int

	mu      sync.Mutex // guards what follows: net/http reads in the background while a handler runs
	follow  follower
	stopped bool
	waiting [][]byte // heads in the order they came
	refused []Seen
}

// Seen is a head that no handler took.
type Seen struct {
	// Raw is the head as it came, without its final empty line when Complete.
	Raw []byte
	// Complete is false when the connection ended, or observation stopped, inside the head.
	Complete bool
}

// NewRecorder wraps a connection. limit bounds the bytes kept of one head; it
// should be at least http.Server.MaxHeaderBytes + 4096, where net/http itself
// gives up. For TLS use NewTLSRecorder.
func NewRecorder(c net.Conn, limit int) *Recorder {
	if limit <= 0 {
		limit = defaultHead
	}
	return &Recorder{Conn: c, limit: limit, follow: follower{limit: limit}}
}

// TLSRecorder is a Recorder above TLS. Its handshake has been done by the
// caller, who sends connections that agreed on "h2" elsewhere. net/http finds
// the TLS state through ConnectionState.
type TLSRecorder struct {
	*Recorder
	conn *tls.Conn
}

// NewTLSRecorder wraps a TLS connection after its handshake.
func NewTLSRecorder(c *tls.Conn, limit int) *TLSRecorder {
	return &TLSRecorder{Recorder: NewRecorder(c, limit), conn: c}
}

// ConnectionState returns the state of the TLS connection; net/http sets Request.TLS from it.
func (r *TLSRecorder) ConnectionState() tls.ConnectionState { return r.conn.ConnectionState() }

// RecorderOf finds the Recorder in a connection given to http.Server.ConnContext or ConnState; nil when there is none.
func RecorderOf(c net.Conn) *Recorder {
	switch c := c.(type) {
	case *Recorder:
		return c
	case *TLSRecorder:
		return c.Recorder
	}
	return nil
}

// Read reads from the connection and observes the bytes.
func (r *Recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if n > 0 {
		r.mu.Lock()
		if !r.stopped {
			r.observe(p[:n])
		}
		r.mu.Unlock()
	}
	return n, err
}

// ReadFrom keeps sendfile working through the wrapper.
func (r *Recorder) ReadFrom(src io.Reader) (int64, error) {
	if to, ok := r.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{r.Conn}, src)
}

// CloseWrite shuts down the writing side where the connection can; net/http uses it before it gives up on a client.
func (r *Recorder) CloseWrite() error {
	if c, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Take returns the raw head, without its final empty line, of the request that
// a handler serves now; method and target are Request.Method and
// Request.RequestURI. Heads before it that net/http answered itself are set
// aside for Unclaimed. The caller owns the bytes. ok is false when the
// recorder has stopped following; the caller then has the parsed request only.
func (r *Recorder) Take(method, target string) (raw []byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, raw := range r.waiting {
		if isRequest(raw, method, target) {
			r.setAside(r.waiting[:i])
			r.waiting = append(r.waiting[:0], r.waiting[i+1:]...)
			return raw, true
		}
	}
	return nil, false
}

// Unclaimed returns the heads that no handler has taken, the unfinished last
// one included, and forgets them. Call it when the connection is closed.
func (r *Recorder) Unclaimed() []Seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setAside(r.waiting)
	r.waiting = nil
	out := r.refused
	r.refused = nil
	if part := r.follow.head; len(part) > 0 {
		out = append(out, Seen{Raw: part})
		r.follow.head = nil
	}
	return out
}

// Partial says whether bytes of a request have come that no handler has taken.
func (r *Recorder) Partial() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.follow.head) > 0 || len(r.waiting) > 0
}

// Stop ends the observation: after a hijack the bytes are no longer requests.
// Heads not yet taken stay available to Take.
func (r *Recorder) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	r.follow.head = nil
}

func (r *Recorder) stop() { r.stopped = true }

func (r *Recorder) setAside(heads [][]byte) {
	for _, raw := range heads {
		if len(r.refused) < maxWaiting {
			r.refused = append(r.refused, Seen{Raw: raw, Complete: true})
		}
	}
}

func (r *Recorder) observe(p []byte) {
	for len(p) > 0 && !r.stopped {
		n, state := r.follow.feed(p)
		p = p[n:]
		switch state {
		case followMore:
		case followLost:
			r.stop()
		case followHead:
			if len(r.waiting) >= maxWaiting {
				r.stop()
				return
			}
			raw := r.follow.takeHead()
			r.waiting = append(r.waiting, raw)
			if !r.follow.body(raw) {
				r.stop()
			}
		}
	}
}

// isRequest reports whether raw begins with a request line that net/http, which
// cuts it at the first and the second space, reads as that method and target.
func isRequest(raw []byte, method, target string) bool {
	n := len(method) + 1 + len(target)
	return len(raw) > n && string(raw[:len(method)]) == method && raw[len(method)] == ' ' &&
		string(raw[len(method)+1:n]) == target && raw[n] == ' '
}
