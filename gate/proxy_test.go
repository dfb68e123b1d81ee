package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/wire"
)

const proxyAll = "ProxyPass / http://UPSTREAM/\nProxyPassReverse / http://UPSTREAM/\n"

func TestProxyPaths(t *testing.T) {
	b := start(t, `ProxyPass /no !
ProxyPassMatch "^/m/([a-z ]+)$" "http://UPSTREAM/matched/$1"
ProxyPass /app/ http://UPSTREAM/base/
ProxyPass /exact http://UPSTREAM/e
ProxyPreserveHost On
ServerName www.example.com
`, http.HandlerFunc(echoServer))
	for path, want := range map[string]string{
		"/app/a%2Fb?x=%zz;y":   "GET /base/a%2Fb?x=%zz;y host=shop.example",
		"/app/../app/x/./y":    "GET /base/x/y host=shop.example",
		"/exact":               "GET /e host=shop.example",
		"/exact/more?":         "GET /e/more? host=shop.example",
		"/m/a%20b?q=1":         "GET /matched/a%20b?q=1 host=shop.example",
		"/%61pp/z":             "GET /base/z host=shop.example",
		"/app/%22%3C%3E%7C^`x": "GET /base/%22%3C%3E%7C%5E%60x host=shop.example",
	} {
		out := b.raw("GET " + path + " HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
		if _, body, _ := strings.Cut(out, "\r\n\r\n"); !strings.HasPrefix(body, want) && !strings.Contains(body, "\n"+want) {
			t.Errorf("%s: got %q, want %q", path, body, want)
		}
	}
	for _, path := range []string{"/no", "/no/x", "/exactly", "/app/../no", "/other"} {
		if res, _ := b.get(path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestForwardedHeadersOfStrangersGoNoFurther(t *testing.T) {
	b := start(t, rules+"RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 192.0.2.1\n"+tagRule+proxyAll, http.HandlerFunc(echoServer))
	b.tag("198.51.100.7", "malicious_client")
	res, body := b.get("/", "X-Forwarded-For", "198.51.100.7", "X-Forwarded-Proto", "https", "Forwarded", "for=1.2.3.4")
	if res.StatusCode != 200 {
		t.Errorf("a stranger's header was believed: %d", res.StatusCode)
	}
	if !strings.Contains(body, "X-Forwarded-For: 127.0.0.1\n") || strings.Contains(body, "1.2.3.4") || !strings.Contains(body, "X-Forwarded-Proto: http\n") {
		t.Errorf("upstream saw %s", body)
	}
}

func TestTrustedProxyNamesTheClient(t *testing.T) {
	b := start(t, rules+"RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.0/8\nRemoteIPTrustedProxy 203.0.113.9\n"+tagRule+proxyAll, http.HandlerFunc(echoServer))
	b.tag("198.51.100.7", "malicious_client")
	for xff, want := range map[string]int{
		"198.51.100.7":                       403,
		"198.51.100.8":                       200,
		"198.51.100.7, 198.51.100.8":         200, // the nearest address that no named proxy vouches for counts
		"198.51.100.7, 203.0.113.9":          403, // two named proxies
		"198.51.100.7, 10.0.0.1, 127.0.0.2":  200, // 10.0.0.1 is no named proxy
		"not an address":                     200,
		"\"[::ffff:198.51.100.7]:1234\"":     403,
		"127.0.0.1, 203.0.113.9, 127.0.0.53": 200, // a trusted proxy may not name private addresses
	} {
		if res, _ := b.get("/", "X-Forwarded-For", xff); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", xff, res.StatusCode, want)
		}
	}
}

func TestForwardedForOfATrustedProxy(t *testing.T) {
	b := start(t, "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n"+proxyAll, http.HandlerFunc(echoServer))
	for came, want := range map[string]string{
		"":                            "127.0.0.1",
		"198.51.100.1":                "198.51.100.1",
		"203.0.113.9, 198.51.100.1":   "203.0.113.9, 198.51.100.1", // the first is what the client claims
		"nonsense":                    "nonsense, 127.0.0.1",
		"198.51.100.1, 127.0.0.1":     "198.51.100.1",
		"198.51.100.2,  198.51.100.1": "198.51.100.2, 198.51.100.1",
	} {
		header := []string{"X-Forwarded-Proto", "https"}
		if came != "" {
			header = append(header, "X-Forwarded-For", came)
		}
		if _, body := b.get("/", header...); !strings.Contains(body, "X-Forwarded-For: "+want+"\n") || !strings.Contains(body, "X-Forwarded-Proto: https\n") {
			t.Errorf("%q: %s", came, body)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	conf := "RemoteIPProxyProtocol On\nRemoteIPInternalProxy NAMED\n" + rules + tagRule + "SecAuditEngine On\nSecAuditLogParts ABFHZ\n" + proxyAll
	b := start(t, strings.ReplaceAll(conf, "NAMED", "127.0.0.1"), http.HandlerFunc(echoServer))
	b.tag("198.51.100.7", "malicious_client")
	get := "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	v2 := func(command, family byte, addresses ...byte) string {
		return proxyV2 + string([]byte{0x20 | command, family, 0, byte(len(addresses))}) + string(addresses)
	}
	for line, want := range map[string]string{
		"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n":       "403",
		"PROXY TCP4 198.51.100.8 192.0.2.1 4711 80\r\n":       "X-Forwarded-For: 198.51.100.8\n",
		"PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n":      "X-Forwarded-For: 2001:db8::1\n",
		"PROXY UNKNOWN\r\n":                                   "X-Forwarded-For: 127.0.0.1\n",
		v2(1, 0x11, 198, 51, 100, 7, 0, 0, 0, 0, 1, 1, 0, 80): "403",
		v2(1, 0x21, append(append([]byte{0x20, 1, 0xd, 0xb8, 11: 0, 15: 9}, make([]byte, 16)...), 0, 1, 0, 80)...): "X-Forwarded-For: 2001:db8::9\n",
		v2(0, 0):                        "X-Forwarded-For: 127.0.0.1\n",
		"":                              "",
		"PROXY TCP4 nonsense 1 2 3\r\n": "",
		"PROXY " + strings.Repeat("x", 200) + "\r\n": "",
		v2(1, 0x11, 1, 2): "",
	} {
		out := b.raw(line + get)
		if want == "" && out != "" || !strings.Contains(out, want) {
			t.Errorf("%q: %q, want %q", line, out, want)
		}
	}
	if r := b.record(0); r.Peer.Addr().String() != "127.0.0.1" || r.Client.Addr().String() == "127.0.0.1" && r.Status == 403 {
		t.Errorf("record of %v for %v", r.Peer, r.Client)
	}
	stranger := start(t, strings.ReplaceAll(conf, "NAMED", "192.0.2.99"), http.HandlerFunc(echoServer))
	if out := stranger.raw("PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n" + get); !strings.HasPrefix(out, "HTTP/1.1 400 ") {
		t.Errorf("a stranger's header was taken: %q", out)
	}
	if out := stranger.raw(get); !strings.Contains(out, "X-Forwarded-For: 127.0.0.1\n") {
		t.Errorf("a stranger without header: %q", out)
	}
}

func FuzzProxyLine(f *testing.F) {
	f.Add([]byte("PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\nGET"))
	f.Add([]byte(proxyV2 + "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x50GET"))
	f.Fuzz(func(t *testing.T, data []byte) {
		client, err := readProxyLine(bufio.NewReader(bytes.NewReader(data)))
		if err != nil && client.IsValid() || client.Addr().Is4In6() {
			t.Fatalf("%v %v", client, err)
		}
	})
}

func TestReverseRewritesAnswers(t *testing.T) {
	b := start(t, `ProxyPass /app/ http://UPSTREAM/
ProxyPassReverse /app/ http://UPSTREAM/
ProxyPassReverseCookieDomain internal.example www.example.com
ProxyPassReverseCookiePath / /app/
`, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/next?x=1")
		w.Header().Add("Set-Cookie", "a=1; Domain=internal.example; Path=/; HttpOnly")
		w.WriteHeader(302)
	}))
	res, _ := b.get("/app/x", "Host", "www.example.com:81")
	if got := res.Header.Get("Location"); got != "http://www.example.com:81/app/next?x=1" {
		t.Errorf("Location %q", got)
	}
	if got := res.Header.Get("Set-Cookie"); got != "a=1; Domain=www.example.com; Path=/app/; HttpOnly" {
		t.Errorf("Set-Cookie %q", got)
	}
}

func TestUpstreamErrors(t *testing.T) {
	dead := listen(t)
	dead.Close()
	b := start(t, `ProxyPass /dead http://`+dead.Addr().String()+`/
ProxyPass /slow http://UPSTREAM/slow timeout=1
ProxyPass / http://UPSTREAM/
ErrorDocument 503 "Back soon."
`, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/cut":
			c, _, _ := w.(http.Hijacker).Hijack()
			c.Close()
		}
	}))
	for path, want := range map[string]int{"/dead": 503, "/slow": 504, "/cut": 502} {
		res, body := b.get(path)
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
		if want == 503 && body != "Back soon." {
			t.Errorf("error document %q", body)
		}
	}
}

