package durable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// replayed opens the log in cfg.Dir and returns it with the payloads it held.
func replayed(t testing.TB, cfg Config) (*Log, []string, []Fault) {
	t.Helper()
	var got []string
	l, faults, err := OpenLog(cfg, func(_ uint64, p []byte) error { got = append(got, string(p)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, got, faults
}

func appendWait(t testing.TB, l *Log, text string) {
	t.Helper()
	if err := l.AppendString(nil, text).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// payload is the text of frame i: lengths differ, and some hold zeros.
func payload(i int) string { return fmt.Sprintf("frame %d %s", i, strings.Repeat("\x00x", i%7)) }

func numbers(n int) (want []string) {
	for i := range n {
		want = append(want, payload(i))
	}
	return want
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestLogReplaysInOrder(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 300}
	var want []string
	for round := range 4 {
		l, got, faults := replayed(t, cfg)
		if !slices.Equal(got, want) || len(faults) > 0 {
			t.Fatalf("round %d: got %q, faults %v", round, got, faults)
		}
		for i := range 10 {
			appendWait(t, l, payload(i))
			want = append(want, payload(i))
		}
		if st := l.Stats(); st.Segments < 2 || l.NextSeq() != uint64(len(want)+1) || l.Synced() != l.NextSeq() {
			t.Fatalf("%+v next %d", st, l.NextSeq())
		}
		for range 2 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Append(nil, nil).Wait(context.Background()); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestLogIsLocked(t *testing.T) {
	dir := t.TempDir()
	replayed(t, Config{Dir: dir})
	if _, _, err := OpenLog(Config{Dir: dir}, nil); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
}

func TestCloseKeepsWhatNobodyWaitedFor(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir})
	ticket := l.AppendString([]byte("head "), "body")
	if ticket.Ready() || l.Pending() == 0 {
		t.Error("ready before anybody wrote")
	}
	if err := l.Close(); err != nil || !ticket.Ready() {
		t.Fatal(err)
	}
	if _, got, _ := replayed(t, Config{Dir: dir}); !slices.Equal(got, []string{"head body"}) {
		t.Fatalf("%q", got)
	}
}

func TestBeginWritesWithoutWaiting(t *testing.T) {
	l, _, _ := replayed(t, Config{Dir: t.TempDir()})
	a := l.AppendString(nil, "a")
	a.Begin()
	a.Begin()
	for deadline := time.Now().Add(10 * time.Second); !a.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not written")
		}
	}
	if err := a.Wait(context.Background()); err != nil || l.Synced() != 2 {
		t.Fatal(err)
	}
	Ticket{}.Begin()
}

func TestConcurrentAppendsShareSyncs(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir, SegmentBytes: 4000})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				ctx, cancel := context.WithCancel(context.Background())
				if i%10 == 0 {
					cancel() // the frame goes to disk all the same
				}
				err := l.AppendString(nil, fmt.Sprintf("%d-%d", w, i)).Wait(ctx)
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if st := l.Stats(); st.Syncs > 700 || st.Appends != 800 {
		t.Errorf("%d syncs for %d appends", st.Syncs, st.Appends)
	}
	_, got, faults := replayed(t, Config{Dir: dir})
	if len(faults) > 0 || len(got) != 800 {
		t.Fatalf("%d frames, %v", len(got), faults)
	}
	last := map[string]int{}
	for _, g := range got {
		w, n, _ := strings.Cut(g, "-")
		var i int
		fmt.Sscan(n, &i)
		if before, ok := last[w]; ok && i != before+1 {
			t.Fatalf("caller %s: %d after %d", w, i, before)
		}
		last[w] = i
	}
}

// oneSegment makes a log of n frames, each a write of its own, and returns its directory and file.
func oneSegment(t testing.TB, n int) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir})
	for i := range n {
		appendWait(t, l, payload(i))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	if len(files) != 1 {
		t.Fatal(files)
	}
	return dir, files[0]
}

