package wire

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is a connection that sends given bytes in pieces and then ends.
type scripted struct {
	net.Conn
	in    *bytes.Reader
	piece int
	done  chan struct{}
	once  sync.Once
}

func (s *scripted) Read(p []byte) (int, error) {
	return s.in.Read(p[:min(len(p), s.piece)])
}
func (s *scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s *scripted) Close() error                     { s.once.Do(func() { close(s.done) }); return nil }
func (s *scripted) CloseWrite() error                { return nil }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }
func (s *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// oneConn is a listener with one connection.
type oneConn struct {
	c    net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	var c net.Conn
	l.once.Do(func() { c = l.c })
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

type recorderKey struct{}

// serveScript runs net/http over the bytes and returns what handlers took and what was left.
func serveScript(t *testing.T, in []byte, piece int, readBody bool) (taken [][]byte, left []Seen) {
	t.Helper()
	c := &scripted{in: bytes.NewReader(in), piece: piece, done: make(chan struct{})}
	rec := NewRecorder(c, 64<<10)
	srv := &http.Server{
		ErrorLog:                     slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               32 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, recorderKey{}, RecorderOf(c))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := r.Context().Value(recorderKey{}).(*Recorder)
			raw, ok := rec.Take(r.Method, r.RequestURI)
			if !ok {
				t.Errorf("no head for %s %s; input %q, piece %d", r.Method, r.RequestURI, in, piece)
				return
			}
			want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw) + "\r\n\r\n")))
			if err != nil {
				t.Errorf("head %q: %v", raw, err)
				return
			}
			want.Header.Del("Host")
			if want.Method != r.Method || want.RequestURI != r.RequestURI || want.Host != r.Host || !reflect.DeepEqual(want.Header, r.Header) {
				t.Errorf("head %q is not that of %v %v; input %q", raw, r.RequestURI, r.Header, in)
			}
			taken = append(taken, raw)
			if readBody {
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}),
	}
	l := &oneConn{c: rec, done: c.done}
	_ = srv.Serve(l)
	return taken, rec.Unclaimed()
}

func TestRecorder(t *testing.T) {
	in := "GET /1 HTTP/1.1\r\nHost: x\r\nX-odd:  kept \r\n\r\n" +
		"POST /2 HTTP/1.1\nhost: x\ncontent-length: 5\n\nab\r\nc\r\n" +
		"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4;e\r\nGET \r\n0\r\nT: 1\r\n\r\n" +
		"GET /4 HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n" +
		"GET /bad HTTP/1.1\r\n\r\n" +
		"GET /after HTTP/1.1\r\nHost: x\r\n\r\nhalf"
	for _, piece := range []int{1, 2, 3, 17, 100, 4096} {
		for _, read := range []bool{true, false} {
			taken, left := serveScript(t, []byte(in), piece, read)
			if len(taken) != 4 || string(taken[0]) != "GET /1 HTTP/1.1\r\nHost: x\r\nX-odd:  kept " || string(taken[1]) != "POST /2 HTTP/1.1\nhost: x\ncontent-length: 5" {
				t.Fatalf("piece %d: taken %q", piece, taken)
			}
			if len(left) == 0 || string(left[0].Raw) != "GET /bad HTTP/1.1" || !left[0].Complete {
				t.Errorf("piece %d: left %+v", piece, left)
			}
		}
	}
}

// TestRecorderFollowsPipelines sends as many requests as fit into what net/http reads at a time, after a chunk size as
// long as net/http takes: the rules must get the bytes of every one.
func TestRecorderFollowsPipelines(t *testing.T) {
	const chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n"
	const small = "GET / HTTP/1.1\nHost:\n\n"
	in := chunked + strings.Repeat(small, 600)
	for _, piece := range []int{1, 4096} {
		taken, left := serveScript(t, []byte(in), piece, true)
		if len(taken) != 601 || len(left) != 0 {
			t.Errorf("piece %d: %d taken, %d left", piece, len(taken), len(left))
		}
	}
}

func TestRecorderTooLong(t *testing.T) {
	in := "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"
	taken, left := serveScript(t, []byte(in), 4096, false)
	if len(taken) != 0 || len(left) != 1 || left[0].Complete || !strings.HasPrefix(in, string(left[0].Raw)) || len(left[0].Raw) < 32<<10 {
		t.Errorf("taken %d, left %d", len(taken), len(left))
	}
}

func TestRecorderStop(t *testing.T) {
	c := &scripted{in: bytes.NewReader([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\n")), piece: 28, done: make(chan struct{})}
	r := NewRecorder(c, 0)
	buf := make([]byte, 100)
	_, _ = r.Read(buf)
	if _, ok := r.Take("GET", "/"); !ok {
		t.Error("no head")
	}
	r.Stop()
	_, _ = r.Read(buf)
	if left := r.Unclaimed(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

// FuzzRecorder checks that the recorder and net/http agree on where requests begin.
func FuzzRecorder(f *testing.F) {
	f.Add([]byte("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"), uint8(9), true)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"), uint8(1), true)
	f.Add([]byte("POST / HTTP/1.1\nHost:x\nContent-Length:1\nContent-Length: 1\n\na\r\n\r\nGET / HTTP/1.0\nConnection: keep-alive\n\nGET / HTTP/1.1\nHost: \n\n"), uint8(200), false)
	f.Add([]byte("POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"), uint8(255), true)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"), uint8(50), true)
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"), uint8(50), false)
	f.Add([]byte("PUT / HTTP/1.1\r\nHost: x\r\nX: a\r\n Content-Length: 5\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\nHost: x\r\n \r\n\r\n"), uint8(50), false)
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, read bool) {
		if bytes.Contains(in, []byte("PRI ")) {
			return
		}
		serveScript(t, in, int(piece)+1, read)
	})
}

func BenchmarkRecorder(b *testing.B) {
	in := []byte("GET /index.html?a=1 HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nCookie: a=b; c=d\r\n\r\n")
	r := NewRecorder(nil, 0)
	b.ReportAllocs()
	for b.Loop() {
		r.observe(in)
		if _, ok := r.Take("GET", "/index.html?a=1"); !ok {
			b.Fatal("lost")
		}
	}
}
