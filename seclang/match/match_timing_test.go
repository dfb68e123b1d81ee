package match

import (
	"strings"
	"testing"
)

// The values that a benign request has.
const (
	prose     = "Please leave the parcel with the neighbours on the second floor if nobody opens, thank you. "
	userAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)

func crsSet(b *testing.B) (*Set, []*Regexp) {
	sb := NewBuilder()
	var res []*Regexp
	for _, p := range crsPatterns(b) {
		re, err := Compile(p, Options{})
		if err != nil {
			b.Fatal(err)
		}
		sb.Add(re.Literals())
		res = append(res, re)
	}
	return sb.Build(), res
}

func BenchmarkCompileCRS(b *testing.B) {
	patterns := crsPatterns(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range patterns {
			if _, err := Compile(p, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkBuildSet(b *testing.B) {
	var all []Literals
	for _, p := range crsPatterns(b) {
		re, err := Compile(p, Options{})
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, re.Literals())
	}
	all = append(all, Literals{A: crsPhrases(b)})
	var set *Set
	for b.Loop() {
		sb := NewBuilder()
		for _, l := range all {
			sb.Add(l)
		}
		set = sb.Build()
	}
	b.ReportMetric(float64(set.Bytes())/1e6, "MB")
}

func BenchmarkScan(b *testing.B) {
	set, _ := crsSet(b)
	m := make([]uint64, 2*set.Words())
	for name, v := range map[string]string{"prose": strings.Repeat(prose, 11)[:1000], "agent": userAgent, "short": "books"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(v)))
			for b.Loop() {
				set.Scan(v, m)
			}
		})
	}
}

// BenchmarkCandidates matches what the scan leaves, which is what a request costs.
func BenchmarkCandidates(b *testing.B) {
	set, res := crsSet(b)
	m := make([]uint64, 2*set.Words())
	for name, v := range map[string]string{"prose": strings.Repeat(prose, 11)[:1000], "agent": userAgent, "short": "books"} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				set.Scan(v, m)
				n = 0
				Each(m[:set.Words()], func(id int) {
					n++
					if _, err := res[id].MatchString(v); err != nil {
						b.Fatal(err)
					}
				})
			}
			b.ReportMetric(float64(n), "candidates")
		})
	}
}

// BenchmarkAutomaton and BenchmarkStandard run all patterns without the scan.
func BenchmarkAutomaton(b *testing.B) {
	_, res := crsSet(b)
	v := strings.Repeat(prose, 11)[:1000]
	b.SetBytes(int64(len(v) * len(res)))
	for b.Loop() {
		for _, re := range res {
			if _, err := re.MatchString(v); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkStandard(b *testing.B) {
	_, res := crsSet(b)
	v := strings.Repeat(prose, 11)[:1000]
	n := 0
	for _, re := range res {
		if re.once.Do(re.build); re.std != nil && re.simple == nil {
			n++
		}
	}
	b.SetBytes(int64(len(v) * n))
	for b.Loop() {
		for _, re := range res {
			if re.simple == nil {
				re.std.MatchString(v)
			}
		}
	}
}

// BenchmarkAutomatonBuild makes the states that one value needs, for every pattern of CRS.
func BenchmarkAutomatonBuild(b *testing.B) {
	_, res := crsSet(b)
	v := strings.Repeat(prose, 2) + userAgent
	b.ReportAllocs()
	for b.Loop() {
		for _, re := range res {
			if re.filter != nil {
				newDFA(re.re2, nil).match(v)
			}
		}
	}
}
