package gate

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestManyClients mixes good, bad, large and broken requests on many connections while the configuration is swapped:
// every request is answered by one whole generation, every request is counted, nothing stays behind.
func TestManyClients(t *testing.T) {
	conf := func(header string) string {
		return rules + tagRule + `SecRequestBodyAccess On
SecResponseBodyAccess On
SecRule ARGS_POST:evil "@streq 1" "id:4,phase:2,deny,status:403"
SecRule RESPONSE_BODY "@contains leak" "id:5,phase:4,deny,status:418"
Header set X-First ` + header + `
Header set X-Second ` + header + "\nProxyPass /up http://UPSTREAM\nTrapSite builtin\n"
	}
	up := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "cut" {
			c, _, _ := w.(http.Hijacker).Hijack()
			c.Close()
			return
		}
		echoServer(w, r)
	})
	b := start(t, conf("a"), up)
	b.get("/") // all goroutines of the gate have begun
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	before := runtime.NumGoroutine()
	kinds := []struct{ request, want string }{
		{"GET /site.css HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
		{"POST /up HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\nevil=1", "403"},
		{"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "200"},
		{"GET /up?leak HTTP/1.1\r\nHost: x\r\n\r\n", "418"},
		{"GET /up?cut HTTP/1.1\r\nHost: x\r\n\r\n", "502"},
		{"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"BAD\r\n\r\n", "400"},
	}
	const clients, rounds = 32, 12
	var sent atomic.Int64
	sent.Add(1)
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			for i := range rounds {
				c := b.dial()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				r := bufio.NewReader(c)
				for j := range len(kinds) {
					k := kinds[(n+i+j)%len(kinds)]
					io.WriteString(c, k.request)
					sent.Add(1)
					res, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Errorf("%q: %v", k.request, err)
						break
					}
					io.Copy(io.Discard, res.Body)
					if !strings.HasPrefix(res.Status, k.want) {
						t.Errorf("%q: %s", k.request, res.Status)
					}
					if h := res.Header; k.want == "200" && h.Get("X-First") != h.Get("X-Second") {
						t.Errorf("an answer of two configurations: %v", h)
					}
					if res.Close || k.want == "400" || k.want == "502" {
						break
					}
				}
				c.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	_, port, _ := strings.Cut(b.addr, ":")
	upstream := b.gate.table.Load().config.Main.Proxies[0].URL
	var tables []*table
	for i := 0; ; i++ {
		tables = append(tables, b.gate.table.Load())
		text := strings.ReplaceAll(conf(fmt.Sprint("n", i)), "http://UPSTREAM", upstream)
		if err := b.gate.SetSites(b.sites("Listen " + port + "\n" + text)); err != nil {
			t.Error(err)
		}
		select {
		case <-done:
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	tables = append(tables, b.gate.table.Load())
	eventually(t, "all requests to be counted", func() bool { return b.gate.Stats().Requests == sent.Load() })
	eventually(t, "goroutines to end", func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		for _, old := range tables {
			old.rest() // what was in use when its generation ended
		}
		return runtime.NumGoroutine() <= before+2
	})
	if s := b.gate.Stats(); s.Panics != 0 {
		t.Errorf("%+v", s)
	}
}
