//go:build unix

package trap

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/spool"
)

// BenchmarkRequest is the article's honeytrap request on a keep-alive
// connection: rules, tag and durable record, all on a real disk, with the
// clients in a process of their own. cpu-us/op is the time of this process
// (user and system) per request: mod_security2 on Apache takes 221 to 310 us.
func BenchmarkRequest(b *testing.B) {
	for _, conns := range []int{16, 64} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) { benchmarkRequest(b, conns) })
	}
}

// BenchmarkConnect is a flood of bare connects from 64 addresses: each is
// tagged, the first of each address are recorded, the rest are summed up.
func BenchmarkConnect(b *testing.B) { benchmarkRequest(b, 0) }

// BenchmarkFirstTouch is a client never seen before each time: handshake, tag
// that was not there, request, durable record, answer, close.
func BenchmarkFirstTouch(b *testing.B) { benchmarkRequest(b, -1) }

func benchmarkRequest(b *testing.B, conns int) {
	queue, err := spool.Open(spool.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer queue.Close()
	if _, err := queue.Reader("console"); err != nil { // without one, nothing would be kept
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { _ = queue.Run(ctx) })
	var records atomic.Int64
	pool := sync.Pool{New: func() any { return new([]byte) }}
	store, err := collection.Open(collection.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	running.Go(func() { _ = store.Run(ctx) })
	s := open(b, options{
		store: store, limits: Limits{ConnTime: time.Hour, PerClient: 1000},
		handle: func(ctx context.Context, r *audit.Record, tag collection.Ticket) error {
			buf := pool.Get().(*[]byte)
			defer pool.Put(buf)
			*buf = audit.AppendNative((*buf)[:0], r)
			ticket := queue.Queue(r.ID, *buf)
			if err := tag.Wait(ctx); err != nil {
				return err
			}
			records.Add(1)
			return ticket.Wait(ctx)
		},
	})
	client := exec.Command(os.Args[0], "-test.run=^TestLoad$", "-test.v=false")
	client.Env = append(os.Environ(), "TRAP_LOAD="+s.addr.String(), "TRAP_LOAD_N="+strconv.Itoa(b.N), "TRAP_LOAD_CONNS="+strconv.Itoa(conns), "GOMAXPROCS=1")
	before := cpu()
	b.ResetTimer()
	out, err := client.CombinedOutput()
	b.StopTimer()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	used := cpu() - before
	s.stop()
	cancel()
	running.Wait()
	if st := s.trap.Stats(); conns == 0 && st.Connects+st.Summed < uint64(b.N) {
		b.Fatalf("%d connects, stats %+v", b.N, st)
	} else if n := records.Load(); conns != 0 && n < int64(b.N) {
		b.Fatalf("%d records of %d requests", n, b.N)
	}
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// TestLoad is the client of BenchmarkRequest.
func TestLoad(t *testing.T) {
	target := os.Getenv("TRAP_LOAD")
	if target == "" {
		t.Skip("the client of BenchmarkRequest, which starts it")
	}
	n, _ := strconv.Atoi(os.Getenv("TRAP_LOAD_N"))
	conns, _ := strconv.Atoi(os.Getenv("TRAP_LOAD_CONNS"))
	request := "GET /wp-login.php?x=%d HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n"
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(10 + i).AsSlice()}}
			for conns == 0 && left.Add(-1) >= 0 {
				c, err := d.Dial("tcp4", target)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.Close()
			}
		})
	}
	for i := range 64 {
		wg.Go(func() {
			for conns < 0 {
				k := left.Add(-1)
				if k < 0 {
					return
				}
				if err := firstTouch(target, netip.AddrFrom4([4]byte{127, byte(2 + k>>16), byte(k >> 8), byte(k)}), fmt.Sprintf(request, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range max(0, min(conns, n)) {
		wg.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(10 + i).AsSlice()}}
			c, err := d.Dial("tcp4", target)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for left.Add(-1) >= 0 {
				if _, err := fmt.Fprintf(c, request, i); err != nil {
					t.Error(err)
					return
				}
				if err := skipAnswer(br); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func firstTouch(target string, from netip.Addr, request string) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	c, err := d.Dial("tcp4", target)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	return skipAnswer(bufio.NewReader(c))
}

func skipAnswer(br *bufio.Reader) error {
	status, err := br.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 "+strconv.Itoa(http.StatusForbidden)) {
		return fmt.Errorf("answer %q", status)
	}
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	_, err = io.CopyN(io.Discard, br, int64(length))
	return err
}

// cpu is the user and system time of this process.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
