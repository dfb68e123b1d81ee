package auditlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkEntries reads a serial log of real entries: four of version 2 with part K, seven of version 3, again and again.
func BenchmarkEntries(b *testing.B) {
	for _, set := range []string{"v2-honeytrap-crs-serial-k/audit.log", "v3-honeytrap-crs-serial/audit.log", "v3-honeytrap-crs-json/audit.log"} {
		b.Run(filepath.Dir(set), func(b *testing.B) {
			text, err := os.ReadFile(filepath.Join(samples, set))
			if err != nil {
				b.Fatal(err)
			}
			text = bytes.Repeat(text, 1+(16<<20)/len(text))
			path := filepath.Join(b.TempDir(), "audit.log")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			n := 0
			for b.Loop() {
				for _, err := range Entries(b.Context(), path) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkWriteSerial(b *testing.B) {
	w, err := Open(Config{Log: filepath.Join(b.TempDir(), "log")})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	r := record("a")
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := w.Write(b.Context(), r); err != nil {
				b.Error(err)
			}
		}
	})
}
