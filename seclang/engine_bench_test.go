//go:build bench

package seclang_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
)

// BenchmarkPair runs each request through this engine and through Coraza in the same process, the two alternating, on
// one core, and reports how many times more CPU Coraza takes.
func BenchmarkPair(b *testing.B) {
	for _, pl := range []string{"1", "4"} {
		setup := strings.ReplaceAll(setup4, "PL", pl)
		ours := crs4(b, setup)
		waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(
			"Include @coraza.conf-recommended\nInclude @crs-setup.conf.example\n" + setup + "Include @owasp_crs/*.conf\n"))
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range benchRequests() {
			b.Run("pl"+pl+"/"+r.name, func(b *testing.B) {
				if a, c := drive(ours, &r), driveCoraza(waf, &r); a != c {
					b.Fatalf("interrupted: ours %v, Coraza %v", a, c)
				}
				run := func(fn func()) float64 {
					n := 0
					start, cpu := time.Now(), cpuTime()
					for time.Since(start) < 300*time.Millisecond {
						fn()
						n++
					}
					return float64((cpuTime() - cpu).Nanoseconds()) / float64(n) / 1000
				}
				mine, theirs := math.Inf(1), math.Inf(1)
				for b.Loop() {
					mine = min(mine, run(func() { drive(ours, &r) }))
					theirs = min(theirs, run(func() { driveCoraza(waf, &r) }))
				}
				b.ReportMetric(mine, "ours-cpu-µs")
				b.ReportMetric(theirs, "coraza-cpu-µs")
				b.ReportMetric(theirs/mine, "times")
			})
		}
	}
}

func driveCoraza(waf coraza.WAF, r *benchRequest) bool {
	tx := waf.NewTransaction()
	defer tx.Close()
	it := phasesCoraza(tx, r)
	tx.ProcessLogging()
	return it != nil
}

func phasesCoraza(tx types.Transaction, r *benchRequest) *types.Interruption {
	tx.ProcessConnection("192.0.2.7", 40000, "198.51.100.1", 443)
	tx.ProcessURI(r.uri, r.method, "HTTP/1.1")
	for _, h := range r.headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	if r.body != nil {
		tx.AddRequestHeader("Content-Length", fmt.Sprint(len(r.body)))
	}
	tx.SetServerName("shop.example.com")
	if it := tx.ProcessRequestHeaders(); it != nil {
		return it
	}
	if r.body != nil {
		if it, _, _ := tx.WriteRequestBody(r.body); it != nil {
			return it
		}
	}
	if it, _ := tx.ProcessRequestBody(); it != nil {
		return it
	}
	mime := r.answerType
	if mime == "" {
		mime = "application/json"
	}
	tx.AddResponseHeader("Content-Type", mime)
	if it := tx.ProcessResponseHeaders(200, "HTTP/1.1"); it != nil {
		return it
	}
	if r.answer != nil && tx.IsResponseBodyAccessible() && tx.IsResponseBodyProcessable() {
		if it, _, _ := tx.WriteResponseBody(r.answer); it != nil {
			return it
		}
	}
	it, _ := tx.ProcessResponseBody()
	return it
}