// websocketEcho upgrades and echoes lines.
func websocketEcho(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "no upgrade", 400)
		return
	}
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Echo: yes\r\n\r\n")
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		io.WriteString(c, "echo "+line)
	}
}

func TestWebSocket(t *testing.T) {
	b := start(t, rules+tagRule+`SecRule RESPONSE_STATUS "@streq 101" "id:7,phase:3,pass,nolog,setvar:ip.upgraded=1"
SecAuditEngine On
ProxyPass /ws ws://UPSTREAM/ws
Header set X-Gate passed
`, http.HandlerFunc(websocketEcho))
	c := b.dial()
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("X-Echo") != "yes" || res.Header.Get("X-Gate") != "passed" {
		t.Fatalf("%v %+v", err, res)
	}
	for _, word := range []string{"one", "GET / HTTP/1.1", "three"} {
		fmt.Fprintf(c, "%s\n", word)
		if line, err := r.ReadString('\n'); err != nil || line != "echo "+word+"\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
	v, _ := b.store.Load("ip", "127.0.0.1", time.Now())
	if up, _ := v.Get("upgraded"); up != "1" {
		t.Error("phase 3 has not seen the 101 before it was sent")
	}
	c.Close()
	if rec := b.record(0); rec.Status != 101 || !bytes.HasPrefix(rec.ResponseHead, []byte("HTTP/1.1 101 Switching Protocols")) {
		t.Errorf("record %d %q", rec.Status, rec.ResponseHead)
	}
}

func TestWebSocketDeniedInPhase3(t *testing.T) {
	b := start(t, rules+`SecRule RESPONSE_STATUS "@streq 101" "id:7,phase:3,deny,status:403,nolog"
ProxyPass /ws ws://UPSTREAM/ws
`, http.HandlerFunc(websocketEcho))
	out := b.raw("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	if !strings.HasPrefix(out, "HTTP/1.1 403 ") {
		t.Errorf("%q", out)
	}
}

// TestEventsArriveAtOnce reads each event before the upstream sends the next one.
func TestEventsArriveAtOnce(t *testing.T) {
	for name, c := range map[string]string{
		"no rules": "", "tag rules": rules + tagRule, "HTML only": rules + tagRule + "SecResponseBodyAccess On\nSecRule RESPONSE_BODY x \"id:9,phase:4,deny\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan struct{})
			b := start(t, c+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				for i := range 3 {
					<-next
					fmt.Fprintf(w, "data: %d\n\n", i)
					w.(http.Flusher).Flush()
				}
			}))
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+b.addr+"/", nil)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			r := bufio.NewReader(res.Body)
			for i := range 3 {
				next <- struct{}{}
				if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("%q %v", line, err)
				}
				r.ReadString('\n')
			}
		})
	}
}

