//go:build peers

package forward

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

// mlogc returns the path of the original, or skips.
func mlogc(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("mlogc")
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED: mlogc is not installed (Debian: libapache2-mod-security2)")
	}
	return path
}

// wire is a receiver that keeps requests as they came, byte for byte.
type wire struct {
	net.Listener
	mu    sync.Mutex
	heads map[string][]string // by the unique id in the summary
	body  map[string][]byte
	n     int
	keep  bool
	says  string // further header lines of answers to PUT
}

func newWire(t testing.TB, keep bool) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, heads: map[string][]string{}, body: map[string][]byte{}, keep: keep}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

func (w *wire) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		var head []string
		size, id, batch := 0, "", false
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
			if w.keep {
				head = append(head, line)
			}
			batch = batch || strings.HasPrefix(line, "POST ")
			name, value, _ := strings.Cut(line, ":")
			switch {
			case strings.EqualFold(name, "content-length"):
				fmt.Sscan(value, &size)
			case w.keep && strings.EqualFold(name, "x-forensiclog-summary"):
				if l, err := audit.ParseIndex(strings.TrimSpace(value)); err == nil {
					id = l.ID
				}
			}
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if batch {
			entries, err := unpack(body)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.n += len(entries)
			w.mu.Unlock()
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"stored\":1}")
			continue
		}
		w.mu.Lock()
		w.n++
		if w.keep {
			w.heads[id], w.body[id] = head, body
		}
		w.mu.Unlock()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+w.says+"\r\n")
	}
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// runMlogc feeds the original until everything has arrived.
func runMlogc(t testing.TB, program string, s *sensor, more, in string, arrived func() bool) time.Duration {
	t.Helper()
	conf := filepath.Join(s.dir, "mlogc.conf")
	text := fmt.Sprintf("CollectorRoot \"%s\"\nConsoleURI \"%s\"\nSensorUsername \"s\"\nSensorPassword \"p\"\nLogStorageDir \"data\"\nQueuePath \"queue.log\"\nTransactionLog \"tx.log\"\nErrorLog \"error.log\"\nLockFile \"l.lck\"\nStartupDelay 0\n%s\n",
		s.dir, s.conf.ConsoleURI, more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, conf)
	cmd.Stdin = read
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	io.WriteString(write, in)
	for end := start.Add(60 * time.Second); !arrived() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(start)
	write.Close()
	cmd.Process.Kill()
	cmd.Wait()
	if !arrived() {
		log, _ := os.ReadFile(filepath.Join(s.dir, "error.log"))
		t.Fatalf("mlogc did not send everything in %v\n%s", took, log)
	}
	return took
}

// TestPeerSameRequests: mlogc and we make of the same index lines and files the same requests.
//
// Tolerated: the order of headers; the rest of the line that mlogc takes for a part of X-Content-Hash, a blank or
// for a line that was cut " L"; the blank at the end of its summary.
func TestPeerSameRequests(t *testing.T) {
	program := mlogc(t)
	set := "../../shared/reference/modsec-audit-samples/v2-honeytrap-seed-concurrent"
	if _, err := os.Stat(set); err != nil {
		set = filepath.Join(samples, "v2-honeytrap-seed-concurrent")
	}
	lines, err := os.ReadFile(filepath.Join(set, "index.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := bytes.Count(lines, []byte("\n"))
	theirs, ours := newWire(t, true), newWire(t, true)
	for _, side := range []*wire{theirs, ours} {
		s := newSensor(t, "http://"+side.Addr().String())
		if err := os.CopyFS(s.conf.StorageDir(), os.DirFS(filepath.Join(set, "audit"))); err != nil {
			t.Fatal(err)
		}
		if side == ours {
			s.run(t, string(lines))
		} else {
			runMlogc(t, program, s, "TransactionDelay 0\nKeepEntries 1", string(lines), func() bool { return side.count() >= n })
		}
	}
	if len(theirs.heads) != n || len(ours.heads) != n {
		t.Fatalf("%d lines, mlogc sent %d, we %d", n, len(theirs.heads), len(ours.heads))
	}
	blanks := 0
	for id, head := range theirs.heads {
		a, b := slices.Clone(head), slices.Clone(ours.heads[id])
		for i := range a {
			if strings.HasPrefix(a[i], "X-Content-Hash:") {
				a[i] = strings.Replace(a[i], " L\r\n", "\r\n", 1)
			}
			if strings.HasPrefix(a[i], "X-") && strings.HasSuffix(a[i], " \r\n") {
				a[i] = strings.TrimSuffix(a[i], " \r\n") + "\r\n"
				blanks++
			}
			if strings.HasPrefix(a[i], "Host:") {
				a[i], b[i] = "", strings.ReplaceAll(b[i], ours.Addr().String(), "")
				b[i] = strings.TrimPrefix(b[i], "Host: \r\n")
			}
		}
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s: headers differ\nmlogc %.500q\nours  %.500q", id, a, b)
		}
		if !bytes.Equal(theirs.body[id], ours.body[id]) {
			t.Errorf("%s: bodies differ", id)
		}
	}
	t.Logf("%d requests alike; mlogc put a blank at the end of %d headers", n, blanks)
}

// BenchmarkPeerForward sends the same entries to the same receiver: mlogc as it is and without its delay,
// our piped program with the same two configurations, and our spool in batches.
func BenchmarkPeerForward(b *testing.B) {
	program := mlogc(b)
	const n = 2000
	for _, c := range []struct{ name, delay string }{{"mlogc", "50"}, {"mlogc no delay", "0"}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newWire(b, false)
				s := newSensor(b, "http://"+w.Addr().String())
				in := events(b, s, n)
				b.StartTimer()
				runMlogc(b, program, s, "TransactionDelay "+c.delay, in, func() bool { return w.count() >= n })
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	for _, c := range []struct{ name, delay, says string }{
		{"piped", "50", ""}, {"piped no delay", "0", ""}, {"piped to Trapline", "50", BatchHeader + ": " + BatchPath + "\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				w := newWire(b, false)
				w.says = c.says
				s := newSensor(b, "http://"+w.Addr().String(), "TransactionDelay "+c.delay)
				in := events(b, s, n)
				b.StartTimer()
				s.conf.Drain = true
				s.run(b, in)
				if w.count() < n {
					b.Fatalf("%d of %d", w.count(), n)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func events(b testing.TB, s *sensor, n int) string {
	var in strings.Builder
	for range n {
		r := sampleRecord(audit.NewID())
		in.WriteString(s.file(b, r, audit.AppendNative(nil, r)))
	}
	return in.String()
}
