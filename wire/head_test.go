package wire

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadHead(t *testing.T) {
	long := "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := []struct {
		name, in                          string
		verdict                           Verdict
		method, target, proto, faults, at string // at: what is left unread
	}{
		{"plain", "GET / HTTP/1.1\r\nHost: x\r\n\r\nrest", HTTP, "GET", "/", "HTTP/1.1", "", "rest"},
		{"traversal", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", HTTP, "GET", "/../../etc/passwd", "HTTP/1.1", "", ""},
		{"absolute", "GET http://evil.example/ HTTP/1.0\r\n\r\n", HTTP, "GET", "http://evil.example/", "HTTP/1.0", "", ""},
		{"connect", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", HTTP, "CONNECT", "evil.example:443", "HTTP/1.1", "", ""},
		{"long", long, HTTP, "GET", long[4:9005], "HTTP/1.1", "", ""},
		{"http 0.9", "GET /\r\nX", HTTP, "GET", "/", "", "no protocol (HTTP/0.9)", "X"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", HTTP, "GET", "/", "HTTP/1.1", "no Host", ""},
		{"bare lf", "GET / HTTP/1.0\n\n", HTTP, "GET", "/", "HTTP/1.0", "bare LF", ""},
		{"space in target", "GET /a b HTTP/1.0\r\n\r\n", HTTP, "GET", "/a b", "HTTP/1.0", "bad request line", ""},
		{"no target", "GET HTTP/1.0\r\n\r\n", HTTP, "GET", "", "HTTP/1.0", "bad request line|bad request target", ""},
		{"nul", "GET /\x00 HTTP/1.0\r\n\r\n", HTTP, "GET", "/\x00", "HTTP/1.0", "NUL byte", ""},
		{"leading lines", "\r\n\r\nGET / HTTP/1.0\r\n\r\n", HTTP, "GET", "/", "HTTP/1.0", "empty line before the request line", ""},
		{"leading space", " GET / HTTP/1.0\r\n\r\n", HTTP, "GET", "/", "HTTP/1.0", "bad request line", ""},
		{"rtsp", "OPTIONS / RTSP/1.0\r\n\r\n", HTTP, "OPTIONS", "/", "RTSP/1.0", "bad protocol|no Host", ""},
		{"smtp", "EHLO x\r\n", HTTP, "EHLO", "x", "", "bad request target|no protocol (HTTP/0.9)|bad request line", ""},
		{"version 3", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", HTTP, "GET", "/", "HTTP/3.0", "unsupported HTTP version", ""},
		{"smuggle", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP, "POST", "/", "HTTP/1.1", "Content-Length and Transfer-Encoding", ""},
		{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", HTTP, "POST", "/", "HTTP/1.1", "duplicate Content-Length", ""},
		{"bad length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\n", HTTP, "POST", "/", "HTTP/1.1", "bad Content-Length", ""},
		{"half head", "GET / HTTP/1.1\r\nHost: x\r\n", Short, "GET", "/", "HTTP/1.1", "", ""},
		{"half line", "GET /ad", Short, "GET", "/ad", "", "no protocol (HTTP/0.9)", ""},
		{"nothing", "", Short, "", "", "", "", ""},
		{"empty lines", "\r\n\r\n", Short, "", "", "", "", ""},
		{"tls", "\x16\x03\x01\x02\x00\x01\x00", NotHTTP, "", "", "", "", "\x16\x03\x01\x02\x00\x01\x00"},
		{"ssh", "SSH-2.0-Go\r\n", NotHTTP, "", "", "", "", "SSH-2.0-Go\r\n"},
		{"rdp", "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00", NotHTTP, "", "", "", "", "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00"},
		{"smb", "\x00\x00\x00\x85\xffSMBr", NotHTTP, "", "", "", "", "\x00\x00\x00\x85\xffSMBr"},
		{"socks5", "\x05\x01\x00", NotHTTP, "", "", "", "", "\x05\x01\x00"},
		{"h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NotHTTP, "", "", "", "", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"word", "HELP\r\n", NotHTTP, "", "", "", "", "HELP\r\n"},
		{"lines then bytes", "\r\n\x00\x01", NotHTTP, "", "", "", "", "\r\n\x00\x01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
				r := bufio.NewReader(src)
				h, verdict, err := ReadHead(r, Limits{})
				var faults []string
				for _, f := range h.Faults {
					faults = append(faults, string(f))
				}
				if verdict != tt.verdict || h.Method != tt.method || h.Target != tt.target || h.Proto != tt.proto || strings.Join(faults, "|") != tt.faults {
					t.Errorf("got %v %q %q %q %q, want %v %q %q %q %q", verdict, h.Method, h.Target, h.Proto, faults, tt.verdict, tt.method, tt.target, tt.proto, tt.faults)
				}
				if (verdict == Short) != (err != nil) {
					t.Errorf("verdict %v with error %v", verdict, err)
				}
				left, _ := io.ReadAll(r)
				if string(left) != tt.at {
					t.Errorf("left unread %q, want %q", left, tt.at)
				}
				if verdict == HTTP && !strings.Contains(tt.in, string(h.Raw)) {
					t.Errorf("raw %q is not in the input", h.Raw)
				}
			}
		})
	}
}

func TestReadHeadHeaders(t *testing.T) {
	in := "GET / HTTP/1.1\r\nHost:  x \t\r\nX-A: 1\r\n\t 2 \r\nhost : y\r\nnocolon\r\nX-A:\r\nConnection: Keep-Alive, Upgrade\r\nUpgrade: websocket\r\nExpect: 100-Continue\r\n\r\n"
	h, _, err := ReadHead(bufio.NewReader(strings.NewReader(in)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Header{{"Host", "x"}, {"X-A", "1 2"}, {"host", "y"}, {"X-A", ""}, {"Connection", "Keep-Alive, Upgrade"}, {"Upgrade", "websocket"}, {"Expect", "100-Continue"}}
	if len(h.Headers) != len(want) {
		t.Fatalf("headers %q", h.Headers)
	}
	for i := range want {
		if h.Headers[i] != want[i] {
			t.Errorf("header %d: %q, want %q", i, h.Headers[i], want[i])
		}
	}
	if !h.Framing.Upgrade || !h.Framing.Expect100 || h.Framing.Close || h.Framing.HasBody() {
		t.Errorf("framing %+v", h.Framing)
	}
	if string(h.Raw) != strings.TrimSuffix(in, "\r\n\r\n") {
		t.Errorf("raw %q", h.Raw)
	}
}

func TestReadHeadLimit(t *testing.T) {
	in := "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 5000) + "\r\n\r\n"
	h, v, err := ReadHead(bufio.NewReader(strings.NewReader(in)), Limits{Head: 100})
	if v != TooLong || err != nil || string(h.Raw) != in[:100] || h.Target != "/" {
		t.Fatalf("%v %v %q", v, err, h.Raw)
	}
	h, v, _ = ReadHead(bufio.NewReader(strings.NewReader("GET / HTTP/1.0\r\n"+strings.Repeat("a:\n", 50)+"\r\n")), Limits{Headers: 10})
	if v != HTTP || len(h.Headers) != 10 || h.Faults[len(h.Faults)-1] != FaultManyHeaders {
		t.Fatalf("%v %d %q", v, len(h.Headers), h.Faults)
	}
}

// TestReadHeadDoesNotWait checks that a client that waits for our answer is recognised at once.
func TestReadHeadDoesNotWait(t *testing.T) {
	timeout := errors.New("would wait")
	for _, in := range []string{"\x16\x03\x01", "\x03\x00\x00\x13", "SSH-2.0-x", "GET /\r\n", "\x00", "@\x01", "GET / HTTP/1.0\r\n\r\n", "é"} {
		r := bufio.NewReader(io.MultiReader(strings.NewReader(in), iotest.ErrReader(timeout)))
		if h, v, err := ReadHead(r, Limits{}); err != nil {
			t.Errorf("%q: %v %v %q", in, v, err, h.Raw)
		}
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("\r\n \x00"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 300
		r := bufio.NewReaderSize(strings.NewReader(string(in)), 64)
		h, v, err := ReadHead(r, Limits{Head: limit, Headers: 8})
		if len(h.Raw) > limit || len(h.Headers) > 8 {
			t.Fatalf("over the limit: %d bytes, %d headers", len(h.Raw), len(h.Headers))
		}
		if (v == Short) != (err != nil) {
			t.Fatalf("%v %v", v, err)
		}
		if v != HTTP {
			return
		}
		body := NewBodyReader(r, h.Framing)
		kept, _ := body.ReadAll(50, 200)
		if len(kept) > 50 || int64(len(kept)) > body.Size() {
			t.Fatalf("kept %d of %d", len(kept), body.Size())
		}
	})
}

func TestSniff(t *testing.T) {
	for in, want := range map[string]string{
		"\x16\x03\x01": "tls", "SSH-2.0": "ssh", "PRI * HTTP/2.0\r\n": "h2", "\x03\x00\x00\x13": "rdp", "\x05\x01\x00": "socks5", "\x04\x01\x00P": "socks4",
		"\x00\x00\x00\x85\xffSMB": "smb", "\x00\x00\x00\x85\xfeSMB": "smb", "\xfeSMB": "smb", "JRMI\x00": "java-rmi", "GIOP\x01": "giop", "AMQP\x00": "amqp", "*1\r\n$4": "redis",
		"t3 12.2.1\n": "t3", "stats\r\n": "memcached", "\x10\x0c\x00\x04MQTT": "mqtt", "\x80\x2e\x01\x00\x02": "sslv2", "\r\n\r\n\x00\r\nQUIT\n": "proxy-v2",
		"": "", "GET / HTTP/1.1": "", "POST /": "", "SUBSCRIBE /": "", "\x00": "", "\x05\x09": "", "trace /": "", "PRI ": "", "\x80": "",
	} {
		if got := Sniff([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func BenchmarkReadHead(b *testing.B) {
	in := "GET /index.html?a=1 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nCookie: a=b; c=d\r\n\r\n"
	src := strings.NewReader("")
	r := bufio.NewReader(src)
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(in)
		r.Reset(src)
		if _, v, _ := ReadHead(r, Limits{}); v != HTTP {
			b.Fatal(v)
		}
	}
}
