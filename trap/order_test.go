package trap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
)

// TestNoRequestSlipsThrough reads the trap's answer and at once sends a request
// to the real site on a connection that was open before: on Apache 125 of 1000
// got through.
func TestNoRequestSlipsThrough(t *testing.T) {
	rounds := 10_000
	if testing.Short() {
		rounds = 1000
	}
	s := open(t, options{})
	site := realSite(t, s)
	const workers = 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < rounds; i += workers {
				if err := s.race(t, site, addr(1000+i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// realSite answers as a site behind the tag rules does, over a real socket.
func realSite(t *testing.T, s *station) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.tagged(netip.MustParseAddrPort(r.RemoteAddr).Addr()) {
			w.WriteHeader(http.StatusForbidden)
		}
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

func (s *station) race(t *testing.T, site string, from netip.Addr) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: 10 * time.Second}
	real, err := d.Dial("tcp4", site)
	if err != nil {
		return err
	}
	defer real.Close()
	toTrap, err := d.Dial("tcp4", s.addr.String())
	if err != nil {
		return err
	}
	defer toTrap.Close()
	deadline := time.Now().Add(20 * time.Second)
	_, _ = real.SetDeadline(deadline), toTrap.SetDeadline(deadline)
	if _, err := io.WriteString(toTrap, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return err
	}
	// The first byte of the answer is the moment that counts.
	if _, err := io.ReadFull(toTrap, make([]byte, 1)); err != nil {
		return fmt.Errorf("trap's answer to %s: %w", from, err)
	}
	if _, err := io.WriteString(real, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(real), nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		return fmt.Errorf("%s got through to the real site: %d", from, resp.StatusCode)
	}
	return nil
}

// TestAnswerWaitsForTheRecord holds Handle back and sees that not one byte leaves before it returns.
func TestAnswerWaitsForTheRecord(t *testing.T) {
	gate := make(chan struct{})
	var s *station
	s = open(t, options{handle: func(ctx context.Context, r *audit.Record, tag collection.Ticket) error {
		if r.Kind == audit.KindHTTP {
			<-gate
		}
		return s.keep(ctx, r, tag)
	}})
	c := s.dial(t, addr(1))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the tag, before anything is answered", func() bool { return s.tagged(addr(1)) })
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("a byte of the answer came before the record was durable")
	}
	close(gate)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
}

// TestHandleErrorsAreCountedAndAnswered: a full disk must not turn the trap into a dead port.
func TestHandleErrorsAreCountedAndAnswered(t *testing.T) {
	s := open(t, options{handle: func(context.Context, *audit.Record, collection.Ticket) error { return errors.New("disk full") }})
	for i := range 3 {
		if got := ask(t, s, addr(1+i), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("answer %q", got)
		}
		if !s.tagged(addr(1 + i)) {
			t.Error("not tagged")
		}
	}
	if n := s.trap.Stats().Unrecorded; n != 3 {
		t.Errorf("Unrecorded = %d, want 3", n)
	}
}

// TestTagConnectOff leaves monitors alone that only connect, and tags at the first byte.
func TestTagConnectOff(t *testing.T) {
	s := open(t, options{noConnect: true})
	_ = s.dial(t, addr(1)).Close()
	r := s.wait(t, addr(1), 1)[0]
	if r.Kind != audit.KindConnect || len(r.Matches) != 0 {
		t.Errorf("record %+v", r)
	}
	if s.tagged(addr(1)) {
		t.Error("a bare connect tagged")
	}
	c := s.dial(t, addr(1))
	_, _ = io.WriteString(c, "G")
	eventually(t, "the tag after one byte", func() bool { return s.tagged(addr(1)) })
}

// TestRulesThatPass sees the statuses that Apache gives when no rule has a say.
func TestRulesThatPass(t *testing.T) {
	root := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<p>It works</p>")
		case "/panic":
			panic("handler")
		case "/big":
			b := []byte(strings.Repeat("x", 100_000))
			for range 30 {
				_, _ = w.Write(b)
			}
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		default:
			http.NotFound(w, r)
		}
	})
	s := open(t, options{root: root, rules: "SecRuleEngine On\nSecServerSignature \"Apache/2.2.22 (Ubuntu)\"\n", limits: Limits{Body: 100_000}})
	for i, c := range []struct {
		request string
		status  string
		body    string // is in the answer
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK", "<p>It works</p>"},
		{"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "Server: Apache/2.2.22 (Ubuntu)\r\n"},
		{"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK", "It works"},
		{"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK", "Content-Length: 15\r\n"},
		{"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK", "\r\n\r\nabc"},
		{"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 Not Found", ""},
		{"GET /panic HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 500 Internal Server Error", ""},
		{"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK", "Transfer-Encoding: chunked"},
		{"GET /big HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK", "Connection: close"},
		{"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request", "could not understand"},
		{"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 Bad Request", ""},
		{"GET /a%2fb HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 Not Found", ""},
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", ""},
		{"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 414 Request-URI Too Long", ""},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 80_000) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large", ""},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("b", 200_000), "HTTP/1.1 413 Request Entity Too Large", ""},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400 Bad Request", ""},
		{"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", "Allow: "},
		{"TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nConnection: close\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", ""},
		{"SSH-2.0-x\r\n", "HTTP/1.1 400 Bad Request", ""},
	} {
		got := ask(t, s, addr(1+i), c.request)
		if !strings.HasPrefix(got, c.status+"\r\n") || !strings.Contains(got, c.body) {
			t.Errorf("%.60q: answer %.200q, want %s with %q", c.request, got, c.status, c.body)
		}
		if strings.Contains(got, "secret") {
			t.Errorf("TRACE gave the request back: %q", got)
		}
		r := s.wait(t, addr(1+i), 1)[0]
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if string(r.ResponseHead) != head {
			t.Errorf("%.60q: recorded head %q, sent %q", c.request, r.ResponseHead, head)
		}
		if !strings.Contains(c.request, "/big") && string(r.ResponseBody) != body {
			t.Errorf("%.60q: recorded body %.80q, sent %.80q", c.request, r.ResponseBody, body)
		}
		if strings.Contains(c.request, "/big") && (len(r.ResponseBody) != 100_000 || strings.Count(got, "x") < 3_000_000) {
			t.Errorf("%.60q: %d bytes recorded, %d sent", c.request, len(r.ResponseBody), strings.Count(got, "x"))
		}
	}
}

