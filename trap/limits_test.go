package trap

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
)

// TestOldestIdleConnectionMakesRoom: one client may hold only so many, and its newest touch counts.
func TestOldestIdleConnectionMakesRoom(t *testing.T) {
	s := open(t, options{limits: Limits{PerClient: 4, Total: 100}})
	var held []*net.TCPConn
	for range 6 {
		held = append(held, s.dial(t, addr(1)))
	}
	// The first two lost their place and are recorded as bare connects.
	records := s.wait(t, addr(1), 2)
	for _, r := range records {
		if r.Kind != audit.KindConnect || !noted(r, "made room") {
			t.Errorf("record %+v", r)
		}
	}
	for i, c := range held {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		var ne net.Error
		open := errors.As(err, &ne) && ne.Timeout()
		if open != (i >= 2) {
			t.Errorf("connection %d: open %v (%v)", i, open, err)
		}
	}
	if st := s.trap.Stats(); st.CutForNew != 2 || st.Open != 4 || st.Clients != 1 {
		t.Errorf("stats %+v", st)
	}
	// A newest connection is served all the same.
	if got := ask(t, s, addr(1), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("answer %q", got)
	}
}

// TestHalfSentHeadsMakeRoomToo: a client cannot keep others out by sending half a head on each connection.
func TestHalfSentHeadsMakeRoomToo(t *testing.T) {
	s := open(t, options{limits: Limits{PerClient: 10, Total: 10}})
	for range 10 {
		_, _ = io.WriteString(s.dial(t, addr(1)), "GET / HTTP/1.1\r\nX: ")
	}
	eventually(t, "ten connections", func() bool { return s.trap.Stats().Open == 10 })
	if got := ask(t, s, addr(2), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("another client got %q", got)
	}
	r := s.wait(t, addr(1), 1)[0]
	if !noted(r, "made room") {
		t.Errorf("record %+v", r)
	}
}

