package trap

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"
)

// The accept loop waits this long after an error, doubling up to the maximum, and says so this often.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
	acceptWarning  = time.Minute
)

// acceptRest bounds how long a port that closes goes on accepting what is in the
// queue: clients that keep coming must not keep it open.
const acceptRest = 500 * time.Millisecond

// Serve accepts connections from l until ctx ends, l is closed or Shutdown is
// called, and closes l. It returns nil when ctx ended, ErrClosed after
// Shutdown, and otherwise the error of l. Connections accepted before go on;
// Shutdown waits for them. Errors that pass (no file descriptors left) are
// counted and waited out; when waiting does not help, the oldest idle connections are cut.
func (t *Trap) Serve(ctx context.Context, l net.Listener) error {
	// What has arrived is recorded also after ctx has ended: only Shutdown cancels it.
	handCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &server{listener: l, cancel: cancel}
	defer l.Close()
	t.mu.Lock()
	if t.closing.Load() {
		t.mu.Unlock()
		cancel()
		return ErrClosed
	}
	t.servers[s] = struct{}{}
	t.conns.Add(1) // so that Shutdown cannot find the group empty while a connection is being accepted
	t.mu.Unlock()
	defer t.conns.Done()
	stop := context.AfterFunc(ctx, func() { stopAccepting(l) })
	defer stop()
	pause := acceptPause
	var warned, ended time.Time
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = acceptPause
			t.accept(handCtx, nc)
			if ctx.Err() != nil || t.closing.Load() {
				if ended.IsZero() {
					ended = now()
				}
				if time.Since(ended) < acceptRest {
					stopAccepting(l) // there may be more in the queue
				}
			}
			continue
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case t.closing.Load():
			return ErrClosed
		case errors.Is(err, net.ErrClosed):
			return err
		}
		t.count.acceptErrors.Add(1)
		if time.Since(warned) > acceptWarning {
			warned = now()
			t.log.Warn("trap cannot accept", slog.String("addr", l.Addr().String()), slog.Any("err", err))
		}
		if pause > acceptPause {
			t.shed() // waiting alone did not help
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

// shed cuts the sixteenth of the waiting connections that has waited longest: the
// process has no descriptors left, whatever the limits say.
func (t *Trap) shed() {
	idle := t.clients.idleConns()
	for _, c := range idle[:(len(idle)+15)/16] {
		t.count.cutForNew.Add(1)
		c.cutNow(cutForNew)
	}
}

// stopAccepting lets Accept fail soon. Connections whose handshake the kernel has
// completed are still accepted: closing at once would reset them untagged.
func stopAccepting(l net.Listener) {
	d, ok := l.(interface{ SetDeadline(t time.Time) error })
	if !ok || d.SetDeadline(now().Add(grace)) != nil {
		_ = l.Close()
	}
}

// ServeConn handles one connection and returns when it is closed and recorded.
// It is what Serve starts for every connection it accepts.
func (t *Trap) ServeConn(ctx context.Context, nc net.Conn) {
	if c := t.welcome(nc); c != nil {
		c.run(ctx)
	}
}

// accept tags the client and hands its connection to a goroutine of its own.
func (t *Trap) accept(ctx context.Context, nc net.Conn) {
	if c := t.welcome(nc); c != nil {
		go c.run(ctx)
	}
}

// welcome does all that must be done before a byte is read: the tag first, then
// the place. It returns nil when the connection is already closed and counted.
func (t *Trap) welcome(nc net.Conn) (c *conn) {
	defer func() {
		if p := recover(); p != nil {
			t.panicked(p)
			_ = nc.Close()
			c = nil
		}
	}()
	t.count.accepted.Add(1)
	tc := touch{peer: addrPort(nc.RemoteAddr()), local: addrPort(nc.LocalAddr()), time: now()}
	tc.host = t.cfg.Host(tc.local, "")
	if tc.host.TagConnect {
		tc.tag()
	}
	// A place is given back as soon as a connection is cut, its goroutine ends
	// when its record is on disk. When the disk is slower than the flood, this
	// bounds what waits for it.
	if t.live.Load() >= int64(2*t.limits.Total) {
		t.count.cutInFlood.Add(1)
		t.tally.suppress(tc)
		_ = nc.Close()
		return nil
	}
	c = &conn{trap: t, nc: nc, touch: tc}
	t.seat(c)
	t.live.Add(1)
	t.conns.Add(1)
	return c
}

// seat gives a new connection its place, or marks it to be cut.
func (t *Trap) seat(c *conn) {
	if t.cfg.Connections != nil && !c.counted.Open(t.cfg.Connections, c.peer.Addr()) {
		c.cut.Store(uint32(cutLimit)) // no other connection has to make room for it
		return
	}
	victim, how := t.clients.admit(c)
	if victim != nil {
		t.count.cutForNew.Add(1)
		victim.cutNow(cutForNew)
	}
	if how != admitted {
		c.cut.Store(uint32(cutFull))
		return
	}
	t.clients.wait(c)
}

// panicked counts and logs a panic; the connection that caused it ends, the port does not.
func (t *Trap) panicked(p any) {
	t.count.panics.Add(1)
	t.log.Error("trap connection panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	if a != nil {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		}
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
}
