//go:build unix

package spool

import (
	"context"
	"fmt"
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

// BenchmarkAppend puts records of a usual size; all is durable on return.
func BenchmarkAppend(b *testing.B) {
	entry := make([]byte, 2000)
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", n), func(b *testing.B) {
			s := open(b, Config{MaxBytes: 64 << 30})
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			before := cpu(b)
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.Append(context.Background(), "Z1QpHn8AAQEAAAbcdefghijk", entry); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
			b.ReportMetric(float64(s.Stats().Log.Syncs)/float64(b.N), "syncs/op")
		})
	}
}

// BenchmarkNextAck is the reading side of one entry.
func BenchmarkNextAck(b *testing.B) {
	s := open(b, Config{MaxBytes: 64 << 30})
	r := reader(b, s, "console")
	entry := make([]byte, 2000)
	var last Ticket
	for i := range b.N {
		last = s.Queue("Z1QpHn8AAQEAAAbcdefghijk", entry)
		if i%1000 == 999 {
			if err := last.Wait(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := last.Wait(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		e, err := r.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Ack(e.Seq); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
}
