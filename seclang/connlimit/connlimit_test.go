package connlimit

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// counter returns a Counter with these limits, and what it logs.
func counter(l Limits) (*Counter, *bytes.Buffer) {
	var log bytes.Buffer
	now := time.Unix(0, 0)
	c := New(slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { now = now.Add(time.Minute); return now })
	c.SetLimits(l)
	return c, &log
}

func open(c *Counter, n int, addr string) (conns []*Conn, admitted int) {
	for range n {
		k := &Conn{}
		if k.Open(c, netip.MustParseAddr(addr)) {
			admitted++
			conns = append(conns, k)
		}
	}
	return conns, admitted
}

func TestReadLimit(t *testing.T) {
	c, log := counter(Limits{Enforce: true, Read: Limit{Max: 3}})
	conns, n := open(c, 5, "192.0.2.1")
	if n != 3 {
		t.Errorf("%d of 5 connections admitted, want 3", n)
	}
	if _, n := open(c, 3, "192.0.2.2"); n != 3 {
		t.Errorf("%d connections of another client admitted, want 3", n)
	}
	want := `level=WARN msg="connection over its limit" verdict=refused text="ModSecurity: Access denied with code 400. Too many threads [4] of 3 allowed in READ state from 192.0.2.1 - Possible DoS Consumption Attack [Rejected]" times=1`
	if !strings.Contains(log.String(), want) {
		t.Errorf("log\n%s\nwant\n%s", log, want)
	}
	// Between requests nothing is counted, while an answer is sent only the other limit would.
	conns[0].Set(Idle)
	conns[1].Set(Writing)
	if _, n := open(c, 5, "192.0.2.1"); n != 2 {
		t.Errorf("%d connections admitted beside one that reads, want 2", n)
	}
	if conns[0].Begin() {
		t.Error("the next request of an open connection is admitted over the limit")
	}
	conns[2].Close()
	if !conns[0].Begin() {
		t.Error("a place has become free, and the next request is refused")
	}
	if s := c.Stats(); s.Refused != 6 || s.Detected != 0 {
		t.Errorf("stats %+v, want 6 refused", s)
	}
}

// The connection that is judged does not write: as in mod_security2 one more may write than the limit says.
func TestWriteLimit(t *testing.T) {
	c, log := counter(Limits{Enforce: true, Write: Limit{Max: 3}})
	conns, _ := open(c, 4, "2001:db8::1")
	for _, k := range conns[:3] {
		k.Set(Writing)
	}
	if _, n := open(c, 1, "2001:db8::1"); n != 1 {
		t.Error("refused while 3 of 3 write")
	}
	conns[3].Set(Reading | Writing)
	if _, n := open(c, 1, "2001:db8::ffff"); n != 0 {
		t.Error("admitted while 4 of 3 of the same /64 write")
	}
	if want := "Too many threads [4] of 3 allowed in WRITE state from 2001:db8::ffff - Possible"; !strings.Contains(log.String(), want) {
		t.Errorf("log %s, want %s", log, want)
	}
	if _, n := open(c, 1, "2001:db8:0:1::1"); n != 1 {
		t.Error("another /64 is refused")
	}
	conns[3].Received()
	conns[2].Received() // does not read: nothing changes
	if s := c.Stats(); s.Writing != 4 || s.Reading != 2 {
		t.Errorf("stats %+v, want 4 that write and 2 that read", s)
	}
}

