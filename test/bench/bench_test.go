//go:build peers && bench

// Package bench measures the program beside the article's own system, Apache
// with mod_security2, in the same run: the same rules, the same load (wrk, 16
// connections, keep-alive), each server alone at its time. It quotes CPU time per
// request of the server's processes, because wall time on a shared machine says little.
package bench

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

const rules = `SecRuleEngine On
SecRequestBodyAccess On
SecDefaultAction "phase:2,log,auditlog,deny,status:403"
SecAction "id:900,phase:1,nolog,pass,initcol:ip=%%{REMOTE_ADDR}"
SecRule SERVER_PORT "^(%d)$" "id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" "id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
`

// server is one side: a trap port, a site port, and its CPU time.
type server struct {
	trap, site int
	cpu        func() time.Duration
}

func apache(b *testing.B, withRules bool) server {
	p := peertest.Ports(b, 2)
	text := ""
	if withRules {
		text = fmt.Sprintf(rules, p[0]) + "SecDataDir {{dir}}/data\nSecAuditLogType Concurrent\nSecAuditLogStorageDir {{dir}}/audit\nSecAuditLogParts ABCFHZ\n"
	}
	conf := fmt.Sprintf("Listen 127.0.0.1:%d\nListen 127.0.0.1:%d\n%s", p[0], p[1], text)
	if withRules {
		conf += fmt.Sprintf("<VirtualHost *:%d>\nSecAuditEngine On\nSecAuditLog {{dir}}/audit/index.log\n</VirtualHost>\n", p[0])
	}
	a := peertest.StartApache(b, conf, fmt.Sprintf("127.0.0.1:%d", p[0]))
	return server{p[0], p[1], func() time.Duration { return a.CPU(b) }}
}

var bin string

// console is where trapline's records go. Apache's side ends with the record on
// disk, so the comparison is with nobody there to take it; own is the whole product in one process.
type console string

const (
	absent console = "TrapConsole Off\nTrapReport http://127.0.0.1:1/ user=bench password=bench\n"
	own    console = "TrapConsole 127.0.0.1:%d\n"
)

