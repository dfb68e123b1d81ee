package gate

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/config"
)

// pemPair writes a certificate for a name and its key.
func pemPair(t *testing.T, dir, name string) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func TestCertificateBySNIAndReload(t *testing.T) {
	dir := t.TempDir()
	text := "Listen PORT https\n"
	for _, name := range []string{"one.example", "two.example"} {
		c, k := pemPair(t, dir, name)
		text += fmt.Sprintf("<VirtualHost *:PORT>\nServerName %s\nSSLEngine On\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\nErrorDocument 404 \"this is %[1]s\"\n</VirtualHost>\n", name, c, k)
	}
	b := start(t, text, nil)
	shown := func(name string) *x509.Certificate {
		c, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	for sni, want := range map[string]string{"one.example": "one.example", "two.example": "two.example", "other.example": "one.example", "": "one.example"} {
		if got := shown(sni).Subject.CommonName; got != want {
			t.Errorf("SNI %q: certificate of %s, want %s", sni, got, want)
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	if _, body := b.do(&http.Client{Transport: tr}, "GET", "https://"+b.addr+"/", nil, "Host", "two.example"); body != "this is two.example" {
		t.Errorf("%q", body)
	}
	old := shown("one.example").SerialNumber
	pemPair(t, dir, "one.example")
	if err := b.gate.SetSites(b.gate.cfg.Sites); err != nil {
		t.Fatal(err)
	}
	if shown("one.example").SerialNumber.Cmp(old) == 0 {
		t.Error("a reload did not read the new certificate")
	}
	os.Remove(filepath.Join(dir, "two.example.key"))
	if err := b.gate.SetSites(b.gate.cfg.Sites); err == nil || !strings.Contains(err.Error(), "trapline.conf:") {
		t.Errorf("a key that is missing: %v", err)
	}
	if shown("two.example").Subject.CommonName != "two.example" {
		t.Error("a failed reload changed what is served")
	}
}

func TestKeepAlive(t *testing.T) {
	b := start(t, "MaxKeepAliveRequests 2\nKeepAliveTimeout 1\nTrapSite builtin\n", nil)
	c := b.dial()
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	for i := range 2 {
		io.WriteString(c, "GET /site.css HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if res.Close != (i == 1) {
			t.Errorf("answer %d: close %t", i, res.Close)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the last request: %v", err)
	}
	idle := b.dial()
	defer idle.Close()
	io.WriteString(idle, "GET /site.css HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.SetDeadline(time.Now().Add(5 * time.Second))
	began := time.Now()
	io.Copy(io.Discard, idle)
	if d := time.Since(began); d < 900*time.Millisecond || d > 3*time.Second {
		t.Errorf("an idle connection was closed after %v", d)
	}
}

func TestContentInjectionAndRewriting(t *testing.T) {
	b := start(t, rules+`SecContentInjection On
SecResponseBodyAccess On
SecStreamOutBodyInspection On
SecStreamInBodyInspection On
SecRequestBodyAccess On
SecRule REQUEST_URI "@contains inject" "id:1,phase:3,pass,nolog,append:'<!-- end -->',prepend:'<!-- begin -->'"
SecRule STREAM_OUTPUT_BODY "@rsub s/secret/******/" "id:2,phase:4,pass,nolog"
SecRule STREAM_INPUT_BODY "@rsub s/password/********/" "id:3,phase:2,pass,nolog"
`+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("ETag", `"1"`)
		text := "<p>a secret</p>" + string(body)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		io.WriteString(w, text)
	}))
	if res, body := b.get("/inject"); !strings.HasPrefix(body, "<!-- begin -->") || !strings.HasSuffix(body, "<!-- end -->") || int(res.ContentLength) != len(body) {
		t.Errorf("%q, length %d", body, res.ContentLength)
	}
	if res, body := b.get("/x"); !strings.Contains(body, "<p>a ******</p>") || res.Header.Get("ETag") != "" {
		t.Errorf("%q %v", body, res.Header)
	}
	if _, body := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", strings.NewReader("my password"), "Content-Type", "text/plain"); !strings.HasSuffix(body, "my ********") {
		t.Errorf("%q", body)
	}
}

func TestLongAnswers(t *testing.T) {
	long := strings.Repeat("x", 10_000) + "evil"
	for action, want := range map[string]int{"ProcessPartial": 200, "Reject": 403} {
		t.Run(action, func(t *testing.T) {
			b := start(t, rules+`SecResponseBodyAccess On
SecResponseBodyLimit 5000
SecResponseBodyLimitAction `+action+`
SecRule RESPONSE_BODY "@contains evil" "id:1,phase:4,deny,status:403"
`+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				for i := 0; i < len(long); i += 1000 {
					io.WriteString(w, long[i:min(i+1000, len(long))])
					w.(http.Flusher).Flush()
				}
			}))
			res, body := b.get("/")
			if res.StatusCode != want || want == 200 && body != long {
				t.Errorf("%d, %d bytes", res.StatusCode, len(body))
			}
		})
	}
}

