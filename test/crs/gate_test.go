//go:build peers

package crs

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/gate"
	"github.com/trapline/trapline/trap"
)

// site is the real site with the rule set, behind net/http and in front of the back end.
type site struct {
	addr string

	mu   sync.Mutex
	seen map[string][]string // messages by the client's address
}

func startSite(t *testing.T) *site {
	t.Helper()
	back := httptest.NewServer(http.HandlerFunc(reflect))
	t.Cleanup(back.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{addr: ln.Addr().String(), seen: map[string][]string{}}
	_, port, _ := net.SplitHostPort(s.addr)
	cfg, _, err := config.Parse("trapline.conf", []byte("Listen "+port+"\nLimitRequestFields 0\nProxyPass / "+back.URL+"/\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, strings.Replace(settings, "SecAuditEngine Off", "SecAuditEngine On", 1))
	g, err := gate.New(gate.Config{Queue: 10_000, TempDir: t.TempDir(), Sites: gate.Sites{
		Config: cfg,
		Site:   func(h *config.Host) gate.Site { return gate.Site{Host: h, Engine: e, Handle: s.handle} },
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = g.Run(ctx) })
	wait.Go(func() { _ = g.Serve(ctx, ln) })
	t.Cleanup(func() {
		stop, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		_ = g.Shutdown(stop)
		cancel()
		wait.Wait()
		_ = g.Close()
	})
	return s
}

func startTrap(t *testing.T) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{addr: ln.Addr().String(), seen: map[string][]string{}}
	host := &trap.Host{Name: "localhost", Engine: engine(t, settings), DocumentRoot: http.HandlerFunc(reflect), Handle: s.handle}
	tr, err := trap.New(trap.Config{Host: func(netip.AddrPort, string) *trap.Host { return host }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { _ = tr.Serve(ctx, ln) })
	t.Cleanup(func() {
		stop, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		_ = tr.Shutdown(stop)
		cancel()
		wait.Wait()
	})
	return s
}

func (s *site) handle(_ context.Context, r *audit.Record, _ collection.Ticket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := r.Peer.Addr().String()
	list := s.seen[from]
	if list == nil {
		list = []string{}
	}
	for i := range r.Matches {
		list = append(list, normal(string(audit.AppendMessage(nil, &r.Matches[i], r.Action))))
	}
	s.seen[from] = list
	return nil
}

func (s *site) messages(from string) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, ok := s.seen[from]
	return slices.Clone(list), ok
}

// TestThroughGate sends the requests of all tests through the real site: the
// rules must see there what they see in the bytes, also in requests that
// net/http refuses.
func TestThroughGate(t *testing.T) { through(t, startSite(t), gateTolerated) }

// TestThroughTrap does the same with a honeytrap port.
func TestThroughTrap(t *testing.T) { through(t, startTrap(t), trapTolerated) }

func through(t *testing.T, s *site, tolerated func(name string) string) {
	raw := serve(t, engine(t, settings))
	same, meant := 0, 0
	list := requests(t)
	for n, one := range list {
		from := fmt.Sprintf("127.1.%d.%d", n>>8, n&255)
		code, _ := exchange(s.addr, from, one.req)
		_, local := exchange(raw.ln.Addr().String(), from, one.req)
		want := (<-raw.result(local)).messages
		var got []string
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
			var ok bool
			if got, ok = s.messages(from); ok {
				break
			}
		}
		missing, extra := minus(ids(want), ids(got)), minus(ids(got), ids(want))
		switch {
		case len(missing)+len(extra) == 0:
			same++
			if reason := tolerated(one.name); reason != "" {
				t.Errorf("%s\tno difference any more: %s", one.name, reason)
			}
		case tolerated(one.name) != "":
			meant++
		default:
			t.Errorf("%s\tstatus %d\tmissing %v\textra %v\t%.200q", one.name, code, missing, extra, one.req)
		}
	}
	t.Logf("%d of %d requests match the same rules, %d differ as meant", same, len(list), meant)
}