// TestUnreadBodiesStream sends the second half of a body after the upstream has seen the first: body access is on and
// bodies are recorded, but no rule reads them.
func TestUnreadBodiesStream(t *testing.T) {
	half := make(chan struct{})
	b := start(t, rules+tagRule+"SecRequestBodyAccess On\nSecAuditEngine On\n"+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 4))
		close(half)
		rest, _ := io.ReadAll(r.Body)
		w.Write(rest)
	}))
	pr, pw := io.Pipe()
	go func() {
		io.WriteString(pw, "half")
		select {
		case <-half:
		case <-time.After(5 * time.Second):
			t.Error("the upstream waits for the whole body")
		}
		io.WriteString(pw, "other")
		pw.Close()
	}()
	if _, body := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", pr); body != "other" {
		t.Errorf("%q", body)
	}
	if r := b.record(0); string(r.RequestBody) != "halfother" || r.RequestBodySize != 9 {
		t.Errorf("record: %q %d", r.RequestBody, r.RequestBodySize)
	}
}

// TestStreamsNeedNoMemory sends 256 MB through in both directions; no rule reads bodies.
func TestStreamsNeedNoMemory(t *testing.T) {
	const size = 256 << 20
	b := start(t, rules+tagRule+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Got", fmt.Sprint(n))
		io.CopyN(w, zeros{}, size)
	}))
	var most atomic.Uint64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
		}
	}()
	req, _ := http.NewRequest("POST", "http://"+b.addr+"/", io.LimitReader(zeros{}, size))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	res.Body.Close()
	close(stop)
	<-done
	if err != nil || n != size || res.Header.Get("X-Got") != fmt.Sprint(size) {
		t.Errorf("got %d of %d back, upstream got %s: %v", n, size, res.Header.Get("X-Got"), err)
	}
	if m := most.Load(); m > 48<<20 {
		t.Errorf("%d MB in use", m>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestContinue(t *testing.T) {
	b := start(t, rules+`SecRequestBodyAccess On
SecRule REQUEST_URI "@contains deny" "id:3,phase:1,deny,nolog"
SecRule ARGS:a "@streq bad" "id:4,phase:2,deny,nolog"
`+proxyAll, http.HandlerFunc(echoServer))
	head := "POST /%s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\n"
	c := b.dial()
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	fmt.Fprintf(c, head, "x")
	if line, _ := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q", line)
	}
	r.ReadString('\n')
	io.WriteString(c, "a=bad")
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 403 {
		t.Fatalf("%v %+v", err, res)
	}
	if out := b.raw(fmt.Sprintf(head, "deny")); !strings.HasPrefix(out, "HTTP/1.1 403 ") {
		t.Errorf("denied in phase 1 the client must not be asked for its body: %q", out)
	}
}

// TestSlowClients: Timeout is for one read or write. A client that sends nothing is cut, one that is slow is served.
func TestSlowClients(t *testing.T) {
	b := start(t, "Timeout 300ms\n"+rules+tagRule+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echoServer(w, r)
	}))
	slow := func(path string) string {
		c := b.dial()
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\n", path)
		for _, p := range []string{"ab", "cd", "ef", "gh"} {
			if path == "/stop" && p == "ef" {
				break
			}
			time.Sleep(150 * time.Millisecond)
			io.WriteString(c, p)
		}
		out, _ := io.ReadAll(c)
		return string(out)
	}
	if out := slow("/slow"); !strings.HasSuffix(out, "abcdefgh") {
		t.Errorf("slow: %q", out)
	}
	if out := slow("/stop"); !strings.HasPrefix(out, "HTTP/1.1 408 ") {
		t.Errorf("stopped: %q", out)
	}
}

