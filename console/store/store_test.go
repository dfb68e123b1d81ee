package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/audit"
)

func openTest(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var testStart = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// testEvent makes event n: one per second, of changing clients, ports and rules.
func testEvent(n int) Event {
	r := &audit.Record{
		ID: fmt.Sprintf("id-%d", n), Time: testStart.Add(time.Duration(n) * time.Second), Host: "trap.example", Honeytrap: true,
		Peer:        netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 7)}), 50000),
		Server:      netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), []uint16{8000, 8080, 8888}[n%3]),
		RequestHead: []byte(fmt.Sprintf("GET /page-%d.php?q=one%%20two HTTP/1.1\r\nHost: www%d.example\r\nUser-Agent: curl/7.%d\r\n", n, n%2, n%5)),
		Status:      403, ResponseHead: []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n"), Parts: "ABCFHKZ",
		Action:  &audit.Action{Phase: 2, Status: 403, Kind: "deny"},
		Matches: []audit.Match{{ID: 999004, Phase: 2, Disruptive: true, Message: "HoneyTrap Alert", Severity: "CRITICAL"}},
	}
	r.Client = r.Peer
	if n%10 == 0 {
		r.Matches = append(r.Matches, audit.Match{ID: 942100, Phase: 2, Message: "SQL Injection"})
	}
	return Event{Sensor: []string{"alpha", "beta"}[n%2], Entry: audit.AppendNative(nil, r), Record: r}
}

func insertTest(t testing.TB, s *Store, from, to int) {
	t.Helper()
	var events []Event
	for n := from; n < to; n++ {
		events = append(events, testEvent(n))
	}
	if _, err := s.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

func TestInsertTwiceStoresOnceAndKeepsEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Config{Dir: dir})
	e := testEvent(1)
	e.Record.RequestBody = []byte("a=\x00\xff\x01\r\n--forged-A--\n\x80")
	e.Entry = audit.AppendNative(nil, e.Record)
	for i, want := range []Result{{Stored: 1}, {Known: 1}, {Known: 1}} {
		got, err := s.Insert(t.Context(), []Event{e})
		if err != nil || got != want {
			t.Fatalf("insert %d: %+v, %v; want %+v", i, got, err, want)
		}
	}
	other := e
	other.Sensor = "another sensor"
	if got, err := s.Insert(t.Context(), []Event{other}); err != nil || got.Stored != 1 {
		t.Fatalf("same id of another sensor: %+v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Config{Dir: dir})
	got, err := s.Event(t.Context(), e.Sensor, e.Record.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(e.Entry), string(got.Entry)); diff != "" {
		t.Error("entry changed:", diff)
	}
	if string(got.Record.RequestBody) != string(e.Record.RequestBody) {
		t.Errorf("body %q, want %q", got.Record.RequestBody, e.Record.RequestBody)
	}
	if any, err := s.Event(t.Context(), "", e.Record.ID); err != nil || any.Sensor != e.Sensor {
		t.Errorf("of any sensor: %q %v", any.Sensor, err)
	}
	if _, err := s.Event(t.Context(), "another", e.Record.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("of another sensor: %v", err)
	}
	if _, err := s.Event(t.Context(), e.Sensor, "nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown event: %v", err)
	}
	if s.Newest() != 2 {
		t.Errorf("newest %d after reopening, want 2", s.Newest())
	}
}

