package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/forward"
)

// receiver is a console of mlogc's kind that takes one password and remembers what it stored.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	stored []string
}

func newReceiver(t *testing.T, password string) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		if _, p, _ := q.BasicAuth(); p != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.mu.Lock()
		r.stored = append(r.stored, string(body))
		r.mu.Unlock()
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) has(entry string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.stored, entry)
}

func (r *receiver) destination(password string) forward.Destination {
	return forward.Destination{Name: r.URL, URL: r.URL, User: "s", Password: password, Protocol: forward.ProtocolMlogc, ErrorTimeout: 50 * time.Millisecond}
}

// startRoutes runs routes in a directory; stop ends them as the program does.
func startRoutes(t *testing.T, dir string) (rs *routes, started *int, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	started = new(int)
	rs = &routes{dir: dir, log: slog.New(slog.DiscardHandler), open: map[string]*route{}}
	rs.disk = &disk{log: rs.log, now: time.Now}
	rs.spawn = func(name string, run func(context.Context) error) {
		*started++
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := rs.close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return rs, started, stop
}

const entry = "--0000-A--\n[22/Nov/2026:08:25:52 +0000] id1 192.0.2.7 1 127.0.0.1 8000\n--0000-Z--\n"

func queueEntry(t *testing.T, r *route) {
	t.Helper()
	if err := r.queue("id1", []byte(entry)).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func arrives(t *testing.T, what string, r *receiver) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !r.has(entry); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: the record did not arrive", what)
		}
	}
}

func TestReloadTakesAnotherPassword(t *testing.T) {
	console := newReceiver(t, "right")
	rs, _, _ := startRoutes(t, t.TempDir())
	r, err := rs.openRoute([]forward.Destination{console.destination("wrong")})
	if err != nil {
		t.Fatal(err)
	}
	queueEntry(t, r)
	again, err := rs.openRoute([]forward.Destination{console.destination("right")})
	if err != nil || again != r || len(r.senders) != 1 {
		t.Fatalf("%v %v %d senders", err, again == r, len(r.senders))
	}
	arrives(t, "after a reload", console)
}

func TestDestinationsAreNamedWithoutPasswords(t *testing.T) {
	rs, _, _ := startRoutes(t, t.TempDir())
	conf := &config.Config{}
	conf.Trap.Report = []config.Peer{{URL: "http://me:secret@127.0.0.1:1/"}}
	r, err := rs.of(conf, &config.Host{Honeytrap: true})
	if err != nil {
		t.Fatal(err)
	}
	if to := r.senders[0].to; strings.Contains(to.Name, "secret") || !strings.Contains(to.URL, "secret") {
		t.Errorf("%+v", to)
	}
}

// TestRefusedRouteStartsNothing: a broken line among good ones refuses the reload, and must not end the program later.
func TestRefusedRouteStartsNothing(t *testing.T) {
	rs, started, _ := startRoutes(t, t.TempDir())
	good := newReceiver(t, "p").destination("p")
	if _, err := rs.openRoute([]forward.Destination{good, {Name: "bad", URL: "ftp://192.0.2.1/"}}); err == nil || *started != 0 {
		t.Errorf("error %v, %d started", err, *started)
	}
}

func TestSpoolOfAnEarlierConfigurationIsFinished(t *testing.T) {
	dir := t.TempDir()
	console, other := newReceiver(t, "right"), newReceiver(t, "right")
	rs, _, stop := startRoutes(t, dir)
	r, err := rs.openRoute([]forward.Destination{console.destination("wrong")})
	if err != nil {
		t.Fatal(err)
	}
	queueEntry(t, r)
	stop()

	// The owner adds a console and restarts: another route, another spool.
	rs, _, stop = startRoutes(t, dir)
	if _, err := rs.openRoute([]forward.Destination{console.destination("right"), other.destination("right")}); err != nil {
		t.Fatal(err)
	}
	rs.finish()
	arrives(t, "after a restart", console)
	stop()
	if other.has(entry) {
		t.Error("a console got a record that was not for it")
	}
	// Nothing waits there any more: the next start leaves it closed.
	rs, _, _ = startRoutes(t, dir)
	if rs.finish(); len(rs.open) != 0 {
		t.Errorf("%d open", len(rs.open))
	}
}

// A console that is dead for longer than the spool can bear loses its own oldest records, the own console none,
// and the status says so.
func TestDeadConsoleCostsTheOwnNothing(t *testing.T) {
	st, err := store.Open(store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	rs, _, stop := startRoutes(t, t.TempDir())
	rs.console = &console{store: st, opened: make(chan struct{})}
	close(rs.console.opened)
	rs.limit(400_000)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	r, err := rs.openRoute([]forward.Destination{{Name: "dead.example", URL: dead.URL, ErrorTimeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	// What is no record is set aside, and ends nothing.
	if err := r.queue("odd", []byte("no record")).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	const records = 1500
	for i := range records {
		id := fmt.Sprintf("id%d", i)
		text := strings.Replace(entry, "id1 ", id+" ", 1) + strings.Repeat("-", 900)
		if err := r.queue(id, []byte(text)).Wait(context.Background()); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // it is no more than a fraction of a second behind
			if n, _ := r.own.Backlog(); n <= 50 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the own console takes no records")
			}
		}
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if n, _ := r.own.Backlog(); n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the own console does not take the records")
		}
	}
	if figures, err := st.Stats(context.Background()); err != nil || figures.Events != records {
		t.Errorf("the own console has %d of %d records, %v", figures.Events, records, err)
	}
	lost := r.senders[0].Stats()
	if lost.GivenUp == 0 || lost.GivenUp+lost.Backlog != records+1 || lost.GivenUpFirst.IsZero() {
		t.Errorf("of the dead console: %+v", lost)
	}
	if st := r.spool.Stats(); st.SetAside != 1 {
		t.Errorf("%d set aside", st.SetAside)
	}
	if own := r.spool.Destinations()[ownLabel]; own.GivenUp != 0 || r.spool.Stats().GivenUp != lost.GivenUp {
		t.Errorf("own %+v, spool %+v", own, r.spool.Stats())
	}
	stop()
}
