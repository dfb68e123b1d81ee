package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang/connlimit"
	"github.com/trapline/trapline/wire"
)

const (
	// maxHeadBytes is what of a request head reaches net/http; LimitRequest* cut earlier.
	maxHeadBytes = 256 << 10
	// maxHello bounds the ClientHello that is kept for its JA4.
	maxHello = 16 << 10
	// maxAnswerHead bounds the response head that is kept for the record.
	maxAnswerHead = 64 << 10

	handshakeTimeout = 10 * time.Second
	// maxHandshakes is how many TLS handshakes may be under way; more wait in the listener's backlog.
	maxHandshakes = 4096
	// maxOfPeer is how many of them one address, or IPv6 /64, may have under way: the others' must not wait for its silence.
	maxOfPeer = 256
)

// door is the listener that net/http sees: connections come out of it with their TLS handshake done and a recorder beneath.
type door struct {
	net.Listener
	gate   *Gate
	ready  chan net.Conn
	slots  chan struct{}
	done   chan struct{}
	err    error // set before done is closed
	once   sync.Once
	closed sync.Once

	mu    sync.Mutex
	peers map[netip.Addr]int // guarded by mu: handshakes under way
}

func newDoor(g *Gate, ln net.Listener) *door {
	return &door{Listener: ln, gate: g, ready: make(chan net.Conn), slots: make(chan struct{}, maxHandshakes), done: make(chan struct{}), peers: map[netip.Addr]int{}}
}

// Accept returns the next connection that is ready for HTTP.
func (d *door) Accept() (net.Conn, error) {
	d.once.Do(func() { go d.accept() })
	select {
	case c := <-d.ready:
		return c, nil
	case <-d.done:
		return nil, d.err
	}
}

// Close closes the listener; handshakes under way end unserved.
func (d *door) Close() error {
	err := d.Listener.Close()
	d.stop(net.ErrClosed)
	return err
}

func (d *door) stop(err error) {
	d.closed.Do(func() {
		d.err = err
		close(d.done)
	})
}