func TestLateAnswer(t *testing.T) {
	b := start(t, "Timeout 200ms\nProxyTimeout 5\n"+rules+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case <-time.After(600 * time.Millisecond):
			w.Write(body)
		case <-r.Context().Done():
		}
	}))
	if res, body := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", strings.NewReader("hello")); res.StatusCode != 200 || body != "hello" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestTrailersAndHead(t *testing.T) {
	b := start(t, rules+tagRule+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Request-Trailer", r.Trailer.Get("X-In"))
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}))
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", "http://"+b.addr+"/", pr)
	req.Trailer = http.Header{"X-In": nil}
	go func() {
		io.WriteString(pw, "hello")
		req.Trailer.Set("X-In", "trailed")
		pw.Close()
	}()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	if res.Trailer.Get("X-Sum") != "42" || res.Header.Get("X-Request-Trailer") != "trailed" {
		t.Errorf("trailers %v, request trailer %q", res.Trailer, res.Header.Get("X-Request-Trailer"))
	}
	if res, body := b.do(http.DefaultClient, "HEAD", "http://"+b.addr+"/", nil); res.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %d %q", res.StatusCode, body)
	}
}

func TestTLSAndHTTP2(t *testing.T) {
	b := start(t, "Listen PORT https\n"+rules+`SecAuditEngine On
SecAuditLogParts ABFHZ
SecRule REQUEST_HEADERS:X-Bad "@streq 1" "id:5,phase:1,deny,nolog"
TrapSite builtin
ServerName secure.example
`, nil)
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "secure.example"}, ForceAttemptHTTP2: h2}
		defer tr.CloseIdleConnections()
		client := &http.Client{Transport: tr}
		res, body := b.do(client, "GET", "https://"+b.addr+"/?q=1", nil)
		if res.StatusCode != 200 || !strings.Contains(body, "real site") || (res.ProtoMajor == 2) != h2 {
			t.Fatalf("%s %d", res.Proto, res.StatusCode)
		}
		if res, _ := b.do(client, "GET", "https://"+b.addr+"/", nil, "X-Bad", "1"); res.StatusCode != 403 {
			t.Errorf("%s: %d", res.Proto, res.StatusCode)
		}
	}
	seen := map[string]int{}
	for i := range 4 {
		r := b.record(i)
		line, _, _ := strings.Cut(string(r.RequestHead), "\r\n")
		proto := line[strings.LastIndexByte(line, ' ')+1:]
		seen[proto]++
		if r.TLS == nil || r.TLS.Version != "1.3" || r.TLS.Server != "secure.example" || r.TLS.JA4 == "" {
			t.Errorf("record %d: %q %+v", i, line, r.TLS)
		}
		if !bytes.HasPrefix(r.ResponseHead, []byte(proto)) {
			t.Errorf("record %d: response head %q", i, r.ResponseHead)
		}
	}
	if seen["HTTP/1.1"] != 2 || seen["HTTP/2.0"] != 2 {
		t.Errorf("protocols %v", seen)
	}
	if out := b.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(out, "400 Bad Request") {
		t.Errorf("plain text on a TLS port: %q", out)
	}
}

