//go:build unix

package gate

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/trapline/trapline/seclang/connlimit"
)

// BenchmarkCounted measures what counting connections costs: none has no counter, off one without limits, on one with.
// request is a GET on an open connection, connection one with a connection of its own.
//
//	go test ./gate -run xxx -bench Counted -count 6
func BenchmarkCounted(b *testing.B) {
	off, on := connlimit.New(nil, nil), connlimit.New(nil, nil)
	on.SetLimits(connlimit.Limits{Enforce: true, Read: connlimit.Limit{Max: 1000}, Write: connlimit.Limit{Max: 1000}})
	for _, c := range []struct {
		name    string
		counter *connlimit.Counter
	}{{"none", nil}, {"off", off}, {"on", on}} {
		b.Run("request/"+c.name, func(b *testing.B) {
			ask(b, startLimited(b, c.counter, "TrapSite builtin\n", nil).addr, "200")
		})
		b.Run("connection/"+c.name, func(b *testing.B) {
			addr := startLimited(b, c.counter, "TrapSite builtin\n", nil).addr
			began := cpu(b)
			b.ResetTimer()
			for range b.N {
				connectAndAsk(b, addr)
			}
			b.StopTimer()
			b.ReportMetric(float64(cpu(b)-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

func connectAndAsk(b *testing.B, addr string) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, browserRequest); err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
}
