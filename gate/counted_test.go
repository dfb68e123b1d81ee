package gate

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/seclang/connlimit"
)

// limited is a gate whose clients may have so many connections in each state.
func limited(t *testing.T, read, write int, text string, handler http.Handler) (*bench, *connlimit.Counter) {
	t.Helper()
	c := connlimit.New(nil, nil)
	c.SetLimits(connlimit.Limits{Enforce: true, Read: connlimit.Limit{Max: read}, Write: connlimit.Limit{Max: write}})
	b := startLimited(t, c, text, handler)
	t.Cleanup(func() { // after all connections of the test, before the gate
		eventually(t, "the counts to come out even", func() bool { s := c.Stats(); return s.Reading == 0 && s.Writing == 0 && s.Clients == 0 })
	})
	return b, c
}

func counts(t *testing.T, c *connlimit.Counter, reading, writing int) {
	t.Helper()
	var s connlimit.Stats
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s = c.Stats(); s.Reading == reading && s.Writing == writing {
			return
		}
	}
	t.Fatalf("%d read and %d write, want %d and %d", s.Reading, s.Writing, reading, writing)
}

// from opens a connection from an address of its own.
func (b *bench) from(addr string) net.Conn {
	b.tb.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	c, err := d.Dial("tcp", b.addr)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(func() { c.Close() })
	return c
}

// closedBy says whether the gate closes the connection without a byte.
func closedBy(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, err := c.Read(make([]byte, 1))
	return n == 0 && err != nil && !os.IsTimeout(err)
}

func askOn(t *testing.T, c net.Conn, request string) string {
	t.Helper()
	_, _ = io.WriteString(c, request)
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	_, _ = io.ReadAll(res.Body)
	return res.Status
}

const half, whole = "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

func TestHalfHeadsAreLimited(t *testing.T) {
	b, c := limited(t, 3, 0, rules+"SecAuditEngine On\nTrapSite builtin\n", nil)
	var held []net.Conn
	for range 3 {
		k := b.from("127.0.0.1")
		io.WriteString(k, half)
		held = append(held, k)
	}
	counts(t, c, 3, 0)
	over := b.from("127.0.0.1")
	io.WriteString(over, whole)
	if !closedBy(over) {
		t.Error("the fourth connection of a client is served")
	}
	if got := askOn(t, b.from("127.0.0.2"), whole); got != "200 OK" {
		t.Errorf("another client: %s", got)
	}
	io.WriteString(held[0], "\r\n") // it is answered and idle: a place is free
	counts(t, c, 2, 0)
	if got := askOn(t, b.from("127.0.0.1"), whole); got != "200 OK" {
		t.Errorf("when a place is free: %s", got)
	}
	if s := c.Stats(); s.Refused != 1 {
		t.Errorf("refused %d, want 1", s.Refused)
	}
	// mod_security2 has no transaction for a connection that it refuses: neither records nor requests.
	if s := b.gate.Stats(); s.Requests != 3 {
		t.Errorf("%d requests, want 3", s.Requests)
	}
}

func TestNextRequestIsLimited(t *testing.T) {
	b, c := limited(t, 1, 0, rules+"SecAuditEngine On\nTrapSite builtin\n", nil)
	first, second := b.from("127.0.0.1"), net.Conn(nil)
	if got := askOn(t, first, whole); got != "200 OK" {
		t.Fatal(got)
	}
	counts(t, c, 0, 0)
	second = b.from("127.0.0.1")
	io.WriteString(second, half)
	counts(t, c, 1, 0)
	io.WriteString(first, whole)
	if !closedBy(first) {
		t.Error("the next request of an open connection is served over the limit")
	}
	if s := b.gate.Stats(); s.Requests != 1 || s.Malformed != 0 {
		t.Errorf("%+v, want one request", s)
	}
}

// A half head behind a whole request is read already when its answer has been sent.
func TestPipelinedHalfHeadIsCounted(t *testing.T) {
	b, c := limited(t, 1, 0, "TrapSite builtin\n", nil)
	k := b.from("127.0.0.1")
	if got := askOn(t, k, whole+half); got != "200 OK" {
		t.Fatal(got)
	}
	counts(t, c, 1, 0)
}

