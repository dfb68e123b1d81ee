package forward

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

// childConf names the conf file with which the test binary is to be the piped program.
const childConf = "TRAPLINE_TEST_PIPED"

func TestMain(m *testing.M) {
	path := os.Getenv(childConf)
	if path == "" {
		os.Exit(m.Run())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		os.Exit(2)
	}
	conf, _, err := ParseConf(path, text)
	if err != nil {
		os.Exit(2)
	}
	conf.Drain = os.Getenv(childConf+"_DRAIN") != ""
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if err := Piped(context.Background(), os.Stdin, conf, log); err != nil {
		log.Error("piped", "err", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestPipedKilled (more kills with TRAPLINE_KILLS): the program is killed again and again under load, with a console that at times
// fails, hangs up after it stored, or refuses. Every event arrives; what comes twice has the same id.
func TestPipedKilled(t *testing.T) {
	for name, keep := range map[string]string{"remove": "KeepEntries 0", "keep": "KeepEntries 1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testKilled(t, keep)
		})
	}
}

func testKilled(t *testing.T, keep string) {
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("TRAPLINE_KILLS")); err == nil {
		kills = n
	}
	c := newConsole(t)
	var wild atomic.Bool
	wild.Store(true)
	c.answer = func(w http.ResponseWriter, _ *http.Request, id string) bool {
		if !wild.Load() {
			return false
		}
		switch rand.IntN(20) {
		case 0:
			w.WriteHeader(503)
			return true
		case 1: // stored, but the answer is lost
			c.mu.Lock()
			c.stored = append(c.stored, id)
			c.mu.Unlock()
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
			return true
		}
		return false
	}
	s := newSensor(t, c.URL, keep, "ServerErrorTimeout 1")
	conf := s.dir + "/mlogc.conf"
	os.WriteFile(conf, []byte("CollectorRoot "+s.dir+"\nConsoleURI "+c.URL+"\nSensorUsername s\nSensorPassword p\nLogStorageDir data\nQueuePath queue.log\nStartupDelay 0\nTransactionDelay 0\nServerErrorTimeout 1\nCheckpointInterval 1\n"+keep+"\n"), 0o600)

	// As with Apache the pipe outlives the program: what is in it goes to the next one.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	var sent atomic.Int64
	stop := make(chan struct{})
	produced := make(chan map[string]bool)
	go func() {
		ids := map[string]bool{}
		defer func() { write.Close(); produced <- ids }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rand.IntN(2)) * time.Millisecond):
			}
			id := audit.NewID()
			line := s.event(t, id)
			ids[id] = true
			if _, err := write.WriteString(line); err != nil {
				t.Error(err)
				return
			}
			sent.Add(1)
		}
	}()
	for range kills {
		child := startChild(t, conf, read, "")
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		child.Process.Kill()
		child.Wait()
	}
	close(stop)
	// The pipe may be full: the last child must read before the producer can end.
	wild.Store(false)
	child := startChild(t, conf, read, "1")
	ids := <-produced
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	stored := map[string]int{}
	for _, id := range c.ids() {
		stored[id]++
	}
	lost, twice := 0, 0
	for id := range ids {
		switch n := stored[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
		delete(stored, id)
	}
	t.Logf("%d events, %d kills: %d lost, %d came more than once", len(ids), kills, lost, twice)
	if lost > 0 || len(stored) > 0 {
		t.Errorf("%d lost, %d that nobody sent", lost, len(stored))
	}
}

func startChild(t *testing.T, conf string, in *os.File, drain string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConf+"="+conf, childConf+"_DRAIN="+drain)
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}
