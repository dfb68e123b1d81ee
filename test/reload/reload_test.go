//go:build unix

// Package reload sends SIGHUP to the program under load, with ports that come
// and go, and then SIGTERM: no connection is refused or cut, no answered touch is without its record.
package reload

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

const conf = `Listen 127.0.0.1:%[1]d
Listen 127.0.0.1:%[2]d
%[5]s
TrapConsole 127.0.0.1:%[3]d
SecRule SERVER_PORT "^(%[1]d|%[4]d)$" "id:'999004',phase:2,t:none,log,block,setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" "id:'999005',phase:2,t:none,log,block"
<VirtualHost *:%[2]d>
TrapSite builtin
</VirtualHost>
`

func TestReloadAndStopLoseNothing(t *testing.T) {
	p := peertest.Ports(t, 4)
	dir := t.TempDir()
	file, data := filepath.Join(dir, "trapline.conf"), filepath.Join(dir, "data")
	with := func(extra string) {
		t.Helper()
		if err := os.WriteFile(file, fmt.Appendf(nil, conf, p[0], p[1], p[2], p[3], extra), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	with("")
	bin := binarytest.Build(t)
	proc := binarytest.Start(t, bin, "run", "-c", file, "--data", data)
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", p[1]))

	var stop atomic.Bool
	var wg sync.WaitGroup
	var touched, served, n atomic.Int64
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				i := n.Add(1)
				status, err := request(fmt.Sprintf("127.40.%d.%d", i>>8&0xff, i&0xff), p[0], fmt.Sprintf("/touch-%d", i))
				if err != nil || status != 403 {
					t.Errorf("a trap answered %d, %v during a reload", status, err)
					return
				}
				touched.Add(1)
				if status, err := request("127.0.0.9", p[1], "/"); err != nil || status != 200 {
					t.Errorf("the site answered %d, %v during a reload", status, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := range 12 {
		switch i % 3 {
		case 0:
			with(fmt.Sprintf("Listen 127.0.0.1:%d", p[3])) // one more trap
		case 1:
			with("Lisen 80") // refused: the old configuration stays
		default:
			with("")
		}
		loaded := strings.Count(proc.Output(), "configuration loaded") + strings.Count(proc.Output(), "reload refused")
		if err := proc.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		peertest.Wait(t, "the reload", 10*time.Second, func() bool {
			return strings.Count(proc.Output(), "configuration loaded")+strings.Count(proc.Output(), "reload refused") > loaded
		})
		before := touched.Load()
		peertest.Wait(t, "touches under the new configuration", 10*time.Second, func() bool { return t.Failed() || touched.Load() > before+10 })
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p[3]))
		if err == nil {
			_ = conn.Close()
		}
		if open := err == nil; open != (i%3 != 2) {
			t.Errorf("after reload %d the extra trap is open: %t", i, open)
		}
	}
	stop.Store(true)
	wg.Wait()
	if touched.Load() < 50 {
		t.Fatalf("only %d touches: the load is too thin to show anything", touched.Load())
	}
	if err := proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := proc.Wait(20 * time.Second); err != nil {
		t.Fatalf("stop: %v", err)
	}
	// What the spool still held is delivered after the next start.
	proc = binarytest.Start(t, bin, "run", "-c", file, "--data", data)
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", p[1]))
	var seen map[string]bool
	peertest.Wait(t, "every touch to stand in the console", 20*time.Second, func() bool {
		out, err := exec.Command(bin, "events", "-n", "1000000", "--data", data).Output()
		if err != nil {
			t.Fatal(err)
		}
		seen = map[string]bool{}
		for _, path := range regexp.MustCompile(`/touch-\d+`).FindAllString(string(out), -1) {
			if seen[path] {
				t.Errorf("%s stands in the console twice", path)
			}
			seen[path] = true
		}
		return len(seen) >= int(touched.Load())
	})
	if len(seen) != int(touched.Load()) {
		t.Errorf("%d touches answered, %d records", touched.Load(), len(seen))
	}
	t.Logf("12 reloads: %d touches, %d pages", touched.Load(), served.Load())
}

func request(from string, port int, path string) (int, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
