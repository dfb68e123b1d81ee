package collection

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

func counter(t testing.TB, s *Store, key string) int {
	t.Helper()
	v, _ := s.Load("ip", key, t0)
	text, ok := v.Get("n")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ledger is what callers were told is durable.
type ledger struct {
	mu    sync.Mutex
	acked map[string]int
}

func (l *ledger) set(key string, n int) { l.mu.Lock(); defer l.mu.Unlock(); l.acked[key] = n }

func (l *ledger) copy() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(map[string]int)
	for k, v := range l.acked {
		c[k] = v
	}
	return c
}

// At every step on the disk, while callers apply and the store compacts, the
// directory is copied as kill -9 would leave it; each copy must hold every
// change that was durable before.
func TestStopAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	led := &ledger{acked: map[string]int{}}
	type stop struct {
		dir, step string
		acked     map[string]int
	}
	var stops []stop
	hook := func(step durable.Step, path string) error {
		st := stop{step: fmt.Sprint(step, " ", filepath.Base(path)), acked: led.copy()}
		st.dir = copied(t, dir)
		stops = append(stops, st) // steps are taken one at a time: by who writes, or by Compact between
		return nil
	}
	var mu sync.Mutex
	s := open(t, Config{Dir: dir, Step: func(step durable.Step, path string) error {
		mu.Lock()
		defer mu.Unlock()
		return hook(step, path)
	}})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			key := fmt.Sprint("k", w)
			for i := range 20 {
				if err := s.Apply("ip", key, 0, t0, []Change{add("n", 1)}).Wait(context.Background()); err != nil {
					t.Error(err)
				}
				led.set(key, i+1)
				if w == 0 && i%7 == 6 {
					if err := s.Compact(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	_ = s.Close()
	for _, st := range stops {
		s := open(t, Config{Dir: st.dir})
		for _, f := range s.Faults() {
			if !f.Torn {
				t.Fatalf("stop at %s: %v", st.step, f)
			}
		}
		for key, want := range st.acked {
			if got := counter(t, s, key); got < want || got > 20 {
				t.Fatalf("stop at %s: %s is %d, durable was %d", st.step, key, got, want)
			}
		}
		_ = s.Close()
	}
	t.Logf("%d stops", len(stops))
}

// copied returns a copy of dir, begun again when a file went away meanwhile: else it could lack both the old and the new.
func copied(t *testing.T, dir string) string {
	for {
		to := t.TempDir()
		err := os.CopyFS(to, os.DirFS(dir))
		if err == nil {
			return to
		}
		if !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
			return to
		}
	}
}

// A tag that is set again and again is on disk when the first Wait returns, and
// the repetitions share its fsync and need none of their own.
func TestRepeatedTagIsDurable(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	acked := map[string]time.Time{} // key -> expiry
	type stop struct {
		dir   string
		acked map[string]time.Time
	}
	var stops []stop
	s := open(t, Config{Dir: dir, Now: time.Now, Step: func(step durable.Step, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if len(stops) < 150 {
			stops = append(stops, stop{acked: maps.Clone(acked)})
			stops[len(stops)-1].dir = copied(t, dir)
		}
		return nil
	}})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 400 {
				key := fmt.Sprint("k", i/100) // all four touch the same clients
				now := time.Now()
				end := now.Add(time.Minute)
				wait(t, s.Apply("ip", key, time.Hour, now, []Change{set("tag", fmt.Sprint(i/50)), expire("tag", end)}))
				if w == 0 {
					mu.Lock()
					acked[key] = end
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Log.Syncs > 300 {
		t.Errorf("%d syncs for 1,600 touches", st.Log.Syncs)
	}
	_ = s.Close()
	for i, st := range stops {
		s := open(t, Config{Dir: st.dir, Now: time.Now})
		for key, want := range st.acked {
			v, _ := s.Load("ip", key, time.Now())
			if got, ok := v.ExpiresVar("tag"); !ok || got.Before(want.Add(-3*time.Second)) {
				t.Fatalf("stop %d: %s ends %v, %v was durable", i, key, got, want)
			}
		}
		_ = s.Close()
	}
	t.Logf("%d stops, %d syncs", len(stops), s.Stats().Log.Syncs)
}

const childDir = "TRAPLINE_TEST_COLLECTION"

// TestKillChild is the program that TestKill kills.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only as the child of TestKill")
	}
	s, err := Open(Config{Dir: dir, Now: func() time.Time { return t0 }, CompactBytes: 20_000, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() { _ = s.Run(context.Background()) }()
	go func() {
		for {
			if err := s.Compact(); err != nil {
				fmt.Println("error", err)
			}
			time.Sleep(3 * time.Millisecond)
		}
	}()
	var out sync.Mutex
	for w := range 16 {
		go func() {
			key := fmt.Sprint("k", w)
			for n := counter(t, s, key) + 1; ; n++ {
				if err := s.Apply("ip", key, 0, t0, []Change{add("n", 1), set("tag", "1")}).Wait(context.Background()); err != nil {
					fmt.Println("error", err)
					return
				}
				out.Lock()
				fmt.Println(key, n)
				out.Unlock()
			}
		}()
	}
	select {}
}

// TestKill kills a process under load with kill -9, again and again over one
// directory, and looks for every change that it had been told is durable.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{}
	total := 0
	for round := range 20 {
		lines := killed(t, "TestKillChild", childDir+"="+dir, time.Duration(30+rand.IntN(120))*time.Millisecond)
		for _, line := range lines {
			key, text, ok := strings.Cut(line, " ")
			n, err := strconv.Atoi(text)
			if !ok || err != nil {
				t.Fatalf("the child says %q", line)
			}
			acked[key] = max(acked[key], n)
			total++
		}
		s := open(t, Config{Dir: dir})
		for _, f := range s.Faults() {
			if !f.Torn {
				t.Fatalf("round %d: %v", round, f)
			}
		}
		for key, want := range acked {
			if got := counter(t, s, key); got < want || got > want+round+1 {
				t.Fatalf("round %d: %s is %d, durable was %d", round, key, got, want)
			}
		}
		_ = s.Close()
	}
	if total < 100 {
		t.Fatalf("%d changes in all: the test tests nothing", total)
	}
	t.Logf("%d durable changes", total)
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
		// The clock starts with the first change, so that slow machines test something too.
		once.Do(func() { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) })
		if err != nil {
			break
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	_ = cmd.Wait()
	return lines
}

func TestDamagedMiddleIsReportedAndTheRestKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	for i := range 50 {
		wait(t, s.Apply("ip", fmt.Sprint("k", i), 0, t0, tag(t0)))
	}
	_ = s.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	whole, _ := os.ReadFile(files[0])
	for at := 8; at < len(whole)-200; at += 97 {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		if err := os.WriteFile(files[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		c := t.TempDir()
		if err := os.CopyFS(c, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		s := open(t, Config{Dir: c})
		if n := s.Stats().Records; n != 49 || len(s.Faults()) != 1 || s.Faults()[0].Torn {
			t.Fatalf("byte %d: %d records, %v", at, n, s.Faults())
		}
		_ = s.Close()
	}
}

// While the disk is full a repeated tag is not said to be durable because memory has it.
func TestFullDiskAndRepeatedTag(t *testing.T) {
	var mu sync.Mutex
	full := true
	s := open(t, Config{Dir: t.TempDir(), Step: func(step durable.Step, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if full && step == durable.StepWrite {
			return syscall.ENOSPC
		}
		return nil
	}})
	for range 5 {
		if err := s.Apply("ip", "a", 0, t0, tag(t0)).Wait(context.Background()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	mu.Lock()
	full = false
	mu.Unlock()
	before := s.Stats().Log.Syncs
	wait(t, s.Apply("ip", "a", 0, t0, tag(t0)))
	if s.Stats().Log.Syncs == before {
		t.Fatal("durable without a sync")
	}
}

func TestFullDiskGoesOnInMemory(t *testing.T) {
	full := false
	dir := t.TempDir()
	var mu sync.Mutex
	s := open(t, Config{Dir: dir, Step: func(step durable.Step, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if full && step == durable.StepWrite {
			return syscall.ENOSPC
		}
		return nil
	}})
	wait(t, s.Apply("ip", "a", 0, t0, []Change{add("n", 1)}))
	mu.Lock()
	full = true
	mu.Unlock()
	if err := s.Apply("ip", "a", 0, t0, []Change{add("n", 1)}).Wait(context.Background()); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if got := counter(t, s, "a"); got != 2 {
		t.Fatalf("in memory %d", got)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	if !s.wantsCompaction() {
		t.Error("what the disk did not take is not made up for")
	}
	if err := s.Compact(); err != nil || s.wantsCompaction() {
		t.Error(err)
	}
	c := copied(t, dir)
	if got := counter(t, open(t, Config{Dir: c}), "a"); got != 2 {
		t.Errorf("the snapshot has %d", got)
	}
	// Without it the next state of the record brings the lost one with it.
	wait(t, s.Apply("ip", "a", 0, t0, []Change{add("n", 1)}))
	_ = s.Close()
	if got := counter(t, open(t, Config{Dir: dir}), "a"); got != 3 {
		t.Fatalf("after opening %d", got)
	}
}

func FuzzReplay(f *testing.F) {
	s := open(f, Config{})
	s.Apply("ip", "192.0.2.1", time.Hour, t0, append(tag(t0), add("n", 3), unset("reason")))
	rec := s.space("ip").shards[0].recs
	for i := range s.space("ip").shards {
		if len(s.space("ip").shards[i].recs) > 0 {
			rec = s.space("ip").shards[i].recs
		}
	}
	for _, r := range rec {
		f.Add(append([]byte("\x02ip"), r...))
	}
	f.Add([]byte("\x02ip\x01k\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := open(t, Config{})
		if err := s.replay()(1, payload); err != nil {
			t.Skip(err)
		}
		for name, sp := range *s.spaces.Load() {
			for i := range sp.shards {
				for key, rec := range sp.shards[i].recs {
					// What was let in must be readable, changeable and writable again.
					v, _ := s.Load(name, key, t0)
					_ = all(v)
					s.Apply(name, key, 0, t0, []Change{set("a", "1"), add("n", 1), unset("reason")})
					if _, err := checkRecord(rec); err != nil {
						t.Fatal(err)
					}
					if v, ok := s.Load(name, key, t0); ok {
						if got, _ := v.Get("a"); got != "1" && v.Expires().After(t0) && len(all(v)) < MaxVariables {
							t.Fatalf("a = %q in %q", got, all(v))
						}
					}
				}
			}
		}
	})
}
