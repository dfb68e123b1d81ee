package trap

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// touch is a connection as the rules see it: who, where, when.
type touch struct {
	peer, local netip.AddrPort
	time        time.Time
	host        *Host
	ticket      collection.Ticket // of the tag
	tagged      bool
}

// tag sets the client's tags in memory, once per connection.
func (tc *touch) tag() {
	if !tc.tagged {
		tc.tagged = true
		tc.ticket = tc.host.Engine.Touch(tc.conn(tc.host, tc.time, nil))
	}
}

func (tc *touch) conn(h *Host, at time.Time, hello *audit.TLS) seclang.Conn {
	return seclang.Conn{Peer: tc.peer, Client: tc.peer, Server: tc.local, ServerName: h.Name, TLS: hello, Time: at}
}

// grace is how long a trap that closes still takes what is on its way to it.
const grace = 50 * time.Millisecond

// cut says why a connection was ended from outside its goroutine.
type cut uint32

const (
	cutNot      cut = iota
	cutForNew       // it waited longest and made room
	cutFull         // there was no room for it
	cutShutdown     // the trap closes
	cutLimit        // its client has more connections than SecConnReadStateLimit or SecConnWriteStateLimit allows
)

func (k cut) String() string {
	switch k {
	case cutForNew:
		return "made room for a new connection"
	case cutFull:
		return "over the limit of connections"
	case cutShutdown:
		return "trap stopped"
	case cutLimit:
		return "over the limit of connections in one state"
	}
	return ""
}

// conn is one connection. All fields but cut, place and those under mu belong to its goroutine.
// It is small, and holds no buffer, until the first byte has come.
//
//	accept ─► tag ─► wait ─► first byte ─► sniff ─┬─► HTTP/1 ─► request ─► answer ─┬─► wait
//	                  │                           ├─► TLS ─► handshake ─► sniff     └─► close
//	                  └─► close: KindConnect      ├─► HTTP/2
//	                                              └─► other bytes: KindBytes
type conn struct {
	touch
	trap  *Trap
	nc    net.Conn
	rw    net.Conn   // what requests are read from: nc, or the TLS connection on it
	hello *audit.TLS // nil in the clear
	// helloBytes is the ClientHello, until a request has come through its handshake.
	helloBytes []byte
	place      place // owned by clients
	counted    connlimit.Conn
	cut        atomic.Uint32

	mu       sync.Mutex // makes a cut and the deadline that goes with it one step
	awaiting bool       // guarded by mu: between requests, nothing of the next one has come

	first    [1]byte // read while no buffer was there
	hasFirst bool
	begun    time.Time // when the first byte of the current request came
	head     []byte    // of the current request, once it is complete
	records  int       // handed over
	unread   bool      // the client may still be sending: close gently
}

// run serves the connection until it is closed and recorded.
func (c *conn) run(ctx context.Context) {
	defer c.end(ctx)
	c.rw = c.nc
	if why := c.cutReason(); why == cutFull || why == cutLimit {
		c.trap.count.cutAtOnce.Add(1)
		_ = c.nc.Close()
		c.bare(ctx)
		return
	}
	if !c.await(c.time.Add(c.trap.limits.ConnTime)) {
		// Closed first: while the record waits for the disk it holds no descriptor.
		_ = c.nc.Close()
		c.bare(ctx)
		return
	}
	c.tag()
	c.speak(ctx)
}

// end is deferred: nothing that a client sends leaves this goroutine as a panic.
func (c *conn) end(ctx context.Context) {
	if p := recover(); p != nil {
		c.trap.panicked(p)
		c.salvage(ctx)
	}
	c.closeNotify()
	c.counted.Close()
	_ = c.nc.Close()
	c.trap.clients.leave(c)
	c.trap.live.Add(-1)
	c.trap.conns.Done()
}

// salvage records what is known of a request whose handling panicked, without
// the rules: one of them may be the cause.
func (c *conn) salvage(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			c.trap.panicked(p)
		}
	}()
	r := &audit.Record{
		ID: audit.NewID(), Time: c.begun, Host: c.host.Name, Honeytrap: true, Peer: c.peer, Client: c.peer, Server: c.local,
		TLS: c.hello, RequestHead: c.head, Parts: "ABFHZ",
		Trailer: []audit.Field{{Name: "Trap-Note", Value: "not inspected: handling it failed"}},
	}
	c.hand(ctx, c.host, r, collection.Ticket{})
}

