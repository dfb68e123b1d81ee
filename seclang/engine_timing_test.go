package seclang_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// BenchmarkCRS is the CPU time of one request through CRS 4 at paranoia levels 1 and 4, engine On, all phases.
func BenchmarkCRS(b *testing.B) {
	for _, pl := range []string{"1", "4"} {
		e := crs4(b, strings.ReplaceAll(setup4, "PL", pl))
		for _, r := range benchRequests() {
			b.Run("pl"+pl+"/"+r.name, func(b *testing.B) {
				if got := drive(e, &r); pl == "1" && got != (r.name == "sqli") {
					b.Fatalf("interrupted: %v", got)
				}
				b.ReportAllocs()
				start := cpuTime()
				for b.Loop() {
					drive(e, &r)
				}
				b.ReportMetric(float64((cpuTime()-start).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// BenchmarkCompileCRS is the time to compile all of CRS 4, and the memory of the engine after its automata have grown
// with the benchmark's requests.
func BenchmarkCompileCRS(b *testing.B) {
	cfg := crs4Config(b, strings.ReplaceAll(setup4, "PL", "4"))
	var e *seclang.Engine
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	for b.Loop() {
		var err error
		if e, err = seclang.Compile(cfg); err != nil {
			b.Fatal(err)
		}
	}
	for _, r := range benchRequests() {
		drive(e, &r)
	}
	b.ReportMetric((heap()-before)/(1<<20), "MiB/engine")
	runtime.KeepAlive(e)
}

// BenchmarkArticle is a clean client on a site that has only the article's two rules.
func BenchmarkArticle(b *testing.B) {
	s := store(b)
	e := compile(b, seclang.Config{Collections: s, Defaults: seclang.Defaults{Article: true}}, articleRules)
	trap := compile(b, seclang.Config{Collections: s, Honeytrap: true, Defaults: seclang.Defaults{Article: true}}, articleRules)
	head := []byte(plainHead)
	b.Run("clean", func(b *testing.B) {
		b.ReportAllocs()
		c := conn("192.0.2.9", 80)
		for b.Loop() {
			tx := e.NewTransaction(c)
			tx.RequestHead(head)
			tx.RequestHeaders()
			tx.RequestBody()
			tx.ResponseLine(200, "HTTP/1.1")
			tx.ResponseHeaders()
			tx.ResponseBody()
			tx.Logging()
			tx.Commit()
			tx.Close()
		}
	})
	b.Run("trap", func(b *testing.B) {
		b.ReportAllocs()
		c := conn("192.0.2.7", 8000)
		var r audit.Record
		for b.Loop() {
			tx := trap.NewTransaction(c)
			tx.RequestHead(head)
			tx.RequestHeaders()
			tx.RequestBody()
			tx.ResponseLine(403, "HTTP/1.1")
			tx.Logging()
			tx.Commit()
			r = audit.Record{}
			tx.Fill(&r)
			tx.Close()
		}
	})
	b.Run("touch", func(b *testing.B) {
		b.ReportAllocs()
		c := conn("192.0.2.8", 8000)
		for b.Loop() {
			trap.Touch(c)
		}
	})
}