// TestOverTheLimitWithNothingIdle: every place is busy with a record that waits
// for the disk, and still the new touch is tagged, recorded and counted.
func TestOverTheLimitWithNothingIdle(t *testing.T) {
	gate := make(chan struct{})
	var s *station
	s = open(t, options{limits: Limits{PerClient: 2, Total: 2}, handle: func(ctx context.Context, r *audit.Record, tag collection.Ticket) error {
		if r.Kind == audit.KindHTTP {
			<-gate
		}
		return s.keep(ctx, r, tag)
	}})
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() { ask(t, s, addr(1), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") })
	}
	eventually(t, "two busy connections", func() bool {
		return s.trap.Stats().HTTP == 2
	})
	_ = s.dial(t, addr(2))
	r := s.wait(t, addr(2), 1)[0]
	if !noted(r, "over the limit") || !s.tagged(addr(2)) {
		t.Errorf("record %+v, tagged %v", r, s.tagged(addr(2)))
	}
	if n := s.trap.Stats().CutAtOnce; n != 1 {
		t.Errorf("CutAtOnce = %d", n)
	}
	close(gate)
	busy.Wait()
}

// TestFloodOfConnectsIsSummedUp: the tag is set for each, the records are bounded.
func TestFloodOfConnectsIsSummedUp(t *testing.T) {
	s := open(t, options{limits: Limits{Connects: 5, Window: 10 * time.Minute}})
	for range 50 {
		_ = s.dial(t, addr(1)).Close()
	}
	_ = s.dial(t, addr(2)).Close()
	eventually(t, "all counted", func() bool { st := s.trap.Stats(); return st.Connects+st.Summed == 51 })
	s.wait(t, addr(2), 1)
	if n := len(s.all(addr(1))); n != 5 {
		t.Errorf("%d records of the flood, want 5", n)
	}
	s.stop() // the end of the window
	records := s.all(addr(1))
	if len(records) != 6 || !noted(records[5], "connects: 45 since") {
		t.Errorf("%d records, last %+v", len(records), records[len(records)-1])
	}
}

// TestSlowClients are cut after the time for a request, or for the connection.
func TestSlowClients(t *testing.T) {
	s := open(t, options{limits: Limits{RequestTime: 150 * time.Millisecond, ConnTime: 400 * time.Millisecond, KeepAlive: 100 * time.Millisecond}})
	start := time.Now()
	if got := ask(t, s, addr(1), "GET / HTTP/1.1\r\nHost: "); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("answer %q", got)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("cut after %v", d)
	}
	if got := ask(t, s, addr(2), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("answer %q", got)
	}
	if r := s.wait(t, addr(2), 1)[0]; string(r.RequestBody) != "abc" {
		t.Errorf("body %q", r.RequestBody)
	}
	ask(t, s, addr(3), "") // nothing at all
	if st := s.trap.Stats(); st.SlowRequests != 2 || st.SlowConns < 1 {
		t.Errorf("stats %+v", st)
	}
	// A connection used over and over ends with "Connection: close".
	c := s.dial(t, addr(4))
	go func() {
		for {
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	got, _ := io.ReadAll(c)
	if !strings.Contains(string(got), "Connection: close") {
		t.Errorf("no Connection: close in %d bytes", len(got))
	}
}

// TestBodyOverTheLimit keeps what is allowed and counts the rest.
func TestBodyOverTheLimit(t *testing.T) {
	s := open(t, options{limits: Limits{Body: 1000, Drain: 5000}})
	post := func(n int) string {
		return "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("a\r\n0123456789\r\n", n/10) + "0\r\n\r\n"
	}
	if got := ask(t, s, addr(1), post(3000)); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("answer %q", got)
	}
	r := s.wait(t, addr(1), 1)[0]
	if len(r.RequestBody) != 1000 || r.RequestBodySize != 3000 {
		t.Errorf("kept %d of %d", len(r.RequestBody), r.RequestBodySize)
	}
	ask(t, s, addr(2), post(100_000))
	r = s.wait(t, addr(2), 1)[0]
	if len(r.RequestBody) != 1000 || r.RequestBodySize < 6000 || r.RequestBodySize > 20_000 {
		t.Errorf("kept %d of %d", len(r.RequestBody), r.RequestBodySize)
	}
	if n := s.trap.Stats().BodiesCut; n != 2 {
		t.Errorf("BodiesCut = %d", n)
	}
}

// stingy is a listener that has no descriptors left now and then.
type stingy struct {
	net.Listener
	n atomic.Int64
}

func (l *stingy) Accept() (net.Conn, error) {
	if l.n.Add(1)%2 == 1 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsAreWaitedOut(t *testing.T) {
	s := open(t, options{wrap: func(l net.Listener) net.Listener { return &stingy{Listener: l} }})
	for i := range 5 {
		if got := ask(t, s, addr(1+i), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
			t.Errorf("answer %q", got)
		}
	}
	if n := s.trap.Stats().AcceptErrors; n < 5 {
		t.Errorf("AcceptErrors = %d", n)
	}
}

// TestPanicEndsOneConnection: the port goes on.
func TestPanicEndsOneConnection(t *testing.T) {
	var s *station
	s = open(t, options{handle: func(ctx context.Context, r *audit.Record, tag collection.Ticket) error {
		if strings.Contains(string(r.RequestHead), "boom") && r.Status != 0 {
			panic("boom")
		}
		return s.keep(ctx, r, tag)
	}})
	ask(t, s, addr(1), "GET /boom HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := ask(t, s, addr(2), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("answer %q", got)
	}
	if st := s.trap.Stats(); st.Panics != 1 {
		t.Errorf("Panics = %d", st.Panics)
	}
	if r := s.wait(t, addr(1), 1)[0]; !strings.HasPrefix(string(r.RequestHead), "GET /boom") || !noted(r, "not inspected") {
		t.Errorf("record %+v", r)
	}
}

// TestShutdownLosesNoRecord stops the trap under load: every request that was
// answered, and every connection that was open, has its record.
func TestShutdownLosesNoRecord(t *testing.T) {
	s := open(t, options{limits: Limits{PerClient: 1000, Connects: 1000}})
	var answered, opened atomic.Int64
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(1 + w).AsSlice()}, Timeout: 5 * time.Second}
				c, err := d.Dial("tcp4", s.addr.String())
				if err != nil {
					return
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err == nil {
					if got, _ := io.ReadAll(c); strings.HasPrefix(string(got), "HTTP/1.1 403") {
						answered.Add(1)
					}
				}
				_ = c.Close()
			}
		})
	}
	for range 20 {
		_ = s.dial(t, addr(99))
		opened.Add(1)
	}
	eventually(t, "some answers", func() bool { return answered.Load() > 200 && s.trap.Stats().Accepted > 220 })
	s.stop()
	wg.Wait()
	http, connects := 0, 0
	s.mu.Lock()
	for _, r := range s.records {
		switch {
		case r.Kind == audit.KindHTTP && r.Status == 403:
			http++
		case r.Kind == audit.KindConnect && r.Client.Addr() == addr(99):
			connects++
		}
	}
	s.mu.Unlock()
	if int64(http) < answered.Load() || int64(connects) != opened.Load() {
		t.Errorf("%d answered, %d recorded; %d open, %d recorded", answered.Load(), http, opened.Load(), connects)
	}
	if n := s.trap.live.Load(); n != 0 {
		t.Errorf("%d connection goroutines left", n)
	}
}

