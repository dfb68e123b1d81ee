package ingest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
)

// killDir names the folder of the console that the child process serves; set only for the child.
const killDir = "TRAPLINE_TEST_KILL_DIR"

// TestConsoleThatIsKilled is the child of the test below: a console that prints its address and serves until it is killed.
func TestConsoleThatIsKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("runs as a child of TestWhatWasAnsweredSurvivesKill")
	}
	s, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Open(control.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stderr, "listening", ln.Addr())
	t.Fatal(http.Serve(ln, New(Config{Store: s, Control: c})))
}

// TestWhatWasAnsweredSurvivesKill sends entries from many connections while the
// console is killed again and again. A sender repeats what was not answered, as
// mlogc does: in the end every entry is stored, once.
func TestWhatWasAnsweredSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	secret := addSensor(t, dir)
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	answered := make(map[int]bool)
	var mu sync.Mutex
	next := 0
	var again []int // not answered: sent once more to the next console
	for round := range rounds {
		address, kill := startChild(t, dir)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					mu.Lock()
					var n int
					if len(again) > 0 {
						n, again = again[len(again)-1], again[:len(again)-1]
					} else {
						n = next
						next++
					}
					mu.Unlock()
					ok := putOnce(t, client, address, secret, n)
					mu.Lock()
					if answered[n] = ok; !ok {
						again = append(again, n)
					}
					mu.Unlock()
					if !ok {
						return // the console is dead
					}
				}
			})
		}
		if round < rounds-1 {
			time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, kill)
		} else {
			time.AfterFunc(300*time.Millisecond, kill)
		}
		wg.Wait()
	}
	s, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stored := 0
	for n, ok := range answered {
		_, err := s.Event(t.Context(), "killed", fmt.Sprintf("id-%d", n))
		if ok && err != nil {
			t.Errorf("entry %d was answered with 200 and is lost: %v", n, err)
		}
		if err == nil {
			stored++
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Events != int64(stored) {
		t.Errorf("%d events in the store, %d of them known to the sender, %v", st.Events, stored, err)
	}
	t.Logf("%d entries sent, %d stored over %d kills", next, stored, rounds)
}

func addSensor(t *testing.T, dir string) (secret string) {
	t.Helper()
	c, err := control.Open(control.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if secret, err = c.AddSensor(t.Context(), "killed"); err != nil {
		t.Fatal(err)
	}
	return secret
}

func startChild(t *testing.T, dir string) (address string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestConsoleThatIsKilled$")
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if a, found := strings.CutPrefix(lines.Text(), "listening "); found {
			go io.Copy(io.Discard, out)
			return a, func() { cmd.Process.Kill() }
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	t.Fatalf("the console did not start on %v", files)
	return "", nil
}

// putOnce reports whether the entry was answered with 200.
func putOnce(t *testing.T, client *http.Client, address, secret string, n int) bool {
	entry := testEntry(n)
	req, err := http.NewRequest(http.MethodPut, "http://"+address+PathPut, bytes.NewReader(entry))
	if err != nil {
		t.Error(err)
		return false
	}
	req.GetBody = nil // the transport must not send again by itself
	req.SetBasicAuth("killed", secret)
	req.Header.Set("X-Content-Hash", md5Header(entry))
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("entry %d: %s", n, resp.Status)
	}
	return resp.StatusCode == http.StatusOK
}
