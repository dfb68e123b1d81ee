package trap

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang/connlimit"
)

func counting(t *testing.T, opt options, read, write int) (*station, *connlimit.Counter) {
	t.Helper()
	opt.counter = connlimit.New(nil, nil)
	opt.counter.SetLimits(connlimit.Limits{Enforce: true, Read: connlimit.Limit{Max: read}, Write: connlimit.Limit{Max: write}})
	t.Cleanup(func() { // when the trap has stopped
		if s := opt.counter.Stats(); s.Reading != 0 || s.Writing != 0 || s.Clients != 0 {
			t.Errorf("nothing is open, and %+v", s)
		}
	})
	return open(t, opt), opt.counter
}

func counts(t *testing.T, c *connlimit.Counter, reading, writing int) {
	t.Helper()
	eventually(t, "the counts", func() bool { s := c.Stats(); return s.Reading == reading && s.Writing == writing })
}

// TestLimitedConnectionsAreTouches: what a limit of mod_security2's refuses is tagged and recorded like any touch, then
// closed, and nobody else has to make room for it.
func TestLimitedConnectionsAreTouches(t *testing.T) {
	s, c := counting(t, options{}, 3, 0)
	for range 3 {
		io.WriteString(s.dial(t, addr(1)), "GET / HTTP/1.1\r\nHost: a\r\n")
	}
	counts(t, c, 3, 0)
	for range 2 {
		k := s.dial(t, addr(1))
		if n, err := k.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d %v from a connection over the limit", n, err)
		}
	}
	for _, r := range s.wait(t, addr(1), 2) {
		if r.Kind != audit.KindConnect || !noted(r, "over the limit of connections in one state") || len(r.Matches) == 0 {
			t.Errorf("record %+v", r)
		}
	}
	if !s.tagged(addr(1)) {
		t.Error("the client is not tagged")
	}
	if got := ask(t, s, addr(2), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); got[:12] != "HTTP/1.1 403" {
		t.Errorf("another client: %q", got)
	}
	eventually(t, "the other client's connection to end", func() bool { return s.trap.Stats().Open == 3 })
	if st := s.trap.Stats(); st.CutAtOnce != 2 || st.CutForNew != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestStatesOfATrapConnection follows the counts through requests.
func TestStatesOfATrapConnection(t *testing.T) {
	release := make(chan struct{})
	root := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { <-release })
	s, c := counting(t, options{root: root, rules: "SecRuleEngine On\n", limits: Limits{KeepAlive: 10 * time.Second}}, 1, 0)
	k := s.dial(t, addr(1))
	counts(t, c, 1, 0)
	io.WriteString(k, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
	counts(t, c, 1, 1)
	io.WriteString(k, "cd")
	counts(t, c, 0, 1)
	close(release)
	counts(t, c, 0, 0)
	br := bufio.NewReader(k)
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	other := s.dial(t, addr(1))
	counts(t, c, 1, 0)
	io.WriteString(k, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := br.ReadByte(); err == nil {
		t.Error("the next request of an open connection is answered over the limit")
	}
	other.Close()
	counts(t, c, 0, 0)
}

// TestHTTP2CountsOnceOnATrap: a connection counts once, whatever its requests do.
func TestHTTP2CountsOnceOnATrap(t *testing.T) {
	s, c := counting(t, options{rules: "SecRuleEngine On\n", limits: Limits{KeepAlive: 10 * time.Second}}, 2, 0)
	k := s.dial(t, addr(1))
	io.WriteString(k, preface)
	counts(t, c, 1, 0)
	fr := http2.NewFramer(k, k)
	fr.WriteSettings()
	head := []byte{0x82, 0x86, 0x84, 0x41, 1, 'h'}
	for id := uint32(1); id < 20; id += 2 {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true})
	}
	counts(t, c, 1, 0)
	for id := uint32(1); id < 20; id += 2 {
		fr.WriteData(id, true, nil)
	}
	s.wait(t, addr(1), 10)
	counts(t, c, 0, 0)
	for range 2 {
		s.dial(t, addr(1))
	}
	counts(t, c, 2, 0)
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 21, BlockFragment: head, EndHeaders: true, EndStream: true})
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			break
		}
		if f.Header().StreamID == 21 {
			t.Fatal("a request over the limit is answered")
		}
	}
}