func TestListsAndModes(t *testing.T) {
	of := func(addr string) func(netip.Addr) bool { return func(a netip.Addr) bool { return a.String() == addr } }
	for _, c := range []struct {
		name  string
		l     Limits
		admit bool
		text  string
	}{
		{"on", Limits{Enforce: true, Read: Limit{Max: 1}}, false, "Access denied with code 400. Too many threads [2] of 1"},
		{"detection only", Limits{Read: Limit{Max: 1}}, true, "Access denied with code 400. Too many threads [2] of 1"},
		{"trusted", Limits{Enforce: true, Read: Limit{Max: 1, Trusted: of("192.0.2.1")}}, true, ""},
		{"trusted, detection only", Limits{Read: Limit{Max: 1, Trusted: of("192.0.2.1")}}, true, "READ state from 192.0.2.1 - Ip is on whitelist, access granted"},
		{"suspicious", Limits{Enforce: true, Read: Limit{Max: 1, Suspicious: of("192.0.2.1")}}, false, "Access denied"},
		{"not suspicious", Limits{Enforce: true, Read: Limit{Max: 1, Suspicious: of("192.0.2.9")}}, true, ""},
		{"not suspicious, detection only", Limits{Read: Limit{Max: 1, Suspicious: of("192.0.2.9")}}, true, "There is a suspission list but that IP is not part of it, access granted"},
		{"both lists", Limits{Enforce: true, Read: Limit{Max: 1, Suspicious: of("192.0.2.1"), Trusted: of("192.0.2.1")}}, true, ""},
		{"no limits", Limits{Enforce: true}, true, ""},
	} {
		counts, log := counter(c.l)
		_, n := open(counts, 2, "192.0.2.1")
		if (n == 2) != c.admit || c.text == "" && log.Len() > 0 || !strings.Contains(log.String(), c.text) {
			t.Errorf("%s: %d of 2 admitted, log %q; want %v, %q", c.name, n, log, c.admit, c.text)
		}
	}
}

// A flood is told of in few lines, and every refusal is counted.
func TestFloodFillsNoLog(t *testing.T) {
	c, log := counter(Limits{Enforce: true, Read: Limit{Max: 1}})
	now := time.Unix(0, 0)
	c.now = func() time.Time { return now }
	held, _ := open(c, 1, "192.0.2.1")
	_, _ = open(c, 1000, "192.0.2.1")
	if n := strings.Count(log.String(), "\n"); n != 10 { // 1, 2, 4 ... 512
		t.Errorf("%d lines, want 10", n)
	}
	for i := range 1000 {
		_, _ = open(c, 2, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	if n := strings.Count(log.String(), "\n"); n > 20 {
		t.Errorf("%d lines in one second, want at most 20", n)
	}
	now = now.Add(time.Second)
	_, _ = open(c, 2, "192.0.2.77")
	if !strings.Contains(log.String(), "192.0.2.77") {
		t.Error("nothing is said in the next second")
	}
	if s := c.Stats(); s.Refused != 2001 {
		t.Errorf("refused %d, want 2001", s.Refused)
	}
	held[0].Close()
}

// A reload changes limits while connections are open.
func TestLimitsChange(t *testing.T) {
	c, _ := counter(Limits{})
	conns, n := open(c, 10, "192.0.2.1")
	if s := c.Stats(); n != 10 || s.Clients != 0 {
		t.Errorf("without limits: %d admitted, %+v", n, s)
	}
	c.SetLimits(Limits{Enforce: true, Read: Limit{Max: 2}})
	for _, k := range conns[:3] {
		k.Set(Reading)
	}
	if _, n := open(c, 1, "192.0.2.1"); n != 0 {
		t.Error("connections that were open before are not counted")
	}
	c.SetLimits(Limits{})
	for _, k := range conns {
		k.Set(Writing)
	}
	if s := c.Stats(); s.Reading != 0 || s.Writing != 0 {
		t.Errorf("limits are gone, and %+v", s)
	}
	for _, k := range conns {
		k.Close()
		k.Close()
	}
	if s := c.Stats(); s.Clients != 0 {
		t.Errorf("all are closed, and %+v", s)
	}
}

// Whatever connections do at the same time, the counts come out even.
func TestCountsComeOutEven(t *testing.T) {
	c, _ := counter(Limits{Enforce: true, Read: Limit{Max: 5}, Write: Limit{Max: 5}})
	c.log = slog.New(slog.DiscardHandler)
	c.now = time.Now
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for range 500 {
				var k Conn
				addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(4))})
				var inner sync.WaitGroup
				inner.Go(func() { k.Open(c, addr) })
				for range 3 {
					what := r.IntN(4)
					inner.Go(func() {
						switch what {
						case 0:
							k.Begin()
						case 1:
							k.Set(Reading | Writing)
						case 2:
							k.Received()
						default:
							k.Close()
						}
					})
				}
				inner.Wait()
				k.Close()
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Clients != 0 || s.Reading != 0 || s.Writing != 0 {
		t.Errorf("nothing is open, and %+v", s)
	}
}