// TestHTTP2FieldsKeepTheirOrder speaks HTTP/2 by hand: many streams for one URL, fields in odd orders, one of them refused.
func TestHTTP2FieldsKeepTheirOrder(t *testing.T) {
	b := start(t, "Listen PORT https\n"+rules+"SecAuditEngine On\nSecAuditLogParts ABFHZ\nTrapSite builtin\n", nil)
	tc, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	io.WriteString(tc, http2.ClientPreface)
	fr := http2.NewFramer(tc, tc)
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	want := map[string]bool{}
	send := func(id uint32, split bool, fields ...string) {
		block.Reset()
		head := "GET /x HTTP/2.0\r\nhost: h"
		for _, f := range append([]string{":method=GET", ":scheme=https", ":path=/x", ":authority=h"}, fields...) {
			name, value, _ := strings.Cut(f, "=")
			enc.WriteField(hpack.HeaderField{Name: name, Value: value})
			if name[0] != ':' {
				head += "\r\n" + name + ": " + value
			}
		}
		want[head] = true
		p := block.Bytes()
		if !split {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p, EndHeaders: true, EndStream: true, PadLength: 3, Priority: http2.PriorityParam{Weight: 1}})
			return
		}
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p[:5], EndStream: true})
		fr.WriteContinuation(id, true, p[5:])
	}
	send(1, false, "zeta=1", "alpha=2", "cookie=a=1", "cookie=b=2")
	send(3, true, "alpha=2", "zeta=1")
	send(5, false, "zeta=1", "beta=9", "zeta=2")
	send(7, true, "x=1", "Upper=refused")
	go io.Copy(io.Discard, tc)
	for i := range 3 {
		b.record(i)
	}
	tc.Close() // what was refused is known when the connection ends
	for i := range 4 {
		r := b.record(i)
		if !want[string(r.RequestHead)] {
			t.Errorf("head %q", r.RequestHead)
		}
		delete(want, string(r.RequestHead))
		if refused := bytes.Contains(r.RequestHead, []byte("refused")); refused != (r.Status == 400) {
			t.Errorf("%q: status %d", r.RequestHead, r.Status)
		}
	}
}