// TestDropResetsTheConnection: action drop sends nothing, but is recorded.
func TestDropResetsTheConnection(t *testing.T) {
	s := open(t, options{rules: "SecRuleEngine On\nSecAction \"id:1,phase:1,drop,log\"\n"})
	c := s.dial(t, addr(1))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, err := io.ReadAll(c); err == nil || len(got) > 0 {
		t.Errorf("read %q, %v; want a reset", got, err)
	}
	if r := s.wait(t, addr(1), 1)[0]; r.Status != 0 || r.Action == nil || r.Action.Kind != "drop" {
		t.Errorf("record status %d, action %+v", r.Status, r.Action)
	}
}

// TestRedirect answers with the rule's status and address.
func TestRedirect(t *testing.T) {
	s := open(t, options{rules: "SecRuleEngine On\nSecAction \"id:1,phase:1,redirect:http://www.example.com/gone,log\"\n"})
	got := ask(t, s, addr(1), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 302 Found\r\n") || !strings.Contains(got, "\r\nLocation: http://www.example.com/gone\r\n") {
		t.Errorf("answer %q", got)
	}
}

func ask(t testing.TB, s *station, from netip.Addr, request string) string {
	t.Helper()
	c := s.dial(t, from)
	go func() { _, _ = io.WriteString(c, request) }()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Logf("%.40q: %v", request, err)
	}
	return string(got)
}