func TestSummaryKeepsHostileBytes(t *testing.T) {
	s := openTest(t, Config{})
	r := &audit.Record{
		ID: "x", Time: testStart, Client: netip.MustParseAddrPort("[2001:db8::1]:1"), Server: netip.MustParseAddrPort("[::1]:8000"),
		RequestHead: []byte("G\x00T /\xff\x00<script> with spaces HTTP/1.1\nhOST:  a\x00b\r\nUser-Agent: \xfe'\"; DROP TABLE events;--\r\n"),
		TLS:         &audit.TLS{JA4: "t13d\x00", Server: "sni"},
	}
	if _, err := s.Insert(t.Context(), []Event{{Sensor: "se\x00nsor'", Entry: []byte{0, 1, 2, 0}, Record: r}}); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.Events(t.Context(), Filter{}, Page{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	got := list[0]
	got.Received, got.Hash = time.Time{}, 0
	want := Summary{
		Seq: 1, Time: testStart, Sensor: "se\x00nsor'", ID: "x", Client: r.Client, Port: 8000, Method: "G\x00T", URI: "/\xff\x00<script> with spaces",
		Host: "a\x00b", Severity: NoSeverity, UserAgent: "\xfe'\"; DROP TABLE events;--", JA4: "t13d\x00", Size: 4,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestSummaryIsTheSameOfARecordAndOfItsEntry: the list shows what the sensor's
// record says, the event page what its stored entry says, and one leads to the other.
func TestSummaryIsTheSameOfARecordAndOfItsEntry(t *testing.T) {
	for _, head := range []string{"GET / HTTP/1.0\r\n", "GET /", "POST /a b HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n", "GET / HTTP/1.1\nHost: h\n", "G\x00ET /\xff HTTP/1.1\r\nX\r\n"} {
		e := testEvent(1)
		e.Record.RequestHead, e.Record.RequestBody = []byte(head), []byte("a=\x00\r\n")
		e.Entry = audit.AppendNative(nil, e.Record)
		parsed := e
		parsed.Record, _ = audit.ParseNative(e.Entry)
		if diff := cmp.Diff(Summarize(&e), Summarize(&parsed), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%q: %s", head, diff)
		}
	}
}

func TestFiltersAndPages(t *testing.T) {
	s := openTest(t, Config{})
	const n = 500
	insertTest(t, s, 0, n)
	tls := audit.KindTLS
	for name, c := range map[string]struct {
		f    Filter
		want func(i int) bool
	}{
		"all":      {Filter{}, func(int) bool { return true }},
		"time":     {Filter{From: testStart.Add(10 * time.Second), To: testStart.Add(100 * time.Second)}, func(i int) bool { return i >= 10 && i < 100 }},
		"client":   {Filter{Client: netip.MustParsePrefix("192.0.2.3/32")}, func(i int) bool { return i%7 == 3 }},
		"network":  {Filter{Client: netip.MustParsePrefix("192.0.2.4/30")}, func(i int) bool { return i%7 >= 4 }},
		"network6": {Filter{Client: netip.MustParsePrefix("2001:db8::/32")}, func(int) bool { return false }},
		"sensor":   {Filter{Sensor: "beta"}, func(i int) bool { return i%2 == 1 }},
		"nobody":   {Filter{Sensor: "gamma"}, func(int) bool { return false }},
		"port":     {Filter{Port: 8080}, func(i int) bool { return i%3 == 1 }},
		"kind":     {Filter{Kind: &tls}, func(int) bool { return false }},
		"method":   {Filter{Method: "GET"}, func(int) bool { return true }},
		"host":     {Filter{Host: "www1.example"}, func(i int) bool { return i%2 == 1 }},
		"status":   {Filter{StatusFrom: 400, StatusTo: 499}, func(int) bool { return true }},
		"rule":     {Filter{Rule: 942100}, func(i int) bool { return i%10 == 0 }},
		"text":     {Filter{Text: "page-7"}, func(i int) bool { return strings.HasPrefix(fmt.Sprint(i), "7") }},
		"agent":    {Filter{Text: "curl/7.3"}, func(i int) bool { return i%5 == 3 }},
		"operator": {Filter{Text: `") OR NEAR(`}, func(int) bool { return false }},
		"no word":  {Filter{Text: `"*^`}, func(int) bool { return false }},
		"together": {
			Filter{Rule: 942100, Port: 8000, Text: "one", Client: netip.MustParsePrefix("192.0.2.0/24"), From: testStart.Add(time.Minute)},
			func(i int) bool { return i%10 == 0 && i%3 == 0 && i >= 60 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for i := n - 1; i >= 0; i-- {
				if c.want(i) {
					want = append(want, fmt.Sprintf("id-%d", i))
				}
			}
			var got []string
			var last Summary
			for page := (Page{Limit: 37}); ; {
				list, older, err := s.Events(t.Context(), c.f, page)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range list {
					got = append(got, e.ID)
					last = e
				}
				if older == "" {
					break
				}
				page.Older = older
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if len(want) > 37 {
				list, older, err := s.Events(t.Context(), c.f, Page{Limit: 37, Newer: last.Newer()})
				if err != nil || len(list) != 37 || list[36].ID != want[len(want)-2] || older == "" {
					t.Errorf("newer page: %d events, %v", len(list), err)
				}
			}
			since, err := s.Since(t.Context(), c.f, 0, 1000)
			if err != nil || len(since) != len(want) {
				t.Errorf("since the start: %d events, want %d, %v", len(since), len(want), err)
			}
		})
	}
	if _, _, err := s.Events(t.Context(), Filter{}, Page{Older: "nonsense"}); !errors.Is(err, ErrCursor) {
		t.Errorf("bad cursor: %v", err)
	}
}

func TestHoursCountWhatIsStoredAndForgetWhatIsDeleted(t *testing.T) {
	now := testStart.Add(3 * time.Hour)
	s := openTest(t, Config{MaxAge: 2*time.Hour + 30*time.Minute, Now: func() time.Time { return now }})
	for range 2 { // the second time all are known
		var events []Event
		for n := 0; n < 8000; n += 10 {
			events = append(events, testEvent(n))
		}
		if _, err := s.Insert(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	hours, err := s.Hours(t.Context(), Filter{})
	want := []HourCount{{testStart, 360}, {testStart.Add(time.Hour), 360}, {testStart.Add(2 * time.Hour), 80}}
	if diff := cmp.Diff(want, hours); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	hours, err = s.Hours(t.Context(), Filter{Port: 8000, Sensor: "alpha", From: testStart.Add(time.Hour), To: testStart.Add(2 * time.Hour)})
	if err != nil || len(hours) != 1 || hours[0].Events != 120 {
		t.Fatal(hours, err)
	}
	if _, err := s.Hours(t.Context(), Filter{Method: "GET"}); !errors.Is(err, ErrNotCounted) {
		t.Fatal(err)
	}
	n, err := s.Prune(t.Context())
	if err != nil || n != 180 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	hours, err = s.Hours(t.Context(), Filter{})
	want[0].Events = 180
	if diff := cmp.Diff(want, hours); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
	for name, f := range map[string]Filter{"rule": {Rule: 942100, To: testStart.Add(30 * time.Minute)}, "text": {Text: "page-10"}} {
		list, _, err := s.Events(t.Context(), f, Page{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Time.Before(testStart.Add(30 * time.Minute)) {
				t.Errorf("%s: deleted event %s is still found", name, e.ID)
			}
		}
	}
	for _, table := range []string{"entries", "matched", "events_text"} {
		var rows int
		if err := s.readers.QueryRow("SELECT count(*) FROM " + table).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"entries": 620, "matched": 1240, "events_text": 620}[table]; rows != want {
			t.Errorf("%s has %d rows, want %d", table, rows, want)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPruneBySizeGivesSpaceBack(t *testing.T) {
	s := openTest(t, Config{MaxBytes: 800 << 10})
	insertTest(t, s, 0, 4000)
	before, err := s.Stats(t.Context())
	if err != nil || before.Bytes < 1<<20 {
		t.Fatal(before, err)
	}
	if _, err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := s.Stats(t.Context())
	if err != nil || after.Bytes > 800<<10 || after.Events < 500 || after.Events > 3500 {
		t.Fatalf("%+v, %v", after, err)
	}
	var free int
	if err := s.readers.QueryRow("PRAGMA freelist_count").Scan(&free); err != nil || free > 10 {
		t.Errorf("%d free pages stay in the file, %v", free, err)
	}
	list, _, err := s.Events(t.Context(), Filter{}, Page{Limit: 1})
	if err != nil || list[0].ID != "id-3999" {
		t.Errorf("the newest event is gone: %v, %v", list, err)
	}
}

func TestSubscribersSeeCommittedEventsAndSlowOnesAreDropped(t *testing.T) {
	s := openTest(t, Config{})
	events, cancel := s.Subscribe()
	defer cancel()
	slow, cancelSlow := s.Subscribe()
	defer cancelSlow()
	insertTest(t, s, 0, 10)
	for n := range 10 {
		e := <-events
		if e.ID != fmt.Sprintf("id-%d", n) || e.Seq != int64(n+1) {
			t.Fatalf("event %d is %s, seq %d", n, e.ID, e.Seq)
		}
	}
	if newest, err := s.Wait(t.Context(), 9); err != nil || newest != 10 {
		t.Fatal(newest, err)
	}
	done := make(chan int)
	go func() {
		n := 0
		for range events {
			if n++; n == 2000 {
				break
			}
		}
		done <- n
	}()
	for i := range 20 {
		insertTest(t, s, 10+i*100, 110+i*100)
	}
	if n := <-done; n != 2000 {
		t.Errorf("the reader saw %d of 2000", n)
	}
	n := 0
	for range slow {
		n++
	}
	st, err := s.Stats(t.Context())
	if n != liveBuffer || st.DroppedSubscribers != 1 || err != nil {
		t.Errorf("the slow subscriber got %d events, %d dropped, %v", n, st.DroppedSubscribers, err)
	}
	if _, err := s.Insert(t.Context(), []Event{testEvent(10)}); err != nil { // known: nobody is told
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := s.Wait(ctx, 2010); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestEventsOfAnotherProcessWakeReaders(t *testing.T) {
	dir := t.TempDir()
	console, replay := openTest(t, Config{Dir: dir}), openTest(t, Config{Dir: dir})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- console.Run(ctx) }()
	insertTest(t, replay, 0, 3)
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if newest, err := console.Wait(waiting, 0); err != nil || newest != 3 {
		t.Error(newest, err)
	}
	insertTest(t, console, 3, 5)
	insertTest(t, replay, 0, 7)
	if st, err := console.Stats(t.Context()); err != nil || st.Events != 7 {
		t.Errorf("%+v, %v", st, err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestConcurrentInsertsShareCommits(t *testing.T) {
	s := openTest(t, Config{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total Result
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				// Every event is sent by two workers.
				r, err := s.Insert(t.Context(), []Event{testEvent(w/2*50 + i)})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				total.Stored += r.Stored
				total.Known += r.Known
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if total != (Result{Stored: 400, Known: 400}) {
		t.Errorf("%+v", total)
	}
}

func TestInsertAfterCloseFails(t *testing.T) {
	s := openTest(t, Config{})
	insertTest(t, s, 0, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Insert(t.Context(), []Event{testEvent(2)}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("second close:", err)
	}
}

func TestDamagedFilesAreReportedWithWhatToDo(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"not a database": func([]byte) []byte { return []byte(strings.Repeat("this is a diary\n", 1000)) },
		"header":         func(b []byte) []byte { copy(b, make([]byte, 100)); return b },
		"middle": func(b []byte) []byte {
			for i := 4096; i < len(b); i++ {
				b[i] = 0x5a
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openTest(t, Config{Dir: dir})
			insertTest(t, s, 0, 500)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, FileName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(Config{Dir: dir})
			if err == nil {
				defer s.Close()
				if err = s.Check(t.Context()); err == nil {
					t.Fatal("damage was not seen")
				}
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Error(err)
			}
		})
	}
}

func TestAnotherProgramsOrANewerDatabaseIsNotTouched(t *testing.T) {
	for name, pragma := range map[string]string{"another": "PRAGMA application_id=1", "newer": "PRAGMA user_version=99"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openTest(t, Config{Dir: dir})
			if _, err := s.writer.conn.ExecContext(t.Context(), pragma); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), map[string]string{"another": "not an event store", "newer": "newer Trapline"}[name]) {
				t.Error(err)
			}
		})
	}
}

func TestAFullDiskRefusesAndLosesNothing(t *testing.T) {
	s := openTest(t, Config{})
	insertTest(t, s, 0, 50)
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA max_page_count=60"); err != nil {
		t.Fatal(err)
	}
	stored := 50
	var err error
	for ; stored < 5000; stored += 50 {
		var events []Event
		for n := range 50 {
			events = append(events, testEvent(stored+n))
		}
		if _, err = s.Insert(t.Context(), events); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatal(stored, err)
	}
	if st, err := s.Stats(t.Context()); err != nil || st.Events != int64(stored) || s.Newest() != int64(stored) {
		t.Errorf("%+v, newest %d, %v; want %d events", st, s.Newest(), err, stored)
	}
	if _, err := s.writer.conn.ExecContext(t.Context(), "PRAGMA max_page_count=1000000"); err != nil {
		t.Fatal(err)
	}
	insertTest(t, s, 0, stored+50)
	if st, err := s.Stats(t.Context()); err != nil || st.Events != int64(stored+50) {
		t.Errorf("after space was made: %+v, %v", st, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProcessesThatOpenANewStoreAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := Open(Config{Dir: dir})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}
