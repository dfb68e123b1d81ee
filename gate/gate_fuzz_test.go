package gate

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/config"
)

// FuzzServe sends any bytes to the real site: nothing panics, the connection ends, and the next client is served.
func FuzzServe(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST /up?a=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\nExpect: 100-continue\r\n\r\n"))
	f.Add([]byte("GET http://other/../..//x%00%zz HTTP/1.1\r\nHost: x:y\r\nX-Forwarded-For: 1.2.3.4, [::1]:5\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"))
	f.Add([]byte("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03\x01"))
	b := start(f, rules+`SecRequestBodyAccess On
SecResponseBodyAccess On
SecAuditEngine On
SecAuditLogParts ABCEFHZ
SecRule ARGS|REQUEST_BODY|RESPONSE_BODY "@contains evil" "id:1,phase:4,deny"
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
SetEnvIf Request_URI "(.*)" uri=$1
Header set X-Uri "%{uri}e"
Header edit X-Uri "(.)(.)" $2$1
ProxyPass /up http://UPSTREAM/up
RedirectMatch ^/r(.*)$ /x$1
TrapSite builtin
<Location /private>
Require ip 192.0.2.1
</Location>
`, http.HandlerFunc(echoServer))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Skip(err) // out of ports: not what is tested
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("the connection does not end")
		}
		if n := b.gate.Stats().Panics; n != 0 {
			t.Fatalf("%d panics", n)
		}
		b.mu.Lock()
		b.records = nil
		b.mu.Unlock()
	})
}

// FuzzLogFormat compiles any CustomLog format.
func FuzzLogFormat(f *testing.F) {
	f.Add(`%h %l %u %t "%r" %>s %b "%{Referer}i" %!200,304{User-agent}i %{%Y-%m-%d}t %^ti %D`)
	f.Fuzz(func(t *testing.T, format string) {
		l, err := newAccessLog(config.CustomLog{Format: format}, &sink{lines: make(chan []byte, 1)})
		if err != nil {
			return
		}
		x := &exchange{gate: &Gate{now: time.Now}, site: &site{Site: Site{Host: &config.Host{}}}, conn: &conn{}, w: nowhere{}, r: &http.Request{Header: http.Header{}}}
		l.write(x)
		if line := <-l.sink.lines; !strings.HasSuffix(string(line), "\n") {
			t.Fatalf("%q gives %q", format, line)
		}
	})
}

// FuzzForwarded reads any X-Forwarded-For from a trusted proxy: the answer is an address, never one that the proxy may not name.
func FuzzForwarded(f *testing.F) {
	f.Add("1.2.3.4, 10.0.0.1")
	f.Add(`"[2001:db8::1]:443",,fe80::1%eth0`)
	remote := &config.RemoteIP{Header: "X-Forwarded-For", Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	peer := netip.MustParseAddrPort("192.0.2.1:1")
	f.Fuzz(func(t *testing.T, value string) {
		client, trusted := clientOf(remote, peer, http.Header{"X-Forwarded-For": {value}})
		if !trusted || !client.Addr().IsValid() || client.Addr().IsPrivate() || client.Addr().IsLoopback() || client.Addr().Zone() != "" || client.Addr().Is4In6() {
			t.Fatalf("%q: %v %t", value, client, trusted)
		}
	})
}
