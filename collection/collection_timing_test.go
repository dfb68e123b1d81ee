//go:build unix

package collection

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLoad is the check of every request on the real site: it must not
// depend on how many clients are tagged.
func BenchmarkLoad(b *testing.B) {
	for _, tagged := range []int{0, 1000, 1_000_000} {
		s := open(b, Config{})
		for i := range tagged {
			s.Apply("ip", address(i), time.Hour, t0, tag(t0))
		}
		b.Run(fmt.Sprintf("tagged=%d/clean", tagged), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok := s.Load("ip", cleanKeys[i&1023], t0); ok {
					b.Fatal("found")
				}
			}
		})
		if tagged == 0 {
			continue
		}
		keys := make([]string, 1024)
		for i := range keys {
			keys[i] = address(i * tagged / 1024)
		}
		b.Run(fmt.Sprintf("tagged=%d/tagged", tagged), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v, _ := s.Load("ip", keys[i&1023], t0)
				if x, ok := v.Get("malicious_client"); !ok || x != "1" {
					b.Fatal("not tagged")
				}
			}
		})
	}
}

var cleanKeys = func() (keys [1024]string) {
	for i := range keys {
		keys[i] = fmt.Sprintf("198.51.100.%d_%d", i&255, i)
	}
	return keys
}()

// BenchmarkApply is the tag of one touch: in memory, and durable.
func BenchmarkApply(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		s := open(b, Config{})
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Apply("ip", cleanKeys[i&1023], time.Hour, t0, tag(t0))
		}
	})
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("durable/again/callers=%d", n), func(b *testing.B) { benchmarkDurable(b, n, false) })
		b.Run(fmt.Sprintf("durable/news/callers=%d", n), func(b *testing.B) { benchmarkDurable(b, n, true) })
	}
}

// benchmarkDurable applies from n callers; with news every change says something new.
func benchmarkDurable(b *testing.B, n int, news bool) {
	s := open(b, Config{Dir: b.TempDir()})
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	before := cpu(b)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				i := left.Add(-1)
				if i < 0 {
					return
				}
				changes := tag(t0)
				if news {
					changes[0] = add("malicious_client", 1)
				}
				if err := s.Apply("ip", cleanKeys[i&1023], time.Hour, t0, changes).Wait(context.Background()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
	b.ReportMetric(float64(s.Stats().Log.Syncs)/float64(b.N), "syncs/op")
}

// BenchmarkOpen reads a million tagged clients back from a snapshot.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, Config{Dir: dir})
	for i := range 1_000_000 {
		s.Apply("ip", address(i), time.Hour, t0, tag(t0))
	}
	start := time.Now()
	if err := s.Compact(); err != nil {
		b.Fatal(err)
	}
	b.Logf("snapshot in %s, %d bytes", time.Since(start), s.Stats().Log.DiskBytes)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := open(b, Config{Dir: dir})
		if s.Stats().Records != 1_000_000 {
			b.Fatal(s.Stats())
		}
		_ = s.Close()
	}
}

// BenchmarkLoadWhileBusy looks clients up and tags one now and then while the
// sweeper and a compaction go through a million records: nothing may stall.
func BenchmarkLoadWhileBusy(b *testing.B) {
	s := open(b, Config{Dir: b.TempDir()})
	for i := range 1_000_000 {
		s.Apply("ip", address(i), time.Hour, t0, tag(t0))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	rounds := 0
	go func() {
		defer close(stopped)
		for ; ; rounds++ {
			select {
			case <-stop:
				return
			default:
			}
			s.Sweep()
			if err := s.Compact(); err != nil {
				b.Error(err)
			}
		}
	}()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		s.Load("ip", cleanKeys[i&1023], t0)
		if i%100 == 0 {
			s.Apply("ip", address(i), time.Hour, t0, tag(t0))
		}
		took = append(took, time.Since(start))
	}
	close(stop)
	<-stopped
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*999/1000])/1e3, "p99.9-µs")
	b.ReportMetric(float64(took[len(took)-1])/1e3, "max-µs")
	b.ReportMetric(float64(rounds), "rounds")
}
