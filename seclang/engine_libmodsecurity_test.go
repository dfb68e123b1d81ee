//go:build libmodsecurity

package seclang_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"github.com/trapline/trapline/seclang/libmodsecurity"
)

// BenchmarkPairLibmodsecurity runs each request through this engine and through libmodsecurity 3 in the same process,
// the two alternating, and reports how many times more CPU the C++ engine takes. Both run CRS 4 from the same files.
func BenchmarkPairLibmodsecurity(b *testing.B) {
	for _, pl := range []string{"1", "4"} {
		setup := strings.ReplaceAll(setup4, "PL", pl)
		ours := crs4(b, setup)
		theirs, err := libmodsecurity.New(crsOnDisk(b, setup))
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range benchRequests() {
			q := libmodsecurity.Request{Method: r.method, URI: r.uri, Headers: r.headers, Body: r.body, Answer: r.answer, AnswerType: "application/json"}
			if r.body != nil {
				q.Headers = append(q.Headers, [2]string{"Content-Length", fmt.Sprint(len(r.body))})
			}
			if r.answerType != "" {
				q.AnswerType = r.answerType
			}
			b.Run("pl"+pl+"/"+r.name, func(b *testing.B) {
				run := func(fn func()) float64 {
					n := 0
					start, cpu := time.Now(), cpuTime()
					for time.Since(start) < 300*time.Millisecond {
						fn()
						n++
					}
					return float64((cpuTime() - cpu).Nanoseconds()) / float64(n) / 1000
				}
				mine, other := math.Inf(1), math.Inf(1)
				for b.Loop() {
					mine = min(mine, run(func() { drive(ours, &r) }))
					other = min(other, run(func() { theirs.Run(&q) }))
				}
				b.ReportMetric(mine, "ours-cpu-µs")
				b.ReportMetric(other, "libmodsecurity-cpu-µs")
				b.ReportMetric(other/mine, "times")
			})
		}
	}
}

// crsOnDisk writes CRS 4 as one file beside its data files, where libmodsecurity finds them, and returns its name.
func crsOnDisk(b *testing.B, setup string) string {
	dir := b.TempDir()
	if err := os.CopyFS(dir, coreruleset.FS); err != nil {
		b.Fatal(err)
	}
	files, _ := filepath.Glob(dir + "/@owasp_crs/*.conf")
	files = append([]string{dir + "/@coraza.conf-recommended", dir + "/@crs-setup.conf.example"}, files...)
	var text strings.Builder
	for i, f := range files {
		one, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		// Version 3.0.9 refuses one directive of the recommended configuration, and rules without actions that the next
		// one follows without an empty line.
		text.WriteString(strings.NewReplacer("\nSecRequestBodyInMemoryLimit", "\n#", "\nSecRule ", "\n\nSecRule ").Replace(string(one)))
		text.WriteByte('\n')
		if i == 1 {
			text.WriteString(setup)
		}
	}
	main := dir + "/@owasp_crs/all.conf"
	if err := os.WriteFile(main, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	return main
}
