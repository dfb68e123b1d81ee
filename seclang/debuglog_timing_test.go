package seclang_test

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

// countWriter counts what it is given.
type countWriter struct{ bytes int64 }

func (w *countWriter) Write(p []byte) (int, error) {
	w.bytes += int64(len(p))
	return len(p), nil
}

// BenchmarkDebugLog is what the debug log costs a GET through CRS 4 at paranoia level 1: nothing at level 0, where "none" has no
// SecDebugLog at all; and how many bytes it writes at the other levels.
func BenchmarkDebugLog(b *testing.B) {
	r := benchRequests()[0]
	for _, level := range []int{-1, 0, 3, 4, 9} {
		var out countWriter
		name, conf := "none", strings.ReplaceAll(setup4, "PL", "1")
		if level >= 0 {
			name = "level" + strconv.Itoa(level)
			conf += "SecDebugLog debug.log\nSecDebugLogLevel " + strconv.Itoa(level) + "\n"
		}
		cfg := crs4Config(b, conf)
		cfg.Debug.Open = func(string) (io.Writer, error) { return &out, nil }
		e, err := seclang.Compile(cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			out.bytes = 0
			start := cpuTime()
			for b.Loop() {
				drive(e, &r)
			}
			b.ReportMetric(float64((cpuTime()-start).Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(out.bytes)/float64(b.N), "logged-B/op")
		})
	}
}
