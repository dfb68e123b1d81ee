// Package touch knows the kinds of touch that a scanner may leave on a port, from
// a bare connect to an HTTP/2 request inside TLS, as data that the trap's own
// tests and the comparison with Apache share.
package touch

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/net/http2"

	"github.com/trapline/trapline/audit"
)

// Kind is one way to touch a port. Each must leave a tag and a record.
type Kind struct {
	Name  string
	Bytes string                     // what is sent
	Act   func(c *net.TCPConn) error // what is done instead of sending Bytes; an error means that the answer was not a trap's
	Half  bool                       // then the sending side is shut
	Close bool                       // then the connection is closed without reading

	// What a trap with the article's rules makes of it.
	Kind    audit.Kind
	Status  int    // of the record and of what is read back; 0: no answer, -1: whether there is one depends on timing
	Head    string // how RequestHead begins; "": as Bytes
	Records int    // 0: one
}

// Touch does it on a connection and returns what came back.
func (k *Kind) Touch(c *net.TCPConn) ([]byte, error) {
	if k.Act != nil {
		return nil, k.Act(c)
	}
	if _, err := io.WriteString(c, k.Bytes); err != nil && len(k.Bytes) < 1<<16 {
		return nil, err
	}
	if k.Close {
		return nil, c.Close()
	}
	if k.Half {
		_ = c.CloseWrite()
	}
	got, _ := io.ReadAll(c)
	return got, nil
}

const host = "Host: www.example.com\r\n"

// Kinds are all kinds of touch: the 53 that were tried on Apache with the article's rules
// (16 tagged there), and more.
func Kinds() []Kind {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + host + "\r\n" }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-%d: %d\r\n", i, i)
		}
		return b.String()
	}
	post := func(headers, body string) string { return "POST /f HTTP/1.1\r\n" + host + headers + "\r\n" + body }
	return append([]Kind{
		{Name: "plain GET", Bytes: get("/"), Status: 403},
		{Name: "GET HTTP/1.0", Bytes: "GET / HTTP/1.0\r\n\r\n", Status: 403},
		{Name: "HEAD", Bytes: "HEAD / HTTP/1.1\r\n" + host + "\r\n", Status: 403},
		{Name: "POST form", Bytes: post("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n", "a=1&b=2"), Status: 403},
		{Name: "POST chunked", Bytes: post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), Status: 403},
		{Name: "PUT", Bytes: "PUT /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok", Status: 403},
		{Name: "unknown method", Bytes: "FOO / HTTP/1.1\r\n" + host + "\r\n", Status: 403},
		{Name: "PROPFIND", Bytes: "PROPFIND / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", Status: 403},
		{Name: "OPTIONS *", Bytes: "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", Status: 403},
		{Name: "TRACE", Bytes: "TRACE / HTTP/1.1\r\n" + host + "\r\n", Status: 403},
		{Name: "no Host", Bytes: "GET / HTTP/1.1\r\n\r\n", Status: 403},
		{Name: "two Hosts", Bytes: "GET / HTTP/1.1\r\n" + host + host + "\r\n", Status: 403},
		{Name: "Host is an address", Bytes: "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n", Status: 403},
		{Name: "scanner's User-Agent", Bytes: "GET / HTTP/1.1\r\n" + host + "User-Agent: sqlmap/1.7\r\n\r\n", Status: 403},
		{Name: "long User-Agent", Bytes: "GET / HTTP/1.1\r\n" + host + "User-Agent: " + strings.Repeat("u", 4000) + "\r\n\r\n", Status: 403},
		{Name: "/../../etc/passwd", Bytes: get("/../../etc/passwd"), Status: 403},
		{Name: "/cgi-bin/.%2e/", Bytes: get("/cgi-bin/.%2e/.%2e/.%2e/bin/sh"), Status: 403},
		{Name: "/%zz", Bytes: get("/%zz"), Status: 403},
		{Name: "/a%2fb", Bytes: get("/a%2fb"), Status: 403},
		{Name: "/a%00b", Bytes: get("/a%00b"), Status: 403},
		{Name: "/.htpasswd", Bytes: get("/.htpasswd"), Status: 403},
		{Name: "bytes above 127 in the target", Bytes: get("/\xff\xfe\x80"), Status: 403},
		{Name: "NUL in a header", Bytes: "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", Status: 403},
		{Name: "9000-byte target", Bytes: get("/" + strings.Repeat("a", 9000)), Status: 403},
		{Name: "target over 64 KiB", Bytes: get("/" + strings.Repeat("a", 70000)), Status: 403, Head: "GET /aaaa"},
		{Name: "long header", Bytes: "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n", Status: 403},
		{Name: "over 100 headers", Bytes: "GET / HTTP/1.1\r\n" + host + many(120) + "\r\n", Status: 403},
		{Name: "header without colon", Bytes: "GET / HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", Status: 403},
		{Name: "space before colon", Bytes: "GET / HTTP/1.1\r\n" + host + "X : 1\r\n\r\n", Status: 403},
		{Name: "folded header", Bytes: "GET / HTTP/1.1\r\n" + host + "X: 1\r\n 2\r\n\r\n", Status: 403},
		{Name: "bare LF", Bytes: "GET / HTTP/1.1\nHost: x\n\n", Status: 403, Head: "GET / HTTP/1.1\nHost: x"},
		{Name: "empty lines before", Bytes: "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n", Status: 403, Head: "GET / HTTP/1.1"},
		{Name: "bad chunk", Bytes: post("Transfer-Encoding: chunked\r\n", "zz\r\nhello\r\n"), Status: 403},
		{Name: "unknown transfer coding", Bytes: post("Transfer-Encoding: cow\r\n", "moo"), Status: 403},
		{Name: "Content-Length and chunked", Bytes: post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Status: 403},
		{Name: "bad Content-Length", Bytes: post("Content-Length: -1\r\n", ""), Status: 403},
		{Name: "Content-Length over every limit", Bytes: post("Content-Length: 99999999999\r\n", "some"), Half: true, Status: 403},
		{Name: "body shorter than declared", Bytes: post("Content-Length: 100\r\n", "short"), Half: true, Status: 403},
		{Name: "broken JSON", Bytes: post("Content-Type: application/json\r\nContent-Length: 4\r\n", `{"a"`), Status: 403},
		{Name: "broken multipart", Bytes: post("Content-Type: multipart/form-data\r\nContent-Length: 5\r\n", "--x--"), Status: 403},
		{Name: "Expect: 100-continue", Act: expectContinue, Status: 403, Head: "POST /f HTTP/1.1"},
		{Name: "absolute URI", Bytes: "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", Status: 403},
		{Name: "CONNECT", Bytes: "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", Status: 403},
		{Name: "HTTP/0.9", Bytes: "GET /\r\n", Status: 403},
		{Name: "HTTP/3.0 in the clear", Bytes: "GET / HTTP/3.0\r\n" + host + "\r\n", Status: 403},
		{Name: "method only", Bytes: "GET\r\n\r\n", Half: true, Kind: audit.KindBytes, Status: 403},
		{Name: "pipelined", Bytes: get("/1") + get("/2"), Status: 403, Head: "GET /1", Records: 2},
		{Name: "bytes after the last request", Bytes: "GET /1 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n", Status: 403, Head: "GET /1", Records: 2},
		{Name: "h2c upgrade", Bytes: "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", Status: 403},
		{Name: "websocket", Bytes: "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", Status: 403},
		{Name: "half a request line", Bytes: "GET / HT", Half: true, Status: 403},
		{Name: "half a head, then closed", Bytes: "GET / HTTP/1.1\r\nHost: www.exa", Close: true, Head: "GET / HTTP/1.1\r\nHost: www.exa", Status: -1},
		{Name: "half a head, then silence", Bytes: "GET / HTTP/1.1\r\nHost: www.exa", Status: 403},
		{Name: "slow head", Act: slowly("GET / HTTP/1.1\r\n" + host + "\r\n"), Head: "GET / HTTP/1.1", Status: -1},
	}, notHTTP()...)
}

