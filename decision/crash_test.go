package decision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// site is one that follows the stream.
type site struct {
	mu     sync.Mutex
	cursor uint64
	has    map[string]time.Time // id -> end
}

func (s *site) take(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Reset {
		clear(s.has)
	}
	switch c.Op {
	case OpAdd:
		s.has[c.Decision.ID] = c.Decision.Until
	case OpDelete:
		delete(s.has, c.Decision.ID)
	}
	s.cursor = max(s.cursor, c.Cursor)
}

func (s *site) copy() *site {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &site{cursor: s.cursor, has: maps.Clone(s.has)}
}

// catchUp applies what the stream has now.
func (s *site) catchUp(l *Log) {
	all := s.cursor == 0
	for {
		p := l.after(s.cursor, all)
		if p.state {
			s.take(Change{Reset: true})
		}
		for _, x := range p.past {
			s.take(Change{Cursor: x.cursor, Op: x.op, Decision: *x.d})
		}
		if s.cursor = p.next; len(p.past) == 0 {
			return
		}
		all = false
	}
}

func inForce(l *Log) map[string]time.Time {
	m := make(map[string]time.Time)
	for _, d := range l.List(Filter{}) {
		m[d.ID] = d.Until
	}
	return m
}

// At every step on the disk the directory is copied as kill -9 would leave it,
// together with what callers were told and with what a site has seen of the
// stream. In each copy all that was durable holds, and the site that goes on
// from its cursor ends with exactly what is in force.
func TestStopAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	durableNow := map[string]time.Time{}
	gone := map[string]bool{}
	follower := &site{has: map[string]time.Time{}}
	type stop struct {
		dir, step string
		durable   map[string]time.Time
		gone      map[string]bool
		site      *site
	}
	var stops []stop
	l, _ := open(t, Config{Dir: dir, Step: func(step durable.Step, path string) error {
		mu.Lock()
		defer mu.Unlock()
		st := stop{step: fmt.Sprint(step, " ", filepath.Base(path)), durable: maps.Clone(durableNow), gone: maps.Clone(gone), site: follower.copy()}
		st.dir = copied(t, dir)
		stops = append(stops, st)
		return nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg, following sync.WaitGroup
	following.Go(func() {
		for c := range l.Changes(ctx, 0) {
			follower.take(c)
		}
	})
	for w := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			var mine []string
			for i := range 25 {
				switch i % 5 {
				case 4:
					id := mine[0]
					mine = mine[1:]
					mu.Lock()
					delete(durableNow, id) // on its way out: may or may not be there
					mu.Unlock()
					if err := l.Delete(ctx, id); err != nil {
						t.Error(err)
					}
					mu.Lock()
					gone[id] = true
					mu.Unlock()
				default:
					d, err := l.Add(ctx, ban(fmt.Sprintf("10.0.%d.%d/32", w, r.IntN(8)), time.Duration(i+1)*time.Hour))
					if err != nil {
						t.Error(err)
					}
					if !slices.Contains(mine, d.ID) {
						mine = append(mine, d.ID)
					}
					mu.Lock()
					durableNow[d.ID] = d.Until
					mu.Unlock()
				}
				if w == 0 && i%10 == 9 {
					if err := l.Compact(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	cancel()
	following.Wait()
	_ = l.Close()
	for _, st := range stops {
		l, _ := open(t, Config{Dir: st.dir})
		for _, f := range l.Faults() {
			if !f.Torn {
				t.Fatalf("stop at %s: %v", st.step, f)
			}
		}
		now := inForce(l)
		for id, until := range st.durable {
			if now[id].Before(until) {
				t.Fatalf("stop at %s: %s until %v, durable was %v", st.step, id, now[id], until)
			}
		}
		for id := range st.gone {
			if !now[id].IsZero() {
				t.Fatalf("stop at %s: %s is back", st.step, id)
			}
		}
		if st.site.catchUp(l); !maps.Equal(st.site.has, now) {
			t.Fatalf("stop at %s: a site has %v, in force is %v", st.step, st.site.has, now)
		}
		_ = l.Close()
	}
	t.Logf("%d stops", len(stops))
}

// copied returns a copy of dir, begun again when a file went away meanwhile: else it could lack both the old and the new.
func copied(t *testing.T, dir string) string {
	for {
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if err == nil {
			return to
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
			return to
		}
	}
}

func TestFailedSyncStillBlocks(t *testing.T) {
	var mu sync.Mutex
	fail := false
	l, _ := open(t, Config{Dir: t.TempDir(), Step: func(step durable.Step, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if fail && step == durable.StepSync {
			return syscall.EIO
		}
		return nil
	}})
	add(t, l, ban("192.0.2.1/32", time.Hour))
	mu.Lock()
	fail = true
	mu.Unlock()
	for i := 2; i < 4; i++ {
		if _, err := l.Add(context.Background(), ban(fmt.Sprintf("192.0.2.%d/32", i), time.Hour)); err == nil {
			t.Fatal("durable after a failed sync")
		}
		if got := active(l, fmt.Sprintf("192.0.2.%d", i), t0); got == "-" {
			t.Fatal("not in force")
		}
	}
	s := &site{has: map[string]time.Time{}}
	if s.catchUp(l); len(s.has) != 3 {
		t.Fatalf("sites see %d of 3", len(s.has))
	}
}

func FuzzReplay(f *testing.F) {
	d := ban("192.0.2.1/32", time.Hour)
	d.ID = "x"
	f.Add(frame{Cursor: 3, Add: &d}.encode(), frame{Cursor: 4, Delete: "x"}.encode())
	f.Add([]byte(`{"cursor":18446744073709551615,"add":{"id":"a","value":"::/0","type":"ban","until":"2030-01-01T00:00:00Z"}}`), []byte(`{"add":{}}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		l, _ := open(t, Config{})
		for _, p := range [][]byte{a, b, a} {
			if err := l.replay(0, p); err != nil {
				t.Fatal(err)
			}
		}
		l.Active(netip.IPv6Unspecified(), t0)
		for _, d := range l.List(Filter{}) {
			if _, ok := l.Active(d.Value.Addr(), t0); !ok {
				t.Fatalf("%v is in force and not found", d)
			}
		}
		add(t, l, ban("192.0.2.1/32", 2*time.Hour))
		l.End(t0.Add(100 * 365 * 24 * time.Hour))
	})
}
