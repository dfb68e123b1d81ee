package store

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

// pathEvent is event n: most are GET, answered 403, from www0; each other value is rare or only in old events.
func pathEvent(n int) Event {
	e := testEvent(n)
	r := e.Record
	method, host, status := "GET", "www0.example.com", 403
	switch {
	case n%3 == 1:
		method, status = "POST", 404
	case n < 50:
		method, host, status = "PROPFIND", "rare.example.com", 502
	case n%7 == 2:
		host, status = "www1.example.com", 200
	case n%500 == 3:
		status = 503
	case n%400 == 5:
		r.Kind = audit.KindBytes
	}
	r.Time = testStart.Add(time.Duration(n/3) * time.Second) // several at the same moment
	r.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n / 2500), byte(n)}), 1)
	r.Status = status
	r.RequestHead = []byte(fmt.Sprintf("%s /%d HTTP/1.1\r\nHost: %s\r\n", method, n, host))
	e.Sensor = fmt.Sprintf("sensor-%d", n%2)
	e.Entry = audit.AppendNative(nil, r)
	return e
}

// holds is what Filter promises, said without SQL.
func (f *Filter) holds(s *Summary) bool {
	return (f.From.IsZero() || !s.Time.Before(f.From)) && (f.To.IsZero() || s.Time.Before(f.To)) &&
		(!f.Client.IsValid() || f.Client.Contains(s.Client.Addr())) && (f.Sensor == "" || f.Sensor == s.Sensor) &&
		(f.Port == 0 || f.Port == s.Port) && (f.Kind == nil || *f.Kind == s.Kind) && (f.Method == "" || f.Method == s.Method) &&
		(f.Host == "" || f.Host == s.Host) && (f.StatusFrom == 0 && f.StatusTo == 0 || f.StatusFrom <= s.Status && s.Status <= f.StatusTo) &&
		(f.JA4 == "" || f.JA4 == s.JA4) && (f.Hash == 0 || f.Hash == s.Hash)
}

// Whatever path a page is read by, it shows the same events in the same order, back and forth.
func TestEveryPathFindsTheSame(t *testing.T) {
	s := openTest(t, Config{})
	const total = 3 * fewEvents
	var all []Summary
	for n := 0; n < total; n += 1000 {
		var events []Event
		for i := range 1000 {
			events = append(events, pathEvent(n+i))
		}
		if _, err := s.Insert(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		for i := range events {
			sum := Summarize(&events[i])
			sum.Seq = int64(n + i + 1)
			all = append(all, sum)
		}
	}
	slices.SortFunc(all, func(a, b Summary) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return int(b.Seq - a.Seq)
	})
	bytesKind, httpKind := audit.KindBytes, audit.KindHTTP
	clients := []string{"", "198.18.1.77/32", "198.18.0.0/24", "198.18.0.0/16"}
	for i, f := range combinations(
		[]func(*Filter){nothing, func(f *Filter) { f.Method = "GET" }, func(f *Filter) { f.Method = "POST" }, func(f *Filter) { f.Method = "PROPFIND" }, func(f *Filter) { f.Method = "BREW" }},
		[]func(*Filter){nothing, func(f *Filter) { f.Host = "www0.example.com" }, func(f *Filter) { f.Host = "rare.example.com" }},
		[]func(*Filter){
			nothing, func(f *Filter) { f.StatusFrom, f.StatusTo = 403, 403 }, func(f *Filter) { f.StatusFrom, f.StatusTo = 400, 499 },
			func(f *Filter) { f.StatusFrom, f.StatusTo = 500, 599 }, func(f *Filter) { f.StatusFrom, f.StatusTo = 300, 399 },
		},
		[]func(*Filter){
			nothing, func(f *Filter) { f.Sensor = "sensor-1" }, func(f *Filter) { f.Kind = &bytesKind }, func(f *Filter) { f.Kind = &httpKind },
			func(f *Filter) { f.From, f.To = testStart.Add(10*time.Second), testStart.Add(900*time.Second) },
		},
	) {
		if c := clients[i%len(clients)]; c != "" && i%3 == 0 {
			f.Client = netip.MustParsePrefix(c)
		}
		var want []int64
		for j := range all {
			if f.holds(&all[j]) {
				want = append(want, all[j].Seq)
			}
		}
		checkPages(t, s, f, want)
		if t.Failed() {
			return
		}
	}
}

func nothing(*Filter) {}

// combinations takes one of each list.
func combinations(lists ...[]func(*Filter)) []Filter {
	out := []Filter{{}}
	for _, list := range lists {
		var next []Filter
		for _, f := range out {
			for _, set := range list {
				g := f
				set(&g)
				next = append(next, g)
			}
		}
		out = next
	}
	return out
}

// checkPages reads two pages forward and the first again from the second's place.
func checkPages(t *testing.T, s *Store, f Filter, want []int64) {
	t.Helper()
	const size = 30
	first, older, err := s.Events(t.Context(), f, Page{Limit: size})
	if err != nil {
		t.Errorf("%+v: %v", f, err)
		return
	}
	if got := seqs(first); !slices.Equal(got, want[:min(size, len(want))]) || (older != "") != (len(want) > size) {
		t.Errorf("%+v: %d events %v, want %d %v", f, len(got), got, len(want), want[:min(size, len(want))])
		return
	}
	if older == "" {
		return
	}
	second, _, err := s.Events(t.Context(), f, Page{Limit: size, Older: older})
	if got := seqs(second); err != nil || !slices.Equal(got, want[size:min(2*size, len(want))]) {
		t.Errorf("%+v: second page %v, want %v; %v", f, got, want[size:min(2*size, len(want))], err)
		return
	}
	back, _, err := s.Events(t.Context(), f, Page{Limit: size, Newer: second[0].Newer()})
	if got := seqs(back); err != nil || !slices.Equal(got, want[:size]) {
		t.Errorf("%+v: back %v, want %v; %v", f, got, want[:size], err)
	}
}

func seqs(events []Summary) (out []int64) {
	for i := range events {
		out = append(out, events[i].Seq)
	}
	return out
}

// A store that a program with schema 1 wrote is brought up to date with all that is in it.
func TestStoreOfSchema1(t *testing.T) {
	packed, err := os.ReadFile("testdata/schema1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := openTest(t, Config{Dir: dir})
		var version int
		if err := s.readers.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version); err != nil || version != len(migrations()) || version < 2 {
			t.Fatalf("schema %d, %v", version, err)
		}
		for _, test := range []struct {
			f    Filter
			want int
		}{
			{Filter{}, 18},
			{Filter{Method: "PROPFIND"}, 8},
			{Filter{Host: "www1.example.com"}, 3},
			{Filter{StatusFrom: 404, StatusTo: 404}, 8},
			{Filter{StatusFrom: 400, StatusTo: 499}, 17},
			{Filter{Text: "secret-8"}, 1},
			{Filter{Rule: 2}, 8},
		} {
			events, _, err := s.Events(t.Context(), test.f, Page{})
			if err != nil || len(events) != test.want {
				t.Errorf("%+v: %d events, want %d; %v", test.f, len(events), test.want, err)
			}
		}
		events, _, err := s.Events(t.Context(), Filter{Method: "PROPFIND"}, Page{Limit: 1})
		if err != nil || len(events) != 1 {
			t.Fatal(err)
		}
		if e, err := s.Event(t.Context(), events[0].Sensor, events[0].ID); err != nil || !strings.Contains(string(e.Entry), "PROPFIND /secret-8 HTTP/1.1") {
			t.Errorf("%v\n%s", err, e.Entry)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
