package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

func ackAll(t testing.TB, r *Reader) (n int) {
	t.Helper()
	for _, e := range drain(t, r) {
		if err := r.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// accounted checks that a reader gets every entry or stands with it in a gap.
func accounted(t *testing.T, where string, r *Reader, acked int) {
	t.Helper()
	got := drain(t, r)
	if total := int(r.s.log.Synced()) - 1; len(got)+acked+int(r.Stats().GivenUp) != total {
		t.Fatalf("%s: reader %s: %d delivered, %d acknowledged, %d given up: of %d", where, r.Name(), len(got), acked, r.Stats().GivenUp, total)
	}
	for _, g := range r.Gaps() {
		for _, e := range got {
			if g.From <= e.Seq && e.Seq <= g.To {
				t.Fatalf("%s: entry %d is delivered and stands in gap %+v", where, e.Seq, g)
			}
		}
	}
}

// A console that is away for long costs its own oldest records, and nobody else's.
func TestDeadDestinationGivesUpItsOldest(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	now := time.Unix(1_700_000_000, 0)
	s, err := Open(Config{
		Dir: dir, MaxBytes: 80_000, GiveUp: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Now: func() time.Time { now = now.Add(time.Second); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	own, dead := reader(t, s, "own"), reader(t, s, "dead")
	dead.SetLabel("https://dead.example/")
	got := 0
	for i := range 5000 {
		if err := s.Append(context.Background(), fmt.Sprint("id", i), make([]byte, 1000)); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if i%20 == 19 { // it is always some entries behind
			got += ackAll(t, own)
		}
	}
	if st := own.Stats(); got != 5000 || st.GivenUp != 0 {
		t.Errorf("the healthy destination has %d of 5000: %+v", got, st)
	}
	st := dead.Stats()
	if st.Backlog < 40 || st.Backlog+st.GivenUp != 5000 || s.Stats().Full != 0 || s.Stats().GivenUp != st.GivenUp {
		t.Errorf("the dead one: %+v; %+v", st, s.Stats())
	}
	if len(dead.Gaps()) != 1 || !st.GivenUpFirst.Equal(time.Unix(1_700_000_001, 0)) || st.GivenUpBefore.After(now.Add(-40*time.Second)) {
		t.Errorf("gaps %+v", dead.Gaps())
	}
	// 5,000 seconds have passed on its clock.
	if n := strings.Count(log.String(), "https://dead.example/"); n != 2 || strings.Count(log.String(), "level=WARN") != n {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir, MaxBytes: 80_000, GiveUp: true})
	again := reader(t, s, "dead")
	if a := again.Stats(); a.GivenUp != st.GivenUp || !a.GivenUpFirst.Equal(st.GivenUpFirst) || !a.GivenUpBefore.Equal(st.GivenUpBefore) {
		t.Errorf("after a restart %+v, before %+v", a, st)
	}
	accounted(t, "after a restart", again, 0)
}

// Who is behind gives up, whoever that is; a reader that is configured no more as well.
func TestTheFurthestBehindGivesUp(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	reader(t, s, "forgotten")
	_ = s.Close()
	s = open(t, Config{Dir: dir, MaxBytes: 80_000, GiveUp: true})
	a, b := reader(t, s, "a"), reader(t, s, "b")
	body := make([]byte, 1000)
	acked := 0
	for i := range 300 {
		if err := s.Append(context.Background(), "id", body); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if i%2 == 0 { // half as fast as they come
			e, _ := b.Poll()
			if err := b.Ack(e.Seq); err != nil {
				t.Fatal(err)
			}
			acked++
		}
	}
	accounted(t, "a", a, 0)
	accounted(t, "b", b, acked)
	if a.Stats().GivenUp < b.Stats().GivenUp+100 || b.Stats().GivenUp == 0 {
		t.Errorf("a %+v, b %+v", a.Stats(), b.Stats())
	}
	accounted(t, "forgotten", reader(t, s, "forgotten"), 0)
	if _, ok := s.readers["forgotten"]; !ok || s.Stats().Full != 0 {
		t.Errorf("%+v", s.Stats())
	}
}

// What a destination has in its hands when the spool gives it up may still arrive.
func TestGivenUpWhileOutForDelivery(t *testing.T) {
	s := open(t, Config{MaxBytes: 80_000, GiveUp: true})
	r := reader(t, s, "a")
	body := make([]byte, 1000)
	fill := func(n int) {
		for range n {
			if err := s.Append(context.Background(), "id", body); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(20)
	out := drain(t, r)
	fill(500)
	if r.Stats().GivenUp < 400 {
		t.Fatalf("%+v", r.Stats())
	}
	before := r.Stats().GivenUp
	for _, e := range out[:5] {
		if err := r.Ack(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Ack(out[0].Seq); !errors.Is(err, ErrUnknown) {
		t.Errorf("acknowledged twice: %v", err)
	}
	if err := r.Release(out[5].Seq); err != nil {
		t.Error(err)
	}
	if err := r.SetAside(out[6].Seq, "409"); !errors.Is(err, ErrGivenUp) {
		t.Errorf("%v", err)
	}
	if after := r.Stats().GivenUp; after != before-5 || s.Stats().GivenUp != after {
		t.Errorf("given up %d, before %d; %+v", after, before, s.Stats())
	}
	accounted(t, "late", r, 5)
	if n, _ := r.Backlog(); n != 520-5-r.Stats().GivenUp {
		t.Errorf("backlog %d of %+v", n, r.Stats())
	}
}

// One write can be larger than a segment: the only segment is full then and must end first.
func TestFullWithOneSegment(t *testing.T) {
	s := open(t, Config{MaxBytes: 40_000, SegmentBytes: 1 << 20, GiveUp: true})
	r := reader(t, s, "dead")
	var tickets []Ticket
	for range 30 {
		tickets = append(tickets, s.Queue("id", make([]byte, 1000)))
	}
	for _, k := range tickets {
		if err := k.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if err := s.Append(context.Background(), "id", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(context.Background(), "id", make([]byte, 30_000)); !errors.Is(err, ErrFull) {
		t.Errorf("an entry that takes most of the spool: %v", err)
	}
	accounted(t, "one segment", r, 0)
}

func TestSetMaxBytes(t *testing.T) {
	s := open(t, Config{MaxBytes: 160_000, GiveUp: true})
	r := reader(t, s, "dead")
	for range 150 {
		if err := s.Append(context.Background(), "id", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	s.SetMaxBytes(80_000)
	if err := s.Append(context.Background(), "id", make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Bytes > 80_000 || st.MaxBytes != 80_000 {
		t.Errorf("%+v", st)
	}
	accounted(t, "smaller", r, 0)
}

// giveUpLoad appends, delivers to one reader and keeps another one dead.
func giveUpLoad(t *testing.T, s *Spool, acked func(id string)) {
	t.Helper()
	own := reader(t, s, "own")
	reader(t, s, "dead")
	for i := range 36 {
		if err := s.Append(context.Background(), fmt.Sprint("id", i), make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
		if i%6 != 5 {
			continue
		}
		for _, e := range drain(t, own) {
			acked(e.ID)
			if err := own.Ack(e.Seq); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// At every step on the disk, of giving up too, the directory is copied as kill -9 would leave it. In each copy
// the healthy reader gets all that it is owed, and the dead one gets every entry or stands with it in a gap.
func TestStopAtEveryStepOfGivingUp(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	taken := map[string]bool{}
	type stop struct {
		dir, step string
		taken     int
	}
	var stops []stop
	seen := map[durable.Step]int{}
	cfg := Config{Dir: dir, MaxBytes: 8000, GiveUp: true}
	cfg.Step = func(step durable.Step, path string) error {
		mu.Lock()
		defer mu.Unlock()
		seen[step]++
		st := stop{dir: t.TempDir(), step: fmt.Sprint(step, " ", filepath.Base(path)), taken: len(taken)}
		if err := os.CopyFS(st.dir, os.DirFS(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		stops = append(stops, st)
		return nil
	}
	s := open(t, cfg)
	giveUpLoad(t, s, func(id string) { mu.Lock(); taken[id] = true; mu.Unlock() })
	accounted(t, "no stop", reader(t, s, "dead"), 0)
	_ = s.Close()
	for _, st := range stops {
		s := open(t, Config{Dir: st.dir, MaxBytes: 8000, GiveUp: true})
		if m := s.Stats().Missing; m != 0 {
			t.Fatalf("stop at %s: %d missing", st.step, m)
		}
		own := reader(t, s, "own")
		// It is owed what it did not acknowledge; of the acknowledged ones some may come again.
		if n := len(drain(t, own)); n+st.taken < int(s.log.Synced())-1 || own.Stats().GivenUp != 0 {
			t.Fatalf("stop at %s: the healthy reader gets %d and had %d of %d", st.step, n, st.taken, s.log.Synced()-1)
		}
		if dead, ok := s.readers["dead"]; ok {
			accounted(t, "stop at "+st.step, reader(t, s, dead.name), 0)
		}
		if s.Stats().Missing != 0 || s.Stats().DamagedBytes != 0 {
			t.Fatalf("stop at %s: %+v", st.step, s.Stats())
		}
		_ = s.Close()
	}
	if seen[stepGiveUp] < 3 || seen[stepGivenUp] < 3 || seen[durable.StepRemove] < 3 {
		t.Errorf("steps %v", seen)
	}
	t.Logf("%d stops, %v", len(stops), seen)
}

// TestKillGiveUpChild is the program that TestKillWhileGivingUp kills.
func TestKillGiveUpChild(t *testing.T) {
	dir := os.Getenv(childDir + "_GIVEUP")
	if dir == "" {
		t.Skip("only as the child of TestKillWhileGivingUp")
	}
	s, err := Open(Config{Dir: dir, MaxBytes: 400_000, GiveUp: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(a ...any) { out.Lock(); defer out.Unlock(); fmt.Println(a...) }
	go func() { _ = s.Run(context.Background()) }()
	own, err := s.Reader("own")
	if err == nil {
		_, err = s.Reader("dead")
	}
	if err != nil {
		say("error", err)
	}
	for w := range 16 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, n)
				if err := s.Append(context.Background(), id, make([]byte, 500)); err != nil {
					say("error", err)
					return
				}
				say("put", id)
			}
		}()
	}
	for {
		e, err := own.Next(context.Background())
		if err == nil {
			say("got", e.ID)
			err = own.Ack(e.Seq)
		}
		if err != nil {
			say("error", err)
		}
	}
}

// TestKillWhileGivingUp kills a full spool under load with kill -9, again and again, with one destination dead.
func TestKillWhileGivingUp(t *testing.T) {
	dir := t.TempDir()
	put, got := map[string]bool{}, map[string]bool{}
	for range 20 {
		for _, line := range killed(t, "TestKillGiveUpChild", childDir+"_GIVEUP="+dir, time.Duration(30+rand.IntN(100))*time.Millisecond) {
			what, id, _ := strings.Cut(line, " ")
			switch what {
			case "put":
				put[id] = true
			case "got":
				got[id] = true
			default:
				t.Fatalf("the child says %q", line)
			}
		}
	}
	s := open(t, Config{Dir: dir, MaxBytes: 400_000, GiveUp: true})
	own, dead := reader(t, s, "own"), reader(t, s, "dead")
	for _, e := range drain(t, own) {
		got[e.ID] = true
	}
	lost := 0
	for id := range put {
		if !got[id] {
			lost++
		}
	}
	if g := own.Stats().GivenUp; int64(lost) > g || len(put) < 1000 {
		t.Fatalf("%d of %d durable entries are lost, %d given up", lost, len(put), g)
	}
	accounted(t, "after the kills", dead, 0)
	if dead.Stats().GivenUp < 100 || s.Stats().Missing != 0 {
		t.Fatalf("%+v %+v", dead.Stats(), s.Stats())
	}
	t.Logf("%d durable entries, dead destination: %+v, own gave up %d", len(put), dead.Stats(), own.Stats().GivenUp)
}