func notHTTP() []Kind {
	return []Kind{
		{Name: "connect only", Close: true, Kind: audit.KindConnect},
		{Name: "connect and reset", Act: func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() }, Kind: audit.KindConnect},
		{Name: "connect and silence", Act: func(c *net.TCPConn) error { _, _ = c.Read(make([]byte, 1)); return nil }, Kind: audit.KindConnect},
		{Name: "TLS hello, then closed", Act: tlsHello, Kind: audit.KindTLS, Head: "\x16\x03\x01"},
		{Name: "TLS, no request", Act: tlsOnly, Kind: audit.KindTLS, Head: "\x16\x03\x01"},
		{Name: "TLS with a request", Act: tlsGet(0, "http/1.1"), Status: 403, Head: "GET /t HTTP/1.1"},
		{Name: "TLS with HTTP/2", Act: tlsH2, Status: 403, Head: "GET /h2 HTTP/2.0"},
		{Name: "TLS 1.0", Act: tlsGet(tls.VersionTLS10), Status: 403, Head: "GET /t HTTP/1.1"},
		{Name: "half a TLS hello", Bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc", Half: true, Kind: audit.KindTLS},
		{Name: "SSL 2 hello", Bytes: "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80", Kind: audit.KindBytes},
		{Name: "HTTP/2 preface only", Bytes: http2.ClientPreface, Half: true, Head: "PRI * HTTP/2.0", Status: -1},
		{Name: "HTTP/2 request", Act: h2Get, Status: 403, Head: "GET /h2 HTTP/2.0"},
		{Name: "SSH", Bytes: "SSH-2.0-OpenSSH_9.6\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "RTSP", Bytes: "OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "SIP", Bytes: "OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\n\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "SOCKS4", Bytes: "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", Kind: audit.KindBytes},
		{Name: "SOCKS5", Bytes: "\x05\x01\x00", Kind: audit.KindBytes},
		{Name: "RDP", Bytes: "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00", Kind: audit.KindBytes},
		{Name: "SMB", Bytes: "\x00\x00\x00\x2f\xffSMB\x72" + strings.Repeat("\x00", 40), Kind: audit.KindBytes},
		{Name: "SMTP", Bytes: "EHLO scanner.example\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "redis", Bytes: "*1\r\n$4\r\nINFO\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "MQTT", Bytes: "\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test", Kind: audit.KindBytes},
		{Name: "nmap GenericLines", Bytes: "\r\n\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "one NUL", Bytes: "\x00", Kind: audit.KindBytes},
		{Name: "binary over 64 KiB", Bytes: "\x01\x02" + strings.Repeat("\x00\xff", 40000), Kind: audit.KindBytes, Head: "\x01\x02\x00\xff"},
		{Name: "proxy protocol", Bytes: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.0\r\n\r\n", Kind: audit.KindBytes, Status: 403},
		{Name: "half-open HTTP/2 request", Act: h2Half, Head: "POST /half HTTP/2.0", Status: -1},
	}
}
