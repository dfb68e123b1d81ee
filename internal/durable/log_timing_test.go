//go:build unix

package durable

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpu returns the processor time that the process has used, kernel included.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// callers runs fn b.N times from n goroutines and reports CPU and fsyncs per call.
func callers(b *testing.B, l *Log, n int, fn func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	before, syncs := cpu(b), l.Stats().Syncs
	b.ResetTimer()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := fn(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
	b.ReportMetric(float64(l.Stats().Syncs-syncs)/float64(b.N), "syncs/op")
}

// BenchmarkAppend compares who does the writing: the first that waits (what the
// Log does), or one goroutine that is woken for it.
func BenchmarkAppend(b *testing.B) {
	payload := make([]byte, 2000)
	for _, n := range []int{1, 16, 64} {
		for _, who := range []string{"leader", "committer"} {
			b.Run(fmt.Sprintf("callers=%d/%s", n, who), func(b *testing.B) {
				l, _, err := OpenLog(Config{Dir: b.TempDir()}, nil)
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				ctx := context.Background()
				fn := func() error { return l.Append(nil, payload).Wait(ctx) }
				if who == "committer" {
					work := make(chan struct{}, 1)
					defer close(work)
					go func() {
						for range work {
							_ = l.Flush()
						}
					}()
					fn = func() error {
						t := l.Append(nil, payload)
						select {
						case work <- struct{}{}:
						default:
						}
						<-t.b.done
						return t.b.err
					}
				}
				callers(b, l, n, fn)
			})
		}
	}
}
