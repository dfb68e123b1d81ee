package trap

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/audit"
)

// kindOfTouch is one way to touch a trap port. Every one must leave a record
// and a tag; of the 53 kinds tried on Apache with the article's rule, 16 did
// (reference: apache-baseline, section 2).
type kindOfTouch struct {
	name  string
	bytes string
	act   func(t *testing.T, c *net.TCPConn) // instead of bytes
	half  bool                               // then shut the sending side
	close bool                               // then close without reading

	kind    audit.Kind
	status  int    // of the record and of what is read back, 0: no answer
	head    string // how RequestHead begins; "" compares with bytes
	records int    // 0: one
}

const host = "Host: www.example.com\r\n"

func touches() []kindOfTouch {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + host + "\r\n" }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-%d: %d\r\n", i, i)
		}
		return b.String()
	}
	post := func(headers, body string) string { return "POST /f HTTP/1.1\r\n" + host + headers + "\r\n" + body }
	return append([]kindOfTouch{
		{name: "plain GET", bytes: get("/"), status: 403},
		{name: "GET HTTP/1.0", bytes: "GET / HTTP/1.0\r\n\r\n", status: 403},
		{name: "HEAD", bytes: "HEAD / HTTP/1.1\r\n" + host + "\r\n", status: 403},
		{name: "POST form", bytes: post("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n", "a=1&b=2"), status: 403},
		{name: "POST chunked", bytes: post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), status: 403},
		{name: "PUT", bytes: "PUT /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok", status: 403},
		{name: "unknown method", bytes: "FOO / HTTP/1.1\r\n" + host + "\r\n", status: 403},
		{name: "PROPFIND", bytes: "PROPFIND / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", status: 403},
		{name: "OPTIONS *", bytes: "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", status: 403},
		{name: "TRACE", bytes: "TRACE / HTTP/1.1\r\n" + host + "\r\n", status: 403},
		{name: "no Host", bytes: "GET / HTTP/1.1\r\n\r\n", status: 403},
		{name: "two Hosts", bytes: "GET / HTTP/1.1\r\n" + host + host + "\r\n", status: 403},
		{name: "Host is an address", bytes: "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", status: 403},
		{name: "scanner's User-Agent", bytes: "GET / HTTP/1.1\r\n" + host + "User-Agent: sqlmap/1.7\r\n\r\n", status: 403},
		{name: "long User-Agent", bytes: "GET / HTTP/1.1\r\n" + host + "User-Agent: " + strings.Repeat("u", 4000) + "\r\n\r\n", status: 403},
		{name: "/../../etc/passwd", bytes: get("/../../etc/passwd"), status: 403},
		{name: "/cgi-bin/.%2e/", bytes: get("/cgi-bin/.%2e/.%2e/.%2e/bin/sh"), status: 403},
		{name: "/%zz", bytes: get("/%zz"), status: 403},
		{name: "/a%2fb", bytes: get("/a%2fb"), status: 403},
		{name: "/a%00b", bytes: get("/a%00b"), status: 403},
		{name: "/.htpasswd", bytes: get("/.htpasswd"), status: 403},
		{name: "bytes above 127 in the target", bytes: get("/\xff\xfe\x80"), status: 403},
		{name: "NUL in a header", bytes: "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", status: 403},
		{name: "9000-byte target", bytes: get("/" + strings.Repeat("a", 9000)), status: 403},
		{name: "target over 64 KiB", bytes: get("/" + strings.Repeat("a", 70000)), status: 403, head: "GET /aaaa"},
		{name: "long header", bytes: "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n", status: 403},
		{name: "over 100 headers", bytes: "GET / HTTP/1.1\r\n" + host + many(120) + "\r\n", status: 403},
		{name: "header without colon", bytes: "GET / HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", status: 403},
		{name: "space before colon", bytes: "GET / HTTP/1.1\r\n" + host + "X : 1\r\n\r\n", status: 403},
		{name: "folded header", bytes: "GET / HTTP/1.1\r\n" + host + "X: 1\r\n 2\r\n\r\n", status: 403},
		{name: "bare LF", bytes: "GET / HTTP/1.1\nHost: x\n\n", status: 403, head: "GET / HTTP/1.1\nHost: x"},
		{name: "empty lines before", bytes: "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n", status: 403, head: "GET / HTTP/1.1"},
		{name: "bad chunk", bytes: post("Transfer-Encoding: chunked\r\n", "zz\r\nhello\r\n"), status: 403},
		{name: "unknown transfer coding", bytes: post("Transfer-Encoding: cow\r\n", "moo"), status: 403},
		{name: "Content-Length and chunked", bytes: post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), status: 403},
		{name: "bad Content-Length", bytes: post("Content-Length: -1\r\n", ""), status: 403},
		{name: "Content-Length over every limit", bytes: post("Content-Length: 99999999999\r\n", "some"), half: true, status: 403},
		{name: "body shorter than declared", bytes: post("Content-Length: 100\r\n", "short"), half: true, status: 403},
		{name: "broken JSON", bytes: post("Content-Type: application/json\r\nContent-Length: 4\r\n", `{"a"`), status: 403},
		{name: "broken multipart", bytes: post("Content-Type: multipart/form-data\r\nContent-Length: 5\r\n", "--x--"), status: 403},
		{name: "Expect: 100-continue", act: expectContinue, status: 403, head: "POST /f HTTP/1.1"},
		{name: "absolute URI", bytes: "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", status: 403},
		{name: "CONNECT", bytes: "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", status: 403},
		{name: "HTTP/0.9", bytes: "GET /\r\n", status: 403},
		{name: "HTTP/3.0 in the clear", bytes: "GET / HTTP/3.0\r\n" + host + "\r\n", status: 403},
		{name: "method only", bytes: "GET\r\n\r\n", half: true, kind: audit.KindBytes, status: 403},
		{name: "pipelined", bytes: get("/1") + get("/2"), status: 403, head: "GET /1", records: 2},
		{name: "bytes after the last request", bytes: "GET /1 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n", status: 403, head: "GET /1", records: 2},
		{name: "h2c upgrade", bytes: "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", status: 403},
		{name: "websocket", bytes: "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", status: 403},
		{name: "half a request line", bytes: "GET / HT", half: true, status: 403},
		{name: "half a head, then closed", bytes: "GET / HTTP/1.1\r\nHost: www.exa", close: true, head: "GET / HTTP/1.1\r\nHost: www.exa", status: -1},
		{name: "half a head, then silence", bytes: "GET / HTTP/1.1\r\nHost: www.exa", status: 403},
		{name: "slow head", act: slowly("GET / HTTP/1.1\r\n" + host + "\r\n"), head: "GET / HTTP/1.1", status: -1},
	}, notHTTP()...)
}