func TestErrorDocuments(t *testing.T) {
	dir := webRoot(t)
	b := start(t, rules+`DocumentRoot `+dir+`
ErrorDocument 404 http://other.example/missing
ErrorDocument 403 /oops.html
SecRule ARGS:x "@streq 1" "id:1,phase:2,deny,status:403"
SecRule ARGS:x "@streq 2" "id:2,phase:2,deny,status:405"
`, nil)
	if res, _ := b.get("/nothing"); res.StatusCode != 302 || res.Header.Get("Location") != "http://other.example/missing" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res, body := b.get("/?x=1"); res.StatusCode != 403 || body != "<b>our own 404</b>" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if res, body := b.get("/?x=2"); res.StatusCode != 405 || !strings.Contains(body, "Method Not Allowed") {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

// TestShutdownEndsUpgradedConnections: nobody knows the end of a WebSocket, so the drain is it.
func TestShutdownEndsUpgradedConnections(t *testing.T) {
	b := start(t, "ProxyPass /ws ws://UPSTREAM/ws\n", http.HandlerFunc(websocketEcho))
	c := b.dial()
	defer c.Close()
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(err, res)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := b.gate.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	var timeout net.Error
	if _, err := r.ReadByte(); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("still open")
	}
}

// TestServesUnderAnyServer uses the gate as a plain http.Handler.
func TestServesUnderAnyServer(t *testing.T) {
	b := start(t, rules+"SecAuditEngine On\nSecAuditLogParts ABFHZ\nTrapSite builtin\n", nil)
	ln := listen(t)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	_, was, _ := net.SplitHostPort(b.addr)
	if port == was {
		t.Skip("SKIPPED: the same port twice")
	}
	s := &http.Server{Handler: b.gate}
	go s.Serve(ln)
	defer s.Close()
	res, body := b.do(http.DefaultClient, "GET", "http://"+ln.Addr().String()+"/", nil)
	if res.StatusCode != 200 || !strings.Contains(body, "real site") {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if r := b.record(0); !strings.HasPrefix(string(r.RequestHead), "GET / HTTP/1.1\r\nHost: ") || r.Server.String() != ln.Addr().String() {
		t.Errorf("%q %v", r.RequestHead, r.Server)
	}
}

// TestSilentHandshakes: a client that opens connections to a TLS port and says nothing must not keep others out.
func TestSilentHandshakes(t *testing.T) {
	b := start(t, "Listen PORT https\nTrapSite builtin\n", nil)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	closed := make(chan struct{}, 2*maxOfPeer)
	for range maxOfPeer + 20 {
		c, err := dialer.Dial("tcp", b.addr)
		if err != nil {
			t.Skipf("another loopback address cannot be used here: %v", err)
		}
		defer c.Close()
		go func() {
			c.Read(make([]byte, 1))
			closed <- struct{}{}
		}()
	}
	for range 20 {
		select {
		case <-closed:
		case <-time.After(5 * time.Second):
			t.Fatal("handshakes over the limit of one peer stay open")
		}
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	if res, _ := b.do(&http.Client{Transport: tr}, "GET", "https://"+b.addr+"/", nil); res.StatusCode != 200 {
		t.Errorf("another client: %d", res.StatusCode)
	}
}

// failing is a listener whose first Accept fails for one connection, as accept(2) may.
type failing struct {
	net.Listener
	once sync.Once
}

func (f *failing) Accept() (net.Conn, error) {
	var err error
	f.once.Do(func() {
		err = &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.ENOBUFS)}
	})
	if err != nil {
		return nil, err
	}
	return f.Listener.Accept()
}

// TestPortOutlivesAcceptErrors, and its connections end when a reload closes it.
func TestPortOutlivesAcceptErrors(t *testing.T) {
	b := start(t, "TrapSite builtin\n", nil)
	ln := listen(t)
	ended := make(chan error, 1)
	go func() { ended <- b.gate.Serve(context.Background(), &failing{Listener: ln}) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v %v", res, err)
	}
	io.Copy(io.Discard, res.Body)
	ln.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the kept connection of a closed port: %v", err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Serve goes on")
	}
}

// TestSlowDownload takes a file for longer than Timeout, which is for each write and not for the whole.
func TestSlowDownload(t *testing.T) {
	dir := t.TempDir()
	const size = 48 << 20
	if err := os.WriteFile(filepath.Join(dir, "large.bin"), make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	b := start(t, "Timeout 1\nDocumentRoot "+dir+"\n", nil)
	c := b.dial()
	defer c.Close()
	io.WriteString(c, "GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got, buf := int64(0), make([]byte, 1<<20)
	for began := time.Now(); ; {
		n, err := c.Read(buf)
		got += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		if time.Since(began) < 2500*time.Millisecond {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if got < size {
		t.Errorf("%d of %d bytes", got, size)
	}
	// A client that takes nothing is cut all the same: only then has its exchange an end.
	silent := b.dial()
	defer silent.Close()
	io.WriteString(silent, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
	silent.Read(make([]byte, 1))
	began := time.Now()
	eventually(t, "the end of the silent download", func() bool {
		stop, done := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer done()
		for s := range b.gate.servers {
			if s.Shutdown(stop) != nil {
				return false
			}
		}
		return true
	})
	if d := time.Since(began); d < 500*time.Millisecond {
		t.Errorf("cut after %v", d)
	}
}

// TestStopWithHungLogProgram: a program behind CustomLog that does not read must not keep the gate from stopping.
func TestStopWithHungLogProgram(t *testing.T) {
	if _, err := os.Stat("/bin/sleep"); err != nil {
		t.Skip("no /bin/sleep here")
	}
	var lost atomic.Int64
	s := newLogSet(slog.New(slog.DiscardHandler), &lost)
	const target = "|/bin/sleep 100"
	if _, err := s.open(config.CustomLog{Target: target}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		s.run(ctx)
		close(ended)
	}()
	for range 1000 {
		s.sinks[target].write(make([]byte, 1000))
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the logs do not stop")
	}
	if err := s.close(); err != nil || lost.Load() == 0 {
		t.Errorf("%v, %d lost", err, lost.Load())
	}
}