func TestTornAtEveryByte(t *testing.T) {
	dir, file := oneSegment(t, 3)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := numbers(3)
	for _, tail := range []string{"", "\x00\x00\x00\x00\x00", strings.Repeat("\x00", 5000)} {
		for at := len(whole); at >= 0; at-- {
			if err := os.WriteFile(file, append(whole[:at:at], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			c := copyDir(t, dir)
			l, got, faults := replayed(t, Config{Dir: c})
			if !slices.Equal(got, want[:len(got)]) || at == len(whole) && len(got) != 3 {
				t.Fatalf("cut at %d: %q", at, got)
			}
			for _, f := range faults {
				if !f.Torn {
					t.Fatalf("cut at %d: %v", at, f)
				}
			}
			if at%5 != 0 {
				_ = l.Close()
				continue
			}
			appendWait(t, l, "after")
			_ = l.Close()
			l, again, faults := replayed(t, Config{Dir: c})
			if !slices.Equal(again, append(got, "after")) || len(faults) > 0 {
				t.Fatalf("cut at %d, reopened: %q %v", at, again, faults)
			}
			_ = l.Close()
		}
	}
}

func TestFlippedBitsCostOneFrame(t *testing.T) {
	dir, file := oneSegment(t, 6)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := numbers(6)
	seg, _ := parseName(dir, filepath.Base(file), segmentExt)
	for bit := range 8 * len(whole) {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		n := 0
		_, err := readSegment(bytes.NewReader(b), file, int64(len(b)), seg.salt, 1<<20, func(fr frame, _ int64) error {
			if n++; !slices.Contains(want, string(fr.payload)) {
				t.Fatalf("bit %d made %q", bit, fr.payload)
			}
			return nil
		})
		if err != nil || n < 5 || n < 6 && bit/8 < len(fileMark) {
			t.Fatalf("bit %d: %d frames, %v", bit, n, err)
		}
	}
	for at := 0; at < len(whole); at += 9 {
		damaged := slices.Clone(whole)
		damaged[at] ^= 1 << (at % 8)
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		l, got, faults := replayed(t, Config{Dir: copyDir(t, dir)})
		_ = l.Close()
		kept := 0
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Fatalf("bit in byte %d made %q", at, g)
			}
			kept++
		}
		wantKept := 5
		if at < len(fileMark) {
			wantKept = 6
		}
		if kept != wantKept || len(faults) != 1 {
			t.Fatalf("bit in byte %d: kept %d, faults %v", at, kept, faults)
		}
		inLast := at >= len(whole)-frameHead-len(want[5])
		if at >= len(fileMark) && faults[0].Torn != inLast {
			t.Fatalf("bit in byte %d: %+v", at, faults[0])
		}
	}
}

// A payload that is itself a segment of another log, which is what an attacker can send at most.
func TestPayloadIsNeverTakenForAFrame(t *testing.T) {
	_, inner := oneSegment(t, 3)
	forged, err := os.ReadFile(inner)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir})
	appendWait(t, l, string(forged))
	appendWait(t, l, "after")
	_ = l.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	whole, _ := os.ReadFile(files[0])
	whole[len(fileMark)+5] ^= 0xff // the length of the first frame
	if err := os.WriteFile(files[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	_, got, faults := replayed(t, Config{Dir: dir})
	if !slices.Equal(got, []string{"after"}) || len(faults) != 1 || faults[0].Torn {
		t.Fatalf("%q %v", got, faults)
	}
}

func TestMissingSegmentIsReported(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir, SegmentBytes: 100})
	for i := range 20 {
		appendWait(t, l, payload(i))
	}
	_ = l.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	if err := os.Remove(files[3]); err != nil {
		t.Fatal(err)
	}
	_, got, faults := replayed(t, Config{Dir: dir})
	if len(got) >= 20 || len(got) < 15 || len(faults) != 1 || faults[0].Torn {
		t.Fatalf("%d frames, %v", len(got), faults)
	}
}

// stepper fails chosen steps.
type stepper struct {
	mu    sync.Mutex
	fail  map[Step]error
	steps []Step
	also  func(Step, string)
}

func (s *stepper) hook(step Step, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step)
	if s.also != nil {
		s.also(step, path)
	}
	return s.fail[step]
}