func notHTTP() []kindOfTouch {
	return []kindOfTouch{
		{name: "connect only", close: true, kind: audit.KindConnect},
		{name: "connect and reset", act: func(_ *testing.T, c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, kind: audit.KindConnect},
		{name: "connect and silence", act: func(_ *testing.T, c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) }, kind: audit.KindConnect},
		{name: "TLS hello, then closed", act: tlsHello, kind: audit.KindTLS, head: "\x16\x03\x01"},
		{name: "TLS, no request", act: tlsOnly, kind: audit.KindTLS, head: "\x16\x03\x01"},
		{name: "TLS with a request", act: tlsGet("http/1.1"), status: 403, head: "GET /t HTTP/1.1"},
		{name: "TLS with HTTP/2", act: tlsH2, status: 403, head: "GET /h2 HTTP/2.0"},
		{name: "TLS 1.0", act: tlsOld, status: 403, head: "GET /t HTTP/1.1"},
		{name: "half a TLS hello", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc", half: true, kind: audit.KindTLS},
		{name: "SSL 2 hello", bytes: "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80", kind: audit.KindBytes},
		{name: "HTTP/2 preface only", bytes: preface, half: true, head: "PRI * HTTP/2.0", status: -1},
		{name: "HTTP/2 request", act: h2Get, status: 403, head: "GET /h2 HTTP/2.0"},
		{name: "SSH", bytes: "SSH-2.0-OpenSSH_9.6\r\n", kind: audit.KindBytes, status: 403},
		{name: "RTSP", bytes: "OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", kind: audit.KindBytes, status: 403},
		{name: "SIP", bytes: "OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n\r\n", kind: audit.KindBytes, status: 403},
		{name: "SOCKS4", bytes: "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", kind: audit.KindBytes},
		{name: "SOCKS5", bytes: "\x05\x01\x00", kind: audit.KindBytes},
		{name: "RDP", bytes: "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", kind: audit.KindBytes},
		{name: "SMB", bytes: "\x00\x00\x00\x2f\xffSMB\x72" + strings.Repeat("\x00", 40), kind: audit.KindBytes},
		{name: "SMTP", bytes: "EHLO scanner.example\r\n", kind: audit.KindBytes, status: 403},
		{name: "redis", bytes: "*1\r\n$4\r\nINFO\r\n", kind: audit.KindBytes, status: 403},
		{name: "MQTT", bytes: "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test", kind: audit.KindBytes},
		{name: "nmap GenericLines", bytes: "\r\n\r\n", kind: audit.KindBytes, status: 403},
		{name: "one NUL", bytes: "\x00", kind: audit.KindBytes},
		{name: "binary over 64 KiB", bytes: "\x01\x02" + strings.Repeat("\x00\xff", 40000), kind: audit.KindBytes, head: "\x01\x02\x00\xff"},
		{name: "proxy protocol", bytes: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.0\r\n\r\n", kind: audit.KindBytes, status: 403},
		{name: "half-open HTTP/2 request", act: h2Half, head: "POST /half HTTP/2.0", status: -1},
	}
}

// TestEveryKindOfTouchTagsAndLeavesARecord sends each kind from an address of
// its own and then asks the real site from that address.
func TestEveryKindOfTouchTagsAndLeavesARecord(t *testing.T) {
	list := touches()
	if len(list) < 53 {
		t.Fatalf("only %d kinds of touch", len(list))
	}
	s := open(t, options{limits: Limits{RequestTime: 700 * time.Millisecond, ConnTime: time.Second, KeepAlive: 50 * time.Millisecond, Quiet: 50 * time.Millisecond}})
	for i, k := range list {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			from := addr(i + 1)
			if s.tagged(from) {
				t.Fatal("tagged before the touch")
			}
			c := s.dial(t, from)
			got := k.touch(t, c)
			records := s.wait(t, from, max(1, k.records))
			if !s.tagged(from) {
				t.Error("the next request on the real site gets through")
			}
			k.check(t, records, got)
		})
	}
}

