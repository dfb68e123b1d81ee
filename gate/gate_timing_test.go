//go:build unix

package gate

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/collection"
)

// cpu is the processor time of this process, client included: the same client asks in every case.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSite measures a keep-alive GET on the real site: the difference between the lines is what the rules cost.
//
//	go test ./gate -run xxx -bench Site -count 6
//
// cpu-ns/op is processor time of server and client together.
func BenchmarkSite(b *testing.B) {
	page := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>hello</html>") }
	for _, c := range []struct {
		name   string
		rules  string
		tagged int // other clients with a tag
		self   bool
		status string
	}{
		{name: "net-http", status: "200"},
		{name: "no-rules", rules: "TrapSite builtin\n", status: "200"},
		{name: "clean-0", rules: rules + tagRule + "TrapSite builtin\n", status: "200"},
		{name: "clean-1M", rules: rules + tagRule + "TrapSite builtin\n", tagged: 1_000_000, status: "200"},
		{name: "tagged-0", rules: rules + tagRule + "TrapSite builtin\n", self: true, status: "403"},
		{name: "tagged-1M", rules: rules + tagRule + "TrapSite builtin\n", tagged: 1_000_000, self: true, status: "403"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var addr string
			if c.rules == "" {
				ln := listen(b)
				s := &http.Server{Handler: http.HandlerFunc(page)}
				go s.Serve(ln)
				defer s.Close()
				addr = ln.Addr().String()
			} else {
				t := start(b, c.rules, nil)
				addr = t.addr
				tagMany(t, c.tagged)
				if c.self {
					t.tag("127.0.0.1", "malicious_client")
				}
			}
			ask(b, addr, c.status)
		})
	}
}

func tagMany(b *bench, n int) {
	change := []collection.Change{{Op: collection.OpSet, Name: "malicious_client", Text: "1"}}
	now := time.Now()
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		b.store.Apply("ip", a.String(), time.Hour, now, change)
	}
	runtime.GC()
}

const browserRequest = "GET /site.css HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n"

func ask(b *testing.B, addr, status string) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	request := []byte(browserRequest)
	began := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		if res.Status[:3] != status {
			b.Fatal(res.Status)
		}
		io.Copy(io.Discard, res.Body)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-began)/float64(b.N), "cpu-ns/op")
}

// BenchmarkExchange measures the handler alone, without sockets and net/http: the difference between the lines is what
// the tag rules add to a request of a clean client.
func BenchmarkExchange(b *testing.B) {
	for _, c := range []struct {
		name, rules string
		tagged      int
	}{{"no-rules", "", 0}, {"clean-0", rules + tagRule, 0}, {"clean-1M", rules + tagRule, 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			t := start(b, c.rules+"TrapSite builtin\n", nil)
			tagMany(t, c.tagged)
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(browserRequest)))
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = "127.0.0.1:4711"
			ctx := context.WithValue(b.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}))
			r = r.WithContext(ctx)
			w := &header{h: http.Header{}}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				clear(w.h)
				t.gate.ServeHTTP(w, r)
			}
		})
	}
}

type header struct {
	nowhere
	h http.Header
}

func (h *header) Header() http.Header { return h.h }