func (s *stepper) set(step Step, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = map[Step]error{step: err}
}

func TestFullDiskIsAnErrorAndPasses(t *testing.T) {
	for _, step := range []Step{StepWrite, StepCreate, StepSyncDir} {
		t.Run(string(step), func(t *testing.T) {
			st := &stepper{}
			cfg := Config{Dir: t.TempDir(), Step: st.hook, SegmentBytes: 40}
			l, _, _ := replayed(t, cfg)
			appendWait(t, l, "one")
			st.set(step, syscall.ENOSPC)
			a, b := l.AppendString(nil, "lost"), l.AppendString(nil, "lost too")
			for _, k := range []Ticket{a, b} {
				if err := k.Wait(context.Background()); !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
			}
			st.set(step, nil)
			appendWait(t, l, "two")
			if st := l.Stats(); st.Poisoned || st.WriteErrors != 1 {
				t.Errorf("%+v", st)
			}
			size := l.Stats().DiskBytes
			_ = l.Close()
			l, got, faults := replayed(t, Config{Dir: cfg.Dir})
			if !slices.Equal(got, []string{"one", "two"}) || len(faults) > 0 {
				t.Fatalf("%q %v", got, faults)
			}
			if now := l.Stats().DiskBytes - int64(len(fileMark)); now > size || now < size-int64(2*len(fileMark)) {
				t.Errorf("counted %d bytes, there are %d", size, now)
			}
		})
	}
}

func TestFailedSyncPoisons(t *testing.T) {
	st := &stepper{}
	cfg := Config{Dir: t.TempDir(), Step: st.hook}
	l, _, _ := replayed(t, cfg)
	appendWait(t, l, "one")
	st.set(StepSync, syscall.EIO)
	for range 2 {
		if err := l.AppendString(nil, "lost").Wait(context.Background()); !errors.Is(err, ErrPoisoned) || !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		st.set(StepSync, nil) // the disk says that all is well again: it is not
	}
	if err := l.Flush(); !errors.Is(err, ErrPoisoned) {
		t.Error(err)
	}
	if err := l.Compact(func(func([]byte) error) error { return nil }); !errors.Is(err, ErrPoisoned) {
		t.Error(err)
	}
	if !l.Stats().Poisoned {
		t.Error("not said")
	}
	_ = l.Close()
	_, got, _ := replayed(t, Config{Dir: cfg.Dir})
	if got[0] != "one" {
		t.Fatalf("%q", got)
	}
}

func TestLimits(t *testing.T) {
	l, _, _ := replayed(t, Config{Dir: t.TempDir(), MaxPayload: 10, MaxBytes: 100})
	if err := l.AppendString(nil, "12345678901").Wait(context.Background()); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	n := 0
	for l.AppendString(nil, "1234567890").Wait(context.Background()) == nil {
		n++
	}
	if err := l.AppendString(nil, "1234567890").Wait(context.Background()); n != 3 || !errors.Is(err, ErrFull) {
		t.Errorf("%d frames, %v", n, err)
	}
}

func TestSlowDiskBoundsMemory(t *testing.T) {
	l, _, _ := replayed(t, Config{Dir: t.TempDir(), MaxPending: 100})
	var kept []Ticket
	for range 50 {
		k := l.AppendString(nil, "1234567890")
		if !k.Ready() {
			kept = append(kept, k)
		} else if err := k.Wait(context.Background()); !errors.Is(err, ErrBehind) {
			t.Fatal(err)
		}
	}
	if st := l.Stats(); len(kept) != 3 || st.Behind != 47 {
		t.Fatalf("%d kept, %+v", len(kept), st)
	}
	for _, k := range kept {
		if err := k.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	appendWait(t, l, strings.Repeat("x", 500)) // alone it has room
}

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir, SegmentBytes: 200})
	for i := range 30 {
		appendWait(t, l, payload(i))
	}
	for round := range 3 {
		err := l.Compact(func(emit func([]byte) error) error {
			appendWait(t, l, "meanwhile")
			return errors.Join(emit([]byte("state a")), emit([]byte("state b")))
		})
		if err != nil {
			t.Fatal(err)
		}
		appendWait(t, l, "later")
		size := l.Stats().DiskBytes
		_ = l.Close()
		var got []string
		l, got, _ = replayed(t, Config{Dir: dir, SegmentBytes: 200})
		if want := []string{"state a", "state b", "meanwhile", "later"}; !slices.Equal(got, want) {
			t.Fatalf("round %d: %q", round, got)
		}
		if l.NextSeq() != uint64(33+2*round) {
			t.Errorf("next %d", l.NextSeq())
		}
		if now := l.Stats().DiskBytes; now-size > 2*int64(len(fileMark)) || size > now {
			t.Errorf("counted %d bytes, there are %d", size, now)
		}
	}
}

