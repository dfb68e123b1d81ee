//go:build peers && linux

package forward

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/test/peertest"
)

// TestPeerApacheKilled puts our program where the article has `|mlogc`, in a real Apache with mod_security2, and kills it again
// and again while requests come. Every request that was answered has its entry at the console. (With mlogc 226 of 900 were lost.)
func TestPeerApacheKilled(t *testing.T) {
	c := newConsole(t)
	dir, err := os.MkdirTemp("", "trapline-piped-") // Apache's worker user must be able to enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	storage := filepath.Join(dir, "data")
	for _, d := range []string{dir, storage} {
		os.MkdirAll(d, 0o777)
		os.Chmod(d, 0o777)
	}
	conf := filepath.Join(dir, "mlogc.conf")
	os.WriteFile(conf, []byte("CollectorRoot "+dir+"\nConsoleURI "+c.URL+"\nSensorUsername s\nSensorPassword p\nLogStorageDir data\nQueuePath queue.log\nStartupDelay 0\nTransactionDelay 0\nServerErrorTimeout 1\nCheckpointInterval 1\n"), 0o600)
	t.Setenv(childConf, conf)
	t.Setenv(childConf+"_DRAIN", "1")
	port := peertest.Ports(t, 1)[0]
	address := "127.0.0.1:" + strconv.Itoa(port)
	a := peertest.StartApache(t, fmt.Sprintf(`Listen %s
SecRuleEngine On
SecAuditEngine On
SecAuditLogType Concurrent
SecAuditLogStorageDir %s
SecAuditLog "|%s"
SecAuditLogParts ABFHZ
SecDataDir {{dir}}/data
SecRule SERVER_PORT "^%d$" "id:999004,phase:2,deny,status:403,t:none,msg:'HoneyTrap Alert: Traffic Received on Fake Port.'"
Header always set X-Id %%{UNIQUE_ID}e
`, address, storage, os.Args[0], port), address)

	const requests = 2000
	var mu sync.Mutex
	ids := map[string]bool{}
	var clients sync.WaitGroup
	work := make(chan int)
	for range 10 {
		clients.Go(func() {
			for i := range work {
				resp, err := http.Get("http://" + address + "/" + strconv.Itoa(i))
				if err != nil {
					t.Error(err)
					continue
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				mu.Lock()
				ids[resp.Header.Get("X-Id")] = true
				mu.Unlock()
			}
		})
	}
	kills := 0
	for i := range requests {
		work <- i
		if i%60 == 59 {
			kills += killPiped(t, conf)
		}
		if i%10 == 9 {
			time.Sleep(30 * time.Millisecond) // 330 a second at most; Apache looks after its loggers about once a second
		}
	}
	close(work)
	clients.Wait()
	if len(ids) != requests || kills < 3 {
		t.Errorf("%d ids of %d requests, %d kills", len(ids), requests, kills)
	}
	missing := func() (n int) {
		have := map[string]bool{}
		for _, id := range c.ids() {
			have[id] = true
		}
		for id := range ids {
			if !have[id] {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(15 * time.Second); missing() > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	a.Stop()
	t.Logf("%d requests, %d kills, %d entries stored, %d missing", len(ids), kills, len(c.ids()), missing())
	if n := missing(); n > 0 {
		t.Errorf("%d of %d entries are lost", n, len(ids))
	}
}

// killPiped kills our own piped programs: those that run this test's binary with this test's conf.
func killPiped(t *testing.T, conf string) (killed int) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	self, _ := os.Readlink("/proc/self/exe")
	for _, proc := range procs {
		exe, err := os.Readlink(filepath.Join(proc, "exe"))
		pid, _ := strconv.Atoi(filepath.Base(proc))
		if err != nil || exe != self || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join(proc, "environ"))
		if strings.Contains(string(env), childConf+"="+conf+"\x00") && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}