// touch sends and returns what came back.
func (k *kindOfTouch) touch(t *testing.T, c *net.TCPConn) []byte {
	if k.act != nil {
		k.act(t, c)
		return nil
	}
	if _, err := io.WriteString(c, k.bytes); err != nil && len(k.bytes) < 1<<16 {
		t.Fatal(err)
	}
	if k.close {
		_ = c.Close()
		return nil
	}
	if k.half {
		_ = c.CloseWrite()
	}
	got, _ := io.ReadAll(c)
	return got
}

func (k *kindOfTouch) check(t *testing.T, records []*audit.Record, got []byte) {
	t.Helper()
	if len(records) != max(1, k.records) {
		t.Errorf("%d records, want %d", len(records), max(1, k.records))
	}
	r := records[0]
	if r.Kind != k.kind {
		t.Errorf("kind %d, want %d", r.Kind, k.kind)
	}
	if !r.Honeytrap || r.ID == "" || r.Time.IsZero() || !r.Server.IsValid() || r.Peer != r.Client {
		t.Errorf("record incomplete: %+v", r)
	}
	want := k.head
	if want == "" {
		want = strings.TrimRight(strings.Split(k.bytes, "\r\n\r\n")[0], "\r\n")
		if k.kind != audit.KindHTTP {
			want = k.bytes
		}
	}
	if !bytes.HasPrefix(r.RequestHead, []byte(want)) {
		t.Errorf("RequestHead begins %.80q, want %.80q", r.RequestHead, want)
	}
	if k.status >= 0 && r.Status != k.status {
		t.Errorf("status %d, want %d", r.Status, k.status)
	}
	if k.status > 0 && !ruleMatched(r, 999004) {
		t.Errorf("rule 999004 is not in the record: %+v", r.Matches)
	}
	if got == nil || k.status <= 0 {
		return
	}
	if first := strings.HasPrefix(string(got), fmt.Sprintf("HTTP/1.1 %d ", k.status)); !first && k.name != "HTTP/0.9" {
		t.Errorf("answer %.100q, want status %d", got, k.status)
	}
	if !bytes.HasPrefix(got, r.ResponseHead) {
		t.Errorf("recorded answer %q is not what was sent: %q", r.ResponseHead, got)
	}
}

