package app

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trapline/trapline/audit"
)

// flood is a folds with its summaries.
type flood struct {
	*folds
	host *host
	sums []*audit.Record
	err  error
}

func newFlood(perMinute int) *flood {
	fl := &flood{host: &host{name: "trap"}}
	fl.folds = newFolds(slog.New(slog.DiscardHandler), time.Now, func(_ context.Context, _ *host, r *audit.Record) error {
		fl.sums = append(fl.sums, r)
		return fl.err
	})
	fl.limit(perMinute)
	return fl
}

// send hands n requests over and returns how many were kept as they are, with the note, and not at all.
func (fl *flood) send(client string, n int, size int) (kept, noted, folded int) {
	for range n {
		r := &audit.Record{
			ID: audit.NewID(), Time: time.Now(), Client: netip.MustParseAddrPort(client), Honeytrap: true,
			RequestHead: []byte("GET /x HTTP/1.1\r\nHost: a\r\n"), RequestBody: make([]byte, size),
		}
		switch out := fl.take(fl.host, r); {
		case out == nil:
			folded++
			copy(r.RequestHead, "used again by the trap")
		case len(out.Trailer) == 1 && strings.HasPrefix(out.Trailer[0].Value, "limit: "):
			noted++
		default:
			kept++
		}
	}
	return kept, noted, folded
}

func TestFloodIsFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fl := newFlood(60)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = fl.run(ctx) }()
		if k, n, f := fl.send("192.0.2.1:1000", 5000, 0); k != 600 || n != 1 || f != 4399 {
			t.Errorf("at once: %d kept, %d noted, %d folded", k, n, f)
		}
		if k, n, f := fl.send("192.0.2.2:1000", 600, 0); k != 600 || n+f != 0 {
			t.Errorf("another client: %d kept, %d noted, %d folded", k, n, f)
		}
		start := time.Now()
		time.Sleep(30*time.Second + time.Millisecond)
		// It goes on: 30 tokens have come back, and the window is still the same.
		if k, n, f := fl.send("192.0.2.1:2000", 100, 0); k != 30 || n != 0 || f != 70 {
			t.Errorf("after 30 s: %d kept, %d noted, %d folded", k, n, f)
		}
		last := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(fl.sums) != 1 {
			t.Fatalf("%d summaries", len(fl.sums))
		}
		sum := fl.sums[0]
		if f := sum.Folded; f.Records != 4469 || !f.First.Equal(start) || !f.Last.Equal(last) || !sum.Time.Equal(start) {
			t.Errorf("%+v of %v", f, sum.Time)
		}
		if string(sum.RequestHead) != "GET /x HTTP/1.1\r\nHost: a\r\n" || sum.ID == "" || sum.Client.String() != "192.0.2.1:2000" || !sum.Honeytrap {
			t.Errorf("%q of %v", sum.RequestHead, sum.Client)
		}
		if k, n, f := fl.send("192.0.2.1:1000", 100, 0); k != 60 || n != 1 || f != 39 {
			t.Errorf("after 90 s: %d kept, %d noted, %d folded", k, n, f)
		}
		cancel()
		synctest.Wait()
		fl.flush(t.Context(), true)
		if len(fl.sums) != 2 || fl.sums[1].Folded.Records != 39 || fl.stats().Folded != 4508 || fl.stats().Summaries != 2 {
			t.Errorf("at the end: %d summaries, %+v", len(fl.sums), fl.stats())
		}
	})
}

func TestLargeRecordsCostMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fl := newFlood(60)
		if k, _, _ := fl.send("192.0.2.1:1", 100, 1<<20); k != 3 { // 256 tokens each; one is enough to begin
			t.Errorf("%d of 1 MiB kept", k)
		}
	})
}

// Customers have a /64: its addresses are one client. Records of bare connections are the trap's to limit.
func TestWhatIsOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fl := newFlood(1)
		a, _, _ := fl.send("[2001:db8::1]:1", 8, 0)
		b, _, _ := fl.send("[2001:db8::2]:1", 8, 0)
		c, _, _ := fl.send("[2001:db8:0:1::1]:1", 8, 0)
		d, _, _ := fl.send("[::ffff:192.0.2.1]:1", 8, 0)
		e, _, _ := fl.send("192.0.2.1:1", 8, 0)
		if a != 8 || b != 2 || c != 8 || d != 8 || e != 2 {
			t.Errorf("kept %d %d %d %d %d", a, b, c, d, e)
		}
		r := &audit.Record{Kind: audit.KindConnect, Client: netip.MustParseAddrPort("192.0.2.1:1")}
		if fl.take(fl.host, r) != r {
			t.Error("a bare connection was folded")
		}
	})
}

func TestLimitOffAndForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fl := newFlood(-1)
		if k, _, _ := fl.send("192.0.2.1:1", 50_000, 0); k != 50_000 || fl.stats().Clients != 0 {
			t.Errorf("%d kept without a limit", k)
		}
		fl.limit(0)
		if k, _, _ := fl.send("192.0.2.1:1", 50_000, 0); k != 12_000 {
			t.Errorf("%d kept with the default", k)
		}
		fl.err = errors.New("disk full")
		time.Sleep(11 * time.Minute)
		fl.flush(t.Context(), false)
		if st := fl.stats(); st.Clients != 0 || st.Lost != 37_999 {
			t.Errorf("%+v", st)
		}
	})
}