func TestSlowBodiesReadAndWrite(t *testing.T) {
	for name, limits := range map[string][2]int{"read": {2, 0}, "write": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			b, c := limited(t, limits[0], limits[1], rules+"SecRequestBodyAccess On\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:2,pass\"\n"+proxyAll, http.HandlerFunc(echoServer))
			var held []net.Conn
			for range 2 {
				k := b.from("127.0.0.1")
				io.WriteString(k, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\na=")
				held = append(held, k)
			}
			counts(t, c, 2, 2)
			if over := b.from("127.0.0.1"); !closedBy(over) {
				t.Error("a connection is served beside two slow bodies")
			}
			if got := askOn(t, held[0], "12345678"); got != "200 OK" {
				t.Errorf("the slow body ends, and %s", got)
			}
			counts(t, c, 1, 1)
		})
	}
}

func TestSlowReadersWrite(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "big"), make([]byte, 32<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	b, c := limited(t, 0, 2, "DocumentRoot "+root+"\n", nil)
	var held []net.Conn
	for range 3 {
		k := b.from("127.0.0.1")
		io.WriteString(k, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
		held = append(held, k)
	}
	counts(t, c, 0, 3)
	if over := b.from("127.0.0.1"); !closedBy(over) {
		t.Error("a connection is served beside three that take nothing")
	}
	_, _ = io.CopyN(io.Discard, held[0], 32<<20+100)
	counts(t, c, 0, 2)
	if got := askOn(t, b.from("127.0.0.1"), whole); got != "403 Forbidden" {
		t.Errorf("with two of two: %s", got)
	}
}

func TestHandshakesRead(t *testing.T) {
	b, c := limited(t, 2, 0, "Listen PORT https\nTrapSite builtin\n", nil)
	for range 2 {
		b.from("127.0.0.1")
	}
	counts(t, c, 2, 0)
	if !closedBy(b.from("127.0.0.1")) {
		t.Error("a third handshake begins")
	}
	k := tls.Client(b.from("127.0.0.2"), &tls.Config{InsecureSkipVerify: true})
	if got := askOn(t, k, whole); got != "200 OK" {
		t.Errorf("another client: %s", got)
	}
	counts(t, c, 2, 0)
}

// frames is an HTTP/2 client that can be slow.
type frames struct {
	*http2.Framer
	conn net.Conn
	enc  *hpack.Encoder
	buf  *strings.Builder
}

func (b *bench) frames(addr string, settings ...http2.Setting) *frames {
	b.tb.Helper()
	k := tls.Client(b.from(addr), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := k.Handshake(); err != nil {
		b.tb.Fatal(err)
	}
	f := &frames{Framer: http2.NewFramer(k, k), conn: k, buf: &strings.Builder{}}
	f.enc = hpack.NewEncoder(f.buf)
	io.WriteString(k, http2.ClientPreface)
	f.WriteSettings(settings...)
	return f
}

func (f *frames) head(stream uint32, method, path string, end bool) {
	f.buf.Reset()
	for _, h := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "h"}, {":path", path}} {
		f.enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte(f.buf.String()), EndStream: end, EndHeaders: true})
}

// ended reads until a stream has ended.
func (f *frames) ended(t *testing.T, stream uint32) {
	t.Helper()
	_ = f.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h := fr.Header(); h.StreamID == stream && (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream) {
			return
		}
	}
}

