package spool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

func ids(entries []Entry) map[string]int {
	m := make(map[string]int)
	for _, e := range entries {
		m[e.ID]++
	}
	return m
}

// At every step on the disk, while entries come, are delivered, acknowledged
// in any order, set aside and trimmed, the directory is copied as kill -9
// would leave it. In each copy every entry that was durable and not
// acknowledged is delivered, and none twice.
func TestStopAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	put, taken := map[string]bool{}, map[string]bool{}
	type stop struct {
		dir, step string
		owed      []string
	}
	var stops []stop
	s := open(t, Config{Dir: dir, SegmentBytes: 400, Step: func(step durable.Step, path string) error {
		mu.Lock()
		defer mu.Unlock()
		st := stop{dir: t.TempDir(), step: fmt.Sprint(step, " ", filepath.Base(path))}
		for id := range put {
			if !taken[id] {
				st.owed = append(st.owed, id)
			}
		}
		// Files that go away while they are copied are not owed to anybody.
		if err := os.CopyFS(st.dir, os.DirFS(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		stops = append(stops, st)
		return nil
	}})
	r := reader(t, s, "a")
	for i := range 60 {
		id := fmt.Sprint("id", i)
		if err := s.Append(context.Background(), id, []byte(strings.Repeat("x", i))); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		put[id] = true
		mu.Unlock()
		if i%4 != 3 {
			continue
		}
		got := drain(t, r)
		rand.Shuffle(len(got), func(a, b int) { got[a], got[b] = got[b], got[a] })
		for n, e := range got {
			mu.Lock()
			taken[e.ID] = true // from here on it may or may not come again
			mu.Unlock()
			err := r.Ack(e.Seq)
			if n == 3 {
				err = errors.Join(err, r.Release(e.Seq)) // refused: it is acknowledged
				if !errors.Is(err, ErrUnknown) {
					t.Fatal(err)
				}
				err = nil
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	for _, st := range stops {
		s := open(t, Config{Dir: st.dir})
		got := ids(drain(t, reader(t, s, "a")))
		for _, id := range st.owed {
			if got[id] != 1 {
				t.Fatalf("stop at %s: %s is delivered %d times", st.step, id, got[id])
			}
		}
		for id, n := range got {
			if n != 1 {
				t.Fatalf("stop at %s: %s is delivered %d times", st.step, id, n)
			}
		}
		_ = s.Close()
	}
	t.Logf("%d stops", len(stops))
}

// What was saved is not delivered again after kill -9.
func TestSavedAcksHoldAfterKill(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	r := reader(t, s, "a")
	put(t, s, 2000)
	entries := drain(t, r)
	for i, e := range entries[:1999] {
		if i == 5 {
			continue
		}
		if err := r.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	c := t.TempDir()
	if err := os.CopyFS(c, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: c})
	r = reader(t, s, "a")
	if n, _ := r.Backlog(); n != 2 {
		t.Errorf("backlog %d", n)
	}
	got := drain(t, r)
	if len(got) != 2 || got[0].ID != "id5" || got[1].ID != "id1999" {
		t.Fatalf("%d entries delivered again", len(got))
	}
}

// A damaged cursor file costs nothing but work done twice.
func TestDamagedCursorDeliversAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	r := reader(t, s, "a")
	put(t, s, 5)
	for _, e := range drain(t, r)[:3] {
		_ = r.Ack(e.Seq)
	}
	_ = s.Close()
	file := filepath.Join(dir, "readers", "a")
	whole, _ := os.ReadFile(file)
	for at := range whole {
		b := slices.Clone(whole)
		b[at] ^= 2
		for _, b := range [][]byte{b, whole[:at]} {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, Config{Dir: dir})
			if got := drain(t, reader(t, s, "a")); len(got) != 5 {
				t.Fatalf("byte %d: %d entries", at, len(got))
			}
			_ = s.log.Close() // as kill -9: nothing is saved
			_ = s.readers["a"].closeFile()
			s.closed = true
		}
	}
}

func TestDamagedEntryCostsItself(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	put(t, s, 20)
	_ = s.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	whole, _ := os.ReadFile(files[0])
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(files[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	r := reader(t, s, "a")
	if got := drain(t, r); len(got) != 19 {
		t.Fatalf("%d entries", len(got))
	}
	put(t, s, 1)
	if more := drain(t, r); len(more) != 1 {
		t.Fatalf("%d entries after the damage", len(more))
	}
	if n, _ := r.Backlog(); n != 20 || s.Stats().Missing != 1 {
		t.Fatalf("backlog %d, %+v", n, s.Stats())
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	full := false
	var mu sync.Mutex
	s := open(t, Config{Step: func(step durable.Step, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if full && step == durable.StepWrite {
			return syscall.ENOSPC
		}
		return nil
	}})
	put(t, s, 1)
	mu.Lock()
	full = true
	mu.Unlock()
	if err := s.Append(context.Background(), "lost", nil); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	put(t, s, 1)
	if got := drain(t, reader(t, s, "a")); len(got) != 2 || s.Stats().Failed != 1 {
		t.Fatalf("%d entries, %+v", len(got), s.Stats())
	}
}

const childDir = "TRAPLINE_TEST_SPOOL"

// TestKillChild is the program that TestKill kills.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only as the child of TestKill")
	}
	s, err := Open(Config{Dir: dir, SegmentBytes: 50_000, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(a ...any) { out.Lock(); defer out.Unlock(); fmt.Println(a...) }
	go func() { _ = s.Run(context.Background()) }()
	go func() {
		for {
			if err := s.save(); err != nil {
				say("error", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	r, err := s.Reader("a")
	if err != nil {
		say("error", err)
	}
	for w := range 16 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, n)
				if err := s.Append(context.Background(), id, make([]byte, n%500)); err != nil {
					say("error", err)
					return
				}
				say("put", id)
			}
		}()
	}
	for {
		e, err := r.Next(context.Background())
		if err != nil {
			say("error", err)
			return
		}
		say("got", e.ID)
		if rand.IntN(100) == 0 {
			err = r.SetAside(e.Seq, "409")
		} else {
			err = r.Ack(e.Seq)
		}
		if err != nil {
			say("error", err)
		}
	}
}

// TestKill kills a sensor's spool under load with kill -9, again and again over
// one directory: every entry that was reported durable is delivered at last.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	put, got := map[string]bool{}, map[string]bool{}
	again := 0
	for range 20 {
		for _, line := range killed(t, "TestKillChild", childDir+"="+dir, time.Duration(30+rand.IntN(100))*time.Millisecond) {
			what, id, _ := strings.Cut(line, " ")
			switch what {
			case "put":
				put[id] = true
			case "got":
				if got[id] {
					again++
				}
				got[id] = true
			default:
				t.Fatalf("the child says %q", line)
			}
		}
	}
	s := open(t, Config{Dir: dir})
	for _, f := range s.Faults() {
		if !f.Torn {
			t.Fatal(f)
		}
	}
	r := reader(t, s, "a")
	for _, e := range drain(t, r) {
		got[e.ID] = true
	}
	lost := 0
	for id := range put {
		if !got[id] {
			lost++
		}
	}
	if lost > 0 || len(put) < 100 {
		t.Fatalf("%d of %d durable entries are lost", lost, len(put))
	}
	t.Logf("%d durable entries, %d delivered again", len(put), again)
}

// killed runs a test of this binary as a child, kills it after a while and returns the whole lines it wrote.
func killed(t *testing.T, test, env string, after time.Duration) (lines []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		// The clock starts with the first line, so that slow machines test something too.
		once.Do(func() { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) })
		if err != nil {
			break
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	_ = cmd.Wait()
	return lines
}

func FuzzCursorFile(f *testing.F) {
	f.Add(formatCursor(4711, ranges{{4713, 4720}, {4725, 4725}}, nil))
	f.Add(formatCursor(0, nil, nil))
	f.Add(formatCursor(9, nil, []Gap{{From: 1, To: 8, Entries: 7, First: time.Unix(1, 2), Before: time.Unix(3, 4)}, {From: 9, To: 9, Entries: 1, First: time.Unix(5, 6), Before: time.Unix(5, 7), Reported: true}}))
	f.Add([]byte("trapline spool cursor 1\nlow 1\ncrc32c 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		low, acked, gaps, err := parseCursor(b)
		if err != nil {
			return
		}
		l2, a2, g2, err := parseCursor(formatCursor(low, acked, gaps))
		if err != nil || l2 != low || !slices.Equal(a2, acked) || !slices.Equal(g2, gaps) {
			t.Fatalf("%d %v %v, again %d %v %v %v", low, acked, gaps, l2, a2, g2, err)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(append(appendHead(nil, time.Unix(1, 2), "id"), "bytes"...), []byte("{\"seq\":1}\nbody"))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 255}, []byte("{"))
	f.Fuzz(func(t *testing.T, payload, aside []byte) {
		if e, err := parseEntry(1, payload); err == nil {
			if again := append(appendHead(nil, e.Time, e.ID), e.Bytes...); string(again) != string(payload) {
				t.Fatalf("%q is written as %q", payload, again)
			}
		}
		_, _, _ = parseAside(aside)
	})
}
