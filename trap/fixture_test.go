package trap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// articleRules are the rules of the article as it prints them, but for the port.
const articleRules = `
SecRule SERVER_PORT "^(%d)$" \
 "id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" \
 "id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
`

// station is a trap on a real socket with the article's rules, a real
// collection, and a site that asks the same collection.
type station struct {
	trap   *Trap
	addr   *net.TCPAddr
	store  *collection.Store
	engine *seclang.Engine
	stop   func()

	mu      sync.Mutex
	records []*audit.Record
	came    chan struct{} // has a token after each record
}

type options struct {
	limits     Limits
	root       http.Handler
	noConnect  bool   // TagConnect off
	rules      string // instead of the article's; %d is the port
	handle     func(context.Context, *audit.Record, collection.Ticket) error
	store      *collection.Store
	listen     string                                           // instead of 127.0.0.1:0
	host       func(h *Host) func(netip.AddrPort, string) *Host // instead of one host for all
	wrap       func(net.Listener) net.Listener
	collection collection.Config
	counter    *connlimit.Counter
}

func open(t testing.TB, opt options) *station {
	t.Helper()
	listen := opt.listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{addr: l.Addr().(*net.TCPAddr), came: make(chan struct{}, 1)}
	if s.store = opt.store; s.store == nil {
		s.store, err = collection.Open(opt.collection)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.store.Close() })
	}
	rules := opt.rules
	if rules == "" {
		rules = articleRules
	}
	if strings.Contains(rules, "%d") {
		rules = fmt.Sprintf(rules, s.addr.Port)
	}
	s.engine = compile(t, rules, s.store)
	handle := opt.handle
	if handle == nil {
		handle = s.keep
	}
	h := &Host{Name: "www.example1.com", Engine: s.engine, DocumentRoot: opt.root, TagConnect: !opt.noConnect, Handle: handle}
	hosts := func(netip.AddrPort, string) *Host { return h }
	if opt.host != nil {
		hosts = opt.host(h)
	}
	s.trap, err = New(Config{
		Host:   hosts,
		Limits: opt.limits, Logger: slog.New(slog.NewTextHandler(logWriter{t}, nil)), Connections: opt.counter,
	})
	if err != nil {
		t.Fatal(err)
	}
	if opt.wrap != nil {
		l = opt.wrap(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.trap.Serve(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		down, done := context.WithTimeout(context.Background(), 20*time.Second)
		defer done()
		if err := s.trap.Shutdown(down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		cancel()
		if err := <-served; err != nil && !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func compile(t testing.TB, rules string, store *collection.Store) *seclang.Engine {
	t.Helper()
	ds, err := seclang.Lex("trap.conf", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{
		Directives: ds, Collections: store, Honeytrap: true, Defaults: seclang.Defaults{Article: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// keep is a Handle that keeps a copy: the trap uses the bytes again.
func (s *station) keep(ctx context.Context, r *audit.Record, tag collection.Ticket) error {
	if err := tag.Wait(ctx); err != nil {
		return err
	}
	c := *r
	c.RequestHead = bytes.Clone(r.RequestHead)
	c.RequestBody = bytes.Clone(r.RequestBody)
	c.ResponseHead = bytes.Clone(r.ResponseHead)
	c.ResponseBody = bytes.Clone(r.ResponseBody)
	s.mu.Lock()
	s.records = append(s.records, &c)
	s.mu.Unlock()
	select {
	case s.came <- struct{}{}:
	default:
	}
	return nil
}

// all returns the records of one client so far.
func (s *station) all(client netip.Addr) []*audit.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*audit.Record
	for _, r := range s.records {
		if r.Client.Addr() == client {
			out = append(out, r)
		}
	}
	return out
}

// wait returns the records of a client once there are n of them.
func (s *station) wait(t testing.TB, client netip.Addr, n int) []*audit.Record {
	t.Helper()
	var out []*audit.Record
	eventually(t, fmt.Sprintf("%d records of %s", n, client), func() bool {
		out = s.all(client)
		return len(out) >= n
	})
	return out
}

// tagged says whether the client's next request on the real site is refused.
func (s *station) tagged(client netip.Addr) bool {
	tx := s.engine.NewTransaction(seclang.Conn{
		Peer: netip.AddrPortFrom(client, 40000), Client: netip.AddrPortFrom(client, 40000),
		Server: netip.MustParseAddrPort("127.0.0.1:1"), ServerName: "www.example.com", Time: time.Now(),
	})
	defer tx.Close()
	tx.RequestHead([]byte("GET / HTTP/1.1\r\nHost: www.example.com"))
	if tx.RequestHeaders() != nil {
		return true
	}
	return tx.RequestBody() != nil
}

// dial connects from an address of the client's own.
func (s *station) dial(t testing.TB, from netip.Addr) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp4", s.addr.String())
	if err != nil {
		t.Fatalf("dial from %s: %v (these tests need the whole of 127.0.0.0/8)", from, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// addr returns the n-th address of the test's own clients.
func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)}) }

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}
