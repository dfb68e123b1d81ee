package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, cfg Config) *Spool {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t testing.TB, s *Spool, n int) {
	t.Helper()
	for i := range n {
		if err := s.Append(context.Background(), fmt.Sprint("id", i), []byte(fmt.Sprint("entry ", i))); err != nil {
			t.Fatal(err)
		}
	}
}

func reader(t testing.TB, s *Spool, name string) *Reader {
	t.Helper()
	r, err := s.Reader(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// take returns the next entry that is there within a moment, ok false when none is.
func take(t testing.TB, r *Reader) (Entry, bool) {
	t.Helper()
	return r.Poll()
}

func drain(t testing.TB, r *Reader) []Entry {
	t.Helper()
	var out []Entry
	for {
		e, ok := take(t, r)
		if !ok {
			return out
		}
		out = append(out, e)
	}
}

func TestAppendReadAck(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	put(t, s, 10)
	r := reader(t, s, "console")
	if n, b := r.Backlog(); n != 10 || b <= 0 {
		t.Fatalf("backlog %d, %d bytes", n, b)
	}
	var got []Entry
	for range 6 {
		e, err := r.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if e := got[3]; e.ID != "id3" || string(e.Bytes) != "entry 3" || time.Since(e.Time) > time.Minute {
		t.Fatalf("%+v", e)
	}
	for _, i := range []int{0, 2, 3, 5} {
		if err := r.Ack(got[i].Seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Ack(got[3].Seq); !errors.Is(err, ErrUnknown) {
		t.Errorf("second ack: %v", err)
	}
	if n, _ := r.Backlog(); n != 6 {
		t.Errorf("backlog %d", n)
	}
	for round := range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, Config{Dir: dir})
		r = reader(t, s, "console")
		if n, _ := r.Backlog(); n != 6 {
			t.Errorf("backlog %d after reopening", n)
		}
		var ids []string
		for _, e := range drain(t, r) {
			ids = append(ids, e.ID)
		}
		if want := "id1 id4 id6 id7 id8 id9"; strings.Join(ids, " ") != want {
			t.Fatalf("round %d: delivered %v, want %s", round, ids, want)
		}
	}
}

func TestReadersAreIndependent(t *testing.T) {
	s := open(t, Config{})
	a, b := reader(t, s, "a"), reader(t, s, "b")
	put(t, s, 5)
	for _, e := range drain(t, a) {
		if err := a.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(drain(t, b)); got != 5 {
		t.Fatalf("b got %d", got)
	}
	if same := reader(t, s, "a"); same != a {
		t.Error("a second Reader of the same name")
	}
	for _, name := range []string{"", ".x", "a/b", "ä", strings.Repeat("x", 65)} {
		if _, err := s.Reader(name); err == nil {
			t.Errorf("name %q", name)
		}
	}
}

func TestNextWaitsAndEnds(t *testing.T) {
	s := open(t, Config{})
	r := reader(t, s, "a")
	var wg sync.WaitGroup
	seen := make(chan uint64, 100)
	for range 4 {
		wg.Go(func() {
			for {
				e, err := r.Next(context.Background())
				if err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				seen <- e.Seq
			}
		})
	}
	put(t, s, 100)
	got := map[uint64]bool{}
	for range 100 {
		got[<-seen] = true
	}
	if len(got) != 100 {
		t.Fatalf("%d different entries", len(got))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := s.Append(context.Background(), "x", nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// An entry that was queued and not waited for is delivered as well.
func TestRunWritesWhatNobodyWaitsFor(t *testing.T) {
	s := open(t, Config{})
	r := reader(t, s, "a")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	s.Queue("id", []byte("entry"))
	if e, err := r.Next(ctx); err != nil || e.ID != "id" {
		t.Fatal(e, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRelease(t *testing.T) {
	s := open(t, Config{})
	r := reader(t, s, "a")
	put(t, s, 3)
	first, _ := take(t, r)
	take(t, r)
	if err := r.Release(first.Seq); err != nil {
		t.Fatal(err)
	}
	if e, _ := take(t, r); e.Seq != first.Seq || string(e.Bytes) != "entry 0" {
		t.Fatalf("%+v", e)
	}
	if e, _ := take(t, r); e.ID != "id2" {
		t.Fatalf("%+v", e)
	}
}

func TestSetAside(t *testing.T) {
	s := open(t, Config{MaxSetAside: 2})
	r := reader(t, s, "a")
	put(t, s, 4)
	entries := drain(t, r)
	for _, e := range entries[:3] {
		if err := r.SetAside(e.Seq, "409 "+e.ID); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Asides("a")
	if err != nil || len(list) != 2 || list[1].ID != "id2" || list[1].Reason != "409 id2" || list[1].Bytes != 7 {
		t.Fatalf("%v %+v", err, list)
	}
	if _, b, err := ReadAside(list[1].Path); err != nil || string(b) != "entry 2" {
		t.Fatalf("%q %v", b, err)
	}
	if n, _ := r.Backlog(); n != 1 {
		t.Errorf("backlog %d", n)
	}
	if err := s.Requeue(context.Background(), list[1].Path); err != nil {
		t.Fatal(err)
	}
	if e, ok := take(t, r); !ok || e.ID != "id2" || string(e.Bytes) != "entry 2" {
		t.Fatalf("%+v", e)
	}
	if list, _ := s.Asides("a"); len(list) != 1 {
		t.Errorf("%d left aside", len(list))
	}
	if st := s.Stats(); st.SetAside != 3 || st.SetDropped != 1 {
		t.Errorf("%+v", st)
	}
}

func TestFullAndTrim(t *testing.T) {
	s := open(t, Config{MaxBytes: 80_000})
	r := reader(t, s, "a")
	slow := reader(t, s, "slow")
	body := make([]byte, 1000)
	n := 0
	for {
		err := s.Append(context.Background(), "id", body)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n < 70 || n > 80 || s.Stats().Full != 1 {
		t.Fatalf("%d entries, %+v", n, s.Stats())
	}
	for _, e := range drain(t, r) {
		if err := r.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(context.Background(), "id", body); !errors.Is(err, ErrFull) {
		t.Fatalf("the slow reader's entries are gone: %v", err)
	}
	for _, e := range drain(t, slow)[:60] {
		if err := slow.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(context.Background(), "id", body); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget("slow"); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(s.cfg.Dir, "log", "*.log")); len(files) > 2 {
		t.Errorf("%d segments left", len(files))
	}
}

func TestDeletedLogDeliversNewEntries(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	r := reader(t, s, "a")
	put(t, s, 20)
	for _, e := range drain(t, r) {
		if err := r.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	if err := os.RemoveAll(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	put(t, s, 1)
	if got := drain(t, reader(t, s, "a")); len(got) != 1 {
		t.Fatalf("%d entries", len(got))
	}
}
