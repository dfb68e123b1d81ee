package trap

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/trapline/trapline/audit"
	touches "github.com/trapline/trapline/test/touch"
)

// h2Client is Go's own client over one kind of connection.
func h2Client(s *station, from int) *http.Client {
	var clear http.Protocols
	clear.SetUnencryptedHTTP2(true)
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		Protocols: &clear,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(from).AsSlice()}}
			return d.DialContext(ctx, "tcp4", s.addr.String())
		},
	}}
}

// TestHTTP2ManyRequests sends requests side by side and bodies larger than every window, both ways.
func TestHTTP2ManyRequests(t *testing.T) {
	root := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprint(len(b)))
		_, _ = w.Write(bytes.Repeat([]byte("x"), 300_000))
		if r.URL.Path == "/0" {
			_, _ = w.Write(bytes.Repeat([]byte("y"), 4_000_000))
		}
	})
	s := open(t, options{root: root, rules: "SecRuleEngine On\n", limits: Limits{Body: 3_000_000}})
	client := h2Client(s, 1)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			size := 100 * i * i
			resp, err := client.Post(fmt.Sprintf("http://%s/%d", s.addr, i), "text/plain", strings.NewReader(strings.Repeat("b", size)))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			want := 300_000
			if i == 0 {
				want = 4_300_000
			}
			if err != nil || len(got) != want || resp.Header.Get("X-Got") != fmt.Sprint(size) {
				t.Errorf("%d: %d bytes back, %s bytes got, %v", i, len(got), resp.Header.Get("X-Got"), err)
			}
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
	answered := 0
	s.stop()
	for _, r := range s.all(addr(1)) {
		// Go's client dials more than it uses, does not wait for our SETTINGS, and tries again.
		if r.Kind == audit.KindConnect || noted(r, "over the limit of streams") {
			continue
		}
		answered++
		if r.Kind != audit.KindHTTP || r.Status != 200 || len(r.ResponseBody) < 300_000 {
			t.Errorf("record of %.20q: status %d, %d bytes of answer", r.RequestHead, r.Status, len(r.ResponseBody))
		}
	}
	if answered != 40 {
		t.Errorf("%d records of answered requests", answered)
	}
}