func (d *door) accept() {
	delay := time.Millisecond
	for {
		c, err := d.Listener.Accept()
		if err == nil {
			delay = time.Millisecond
			d.admit(c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			d.stop(err)
			return
		}
		// Out of file descriptors or memory, or an error of the one connection: wait as net/http does, or the loop would
		// burn the processor that could free some. None of them is a reason to give the site's port up.
		if delay == time.Millisecond {
			d.gate.log.Warn("site cannot accept", "addr", d.Listener.Addr().String(), "error", err)
		}
		select {
		case <-time.After(delay):
			delay = min(2*delay, time.Second)
		case <-d.done:
			return
		}
	}
}

func (d *door) admit(raw net.Conn) {
	c := &conn{gate: d.gate, raw: raw, peer: addrPort(raw.RemoteAddr()), local: addrPort(raw.LocalAddr())}
	c.client = c.peer
	t := d.gate.table.Load()
	tlsConfig, proxied := t.tlsFor(c.local), t.speaksProxy(c.local, c.peer)
	if !proxied && !d.count(c) {
		return
	}
	if tlsConfig == nil && !proxied {
		d.plain(c)
		return
	}
	peer := networkOf(c.peer.Addr())
	// Everybody comes through a proxy that the configuration names: its handshakes are not one client's.
	limited := !proxied && proxyKind(&t.config.HostFor(c.local, "").RemoteIP, c.peer.Addr()) == stranger
	if limited && !d.enter(peer) {
		d.gate.stats.tlsErrors.Add(1)
		_ = c.raw.Close()
		return
	}
	select {
	case d.slots <- struct{}{}:
	case <-d.done:
		_ = c.raw.Close()
		return
	}
	go func() {
		defer func() {
			if d.gate.contained("connection", recover()) {
				_ = c.raw.Close()
			}
			<-d.slots
			if limited {
				d.leave(peer)
			}
		}()
		switch {
		case proxied && !d.introduce(c):
			d.gate.stats.proxyErrors.Add(1)
			_ = c.raw.Close()
		case proxied && !d.count(c):
		case tlsConfig == nil:
			d.plain(c)
		default:
			d.handshake(c, tlsConfig)
		}
	}()
}

// enter counts a handshake of a peer; false when it has as many as it may.
func (d *door) enter(peer netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.peers[peer] >= maxOfPeer {
		return false
	}
	d.peers[peer]++
	return true
}

func (d *door) leave(peer netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.peers[peer]--; d.peers[peer] <= 0 {
		delete(d.peers, peer)
	}
}

// networkOf is the least that one client holds: an IPv4 address, an IPv6 /64.
func networkOf(a netip.Addr) netip.Addr {
	if p, err := a.WithZone("").Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

// contained reports a panic. One connection must not stop the others.
func (g *Gate) contained(where string, cause any) bool {
	if cause == nil {
		return false
	}
	g.stats.panics.Add(1)
	g.log.Error("contained a panic", "where", where, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	return true
}

func (d *door) plain(c *conn) {
	c.rec = wire.NewRecorder(c.raw, maxHeadBytes)
	c.Conn = c.rec
	d.hand(c)
}

// introduce lets a named proxy say whose connection this is.
func (d *door) introduce(c *conn) bool {
	r := bufio.NewReader(c.raw)
	_ = c.raw.SetReadDeadline(time.Now().Add(handshakeTimeout))
	client, err := readProxyLine(r)
	if err != nil {
		return false
	}
	_ = c.raw.SetReadDeadline(time.Time{})
	if client.Addr().IsValid() {
		c.client = client
	}
	c.raw = &bufferedConn{c.raw, r}
	return true
}

func (d *door) hand(c net.Conn) {
	select {
	case d.ready <- c:
	case <-d.done:
		_ = c.Close()
	}
}

func (d *door) handshake(c *conn, cfg *tls.Config) {
	hello := &helloConn{Conn: c.raw, conn: c}
	secure := tls.Server(hello, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	err := secure.HandshakeContext(ctx)
	cancel()
	if err != nil {
		d.gate.stats.tlsErrors.Add(1)
		var header tls.RecordHeaderError
		if errors.As(err, &header) && looksLikeHTTP(header.RecordHeader) {
			_, _ = io.WriteString(c.raw, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		}
		_ = c.raw.Close()
		return
	}
	state := secure.ConnectionState()
	c.tls = tlsOf(hello.bytes, state)
	hello.bytes = nil
	if state.NegotiatedProtocol == "h2" {
		if counted, ok := c.raw.(*counted); ok {
			counted.frames = true
		}
		// net/http hands a *tls.Conn to serveHTTP2; connContext finds c through NetConn.
		d.hand(secure)
		return
	}
	r := wire.NewTLSRecorder(secure, maxHeadBytes)
	c.rec, c.state = r.Recorder, &state
	c.Conn = r.Recorder
	d.hand(&tlsConn{c})
}

func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

func tlsOf(hello []byte, state tls.ConnectionState) *audit.TLS {
	t := &audit.TLS{Server: state.ServerName, Version: tlsVersion(state.Version)}
	ja4, h, err := wire.JA4(hello)
	if err == nil {
		t.JA4, t.ALPN = ja4, h.ALPN
	}
	return t
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "1.0"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return ""
}

// helloConn keeps the first bytes of a TLS connection until its handshake has ended.
type helloConn struct {
	net.Conn
	conn  *conn
	bytes []byte
	full  bool
}

func (h *helloConn) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if !h.full {
		h.bytes = append(h.bytes, p[:min(n, maxHello-len(h.bytes))]...)
		h.full = len(h.bytes) >= maxHello || h.conn.tls != nil
	}
	return n, err
}

// conn is one accepted connection. Its Conn reads and writes plain HTTP/1; for HTTP/2 it is not used as a connection.
type conn struct {
	net.Conn
	gate        *Gate
	raw         net.Conn       // TCP
	rec         *wire.Recorder // of HTTP/1
	h2          *h2Conn        // of HTTP/2
	state       *tls.ConnectionState
	tls         *audit.TLS
	peer, local netip.AddrPort
	client      netip.AddrPort // the peer, or whom a named proxy introduced
	place       connlimit.Conn // among the client's connections

	// current is the exchange under way, nil between requests. net/http calls handler, connState and Write for one
	// request after the other, so it needs no lock.
	current *exchange
	// answer collects the head of the response being written; collect is false once it is complete.
	answer  []byte
	collect bool
	served  int // requests on this connection
}

// tlsConn lets net/http see the TLS state (Request.TLS).
type tlsConn struct{ *conn }

func (c *tlsConn) ConnectionState() tls.ConnectionState { return *c.state }

// connOf finds our connection under what net/http holds.
func connOf(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *tlsConn:
		return c.conn
	case *tls.Conn:
		if h, ok := c.NetConn().(*helloConn); ok {
			return h.conn
		}
	}
	return nil
}

type connKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, connOf(c))
}

// Write keeps the head of each response, and notices when net/http answers a request that no handler has seen.
func (c *conn) Write(p []byte) (int, error) {
	if c.collect {
		c.collectHead(p)
	} else if c.current == nil {
		c.gate.refused(c, p)
	}
	// Timeout is for each write: a download may take hours, a client that takes nothing is cut.
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.gate.table.Load().ioTimeout))
	return c.Conn.Write(p)
}

