package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// bench is a gate on real sockets, with the records it made.
type bench struct {
	tb    testing.TB
	gate  *Gate
	store *collection.Store
	addr  string

	mu      sync.Mutex
	records []*audit.Record
}

// rules are what most tests need around their own lines.
const rules = "SecRuleEngine On\nSecDefaultAction \"phase:1,log,auditlog,deny,status:403\"\nSecDefaultAction \"phase:2,log,auditlog,deny,status:403\"\n"

// start runs a gate for a configuration text in which PORT stands for the port to listen on and UPSTREAM for an address.
func start(tb testing.TB, text string, handler http.Handler) *bench {
	tb.Helper()
	return startLimited(tb, nil, text, handler)
}

// startLimited is start with a counter of connections.
func startLimited(tb testing.TB, connections *connlimit.Counter, text string, handler http.Handler) *bench {
	tb.Helper()
	b := &bench{tb: tb}
	if handler != nil {
		up := &http.Server{Handler: handler}
		ln := listen(tb)
		go up.Serve(ln)
		tb.Cleanup(func() { up.Close() })
		text = strings.ReplaceAll(text, "UPSTREAM", ln.Addr().String())
	}
	ln := listen(tb)
	b.addr = ln.Addr().String()
	_, port, _ := net.SplitHostPort(b.addr)
	text = strings.ReplaceAll(text, "PORT", port)
	if !strings.Contains(text, "Listen ") {
		text = "Listen " + port + "\n" + text
	}
	var err error
	if b.store, err = collection.Open(collection.Config{}); err != nil {
		tb.Fatal(err)
	}
	b.gate, err = New(Config{Sites: b.sites(text), Logger: slog.New(slog.DiscardHandler), Certificate: selfSigned(tb), TempDir: tb.TempDir(), Connections: connections})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.gate.Run(ctx) })
	wg.Go(func() {
		if err := b.gate.Serve(ctx, ln); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(func() {
		stop, done := context.WithTimeout(context.Background(), 2*time.Second)
		defer done()
		b.gate.Shutdown(stop)
		cancel()
		wg.Wait()
		if err := b.gate.Close(); err != nil {
			tb.Error(err)
		}
		b.store.Close()
	})
	return b
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return ln
}

func (b *bench) sites(text string) Sites {
	b.tb.Helper()
	cfg, _, err := config.Parse("trapline.conf", []byte(text), config.Options{})
	if err != nil {
		b.tb.Fatal(err)
	}
	return Sites{Config: cfg, Site: func(h *config.Host) Site {
		s := Site{Host: h, Handle: b.handle}
		if len(h.Sec) > 0 {
			if s.Engine, err = seclang.Compile(seclang.Config{Directives: h.Sec, Collections: b.store}); err != nil {
				b.tb.Fatal(err)
			}
		}
		return s
	}}
}

func (b *bench) handle(_ context.Context, r *audit.Record, _ collection.Ticket) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, r)
	return nil
}

// record waits for the record number n (from 0).
func (b *bench) record(n int) *audit.Record {
	b.tb.Helper()
	var r *audit.Record
	eventually(b.tb, "a record", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.records) > n {
			r = b.records[n]
		}
		return r != nil
	})
	return r
}

func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if holds() {
			return
		}
	}
	tb.Fatalf("waited in vain for %s", what)
}

func (b *bench) tag(addr, name string) {
	b.store.Apply("ip", addr, time.Hour, time.Now(), []collection.Change{{Op: collection.OpSet, Name: name, Text: "1"}})
}

// raw sends bytes and returns all that comes back until the server closes or the deadline passes.
func (b *bench) raw(text string) string {
	b.tb.Helper()
	c := b.dial()
	defer c.Close()
	io.WriteString(c, text)
	c.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
	out, _ := io.ReadAll(c)
	return string(out)
}

func (b *bench) dial() net.Conn {
	b.tb.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.tb.Fatal(err)
	}
	return c
}

func (b *bench) get(path string, header ...string) (*http.Response, string) {
	b.tb.Helper()
	return b.do(http.DefaultClient, "GET", "http://"+b.addr+path, nil, header...)
}

func (b *bench) do(client *http.Client, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	b.tb.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		b.tb.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	no := *client
	no.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := no.Do(req)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
	return res, string(text)
}

func selfSigned(tb testing.TB) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c, nil }
}

// echoServer shows the upstream's view of a request.
func echoServer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s host=%s\n", r.Method, r.RequestURI, r.Host)
	for _, name := range sortedNames(r.Header) {
		for _, v := range r.Header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintf(w, "\n%s", body)
}

const tagRule = `SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" "id:999005,phase:2,t:none,log,block,msg:'Known Malicious Client.'"
SecAuditEngine RelevantOnly
SecAuditLogParts ABCFHKZ
`