func FuzzH2Conn(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x84\x86"), 3)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		c := newH2Conn(nil)
		step = max(1, step&63)
		for len(data) > 0 {
			n := min(step, len(data))
			c.observe(data[:n])
			data = data[n:]
		}
		if len(c.buf) > 1<<20 || len(c.block) > 1<<20 {
			t.Fatal("too much is kept")
		}
		for _, raw := range c.unclaimed() {
			wire.ParseHead(raw, wire.Limits{})
		}
	})
}

func TestResponseRules(t *testing.T) {
	b := start(t, rules+`SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html
SecRule RESPONSE_HEADERS:X-Leak "@streq 1" "id:10,phase:3,deny,status:502,nolog"
SecRule RESPONSE_BODY "@contains secret" "id:11,phase:4,deny,status:403,nolog"
SecRule RESPONSE_STATUS "@streq 299" "id:12,phase:4,deny,status:418,nolog"
Header set X-Site ours
`+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/leak" {
			w.Header().Set("X-Leak", "1")
		}
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/image" {
			w.Header().Set("Content-Type", "image/png")
			if r.URL.RawQuery == "299" {
				w.WriteHeader(299)
			}
		}
		io.WriteString(w, "some "+r.URL.RawQuery)
	}))
	for path, want := range map[string]int{"/?text": 200, "/?secret": 403, "/image?secret": 200, "/leak?text": 502, "/image?299": 418} {
		res, body := b.get(path)
		if res.StatusCode != want || (want != 200) == strings.HasPrefix(body, "some") {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
		if want != 200 && res.Header.Get("X-Leak") != "" {
			t.Errorf("%s: the upstream's header came through", path)
		}
	}
}

func TestShutdownDrains(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	b := start(t, rules+tagRule+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-end
		io.WriteString(w, "finished")
	}))
	answer := make(chan string)
	go func() {
		_, body := b.get("/")
		answer <- body
	}()
	<-begun
	down := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		down <- b.gate.Shutdown(ctx)
	}()
	eventually(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(end)
	if got := <-answer; got != "finished" {
		t.Errorf("%q", got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestOnlyWebSocketUpgrades has an upstream that would change to any protocol: a client that got h2c would send its
// next requests past the rules.
func TestOnlyWebSocketUpgrades(t *testing.T) {
	upstream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := r.Header.Get("Upgrade")
		if to == "" {
			echoServer(w, r)
			return
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+to+"\r\n\r\n")
	})
	b := start(t, rules+"ProxyPass /any http://UPSTREAM/ upgrade=ANY\nProxyPass /none http://UPSTREAM/ upgrade=NONE\nProxyPass / http://UPSTREAM/\n", upstream)
	for _, tc := range []struct{ path, to, want string }{
		{"/", "websocket", "101"},
		{"/", "h2c", "200"},
		{"/", "TLS/1.0", "200"},
		{"/any", "h2c", "101"},
		{"/none", "websocket", "200"},
	} {
		out := b.raw("GET " + tc.path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: " + tc.to + "\r\n\r\n")
		if !strings.HasPrefix(out, "HTTP/1.1 "+tc.want) || tc.want == "200" && strings.Contains(out, "Upgrade:") {
			t.Errorf("%s to %s: %q", tc.path, tc.to, out)
		}
	}
}