// An HTTP/2 connection counts once, whatever its streams do, and not at all between them.
func TestHTTP2ConnectionsCountOnce(t *testing.T) {
	b, c := limited(t, 1, 2, "Listen PORT https\n"+proxyAll, http.HandlerFunc(echoServer))
	f := b.frames("127.0.0.1")
	f.head(1, "GET", "/", true)
	f.ended(t, 1)
	counts(t, c, 0, 0)
	f.WritePing(false, [8]byte{1})
	for i := range 20 {
		f.head(uint32(3+2*i), "POST", "/", false)
	}
	counts(t, c, 1, 1)
	if !closedBy(b.from("127.0.0.1")) {
		t.Error("a connection is served beside one that reads")
	}
	for i := range 20 {
		f.WriteData(uint32(3+2*i), true, []byte("body"))
	}
	f.ended(t, 41)
	counts(t, c, 0, 0)
	// A header block, and a frame, that do not end.
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 43, BlockFragment: []byte{0x82}, EndStream: true})
	counts(t, c, 1, 1)
	f.WriteContinuation(43, true, []byte{0x87, 0x84, 0x41, 1, 'h'})
	f.ended(t, 43)
	counts(t, c, 0, 0)
	f.conn.Write([]byte{0, 0, 8, 6})
	counts(t, c, 1, 0)
	f.conn.Write([]byte{0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	counts(t, c, 0, 0)
	// A request over the limit ends the connection before it is looked at.
	half := b.from("127.0.0.1")
	counts(t, c, 1, 0)
	requests := b.gate.Stats().Requests
	f.head(45, "GET", "/", true)
	_ = f.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		if fr, err := f.ReadFrame(); err != nil {
			break
		} else if fr.Header().StreamID == 45 {
			t.Fatal("a request over the limit is answered")
		}
	}
	half.Close()
	counts(t, c, 0, 0)
	if n := b.gate.Stats().Requests; n != requests {
		t.Errorf("%d requests more", n-requests)
	}
}

// A client that opens no window holds its answer back, however small.
func TestHTTP2SlowReadersWrite(t *testing.T) {
	b, c := limited(t, 0, 1, "Listen PORT https\n"+proxyAll, http.HandlerFunc(echoServer))
	var held []*frames
	for i := range 2 {
		f := b.frames("127.0.0.1", http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		f.head(1, "GET", "/", true)
		held = append(held, f)
		counts(t, c, 0, i+1)
	}
	if !closedBy(b.from("127.0.0.1")) {
		t.Error("a connection is served beside two that take nothing")
	}
	held[0].WriteWindowUpdate(1, 1<<20)
	held[0].ended(t, 1)
	counts(t, c, 0, 1)
	held[1].WriteRSTStream(1, http2.ErrCodeCancel)
	counts(t, c, 0, 0)
}

// Behind a proxy that says who connects, each of its clients counts; behind one that only passes requests on, nobody does.
func TestProxiesAreNoClients(t *testing.T) {
	b, c := limited(t, 1, 0, "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\nTrapSite builtin\n", nil)
	for range 3 {
		if got := askOn(t, b.from("127.0.0.1"), "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"); got != "200 OK" {
			t.Errorf("through a proxy: %s", got)
		}
		b.from("127.0.0.1")
	}
	counts(t, c, 0, 0)
	b, c = limited(t, 1, 0, "RemoteIPProxyProtocol On\nRemoteIPInternalProxy 127.0.0.1\nTrapSite builtin\n", nil)
	introduce := func(client, rest string) net.Conn {
		k := b.from("127.0.0.1")
		fmt.Fprintf(k, "PROXY TCP4 %s 127.0.0.1 1 80\r\n%s", client, rest)
		return k
	}
	introduce("192.0.2.1", half)
	counts(t, c, 1, 0)
	if !closedBy(introduce("192.0.2.1", half)) {
		t.Error("a second connection of the introduced client is served")
	}
	if got := askOn(t, introduce("192.0.2.2", ""), whole); got != "200 OK" {
		t.Errorf("another client of the proxy: %s", got)
	}
}

// DetectionOnly, and reloads: limits come and go while connections are open.
func TestLimitsOfAReload(t *testing.T) {
	b, c := limited(t, 1, 0, "TrapSite builtin\n", nil)
	c.SetLimits(connlimit.Limits{Read: connlimit.Limit{Max: 1}})
	for range 3 {
		if got := askOn(t, b.from("127.0.0.1"), whole); got != "200 OK" {
			t.Errorf("DetectionOnly: %s", got)
		}
		b.from("127.0.0.1")
	}
	if s := c.Stats(); s.Refused != 0 || s.Detected == 0 {
		t.Errorf("%+v, want some detected and none refused", s)
	}
	c.SetLimits(connlimit.Limits{})
	k := b.from("127.0.0.1")
	if got := askOn(t, k, whole); got != "200 OK" {
		t.Error(got)
	}
	c.SetLimits(connlimit.Limits{Enforce: true, Read: connlimit.Limit{Max: 1}})
	io.WriteString(k, whole)
	if !closedBy(k) {
		t.Error("a connection opened without limits is not counted when they come")
	}
}