// TestExpectIsRefusedWithoutContinue: a rule of phase 1 answers before the body is asked for.
func TestExpectIsRefusedWithoutContinue(t *testing.T) {
	s := open(t, options{rules: "SecRuleEngine On\nSecAction \"id:1,phase:1,deny,status:403,log\"\n"})
	got := ask(t, s, addr(1), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, "Connection: close") {
		t.Errorf("answer %q", got)
	}
}

// TestHostHeaderChoosesTheHost: the connection belongs to the port's host, the request to the one it names.
func TestHostHeaderChoosesTheHost(t *testing.T) {
	s := open(t, options{host: func(h *Host) func(netip.AddrPort, string) *Host {
		other := &Host{Name: "other.example", Engine: h.Engine, TagConnect: true, Handle: h.Handle}
		return func(_ netip.AddrPort, header string) *Host {
			if header == "other.example:80" {
				return other
			}
			return h
		}
	}})
	for i, c := range []struct{ request, host string }{
		{"GET / HTTP/1.1\r\nHost: other.example:80\r\nConnection: close\r\n\r\n", "other.example"},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "www.example1.com"},
		{"GET / HTTP/1.0\r\n\r\n", "www.example1.com"},
		{"SSH-2.0-x\r\n", "www.example1.com"},
	} {
		ask(t, s, addr(1+i), c.request)
		if r := s.wait(t, addr(1+i), 1)[0]; r.Host != c.host {
			t.Errorf("%q: host %s, want %s", c.request, r.Host, c.host)
		}
	}
}

// TestMappedAddresses: on a port that listens on both families an IPv4 client is an IPv4 address.
func TestMappedAddresses(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		_ = l.Close()
	}
	s := open(t, options{listen: "[::]:0"})
	for _, at := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(at, fmt.Sprint(s.addr.Port)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		_, _ = io.ReadAll(c)
		_ = c.Close()
		r := s.wait(t, netip.MustParseAddr(at), 1)[0]
		if r.Server.Addr() != netip.MustParseAddr(at) || !s.tagged(r.Client.Addr()) {
			t.Errorf("server %s, client %s", r.Server, r.Client)
		}
	}
}

// TestTrailerOfAChunkedBody stands in the record, quoted: a client must not write lines of it.
func TestTrailerOfAChunkedBody(t *testing.T) {
	s := open(t, options{})
	ask(t, s, addr(1), "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: \x00y\r\nZ: 1\r\n\r\n")
	if r := s.wait(t, addr(1), 1)[0]; !noted(r, `trailer: "X: \x00y\r\nZ: 1"`) {
		t.Errorf("trailer %+v", r.Trailer)
	}
}

// TestPauseDelaysTheAnswer, after the record is durable.
func TestPauseDelaysTheAnswer(t *testing.T) {
	s := open(t, options{rules: "SecRuleEngine On\nSecAction \"id:1,phase:1,deny,status:403,log,pause:300\"\n"})
	start := time.Now()
	c := s.dial(t, addr(1))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	s.wait(t, addr(1), 1)
	recorded := time.Since(start)
	if got, _ := io.ReadAll(c); !strings.HasPrefix(string(got), "HTTP/1.1 403 ") {
		t.Errorf("answer %q", got)
	}
	if answered := time.Since(start); answered < 300*time.Millisecond || recorded > answered-100*time.Millisecond {
		t.Errorf("recorded after %v, answered after %v", recorded, answered)
	}
}

// TestLongAnswerIsNotTaken: who does not read cannot hold a connection for ever.
func TestLongAnswerIsNotTaken(t *testing.T) {
	root := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	s := open(t, options{root: root, rules: "SecRuleEngine On\n", limits: Limits{RequestTime: 200 * time.Millisecond, ConnTime: 300 * time.Millisecond, KeepAlive: 50 * time.Millisecond}})
	c := s.dial(t, addr(1))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	s.wait(t, addr(1), 1)
	// It reads a little now and then, so that no single write takes its full time.
	buf := make([]byte, 1<<18)
	eventually(t, "the end of the connection", func() bool {
		_, err := c.Read(buf)
		return err != nil || s.trap.Stats().Open == 0
	})
}
