package decision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func open(t testing.TB, cfg Config) (*Log, *clock) {
	t.Helper()
	c := &clock{t: t0}
	if cfg.Now == nil {
		cfg.Now = c.now
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, c
}

func ban(prefix string, d time.Duration) Decision {
	return Decision{Value: netip.MustParsePrefix(prefix), Type: Ban, Scenario: "trap", Until: t0.Add(d)}
}

func add(t testing.TB, l *Log, d Decision) Decision {
	t.Helper()
	got, err := l.Add(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func active(l *Log, addr string, at time.Time) string {
	d, ok := l.Active(netip.MustParseAddr(addr), at)
	if !ok {
		return "-"
	}
	return d.Type + " " + d.Value.String()
}

func TestActive(t *testing.T) {
	l, _ := open(t, Config{})
	add(t, l, ban("192.0.2.7/32", time.Hour))
	add(t, l, ban("198.51.100.77/24", time.Hour))
	add(t, l, ban("2001:db8:0:1::99/64", time.Hour))
	add(t, l, ban("::ffff:203.0.113.5/128", time.Hour))
	w := ban("198.51.100.9/32", 2*time.Hour)
	w.Type = Watch
	add(t, l, w)
	for _, c := range []struct {
		addr  string
		after time.Duration
		want  string
	}{
		{"192.0.2.7", 0, "ban 192.0.2.7/32"},
		{"192.0.2.7", time.Hour, "-"},
		{"192.0.2.8", 0, "-"},
		{"::ffff:192.0.2.7", 0, "ban 192.0.2.7/32"},
		{"198.51.100.1", 0, "ban 198.51.100.0/24"},
		{"198.51.100.9", 0, "ban 198.51.100.0/24"},
		{"198.51.100.9", 90 * time.Minute, "watch 198.51.100.9/32"},
		{"2001:db8:0:1:2::", 0, "ban 2001:db8:0:1::/64"},
		{"2001:db8:0:2::", 0, "-"},
		{"fe80::1%eth0", 0, "-"},
		{"203.0.113.5", 0, "ban 203.0.113.5/32"},
	} {
		if got := active(l, c.addr, t0.Add(c.after)); got != c.want {
			t.Errorf("Active(%s, +%s) = %s, want %s", c.addr, c.after, got, c.want)
		}
	}
	if _, ok := l.Active(netip.Addr{}, t0); ok {
		t.Error("the zero address is banned")
	}
}

func TestAddExtends(t *testing.T) {
	l, c := open(t, Config{})
	a := ban("192.0.2.7/32", time.Hour)
	a.Evidence = []string{"r1"}
	first := add(t, l, a)
	c.add(10 * time.Second)
	b := ban("192.0.2.7/32", time.Hour+10*time.Second)
	b.Evidence = []string{"r2"}
	if got := add(t, l, b); got.ID != first.ID || !got.Until.Equal(first.Until) || l.Stats().Cursor != 1 {
		t.Errorf("a small extension is a change: %+v", got)
	}
	c.add(10 * time.Minute)
	b.Until = c.now().Add(time.Hour)
	got := add(t, l, b)
	if got.ID != first.ID || !got.Created.Equal(first.Created) || !got.Until.Equal(b.Until) || strings.Join(got.Evidence, " ") != "r1 r2" {
		t.Errorf("%+v", got)
	}
	short := ban("192.0.2.7/32", 20*time.Minute)
	if got := add(t, l, short); !got.Until.Equal(b.Until) {
		t.Errorf("shortened to %s", got.Until)
	}
	if n := len(l.List(Filter{})); n != 1 {
		t.Errorf("%d decisions", n)
	}
	for i := range 40 {
		b.Until, b.Evidence = b.Until.Add(time.Hour), []string{fmt.Sprint("n", i)}
		got = add(t, l, b)
	}
	if len(got.Evidence) != MaxEvidence || got.Evidence[0] != "r1" || got.Evidence[15] != "n39" {
		t.Errorf("evidence %v", got.Evidence)
	}
}

func TestAddRefuses(t *testing.T) {
	l, _ := open(t, Config{})
	for name, d := range map[string]Decision{
		"nothing":    {},
		"no type":    {Value: netip.MustParsePrefix("192.0.2.1/32"), Until: t0.Add(1)},
		"past":       ban("192.0.2.1/32", 0),
		"two worlds": ban("::ffff:0.0.0.0/90", time.Hour),
	} {
		if _, err := l.Add(context.Background(), d); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := ban("192.0.2.1/32", time.Hour)
	long.Scenario = strings.Repeat("\xff", 5000)
	if d := add(t, l, long); len(d.Scenario) > 3*MaxText {
		t.Errorf("scenario of %d bytes", len(d.Scenario))
	}
}

func TestLimit(t *testing.T) {
	l, _ := open(t, Config{MaxDecisions: 10})
	for i := range 10 {
		d := ban(fmt.Sprintf("192.0.2.%d/32", i), time.Hour)
		if i < 2 {
			d.Type = Watch
		}
		add(t, l, d)
	}
	w := ban("198.51.100.1/32", time.Hour)
	w.Type = Watch
	if _, err := l.Add(context.Background(), w); !errors.Is(err, ErrFull) {
		t.Errorf("watch over the limit: %v", err)
	}
	add(t, l, ban("198.51.100.1/32", time.Hour))
	add(t, l, ban("198.51.100.2/32", time.Hour))
	if _, err := l.Add(context.Background(), ban("198.51.100.3/32", time.Hour)); !errors.Is(err, ErrFull) {
		t.Errorf("ban over the limit: %v", err)
	}
	if st := l.Stats(); st.Decisions != 10 || st.Crowded != 2 {
		t.Errorf("%+v", st)
	}
}

func TestSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, Config{Dir: dir})
	var ids []string
	for i := range 20 {
		d := ban(fmt.Sprintf("192.0.2.%d/32", i), time.Duration(i+1)*time.Minute)
		d.Evidence = []string{"r"}
		ids = append(ids, add(t, l, d).ID)
	}
	if err := l.Delete(context.Background(), ids[19]); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(context.Background(), ids[19]); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	check := func(l *Log, from int) {
		t.Helper()
		list := l.List(Filter{})
		if len(list) != 19-from || list[0].Evidence[0] != "r" {
			t.Fatalf("%d decisions", len(list))
		}
		for i := range 20 {
			want := "-"
			if i >= from && i < 19 {
				want = fmt.Sprintf("ban 192.0.2.%d/32", i)
			}
			if got := active(l, fmt.Sprintf("192.0.2.%d", i), c.now()); got != want {
				t.Fatalf("%d: %s, want %s", i, got, want)
			}
		}
	}
	check(l, 0)
	c.add(5 * time.Minute)
	for round := range 3 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = open(t, Config{Dir: dir, Now: c.now})
		if l.Stats().Cursor != 21 || len(l.Faults()) > 0 {
			t.Fatalf("round %d: %+v %v", round, l.Stats(), l.Faults())
		}
		check(l, 5)
		if round == 1 {
			if err := l.Compact(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// follow applies the stream until n decisions are in force, and fails after a while.
func follow(t *testing.T, l *Log, since uint64, want int) (cursor uint64, resets int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	have := map[string]bool{}
	if want == 0 {
		return since, 0
	}
	for c := range l.Changes(ctx, since) {
		switch {
		case c.Reset:
			resets++
			clear(have)
		case c.Op == OpAdd:
			have[c.Decision.Value.String()] = true
		default:
			delete(have, c.Decision.Value.String())
		}
		cursor = max(cursor, c.Cursor)
		if len(have) == want && cursor == l.Stats().Cursor {
			return cursor, resets
		}
	}
	t.Fatalf("the stream gave %d decisions, want %d", len(have), want)
	return 0, 0
}

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	l, c := open(t, Config{Dir: dir, History: 40})
	for i := range 10 {
		add(t, l, ban(fmt.Sprintf("192.0.2.%d/32", i), time.Hour))
	}
	mid, _ := follow(t, l, 0, 10)
	if mid != 10 {
		t.Fatalf("cursor %d", mid)
	}
	done := make(chan struct{})
	go func() { follow(t, l, 0, 1000); close(done) }()
	go func() { // a reader that never reads on
		for range l.Changes(t.Context(), 0) {
			<-t.Context().Done()
		}
	}()
	var wg sync.WaitGroup
	for w := range 10 {
		wg.Go(func() {
			for i := range 99 {
				add(t, l, ban(fmt.Sprintf("10.%d.%d.1/32", w, i), time.Hour))
			}
		})
	}
	wg.Wait()
	<-done
	if _, resets := follow(t, l, mid, 1000); resets == 0 {
		t.Errorf("an old cursor got %d resets", resets)
	}
	end := l.Stats().Cursor
	add(t, l, ban("198.51.100.1/32", time.Hour))
	if _, resets := follow(t, l, end, 1); resets != 0 {
		t.Errorf("a new cursor got %d resets", resets)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ = open(t, Config{Dir: dir, Now: c.now, History: 40})
	if _, resets := follow(t, l, end, 1); resets != 0 {
		t.Errorf("after reopening a cursor got %d resets", resets)
	}
	c.add(2 * time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end = l.Stats().Cursor
	l.End(c.now())
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	gone := 0
	for ch := range l.Changes(ctx, end) {
		if ch.Reset { // 1001 ends are more than the history keeps
			break
		}
		if ch.Op == OpDelete {
			gone++
		}
	}
	if st := l.Stats(); st.Decisions != 0 || st.Expired != 1001 {
		t.Errorf("%+v", st)
	}
}

// The index against a list that is searched from end to end.
func TestIndexIsExact(t *testing.T) {
	l, _ := open(t, Config{})
	r := rand.New(rand.NewPCG(1, 2))
	addr := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(8))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 7: byte(r.IntN(4)), 15: byte(r.IntN(8))})
	}
	var ids []string
	for range 3000 {
		if r.IntN(3) == 0 && len(ids) > 0 {
			i := r.IntN(len(ids))
			_ = l.Delete(context.Background(), ids[i])
			ids = append(ids[:i], ids[i+1:]...)
		} else {
			a := addr()
			d := Decision{Value: netip.PrefixFrom(a, r.IntN(a.BitLen()+1)), Type: Ban, Scenario: fmt.Sprint(r.IntN(3)), Until: t0.Add(time.Duration(1+r.IntN(100)) * time.Hour)}
			ids = append(ids, add(t, l, d).ID)
		}
		a := addr()
		bits := -1
		for _, d := range l.List(Filter{}) {
			if d.Value.Contains(a) {
				bits = max(bits, d.Value.Bits())
			}
		}
		got, ok := l.Active(a, t0)
		if ok != (bits >= 0) || ok && got.Value.Bits() != bits {
			t.Fatalf("Active(%s) = %v, %v; want /%d", a, got.Value, ok, bits)
		}
	}
}

// TestOneNetworkCannotFillTheLog: the holder of an IPv6 /64 comes from ever new addresses.
func TestOneNetworkCannotFillTheLog(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, Config{Dir: dir, MaxDecisions: 30, MaxPerNet: 8})
	feed := ban("2001:db8::ffff/128", time.Hour)
	feed.Origin = "feed"
	add(t, l, feed)
	for i := range 200 {
		add(t, l, ban(fmt.Sprintf("2001:db8::%x/128", i+1), time.Hour))
		add(t, l, ban("2001:db8:1::/64", time.Hour+time.Duration(i)*time.Minute)) // extended again and again
	}
	add(t, l, ban("192.0.2.1/32", time.Hour))
	check := func(l *Log) {
		t.Helper()
		if st := l.Stats(); st.Decisions != 8+3 {
			t.Errorf("%+v", st)
		}
		for addr, want := range map[string]bool{"2001:db8::c8": true, "2001:db8::c1": true, "2001:db8::c0": false, "2001:db8::ffff": true, "192.0.2.1": true, "2001:db8:1::5": true} {
			if _, ok := l.Active(netip.MustParseAddr(addr), t0); ok != want {
				t.Errorf("%s: %t", addr, ok)
			}
		}
	}
	check(l)
	if l.Stats().Crowded != 192 {
		t.Errorf("%+v", l.Stats())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, Config{Dir: dir, MaxDecisions: 30, MaxPerNet: 8})
	check(again)
	for net, ids := range again.nets {
		for _, id := range slices.Clone(ids) {
			if err := again.Delete(context.Background(), id); err != nil {
				t.Errorf("%s %s: %v", net, id, err)
			}
		}
	}
	if len(again.nets) != 0 {
		t.Errorf("%v left", again.nets)
	}
}
