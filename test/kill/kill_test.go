// Package kill stops a sensor and a console with kill -9 at random moments under
// load, and then accounts for every request that a trap has answered.
package kill

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

const sensorConf = `Listen 127.0.0.1:%[1]d
Listen 127.0.0.1:%[2]d
TrapConsole Off
SecRuleEngine On
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%%{REMOTE_ADDR}"
SecRule SERVER_PORT "^(%[1]d)$" "id:999004,phase:2,t:none,log,deny,status:403,setvar:ip.malicious_client=1,setvar:ip.hits=+1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" "id:999005,phase:2,t:none,log,deny,status:403"
TrapReport http://127.0.0.1:%[3]d/ user=killed password=kill-me-if-you-can
<VirtualHost *:%[1]d>
TrapHost On
SecAuditEngine On
</VirtualHost>
<VirtualHost *:%[2]d>
TrapSite builtin
</VirtualHost>
`

// answered is a request whose answer was read whole.
type answered struct {
	n    int64
	from string
}

func TestNothingAnsweredIsLost(t *testing.T) {
	kills := killCount
	bin := binarytest.Build(t)
	dir := t.TempDir()
	ports := peertest.Ports(t, 3)
	trap, site, console := ports[0], ports[1], ports[2]
	write(t, filepath.Join(dir, "sensor.conf"), fmt.Sprintf(sensorConf, trap, site, console))
	write(t, filepath.Join(dir, "console.conf"), fmt.Sprintf("TrapConsole 127.0.0.1:%d\n", console))
	consoleData, sensorData := filepath.Join(dir, "console"), filepath.Join(dir, "sensor")
	run(t, bin, "sensors", "add", "killed", "--password", "kill-me-if-you-can", "--data", consoleData)

	start := map[string]func() *binarytest.Process{
		"sensor": func() *binarytest.Process {
			p := binarytest.Start(t, bin, "run", "-c", filepath.Join(dir, "sensor.conf"), "--data", sensorData)
			peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", trap))
			return p
		},
		"console": func() *binarytest.Process {
			p := binarytest.Start(t, bin, "run", "-c", filepath.Join(dir, "console.conf"), "--data", consoleData)
			peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", console))
			return p
		},
	}
	running := map[string]*binarytest.Process{"console": start["console"](), "sensor": start["sensor"]()}

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []answered
	var next, failed atomic.Int64
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1)
				a := answered{n, fmt.Sprintf("127.%d.%d.%d", 1+n>>16&0x7f, n>>8&0xff, 1+n&0x7f)}
				if !touch(ctx, trap, a) {
					failed.Add(1)
					time.Sleep(2 * time.Millisecond) // the sensor is down: do not spin on a core that it needs to start
					continue
				}
				mu.Lock()
				all = append(all, a)
				mu.Unlock()
			}
		})
	}
	for i := range kills {
		time.Sleep(time.Duration(20+rand.IntN(300)) * time.Millisecond)
		victim := []string{"sensor", "console"}[rand.IntN(2)]
		if i < 2 {
			victim = []string{"sensor", "console"}[i]
		}
		running[victim].Kill()
		running[victim] = start[victim]()
	}
	stop()
	wg.Wait()
	t.Logf("%d kills; %d requests answered, %d cut off", kills, len(all), failed.Load())
	if len(all) < 20*kills {
		t.Fatalf("only %d requests were answered: the load is too thin to show anything", len(all))
	}

	var seen map[string]int
	peertest.Wait(t, "every answered request to stand in the console", 90*time.Second, func() bool {
		seen = events(t, bin, consoleData)
		for _, a := range all {
			if seen[fmt.Sprintf("/kill-%d", a.n)] == 0 {
				time.Sleep(300 * time.Millisecond)
				return false
			}
		}
		return true
	})
	doubled := 0
	for path, n := range seen {
		if n > 1 {
			doubled++
			t.Errorf("%s stands in the console %d times", path, n)
		}
		if doubled > 10 {
			break
		}
	}
	free := 0
	for _, a := range all {
		if status := get(t, site, a.from); status != 403 {
			free++
		}
	}
	if free > 0 {
		t.Errorf("%d of %d clients whose touch was answered are not blocked on the real site", free, len(all))
	}
}

// touch asks the trap from an address of its own; true means that the whole answer arrived.
func touch(ctx context.Context, port int, a answered) bool {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.from)}, Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "GET /kill-%d HTTP/1.1\r\nHost: trap\r\nConnection: close\r\n\r\n", a.n)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == 403
}

func get(t *testing.T, port int, from string) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
		DisableKeepAlives: true,
	}, Timeout: 10 * time.Second}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

var killPath = regexp.MustCompile(`/kill-\d+`)

// events counts how often each path of the load stands in the console.
func events(t *testing.T, bin, data string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for line := range strings.Lines(run(t, bin, "events", "-n", "1000000", "--data", data)) {
		if path := killPath.FindString(line); path != "" {
			seen[path]++
		}
	}
	return seen
}

func run(t *testing.T, bin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(bin, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("trapline %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
