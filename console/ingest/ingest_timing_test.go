package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// BenchmarkPut is events by PUT over loopback, each durable before its answer, with so many connections.
func BenchmarkPut(b *testing.B) {
	for _, connections := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			c := startConsole(b, Limits{})
			c.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = connections
			var n atomic.Int64
			b.SetParallelism(max(1, connections/2)) // times GOMAXPROCS, 2 where this is measured
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					entry := testEntry(int(n.Add(1)))
					req, err := http.NewRequest("PUT", c.URL+PathPut, bytes.NewReader(entry))
					if err != nil {
						b.Error(err)
						return
					}
					req.SetBasicAuth("honeypot-sensor", "test1234")
					req.Header.Set("X-Content-Hash", md5Header(entry))
					resp, err := c.Client().Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != 200 {
						b.Errorf("%s", resp.Status)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkBatch is events in zstd batches of 1,000 over loopback, each batch durable before its answer.
func BenchmarkBatch(b *testing.B) {
	c := startConsole(b, Limits{})
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		b.Fatal(err)
	}
	const size = 1000
	n, batches := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		var entries [][]byte
		for range size {
			n++
			entries = append(entries, testEntry(n))
		}
		body := enc.EncodeAll(frame(entries...), nil)
		b.StartTimer()
		if status, answer := c.send(b, "POST", PathBatch, bytes.NewReader(body), "Content-Encoding", "zstd"); status != 200 {
			b.Fatal(answer)
		}
		batches++
	}
	b.ReportMetric(float64(batches*size)/b.Elapsed().Seconds(), "events/s")
}