func TestTaggedClientIsBlocked(t *testing.T) {
	b := start(t, rules+tagRule+"TrapSite builtin\n", nil)
	res, body := b.get("/")
	if res.StatusCode != 200 || !strings.Contains(body, "The real site") {
		t.Fatalf("clean client: %d %s", res.StatusCode, body)
	}
	b.tag("127.0.0.1", "malicious_client")
	res, body = b.get("/")
	if res.StatusCode != 403 || !strings.Contains(body, "<h1>Forbidden</h1>") {
		t.Fatalf("tagged client: %d %s", res.StatusCode, body)
	}
	r := b.record(0)
	if r.Status != 403 || r.Action == nil || len(r.Matches) != 1 || r.Matches[0].ID != 999005 || !r.Relevant {
		t.Errorf("record %+v", r)
	}
	if !bytes.HasPrefix(r.RequestHead, []byte("GET / HTTP/1.1\r\nHost: ")) {
		t.Errorf("request head %q", r.RequestHead)
	}
	if !bytes.HasPrefix(r.ResponseHead, []byte("HTTP/1.1 403 Forbidden\r\n")) || !bytes.Contains(r.ResponseHead, []byte("\r\nDate: ")) {
		t.Errorf("response head %q", r.ResponseHead)
	}
	if got := b.gate.Stats(); got.Blocked != 1 || got.Requests != 2 {
		t.Errorf("stats %+v", got)
	}
}

func TestRawHeadReachesTheRules(t *testing.T) {
	b := start(t, rules+`SecAuditEngine On
SecAuditLogParts ABFHZ
TrapSite builtin`, nil)
	head := "GET /?b=2&a=%31 HTTP/1.1\r\nhOST: x\r\nzeta:  1 \r\nAlpha: 2\r\nalpha: 3"
	out := b.raw(head + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 200 OK\r\n") {
		t.Fatal(out)
	}
	r := b.record(0)
	if got := string(r.RequestHead); got != head+"\r\nConnection: close" {
		t.Errorf("head %q", got)
	}
	sent, _, _ := strings.Cut(out, "\r\n\r\n")
	if string(r.ResponseHead) != sent {
		t.Errorf("response head %q, sent %q", r.ResponseHead, sent)
	}
	if r.ResponseBodySize == 0 || r.Peer.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("record %+v", r)
	}
}

func TestMalformedBecomesARecord(t *testing.T) {
	for name, c := range map[string]struct {
		bytes  string
		status int
	}{
		"no host":        {"GET / HTTP/1.1\r\n\r\n", 400},
		"bad request":    {"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"bad version":    {"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505},
		"bad encoding":   {"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gnu\r\n\r\n", 501},
		"space in name":  {"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400},
		"two lengths":    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
		"expectation":    {"GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417},
		"after a good 1": {"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost : x\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, rules+`SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^[45]"
SecAuditLogParts ABFHZ
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.came=1"
TrapSite builtin`, nil)
			out := b.raw(c.bytes)
			if !strings.Contains(out, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("answer %q", out)
			}
			r := b.record(0)
			want, _, _ := strings.Cut(c.bytes[strings.LastIndex(strings.TrimSuffix(c.bytes, "\r\n\r\n"), "\r\n\r\n")+1:], "\r\n\r\n")
			if got := string(r.RequestHead); strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("head %q, want %q", got, want)
			}
			if r.Status != c.status {
				t.Errorf("status %d, want %d", r.Status, c.status)
			}
			v, ok := b.store.Load("ip", "127.0.0.1", time.Now())
			if came, _ := v.Get("came"); !ok || came != "1" {
				t.Error("the rules have not run")
			}
		})
	}
}

func TestUnfinishedHeadBecomesARecord(t *testing.T) {
	b := start(t, rules+`SecAuditEngine On
SecAuditLogParts ABFHZ
TrapSite builtin`, nil)
	c := b.dial()
	io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: x\r\n")
	c.Close()
	r := b.record(0)
	if !strings.HasPrefix(string(r.RequestHead), "GET /slow HTTP/1.1\r\nHost: x") {
		t.Errorf("head %q", r.RequestHead)
	}
}

func TestLimits(t *testing.T) {
	b := start(t, rules+`SecAuditEngine On
LimitRequestFields 5
LimitRequestBody 10
ProxyPass /up http://UPSTREAM
TrapSite builtin`, http.HandlerFunc(echoServer))
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"long line":  {"GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 414},
		"long field": {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 9000) + "\r\nConnection: close\r\n\r\n", 400},
		"fields":     {"GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nConnection: close\r\n\r\n", 400},
		"body":       {"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nConnection: close\r\n\r\n01234567890", 413},
		"chunked":    {"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 413},
		"within":     {"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789", 200},
		"huge head":  {"GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 300<<10) + "\r\n\r\n", 431},
	} {
		t.Run(name, func(t *testing.T) {
			if out := b.raw(c.request); !strings.HasPrefix(out, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("answer %.80q", out)
			}
		})
	}
}

// TestReload swaps the configuration under a connection that stays open.
func TestReload(t *testing.T) {
	b := start(t, rules+"TrapSite builtin\n", nil)
	c := b.dial()
	defer c.Close()
	br := bufio.NewReader(c)
	ask := func() int {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	if got := ask(); got != 200 {
		t.Fatal(got)
	}
	_, port, _ := net.SplitHostPort(b.addr)
	next := b.sites("Listen " + port + "\n" + rules + `SecAction "id:1,phase:1,deny,status:418"`)
	if err := b.gate.SetSites(next); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != 418 {
		t.Fatal(got)
	}
}
