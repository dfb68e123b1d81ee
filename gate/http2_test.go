package gate

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func http2Client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestHTTP2Proxying sends bodies, streams and trailers through HTTP/2 to an upstream that speaks HTTP/1.
func TestHTTP2Proxying(t *testing.T) {
	next := make(chan struct{})
	b := start(t, "Listen PORT https\n"+rules+tagRule+`SecRequestBodyAccess On
SecRule ARGS_POST:evil "@streq 1" "id:4,phase:2,deny,status:403"
`+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Trailer", "X-Sum")
			for i := range 2 {
				fmt.Fprintf(w, "data: %d\n", i)
				w.(http.Flusher).Flush()
				<-next
			}
			w.Header().Set("X-Sum", "2")
			return
		}
		echoServer(w, r)
	}))
	client, base := http2Client(t), "https://"+b.addr
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	if res, body := b.do(client, "POST", base+"/", strings.NewReader("good=1"), form...); res.ProtoMajor != 2 || !strings.HasSuffix(body, "\n\ngood=1") || !strings.Contains(body, "X-Forwarded-Proto: https") {
		t.Errorf("%s %q", res.Proto, body)
	}
	if res, _ := b.do(client, "POST", base+"/", strings.NewReader("evil=1"), form...); res.StatusCode != 403 {
		t.Errorf("evil: %d", res.StatusCode)
	}
	res, err := client.Get(base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReader(res.Body)
	for i := range 2 {
		if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
		next <- struct{}{}
	}
	io.Copy(io.Discard, r)
	if res.Trailer.Get("X-Sum") != "2" {
		t.Errorf("trailer %v", res.Trailer)
	}
}

// TestHTTP2ManyStreams asks for one URL with different fields on one connection at a time: each record has its own.
func TestHTTP2ManyStreams(t *testing.T) {
	b := start(t, "Listen PORT https\n"+rules+"SecAuditEngine On\nSecAuditLogParts ABFHZ\nTrapSite builtin\n", nil)
	client := http2Client(t)
	b.do(client, "GET", "https://"+b.addr+"/", nil) // one connection for all
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { b.do(client, "GET", "https://"+b.addr+"/site.css", nil, "X-Number", fmt.Sprint(i)) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for i := range n + 1 {
		_, number, _ := bytes.Cut(b.record(i).RequestHead, []byte("x-number: "))
		number, _, _ = bytes.Cut(number, []byte("\r\n"))
		seen[string(number)] = true
	}
	if len(seen) != n+1 {
		t.Errorf("%d different heads for %d requests", len(seen), n+1)
	}
	if s := b.gate.Stats(); s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestHTTP2HeadsAreNotSwapped has two requests for one URL under way. Their handlers may start in any order; a harmless
// head in place of the other one would carry an attack past the rules.
func TestHTTP2HeadsAreNotSwapped(t *testing.T) {
	const path = "/"
	head := func(fields ...hpack.HeaderField) h2Head {
		return h2Head{method: "GET", path: path, authority: "a.example", fields: fields}
	}
	harmless := head(hpack.HeaderField{Name: "cookie", Value: "a=1"})
	for name, attack := range map[string]struct {
		head   h2Head
		header http.Header
	}{
		"one field more":  {head(hpack.HeaderField{Name: "cookie", Value: "a=1"}, hpack.HeaderField{Name: "x", Value: "evil"}), http.Header{"Cookie": {"a=1"}, "X": {"evil"}}},
		"another cookie":  {head(hpack.HeaderField{Name: "cookie", Value: "evil"}), http.Header{"Cookie": {"evil"}}},
		"cookie in parts": {head(hpack.HeaderField{Name: "cookie", Value: "a=1"}, hpack.HeaderField{Name: "cookie", Value: "evil"}), http.Header{"Cookie": {"a=1; evil"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &h2Conn{waiting: []h2Head{harmless, attack.head}}
			r := &http.Request{Method: "GET", RequestURI: path, Host: "a.example", Header: attack.header}
			if raw := c.take(r); !bytes.Contains(raw, []byte("evil")) {
				t.Errorf("the rules would see %q", raw)
			}
			r.Header = http.Header{"Cookie": {"a=1"}}
			if raw := c.take(r); !bytes.Contains(raw, []byte("cookie: a=1")) || len(c.waiting) != 0 {
				t.Errorf("%q, %d wait", raw, len(c.waiting))
			}
		})
	}
}

// TestHTTP2HeadsAreBounded sends heads that are small on the wire and large in memory, which no handler takes.
func TestHTTP2HeadsAreBounded(t *testing.T) {
	c := newH2Conn(nil)
	c.observe([]byte(http2.ClientPreface))
	var block, frames bytes.Buffer
	enc, fr := hpack.NewEncoder(&block), http2.NewFramer(&frames, nil)
	for i := range uint32(2000) {
		block.Reset()
		enc.WriteField(hpack.HeaderField{Name: ":method", Value: "GET"})
		enc.WriteField(hpack.HeaderField{Name: ":path", Value: "/"})
		for range 2000 {
			enc.WriteField(hpack.HeaderField{Name: "x", Value: "y"})
		}
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		c.observe(frames.Bytes())
		frames.Reset()
	}
	fields := 0
	for _, heads := range [][]h2Head{c.waiting, c.refused} {
		for _, h := range heads {
			fields += len(h.fields)
		}
	}
	if c.lost || c.held > maxHeldHeads || c.left == 0 || fields*40 > 2*maxHeldHeads {
		t.Errorf("lost %t, %d bytes held, %d heads given up, %d fields", c.lost, c.held, c.left, fields)
	}
	if out := c.unclaimed(); len(out) == 0 || int64(len(out))+c.left != 2000 {
		t.Errorf("%d unclaimed, %d given up", len(out), c.left)
	}
}
