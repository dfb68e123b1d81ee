package v3test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/gate"
	"github.com/trapline/trapline/seclang"
)

// TestThroughGate sends the cases as bytes to the real site, which has their rules and forwards to a back end that
// answers what the case says: the status must be the expected one, whatever the engine, the gate or HTTP do on the way.
// Cases that fail are listed with their reasons in testdata/exceptions.txt.
func TestThroughGate(t *testing.T) {
	files := Files(t)
	dir := Data(t)
	known := Exceptions(t, "testdata/exceptions.txt")
	back := startBackend(t)
	ran, failed := 0, 0
	for _, f := range files {
		for i, c := range Cases(t, f) {
			if !c.On() || c.Expected.HTTPCode == "" || c.Validates() || c.OldGeo() || c.Expected.ParserError != nil && *c.Expected.ParserError != "" {
				continue
			}
			name := fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(f), ".json"), i+1)
			ran++
			status, err := back.status(t, dir, &c)
			_, listed := known[name]
			switch bad := err != nil || status != c.Expected.HTTPCode.Int(); {
			case bad:
				failed++
				if !listed {
					report := t.Logf
					if Held(f) {
						report = t.Errorf
					}
					report("%s %q: status %d, expected %s (%v)\n%s", name, c.Title, status, c.Expected.HTTPCode, err, strings.Join(c.Rules, "\n"))
				}
			case listed:
				t.Errorf("%s passes now: take it from testdata/exceptions.txt", name)
			}
		}
	}
	t.Logf("%d cases sent, %d failed (%.1f %% pass)", ran, failed, 100-100*float64(failed)/float64(ran))
	if failed*100 > 7*ran {
		t.Errorf("more than 7 %% fail")
	}
}

// backend answers what the case of the moment says.
type backend struct {
	addr string
	mu   sync.Mutex
	c    *Case
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{addr: ln.Addr().String()}
	s := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close() })
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	b.mu.Lock()
	c := b.c
	b.mu.Unlock()
	for _, h := range c.Response.Headers {
		if !strings.EqualFold(h.Name, "Content-Length") {
			w.Header().Add(h.Name, h.Value)
		}
	}
	_, _ = io.WriteString(w, string(c.Response.Body))
}

// status runs a site with the rules of c and returns what it answers.
func (b *backend) status(t *testing.T, dir string, c *Case) (int, error) {
	b.mu.Lock()
	b.c = c
	b.mu.Unlock()
	file := filepath.Join(dir, "case.conf")
	text := "Listen 8081\nLimitRequestFields 0\nRemoteIPProxyProtocol On\nRemoteIPInternalProxy 127.0.0.1\nProxyPass / http://" + b.addr + "/\n"
	if err := os.WriteFile(file, []byte(text+strings.Join(c.Rules, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, _, err := config.Load(file, config.Options{})
	if err != nil {
		return 0, err
	}
	store, err := collection.Open(collection.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	engine, err := seclang.Compile(seclang.Config{Directives: conf.Main.Sec, Collections: store, Defaults: seclang.Defaults{Article: true}})
	if err != nil {
		return 0, err
	}
	g, err := gate.New(gate.Config{TempDir: dir, Sites: gate.Sites{
		Config: conf,
		Site:   func(h *config.Host) gate.Site { return gate.Site{Host: h, Engine: engine} },
	}})
	if err != nil {
		return 0, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { _ = g.Run(ctx) })
	wait.Go(func() { _ = g.Serve(ctx, ln) })
	defer func() {
		stop, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = g.Shutdown(stop)
		cancel()
		wait.Wait()
		_ = g.Close()
	}()
	return ask(ln.Addr().String(), c)
}

// ask sends the case's request and reads the status line.
func ask(addr string, c *Case) (int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, wireRequest(c)); err != nil {
		return 0, err
	}
	answer := bufio.NewReader(conn)
	for {
		line, err := answer.ReadString('\n')
		if err != nil {
			return 0, err
		}
		var proto string
		var status int
		if n, _ := fmt.Sscanf(line, "%s %d", &proto, &status); n == 2 && strings.HasPrefix(proto, "HTTP/") && status != 100 {
			return status, nil
		}
	}
}

// wireRequest is the request in bytes, behind a PROXY header with the case's client. What would be another request over a
// connection is put right: a Content-Length that does not fit the body, a URI with blanks or without /, no method at all.
func wireRequest(c *Case) string {
	var b strings.Builder
	ip, port := c.Client.IP, c.Client.Port.Int()
	if net.ParseIP(ip) == nil {
		ip = "127.0.0.1"
	}
	if port == 0 {
		port = 40000
	}
	family, other := "TCP4", "127.0.0.1"
	if strings.Contains(ip, ":") {
		family, other = "TCP6", "::1"
	}
	fmt.Fprintf(&b, "PROXY %s %s %s %d 80\r\n", family, ip, other, port)
	proto := strings.TrimPrefix(string(c.Request.Proto), "HTTP/")
	if proto == "" {
		proto = "1.1"
	}
	method, uri := c.Request.Method, strings.ReplaceAll(c.Request.URI, " ", "%20")
	if method == "" {
		method = "GET"
	}
	if !strings.HasPrefix(uri, "/") && !strings.Contains(uri, "://") {
		uri = "/" + uri
	}
	fmt.Fprintf(&b, "%s %s HTTP/%s\r\n", method, uri, proto)
	chunked, host := false, false
	for _, h := range c.Request.Headers {
		host = host || strings.EqualFold(h.Name, "Host")
		if strings.EqualFold(h.Name, "Transfer-Encoding") {
			chunked = true
			continue
		}
		if strings.EqualFold(h.Name, "Content-Length") && (c.Request.Body != "" || h.Value != "0") {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	if !host && proto == "1.1" {
		b.WriteString("Host: localhost\r\n")
	}
	if chunked {
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		if len(c.Request.Body) > 0 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c.Request.Body), c.Request.Body)
		}
		b.WriteString("0\r\n\r\n")
		return b.String()
	}
	if c.Request.Body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(c.Request.Body))
	}
	return b.String() + "\r\n" + string(c.Request.Body)
}