// TestIdleConnectionsAreSmall states what an idle connection costs in this
// process, the client's half of it included.
func TestIdleConnectionsAreSmall(t *testing.T) {
	holdIdle(t, 2000)
}

func holdIdle(t *testing.T, n int) {
	s := open(t, options{limits: Limits{PerClient: 64, Total: 10_000, ConnTime: time.Minute}})
	ask(t, s, addr(1), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	before := memory()
	conns := make([]*net.TCPConn, 0, n)
	for i := range n {
		conns = append(conns, s.dial(t, addr(100+i/50)))
	}
	eventually(t, "all accepted", func() bool { return s.trap.Stats().Open >= n })
	per := (memory() - before) / int64(n)
	t.Logf("%d idle connections: %d bytes each, with the client's end", n, per)
	if per > 12<<10 {
		t.Errorf("%d bytes per idle connection", per)
	}
	for _, c := range conns {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: ")
	}
	eventually(t, "all half heads read", func() bool { return s.trap.begun() >= n })
	per = (memory() - before) / int64(n)
	t.Logf("%d half-sent heads: %d bytes each, with the client's end", n, per)
	if per > 24<<10 {
		t.Errorf("%d bytes per half-sent head", per)
	}
	// The real site is as fast as before, and so is the trap for the next client.
	start := time.Now()
	for range 1000 {
		s.tagged(netip.MustParseAddr("127.2.0.1"))
	}
	t.Logf("rules of the real site: %v per request", time.Since(start)/1000)
	start = time.Now()
	if got := ask(t, s, addr(3), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
		t.Errorf("answer %q", got)
	}
	t.Logf("a request to the trap: %v", time.Since(start))
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "all left", func() bool { return s.trap.Stats().Open == 0 })
}

// begun counts the waiting connections that have sent something.
func (t *Trap) begun() (n int) {
	for _, c := range t.clients.idleConns() {
		c.mu.Lock()
		if !c.awaiting {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

func memory() int64 {
	runtime.GC() // twice: pools give up their content at the second
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func noted(r *audit.Record, text string) bool {
	for _, f := range r.Trailer {
		if f.Name == "Trap-Note" && strings.Contains(f.Value, text) {
			return true
		}
	}
	return false
}

// TestBodiesShareABudget: many bodies at a time keep only their beginnings, and what was taken is given back.
func TestBodiesShareABudget(t *testing.T) {
	s := open(t, options{limits: Limits{Memory: 300_000, Body: 200_000, PerClient: 100}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ask(t, s, addr(1+i), "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 150000\r\n\r\n"+strings.Repeat("b", 150_000))
		})
	}
	wg.Wait()
	for i := range 8 {
		r := s.wait(t, addr(1+i), 1)[0]
		if n := len(r.RequestBody); r.RequestBodySize != 150_000 || n < freeBytes || n > 150_000 {
			t.Errorf("kept %d of %d bytes", n, r.RequestBodySize)
		}
	}
	s.stop()
	if left := s.trap.budget.left.Load(); left != 300_000 {
		t.Errorf("%d bytes of the budget left, want 300000", left)
	}
}