func ruleMatched(r *audit.Record, id int) bool {
	for _, m := range r.Matches {
		if m.ID == id {
			return true
		}
	}
	return false
}

func expectContinue(t *testing.T, c *net.TCPConn) {
	_, _ = io.WriteString(c, "POST /f HTTP/1.1\r\n"+host+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	b := make([]byte, 25)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Errorf("interim answer %q, %v", b, err)
	}
	_, _ = io.WriteString(c, "hello")
	if got, _ := io.ReadAll(c); !bytes.HasPrefix(got, []byte("HTTP/1.1 403 ")) {
		t.Errorf("answer %q", got)
	}
}

func slowly(text string) func(*testing.T, *net.TCPConn) {
	return func(_ *testing.T, c *net.TCPConn) {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
			time.Sleep(30 * time.Millisecond)
		}
	}
}

func clientTLS(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "trap.example", NextProtos: protocols}
}

// tlsHello sends a ClientHello and leaves.
func tlsHello(t *testing.T, c *net.TCPConn) {
	server, client := net.Pipe()
	go func() { _ = tls.Client(client, clientTLS("h2", "http/1.1")).Handshake() }()
	b := make([]byte, 4096)
	n, err := server.Read(b)
	if err != nil {
		t.Error(err)
	}
	_ = server.Close()
	_, _ = c.Write(b[:n])
	_ = c.Close()
}

func tlsOnly(t *testing.T, c *net.TCPConn) {
	tc := tls.Client(c, clientTLS())
	if err := tc.Handshake(); err != nil {
		t.Error(err)
	}
	_ = tc.Close()
}

func tlsGet(protocols ...string) func(*testing.T, *net.TCPConn) {
	return func(t *testing.T, c *net.TCPConn) {
		tc := tls.Client(c, clientTLS(protocols...))
		_, err := io.WriteString(tc, "GET /t HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n")
		if err != nil {
			t.Error(err)
		}
		if got, _ := io.ReadAll(tc); !bytes.HasPrefix(got, []byte("HTTP/1.1 403 ")) {
			t.Errorf("answer %q", got)
		}
	}
}

func tlsOld(t *testing.T, c *net.TCPConn) {
	cfg := clientTLS()
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	tc := tls.Client(c, cfg)
	if _, err := io.WriteString(tc, "GET /t HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if got, _ := io.ReadAll(tc); !bytes.HasPrefix(got, []byte("HTTP/1.1 403 ")) {
		t.Errorf("answer %q", got)
	}
}

func tlsH2(t *testing.T, c *net.TCPConn) {
	tc := tls.Client(c, clientTLS("h2"))
	if err := tc.Handshake(); err != nil {
		t.Error(err)
		return
	}
	if p := tc.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Errorf("ALPN gave %q", p)
	}
	h2Ask(t, tc)
}

func h2Get(t *testing.T, c *net.TCPConn) { h2Ask(t, c) }

func h2Ask(t *testing.T, c net.Conn) {
	fr := h2Send(c, true, "GET", "/h2")
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Error(err)
			return
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			if got := h.PseudoValue("status"); got != "403" {
				t.Errorf("status %q", got)
			}
			return
		}
	}
}

func h2Half(_ *testing.T, c *net.TCPConn) {
	h2Send(c, false, "POST", "/half")
	_ = c.CloseWrite()
	_, _ = io.ReadAll(c)
}

// h2Send sends a preface and one request.
func h2Send(c net.Conn, end bool, method, path string) *http2.Framer {
	_, _ = io.WriteString(c, preface)
	fr := http2.NewFramer(c, c)
	_ = fr.WriteSettings()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", method}, {":authority", "www.example.com"}, {":scheme", "http"}, {":path", path}, {"user-agent", "zgrab"}, {"accept", "*/*"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end})
	return fr
}
