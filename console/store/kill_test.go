package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// killDir names the folder in which the child process inserts; set only for the child.
const killDir = "TRAPLINE_TEST_KILL_DIR"

// TestChildThatIsKilled is the child of the test below: it inserts from several
// goroutines for ever and prints the number of each event after Insert returned.
func TestChildThatIsKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("runs as a child of TestWhatInsertReportedSurvivesKill")
	}
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(os.Getenv("TRAPLINE_TEST_KILL_FIRST"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := first + w; ; n += 8 {
				if _, err := s.Insert(context.Background(), []Event{testEvent(n)}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				fmt.Fprintln(os.Stderr, "stored", n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestWhatInsertReportedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	reported := map[int]bool{}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChildThatIsKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir, "TRAPLINE_TEST_KILL_FIRST="+strconv.Itoa(round*100_000))
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The clock starts with the first report, so that every round stores something.
		var kill *time.Timer
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			if c, _ := fmt.Sscanf(lines.Text(), "stored %d", &n); c == 1 {
				reported[n] = true
			}
			if kill == nil {
				kill = time.AfterFunc(time.Duration(5+rand.IntN(120))*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
		if kill == nil {
			t.Fatal("the child stored nothing")
		}
	}
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range reported {
		e := testEvent(n)
		got, err := s.Event(t.Context(), e.Sensor, e.Record.ID)
		if err != nil || string(got.Entry) != string(e.Entry) {
			t.Errorf("event %d was reported and is lost: %v", n, err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Events < int64(len(reported)) {
		t.Errorf("hours count %d events of at least %d, %v", st.Events, len(reported), err)
	}
	var rows int64
	if err := s.readers.QueryRow("SELECT count(*) FROM events").Scan(&rows); err != nil || rows != st.Events {
		t.Errorf("%d rows, hours count %d, %v", rows, st.Events, err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	t.Logf("%d events reported over %d kills, %d stored, files %d", len(reported), rounds, st.Events, len(files))
}