func trapline(b *testing.B, withRules bool, tagged int, to console) server {
	if bin == "" {
		dir, err := os.MkdirTemp("", "trapline-bench-")
		if err != nil {
			b.Fatal(err)
		}
		bin = filepath.Join(dir, "trapline")
		if out, err := exec.Command("go", "build", "-o", bin, "github.com/trapline/trapline/cmd/trapline").CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	dir := b.TempDir()
	p := peertest.Ports(b, 3)
	text := ""
	if withRules {
		text = fmt.Sprintf(rules, p[0])
	}
	root := filepath.Join(dir, "htdocs")
	_ = os.Mkdir(root, 0o755)
	_ = os.WriteFile(filepath.Join(root, "index.html"), []byte("<p>the real site</p>\n"), 0o644)
	if to == own {
		to = console(fmt.Sprintf(string(own), p[2]))
	}
	conf := fmt.Sprintf("TrapLimit client-records Off\nListen 127.0.0.1:%d\nListen 127.0.0.1:%d\n%s%s<VirtualHost *:%d>\nTrapHost On\nSecAuditEngine On\n</VirtualHost>\n<VirtualHost *:%d>\nDocumentRoot %s\n</VirtualHost>\n",
		p[0], p[1], to, text, p[0], p[1], root)
	file := filepath.Join(dir, "trapline.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		b.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	tag(b, filepath.Join(data, "collections"), tagged)
	proc := binarytest.Start(b, bin, "run", "-c", file, "--data", data)
	peertest.Wait(b, "trapline to listen", time.Minute, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p[1]))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return server{p[0], p[1], func() time.Duration { return peertest.ProcessCPU(b, proc.PID()) }}
}

// tag writes n tagged clients into a collection before the program starts.
func tag(b *testing.B, dir string, n int) {
	if n == 0 {
		return
	}
	store, err := collection.Open(collection.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	for i := range n {
		store.Apply("ip", address(i).String(), 24*time.Hour, now, []collection.Change{{Op: collection.OpSet, Name: "malicious_client", Text: "1"}})
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(16 + i>>16), byte(i >> 8), byte(i)})
}

var (
	perSecond = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	total     = regexp.MustCompile(`(\d+) requests in`)
)

// load runs wrk and reports requests per second and CPU microseconds per request.
func load(b *testing.B, s server, port int) {
	b.Helper()
	wrk := peertest.Program(b, "wrk")
	before := s.cpu()
	out, err := exec.Command(wrk, "-t1", "-c16", "-d4s", "--timeout", "20s", fmt.Sprintf("http://127.0.0.1:%d/", port)).CombinedOutput()
	if err != nil {
		b.Fatalf("wrk: %v\n%s", err, out)
	}
	used := s.cpu() - before
	rate, n := perSecond.FindSubmatch(out), total.FindSubmatch(out)
	if rate == nil || n == nil || strings.Contains(string(out), "Socket errors: connect") {
		b.Fatalf("wrk printed\n%s", out)
	}
	count, _ := strconv.ParseFloat(string(n[1]), 64)
	r, _ := strconv.ParseFloat(string(rate[1]), 64)
	b.ReportMetric(r, "req/s")
	b.ReportMetric(float64(used.Microseconds())/count, "cpu-us/req")
	b.ReportMetric(0, "ns/op")
}

// once keeps the benchmark function from being run with growing b.N: one run of wrk is the measurement.
func once(b *testing.B, run func()) {
	b.Helper()
	for b.Loop() { // its first call forgets what was reported before
	}
	run()
}

// BenchmarkTrap: a request on a trap port with rule, tag and durable record.
// The numbers to beat: 221-310 us of CPU on Apache.
func BenchmarkTrap(b *testing.B) {
	b.Run("peer=apache", func(b *testing.B) { s := apache(b, true); once(b, func() { load(b, s, s.trap) }) })
	b.Run("peer=trapline", func(b *testing.B) { s := trapline(b, true, 0, absent); once(b, func() { load(b, s, s.trap) }) })
	b.Run("peer=trapline/console=own", func(b *testing.B) { s := trapline(b, true, 0, own); once(b, func() { load(b, s, s.trap) }) })
}

// BenchmarkSiteClean: a client without a tag on the real site. Without rules is
// the same server's floor: the difference is what the tag check costs.
func BenchmarkSiteClean(b *testing.B) {
	b.Run("peer=apache/rules=off", func(b *testing.B) { s := apache(b, false); once(b, func() { load(b, s, s.site) }) })
	for _, n := range []int{0, 1000, 20000} {
		b.Run(fmt.Sprintf("peer=apache/rules=on/tagged=%d", n), func(b *testing.B) {
			s := apache(b, true)
			touchAll(b, s.trap, n)
			once(b, func() { load(b, s, s.site) })
		})
	}
	b.Run("peer=trapline/rules=off", func(b *testing.B) { s := trapline(b, false, 0, absent); once(b, func() { load(b, s, s.site) }) })
	for _, n := range []int{0, 1000, 20000, 1000000} {
		b.Run(fmt.Sprintf("peer=trapline/rules=on/tagged=%d", n), func(b *testing.B) {
			s := trapline(b, true, n, absent)
			once(b, func() { load(b, s, s.site) })
		})
	}
}

// BenchmarkSiteIdleTraps: 10,000 idle connections held open on the traps must not slow the real site.
func BenchmarkSiteIdleTraps(b *testing.B) {
	for _, n := range []int{0, 10000} {
		b.Run(fmt.Sprintf("peer=trapline/idle=%d", n), func(b *testing.B) {
			s := trapline(b, true, 0, absent)
			for i := range n {
				// From 200 addresses: one address may hold 64.
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: address(i % 200).AsSlice()}}
				c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.trap))
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
			}
			once(b, func() { load(b, s, s.site) })
		})
	}
}

// BenchmarkSiteTagged: a tagged client on the real site gets its 403.
func BenchmarkSiteTagged(b *testing.B) {
	b.Run("peer=apache", func(b *testing.B) {
		s := apache(b, true)
		touchAll(b, s.trap, 0)
		touch(b, s.trap, "127.0.0.1")
		once(b, func() { load(b, s, s.site) })
	})
	for _, n := range []int{0, 1000000} {
		b.Run(fmt.Sprintf("peer=trapline/tagged=%d", n), func(b *testing.B) {
			s := trapline(b, true, n, absent)
			touch(b, s.trap, "127.0.0.1")
			once(b, func() { load(b, s, s.site) })
		})
	}
}

// touchAll touches the trap from n addresses.
func touchAll(b *testing.B, port, n int) {
	work := make(chan int)
	done := make(chan struct{})
	for range 16 {
		go func() {
			for i := range work {
				touch(b, port, address(i).String())
			}
			done <- struct{}{}
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	for range 16 {
		<-done
	}
}

func touch(b *testing.B, port int, from string) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		b.Error(err)
		return
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}