// TestHTTP2HeadKeepsOrder: fields and pseudo-fields stay in the order of the client.
func TestHTTP2HeadKeepsOrder(t *testing.T) {
	s := open(t, options{})
	for _, k := range touches.Kinds() {
		if k.Name == "HTTP/2 request" {
			if _, err := k.Touch(s.dial(t, addr(1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := s.wait(t, addr(1), 1)[0]
	if want := "GET /h2 HTTP/2.0\r\nhost: www.example.com\r\nuser-agent: zgrab\r\naccept: */*"; string(r.RequestHead) != want {
		t.Errorf("head %q, want %q", r.RequestHead, want)
	}
	if !noted(r, "pseudo: :method :authority :scheme :path") {
		t.Errorf("trailer %+v", r.Trailer)
	}
	if !bytes.HasPrefix(r.ResponseHead, []byte("HTTP/2.0 403 Forbidden\r\ndate: ")) || len(r.ResponseBody) == 0 {
		t.Errorf("answer %q", r.ResponseHead)
	}
}

// TestHTTP2Abuse sends what HTTP/2 servers have fallen over.
func TestHTTP2Abuse(t *testing.T) {
	s := open(t, options{limits: Limits{RequestTime: time.Second, KeepAlive: 200 * time.Millisecond}})
	for i, c := range []struct {
		name    string
		send    func(fr *http2.Framer, block func(...string) []byte)
		records int
	}{
		{"rapid reset", func(fr *http2.Framer, block func(...string) []byte) {
			for id := uint32(1); id < 200; id += 2 {
				_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":method", "GET", ":path", "/r"), EndHeaders: true})
				_ = fr.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		}, 100},
		{"continuation flood", func(fr *http2.Framer, block func(...string) []byte) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "GET", ":path", "/c")})
			for range 1000 {
				if fr.WriteContinuation(1, false, bytes.Repeat([]byte{0x00, 1, 'a', 1, 'b'}, 1000)) != nil {
					return
				}
			}
		}, 1},
		{"table bomb", func(fr *http2.Framer, block func(...string) []byte) {
			b := block(":method", "GET", ":path", "/b", "x", strings.Repeat("b", 3000))
			b = append(b, bytes.Repeat([]byte{0xbe}, 8000)...) // the newest entry of the table, over and over
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b, EndHeaders: true, EndStream: true})
		}, 1},
		{"bad header block", func(fr *http2.Framer, _ func(...string) []byte) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true, EndStream: true})
		}, 1},
		{"no pseudo-fields", func(fr *http2.Framer, block func(...string) []byte) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("a", "b"), EndHeaders: true, EndStream: true})
		}, 1},
		{"CR LF in a value", func(fr *http2.Framer, block func(...string) []byte) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":method", "GET", ":path", "/ HTTP/1.1\r\nX: y", "a", "b\r\n\r\nGET /evil"), EndHeaders: true, EndStream: true})
		}, 1},
		{"ping flood", func(fr *http2.Framer, _ func(...string) []byte) {
			for range 5000 {
				if fr.WritePing(false, [8]byte{}) != nil {
					return
				}
			}
		}, 1},
		{"even stream", func(fr *http2.Framer, block func(...string) []byte) {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 2, BlockFragment: block(":method", "GET"), EndHeaders: true, EndStream: true})
		}, 1},
		{"window overflow", func(fr *http2.Framer, _ func(...string) []byte) {
			_ = fr.WriteWindowUpdate(0, 1<<31-1)
			_ = fr.WriteWindowUpdate(0, 1<<31-1)
		}, 1},
		{"answer never taken", func(fr *http2.Framer, block func(...string) []byte) {
			_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			for id := uint32(1); id < 21; id += 2 {
				_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":method", "GET", ":path", "/w"), EndHeaders: true, EndStream: true})
			}
		}, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := s.dial(t, addr(1+i))
			done := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, conn); close(done) }()
			_, _ = io.WriteString(conn, preface)
			fr := http2.NewFramer(conn, nil)
			_ = fr.WriteSettings()
			var b bytes.Buffer
			enc := hpack.NewEncoder(&b)
			c.send(fr, func(fields ...string) []byte {
				b.Reset()
				for i := 0; i < len(fields); i += 2 {
					_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
				}
				return bytes.Clone(b.Bytes())
			})
			<-done
			records := s.wait(t, addr(1+i), c.records)
			if len(records) != c.records {
				t.Errorf("%d records, want %d", len(records), c.records)
			}
			for _, r := range records {
				if n := bytes.Count(r.RequestHead, []byte("\n")); n > 20_000 || len(r.RequestHead) > 70_000 {
					t.Errorf("head of %d bytes", len(r.RequestHead))
				}
			}
		})
	}
	if st := s.trap.Stats(); st.Panics != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestHTTP2HeadsAreBounded keeps requests open whose heads are small on the wire and large in memory.
func TestHTTP2HeadsAreBounded(t *testing.T) {
	h := &h2{c: &conn{trap: &Trap{limits: Limits{}.withDefaults()}}, streams: map[uint32]*stream{}, dec: hpack.NewDecoder(4096, nil)}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fields := 0
	for id := uint32(1); id < 40; id += 2 {
		block.Reset()
		for range 10_000 {
			_ = enc.WriteField(hpack.HeaderField{Name: "x", Value: "y"})
		}
		h.block = &stream{id: id}
		h.streams[id] = h.block
		if code := h.fragment(block.Bytes(), true); code != http2.ErrCodeNo {
			t.Fatal(code)
		}
		fields += len(h.streams[id].fields)
	}
	if limit := 4 * h.c.trap.limits.Head; h.heads > limit || fields*34 > limit || fields == 0 {
		t.Errorf("%d fields, %d bytes", fields, h.heads)
	}
	for _, st := range h.streams {
		h.complete(st)
	}
	if h.heads != 0 {
		t.Errorf("%d bytes left", h.heads)
	}
}