// await waits for the first byte of the connection or of its next request.
func (c *conn) await(until time.Time) bool {
	c.between(true)
	if c.trap.closing.Load() { // checked after awaiting was set: Shutdown sees the one or we see the other
		c.cutNow(cutShutdown)
	} else {
		c.readBy(until)
	}
	n, err := c.rw.Read(c.first[:])
	for n == 0 && err == nil { // io.Reader allows it
		n, err = c.rw.Read(c.first[:])
	}
	if n == 0 {
		if isTimeout(err) && c.cutReason() == cutNot {
			c.trap.count.slowConns.Add(1)
		}
		return false
	}
	c.between(false)
	c.hasFirst = true
	c.begun = now()
	return c.admitted()
}

// admitted is false when the next request begins and its client has too many connections: this one is closed. What the
// client has done is tagged and recorded already.
func (c *conn) admitted() bool {
	if c.counted.Begin() {
		return true
	}
	c.trap.count.cutAtOnce.Add(1)
	c.cut.Store(uint32(cutLimit))
	_ = c.nc.Close()
	return false
}

// Read yields the byte that await took, then the connection.
func (c *conn) Read(p []byte) (int, error) {
	if c.hasFirst && len(p) > 0 {
		p[0] = c.first[0]
		c.hasFirst = false
		return 1, nil
	}
	return c.rw.Read(p)
}

// between says whether the connection is between requests. A request that has
// begun is finished even when the trap closes.
func (c *conn) between(awaiting bool) {
	c.mu.Lock()
	c.awaiting = awaiting
	if !awaiting {
		c.cut.CompareAndSwap(uint32(cutShutdown), uint32(cutNot))
	}
	c.mu.Unlock()
}

// readBy sets the read deadline, unless the connection has been cut.
func (c *conn) readBy(t time.Time) {
	c.mu.Lock()
	switch c.cutReason() {
	case cutNot:
		_ = c.nc.SetReadDeadline(t)
	case cutShutdown: // cutNow has set it
	default:
		_ = c.nc.SetReadDeadline(longAgo())
	}
	c.mu.Unlock()
}

// cutNow makes the connection's reads fail from now on; any goroutine may call it.
func (c *conn) cutNow(why cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := longAgo()
	if why == cutShutdown {
		if !c.awaiting {
			return
		}
		at = now().Add(grace) // what is in flight is still taken
	}
	if c.cut.CompareAndSwap(uint32(cutNot), uint32(why)) || why != cutShutdown {
		_ = c.nc.SetReadDeadline(at)
	}
}

func (c *conn) cutReason() cut { return cut(c.cut.Load()) }

// last is when the connection stops taking requests.
func (c *conn) last() time.Time { return c.time.Add(c.trap.limits.ConnTime) }

// bare records a connection that never sent a byte.
func (c *conn) bare(ctx context.Context) {
	if !c.trap.tally.count(c.touch) {
		c.trap.count.summed.Add(1)
		return
	}
	x := c.trap.take()
	defer c.trap.release(x)
	x.begin(c, c.host, c.time)
	defer x.done()
	x.rec.Kind = audit.KindConnect
	if why := c.cutReason(); why != cutNot {
		x.note("cut", why.String())
	}
	// Without TagConnect the connection rules must not see a bare connect at all.
	x.settle(ctx, c.tagged)
}

// sumUp records how many bare connects of a client got no record of their own.
func (t *Trap) sumUp(s summary) {
	c := &conn{trap: t, touch: s.last}
	x := t.take()
	defer t.release(x)
	x.begin(c, c.host, c.time)
	defer x.done()
	x.rec.Kind = audit.KindConnect
	x.noteCount("connects", s.suppressed, "since "+s.from.UTC().Format(time.RFC3339))
	x.settle(context.Background(), false)
}

// hand gives a record to the host and counts it.
func (c *conn) hand(ctx context.Context, h *Host, r *audit.Record, ticket collection.Ticket) {
	t := c.trap
	switch r.Kind {
	case audit.KindHTTP:
		t.count.http.Add(1)
	case audit.KindTLS:
		t.count.tls.Add(1)
	case audit.KindBytes:
		t.count.bytes.Add(1)
	case audit.KindConnect:
		t.count.connects.Add(1)
	}
	err := h.Handle(ctx, r, ticket)
	if err == nil && c.records == 0 && c.tagged {
		// The ticket of the transaction need not cover what Touch wrote.
		err = c.ticket.Wait(ctx)
	}
	c.records++
	if err == nil {
		if t.failing.Load() && t.failing.CompareAndSwap(true, false) {
			t.log.Info("trap records again", slog.String("host", h.Name))
		}
		return
	}
	// One line when it begins to fail, not one per packet of whoever fills our disk.
	t.count.unrecorded.Add(1)
	if t.failing.CompareAndSwap(false, true) {
		t.log.Error("trap cannot record", slog.String("host", h.Name), slog.String("id", r.ID), slog.Any("err", err))
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }
