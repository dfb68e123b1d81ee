//go:build peers && linux

package trap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/test/peertest"
)

// scan runs a scanner against the trap and returns what it printed.
func scan(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(peertest.Program(t, name), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		t.Logf("%s: %v", name, err)
	}
	return out.String()
}

// settled waits until nothing is open and every connection has its record.
func (s *station) settled(t *testing.T) {
	t.Helper()
	eventually(t, "all connections closed", func() bool { return s.trap.Stats().Open == 0 && s.trap.live.Load() == 0 })
}

// TestNmapConnectScan: on Apache a connect scan neither tags nor leaves a record.
func TestNmapConnectScan(t *testing.T) {
	s := open(t, options{})
	out := scan(t, time.Minute, "nmap", "-n", "-Pn", "-sT", "-p", strconv.Itoa(s.addr.Port), "127.0.0.1")
	if !strings.Contains(out, "open") {
		t.Fatalf("nmap says %s", out)
	}
	r := s.wait(t, netip.MustParseAddr("127.0.0.1"), 1)[0]
	if r.Kind != audit.KindConnect || !s.tagged(r.Client.Addr()) {
		t.Errorf("record %+v", r)
	}
}

// TestNmapVersionScan: every probe of a version scan is a record, and nmap sees an Apache.
func TestNmapVersionScan(t *testing.T) {
	s := open(t, options{limits: Limits{Connects: 1000}})
	out := scan(t, 3*time.Minute, "nmap", "-n", "-Pn", "-sT", "-sV", "--version-all", "-p", strconv.Itoa(s.addr.Port), "127.0.0.1")
	s.settled(t)
	if !strings.Contains(out, "Apache") {
		t.Errorf("nmap did not take us for an Apache: %s", out)
	}
	st := s.trap.Stats()
	records := s.all(netip.MustParseAddr("127.0.0.1"))
	if uint64(len(records)) < st.Accepted || st.Panics != 0 {
		t.Errorf("%d connections, %d records, stats %+v", st.Accepted, len(records), st)
	}
	t.Logf("%d connections, %d records (%d HTTP, %d TLS, %d bytes, %d bare)", st.Accepted, len(records), st.HTTP, st.TLS, st.Bytes, st.Connects)
}

// TestNmapScripts runs the scripts that speak TLS and HTTP.
func TestNmapScripts(t *testing.T) {
	s := open(t, options{limits: Limits{Connects: 1000}})
	out := scan(t, 3*time.Minute, "nmap", "-n", "-Pn", "-sT", "-p", strconv.Itoa(s.addr.Port), "--script", "+ssl-cert,+http-title,+http-methods,+http-headers,+http-open-proxy,+ssl-enum-ciphers", "127.0.0.1")
	s.settled(t)
	if !strings.Contains(out, "localhost.localdomain") {
		t.Errorf("nmap did not read the certificate: %s", out)
	}
	if strings.Contains(out, "Proxy might be") || strings.Contains(out, "Potentially OPEN proxy") {
		t.Errorf("nmap takes us for an open proxy: %s", out)
	}
	st := s.trap.Stats()
	if n := len(s.all(netip.MustParseAddr("127.0.0.1"))); uint64(n) < st.Accepted || st.Panics != 0 {
		t.Errorf("%d connections, %d records, stats %+v", st.Accepted, n, st)
	}
	t.Logf("%d connections (%d HTTP, %d TLS, %d bytes, %d bare)", st.Accepted, st.HTTP, st.TLS, st.Bytes, st.Connects)
}

// TestSqlmap: each request in sqlmap's own traffic log is a record.
func TestSqlmap(t *testing.T) {
	s := open(t, options{})
	dir := t.TempDir()
	traffic := filepath.Join(dir, "traffic.txt")
	scan(t, 2*time.Minute, "sqlmap", "--batch", "--ignore-code=403", "--technique=BE", "--timeout=5", "--retries=0", "--threads=4", "--skip-waf", "--disable-coloring",
		"--output-dir", dir, "-t", traffic, "-u", fmt.Sprintf("http://%s/index.php?id=1", s.addr))
	s.settled(t)
	log, err := os.ReadFile(traffic)
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Count(log, []byte("HTTP request [#"))
	records := s.all(netip.MustParseAddr("127.0.0.1"))
	n := 0
	for _, r := range records {
		if r.Kind == audit.KindHTTP && bytes.HasPrefix(r.RequestHead, []byte("GET /index.php?id=")) {
			n++
		}
	}
	t.Logf("sqlmap sent %d requests, %d are recorded", sent, n)
	if sent == 0 || n < sent {
		for _, r := range records {
			t.Logf("%d %.120q", r.Kind, r.RequestHead)
		}
		t.Errorf("sqlmap sent %d requests, %d are recorded", sent, n)
	}
}

// TestCurl asks over each protocol that curl speaks.
func TestCurl(t *testing.T) {
	s := open(t, options{})
	for i, c := range []struct {
		args []string
		head string
	}{
		{[]string{"--http1.0", "http://"}, "GET /c HTTP/1.0"},
		{[]string{"--http1.1", "http://"}, "GET /c HTTP/1.1"},
		{[]string{"--http2-prior-knowledge", "http://"}, "GET /c HTTP/2.0"},
		{[]string{"-k", "--http1.1", "https://"}, "GET /c HTTP/1.1"},
		{[]string{"-k", "--http2", "https://"}, "GET /c HTTP/2.0"},
		{[]string{"-k", "--tls-max", "1.2", "--http1.1", "https://"}, "GET /c HTTP/1.1"},
		{[]string{"-d", "@/etc/services", "--http2-prior-knowledge", "http://"}, "POST /c HTTP/2.0"},
	} {
		from := addr(1 + i)
		last := len(c.args) - 1
		args := append([]string{"-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "--interface", from.String()}, c.args[:last]...)
		if out := scan(t, time.Minute, "curl", append(args, c.args[last]+s.addr.String()+"/c")...); out != "403" {
			t.Errorf("%v: status %s", c.args, out)
		}
		r := s.wait(t, from, 1)[0]
		if !bytes.HasPrefix(r.RequestHead, []byte(c.head)) {
			t.Errorf("%v: head %q", c.args, r.RequestHead)
		}
		if tls := strings.HasPrefix(c.args[last], "https"); tls != (r.TLS != nil) || tls && !strings.HasPrefix(r.TLS.JA4, "t1") {
			t.Errorf("%v: TLS %+v", c.args, r.TLS)
		}
		if strings.HasPrefix(c.head, "POST") && r.RequestBodySize < 1000 {
			t.Errorf("%v: body of %d bytes", c.args, r.RequestBodySize)
		}
	}
}

// TestTenThousandIdleConnections holds the trap at its limit from another
// process and asks the real site and the trap meanwhile.
func TestTenThousandIdleConnections(t *testing.T) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil || lim.Max < 10_500 {
		t.Skipf("PEER MISSING: only %d file descriptors allowed, 10,500 needed", lim.Max)
	}
	s := open(t, options{limits: Limits{ConnTime: 5 * time.Minute}})
	site := realSite(t, s)
	quiet := pace(t, site)
	before := memory()
	holder := exec.Command(os.Args[0], "-test.run=^TestHoldConnections$")
	holder.Env = append(os.Environ(), "TRAP_HOLD="+s.addr.String(), "TRAP_HOLD_N=10000")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = holder.Wait()
	}()
	eventually(t, "10,000 connections", func() bool { return s.trap.Stats().Open == 10_000 })
	t.Logf("%d bytes per idle connection", (memory()-before)/10_000)
	held := pace(t, site)
	t.Logf("a request to the real site: %v before, %v with 10,000 idle connections on the trap", quiet, held)
	if held > 3*quiet+time.Millisecond {
		t.Errorf("the real site slowed down from %v to %v", quiet, held)
	}
	// The trap is full: a new touch is served all the same.
	for i := range 20 {
		if got := ask(t, s, addr(1+i), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
			t.Errorf("answer %q", got)
		}
	}
	if st := s.trap.Stats(); st.CutForNew == 0 || st.Open < 9_900 {
		t.Errorf("stats %+v", st)
	}
}

// TestOutOfDescriptors takes away all but a few descriptors: every touch is accepted, tagged and recorded all the same.
func TestOutOfDescriptors(t *testing.T) {
	s := open(t, options{limits: Limits{Connects: 1000}})
	ask(t, s, addr(1), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	holder := exec.Command(os.Args[0], "-test.run=^TestHoldConnections$")
	holder.Env = append(os.Environ(), "TRAP_HOLD="+s.addr.String(), "TRAP_HOLD_N=400")
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	open, _ := os.ReadDir("/proc/self/fd")
	few := was
	few.Cur = uint64(len(open) + 40)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
		_ = stdin.Close()
		_ = holder.Wait()
	}()
	eventually(t, "400 touches accepted", func() bool { return s.trap.Stats().Accepted == 401 })
	for i := range 8 { // of 50 connections each
		if !s.tagged(addr(1000 + i)) {
			t.Errorf("%s is not tagged", addr(1000+i))
		}
	}
	st := s.trap.Stats()
	if st.AcceptErrors == 0 || st.CutForNew == 0 {
		t.Errorf("stats %+v", st)
	}
	t.Logf("stats %+v", st)
}

// pace is the best time of a request on one connection of a clean client.
func pace(t *testing.T, site string) time.Duration {
	t.Helper()
	c, err := net.Dial("tcp4", site)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	best := time.Hour
	for range 5 {
		start := time.Now()
		for range 200 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if line == "\r\n" {
					break
				}
			}
		}
		best = min(best, time.Since(start)/200)
	}
	return best
}

// TestHoldConnections is the other process of TestTenThousandIdleConnections.
func TestHoldConnections(t *testing.T) {
	target := os.Getenv("TRAP_HOLD")
	if target == "" {
		t.Skip("started by TestTenThousandIdleConnections")
	}
	n, _ := strconv.Atoi(os.Getenv("TRAP_HOLD_N"))
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(1000 + i/50).AsSlice()}}
		c, err := d.Dial("tcp4", target)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has seen enough
}