func (c *conn) collectHead(p []byte) {
	c.answer = append(c.answer, p[:min(len(p), maxAnswerHead-len(c.answer))]...)
	for {
		i := bytes.Index(c.answer, []byte("\r\n\r\n"))
		if i < 0 {
			c.collect = len(c.answer) < maxAnswerHead
			return
		}
		if !bytes.HasPrefix(c.answer, []byte("HTTP/1.1 1")) || bytes.HasPrefix(c.answer, []byte("HTTP/1.1 101")) {
			c.answer, c.collect = c.answer[:i], false
			return
		}
		c.answer = append(c.answer[:0], c.answer[i+4:]...) // 100 Continue, 103 Early Hints
	}
}

// ReadFrom keeps sendfile working.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	if c.collect || c.current == nil || c.state != nil {
		return io.Copy(struct{ io.Writer }{c}, src)
	}
	// In pieces, or the time for one write would be that for the whole file. TCPConn sees through one LimitedReader only.
	all, ok := src.(*io.LimitedReader)
	if !ok {
		all = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	var sent int64
	for {
		part := io.LimitedReader{R: all.R, N: min(all.N, sendPiece)}
		_ = c.raw.SetWriteDeadline(time.Now().Add(c.gate.table.Load().ioTimeout))
		n, err := c.rec.ReadFrom(&part)
		sent += n
		all.N -= n
		if err != nil || part.N > 0 || all.N == 0 {
			return sent, err
		}
	}
}

// sendPiece must be taken by the client within Timeout.
const sendPiece = 128 << 10

// CloseWrite lets net/http end its half first, so that a client can still read the answer.
func (c *conn) CloseWrite() error { return c.rec.CloseWrite() }

// connState ends exchanges: net/http reports a connection idle or closed when the last byte of an answer has been written.
func (g *Gate) connState(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil || c.rec == nil {
		return
	}
	// net/http calls this where it does not recover any more.
	defer func() { g.contained("end of a request", recover()) }()
	switch state {
	case http.StateIdle:
		c.finish()
		c.rest()
	case http.StateClosed:
		c.place.Close()
		c.finish()
		for _, seen := range c.rec.Unclaimed() {
			g.malformed(c, seen, nil, http.StatusRequestTimeout)
		}
	case http.StateHijacked:
		c.place.Close() // what follows is no request any more
		c.rec.Stop()
	case http.StateNew, http.StateActive:
	}
}

// finish ends the exchange under way, if any.
func (c *conn) finish() {
	if x := c.current; x != nil && !x.hijacked {
		c.current = nil
		x.finish(c.answer)
		c.answer, c.collect = c.answer[:0], false
	}
}