func TestDamagedSnapshotIsReported(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir})
	appendWait(t, l, "x")
	err := l.Compact(func(emit func([]byte) error) error {
		var errs []error
		for i := range 5 {
			errs = append(errs, emit([]byte(payload(i))))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "*.snap"))
	whole, _ := os.ReadFile(files[0])
	for at := len(fileMark); at < len(whole); at += 7 {
		flipped := slices.Clone(whole)
		flipped[at] ^= 4
		for _, b := range [][]byte{whole[:at], flipped} {
			if err := os.WriteFile(files[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
			l, got, faults := replayed(t, Config{Dir: copyDir(t, dir)})
			_ = l.Close()
			if len(faults) == 0 || len(got) > 5 || len(b) == len(whole) && len(got) < 4 {
				t.Fatalf("byte %d: %q %v", at, got, faults)
			}
			if faults[len(faults)-1].Torn {
				t.Fatalf("byte %d: %v is said to be expected", at, faults)
			}
		}
	}
}

// At every step that the log takes on the disk the directory is copied as
// kill -9 would leave it, and as a power loss would: bytes that were never
// synced are zeros. Every frame that was reported durable must be in the copy.
func TestStopAtEveryStep(t *testing.T) {
	dir := t.TempDir()
	var copies []string
	var promised []int
	acked := 0
	synced := map[string][]byte{} // content at the last sync
	syncing := ""
	st := &stepper{}
	st.also = func(step Step, path string) {
		if syncing != "" {
			synced[strings.TrimSuffix(syncing, tmpExt)], _ = os.ReadFile(syncing)
		}
		if syncing = ""; step == StepSync {
			syncing = path
		}
		killed := copyDir(t, dir)
		lost := copyDir(t, dir)
		files, _ := os.ReadDir(lost)
		for _, f := range files {
			if f.Name() == lockName {
				continue
			}
			p := filepath.Join(lost, f.Name())
			b, _ := os.ReadFile(p)
			keep := synced[filepath.Join(dir, strings.TrimSuffix(f.Name(), tmpExt))]
			for i := range b {
				if i >= len(keep) || b[i] != keep[i] {
					b[i] = 0
				}
			}
			_ = os.WriteFile(p, b, 0o600)
		}
		copies = append(copies, killed, lost)
		promised = append(promised, acked, acked)
	}
	l, _, _ := replayed(t, Config{Dir: dir, SegmentBytes: 200, Step: st.hook})
	for i := range 25 {
		a := l.AppendString(nil, payload(2*i))
		appendWait(t, l, payload(2*i+1))
		_ = a
		st.mu.Lock()
		acked = 2*i + 2
		st.mu.Unlock()
		if i%8 == 7 {
			n := acked
			err := l.Compact(func(emit func([]byte) error) error {
				for j := range n {
					if err := emit([]byte(payload(j))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = l.Close()
	for i, c := range copies {
		l, got, faults := replayed(t, Config{Dir: c})
		_ = l.Close()
		if want := numbers(50); len(got) < promised[i] || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("stop %d (%s): %d frames, promised %d", i, st.steps[i/2], len(got), promised[i])
		}
		for _, f := range faults {
			if !f.Torn {
				t.Fatalf("stop %d (%s): %v", i, st.steps[i/2], f)
			}
		}
	}
	t.Logf("%d stops", len(copies))
}

func TestCursorFollows(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := replayed(t, Config{Dir: dir, SegmentBytes: 150, TailOnly: true})
	c := l.Cursor(1)
	defer c.Close()
	read := 0
	var places []Pos
	for i := range 40 {
		appendWait(t, l, payload(i))
		if i%3 != 0 {
			continue
		}
		for {
			seq, p, pos, ok, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if string(p) != payload(read) || seq != uint64(read+1) {
				t.Fatalf("frame %d is %q, number %d", read, p, seq)
			}
			places = append(places, pos)
			read++
		}
		if read != i+1 || c.Left() != 0 {
			t.Fatalf("read %d of %d, left %d", read, i+1, c.Left())
		}
	}
	for i, pos := range places {
		if seq, p, err := l.ReadAt(pos); err != nil || seq != uint64(i+1) || string(p) != payload(i) {
			t.Fatalf("%d %q %v", seq, p, err)
		}
	}
	if _, err := l.RemoveBefore(30); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.ReadAt(places[0]); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	late := l.Cursor(35)
	defer late.Close()
	if seq, _, _, ok, err := late.Next(); seq != 35 || !ok || err != nil {
		t.Fatalf("%d %v %v", seq, ok, err)
	}
	old := l.Cursor(1)
	defer old.Close()
	if seq, _, _, ok, _ := old.Next(); !ok || seq < 20 || old.SkippedFrames != seq-1 {
		t.Fatalf("%d, skipped %d", seq, old.SkippedFrames)
	}
}

func TestCursorStepsOverDamage(t *testing.T) {
	dir, file := oneSegment(t, 10)
	whole, _ := os.ReadFile(file)
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	l, _, _ := replayed(t, Config{Dir: dir, TailOnly: true})
	c := l.Cursor(1)
	defer c.Close()
	n := 0
	for {
		_, _, _, ok, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		n++
	}
	if n != 9 || c.SkippedFrames != 1 || c.Skipped == 0 {
		t.Fatalf("%d frames, skipped %d", n, c.SkippedFrames)
	}
}

func FuzzSegment(f *testing.F) {
	s := salt(0x1122334455667788)
	var good []byte
	good = append(good, fileMark...)
	for i := range 4 {
		at := len(good)
		good = append(append(good, make([]byte, frameHead)...), payload(i)...)
		sealFrame(good[at:], s, castagnoli(), uint64(i+1), i%2 == 0)
	}
	f.Add(good)
	f.Add(append(slices.Clone(good[:70]), good[71:]...))
	f.Add([]byte{})
	f.Add([]byte("TRAPLOG1\x88\x77\x66\x55\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (got []string, c contents) {
			c, err := readSegment(bytes.NewReader(b), "fuzz", int64(len(b)), s, 1<<20, func(fr frame, at int64) error {
				if at < 0 || at+frameHead+int64(len(fr.payload)) > int64(len(b)) {
					t.Fatalf("frame at %d of %d", at, len(b))
				}
				got = append(got, string(fr.payload))
				return nil
			})
			if err != nil || c.end > int64(len(b)) {
				t.Fatal(c.end, err)
			}
			return got, c
		}
		first, c := read(b)
		again, cut := read(b[:c.end])
		if !slices.Equal(first, again) || cut.rest || cut.end != c.end {
			t.Fatalf("%q, and after the cut %q", first, again)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	dir := f.TempDir()
	l, _, err := OpenLog(Config{Dir: dir}, nil)
	if err != nil {
		f.Fatal(err)
	}
	err = l.Compact(func(emit func([]byte) error) error { return errors.Join(emit([]byte("one")), emit([]byte(payload(6)))) })
	if err != nil {
		f.Fatal(err)
	}
	_ = l.Close()
	s := l.snap
	good, err := os.ReadFile(s.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-20])
	f.Add(append(slices.Clone(good), good[8:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(s.path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		l := &Log{cfg: Config{Dir: dir, MaxPayload: 1 << 20}, snap: s}
		faults, err := l.readSnapshot(func(uint64, []byte) error { n++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) == 0 && !bytes.Equal(b, good) {
			t.Fatalf("%d frames of a changed file, and no fault", n)
		}
	})
}
