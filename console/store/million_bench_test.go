//go:build bench

package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// millionEvent is event n of a million: mostly GET, 403 and a hundred hosts, with values that only
// the oldest events have, and values that nothing has.
func millionEvent(n int) Event {
	e := timingEvent(n)
	r := e.Record
	status := 403
	switch {
	case n%10 == 3:
		status = 200
	case n%100 == 7:
		status = 404
	case n < 100_000 && n%10_000 == 5:
		status = 502
	}
	method := "GET"
	switch {
	case n%20 == 1:
		method = "POST"
	case n%1000 == 8:
		method = "HEAD"
	case n < 100_000 && n%10_000 == 6:
		method = "PROPFIND"
	}
	r.Status = status
	r.RequestHead = bytes.Replace(r.RequestHead, []byte("GET "), []byte(method+" "), 1)
	if n < 100_000 && n%10_000 == 9 {
		r.RequestHead = bytes.Replace(r.RequestHead, fmt.Appendf(nil, "Host: www%d.example.com", n%13), []byte("Host: rare.example.com"), 1)
		r.RequestHead = bytes.Replace(r.RequestHead, []byte("/index.php"), []byte("/rare-path.cgi"), 1)
	}
	return e
}

// million returns a store with a million events. TRAPLINE_MILLION names a folder to keep it in.
func million(b *testing.B) *Store {
	dir := os.Getenv("TRAPLINE_MILLION")
	if dir == "" {
		dir = b.TempDir()
	}
	_, err := os.Stat(filepath.Join(dir, FileName))
	s := openTest(b, Config{Dir: dir})
	if err == nil {
		return s
	}
	const total = 1_000_000
	begin, wall := cpuTime(b), time.Now()
	for n := 0; n < total; n += 2000 {
		events := make([]Event, 2000)
		for i := range events {
			events[i] = millionEvent(n + i)
		}
		if _, err := s.Insert(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	info, err := os.Stat(s.Path())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%.1f us of CPU and %.1f us of wall time an event with making it, %d bytes on disk", float64((cpuTime(b)-begin).Microseconds())/total,
		float64(time.Since(wall).Microseconds())/total, info.Size()/total)
	return s
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMillion is the first page of filtered lists among a million events.
func BenchmarkMillion(b *testing.B) {
	s := million(b)
	day := testStart.Add(24 * time.Hour)
	for _, f := range []struct {
		name   string
		filter Filter
	}{
		{"all", Filter{}},
		{"method=GET", Filter{Method: "GET"}},
		{"method=HEAD", Filter{Method: "HEAD"}},
		{"method=rare", Filter{Method: "PROPFIND"}},
		{"method=none", Filter{Method: "BREW"}},
		{"host=common", Filter{Host: "www3.example.com"}},
		{"host=rare", Filter{Host: "rare.example.com"}},
		{"host=none", Filter{Host: "nobody.example.com"}},
		{"status=403", Filter{StatusFrom: 403, StatusTo: 403}},
		{"status=4xx", Filter{StatusFrom: 400, StatusTo: 499}},
		{"status=rare", Filter{StatusFrom: 502, StatusTo: 502}},
		{"status=5xx", Filter{StatusFrom: 500, StatusTo: 599}},
		{"status=none", Filter{StatusFrom: 300, StatusTo: 399}},
		{"path=common", Filter{Text: "path-7"}},
		{"path=rare", Filter{Text: "rare-path.cgi"}},
		{"path=none", Filter{Text: "no-such-path"}},
		{"host=rare,method=GET", Filter{Host: "rare.example.com", Method: "GET"}},
		{"host=common,method=rare", Filter{Host: "www3.example.com", Method: "PROPFIND"}},
		{"host=common,status=rare", Filter{Host: "www3.example.com", StatusFrom: 502, StatusTo: 502}},
		{"method=GET,status=5xx", Filter{Method: "GET", StatusFrom: 500, StatusTo: 599}},
		{"method=GET,status=none", Filter{Method: "GET", StatusFrom: 300, StatusTo: 399}},
		{"method=rare,from", Filter{Method: "PROPFIND", From: day}},
		{"status=4xx,to", Filter{StatusFrom: 400, StatusTo: 499, To: day}},
		{"port=8080,method=none", Filter{Port: 8080, Method: "BREW"}},
		{"sensor,status=none", Filter{Sensor: "sensor-7", StatusFrom: 300, StatusTo: 399}},
	} {
		b.Run(f.name, func(b *testing.B) {
			begin, n := cpuTime(b), 0
			for b.Loop() {
				events, _, err := s.Events(b.Context(), f.filter, Page{})
				if err != nil {
					b.Fatal(err)
				}
				n = len(events)
			}
			b.ReportMetric(float64((cpuTime(b)-begin).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(n), "events")
		})
	}
}
