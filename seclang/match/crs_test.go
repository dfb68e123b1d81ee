package match

import (
	"io/fs"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
)

// crsPatterns are the @rx patterns of CRS, read with no more than a regular
// expression: this package knows nothing of rules.
func crsPatterns(t testing.TB) []string {
	var all []string
	rx := regexp.MustCompile(`"!?@rx ((?:\\.|[^"\\])*)"`)
	err := fs.WalkDir(coreruleset.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".conf") {
			return err
		}
		b, err := fs.ReadFile(coreruleset.FS, name)
		for _, m := range rx.FindAllStringSubmatch(strings.ReplaceAll(string(b), "\\\n", ""), -1) {
			all = append(all, strings.ReplaceAll(m[1], `\"`, `"`))
		}
		return err
	})
	if err != nil || len(all) < 200 {
		t.Fatalf("%d patterns (%v)", len(all), err)
	}
	return all
}

// crsStrings are lines of the CRS test files, attacks most of them, with mutations.
func crsStrings(t testing.TB, n int) []string {
	var out []string
	err := fs.WalkDir(crstests.FS, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := fs.ReadFile(crstests.FS, p)
			for l := range strings.Lines(string(b)) {
				if l = strings.TrimSpace(l); len(l) > 2 && len(l) < 400 {
					out = append(out, l)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	out = out[:min(n, len(out))]
	for _, l := range out[:len(out)/3] {
		b := []byte(l)
		for range 3 {
			b[r.IntN(len(b))] = byte(r.IntN(256))
		}
		out = append(out, string(b), l+"\n"+l, strings.ToUpper(l))
	}
	return out
}

// TestCRS holds every pattern of CRS against package regexp on the same text,
// through the automaton, the literals and the set.
func TestCRS(t *testing.T) {
	budget := NewBudget(64 << 20)
	b := NewBuilder()
	var res []*Regexp
	conditions := [2]int{}
	for i, p := range crsPatterns(t) {
		re, err := Compile(p, Options{Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		if re.Backtracks() {
			t.Errorf("backtracks: %s", p)
		}
		l := re.Literals()
		if l.A != nil {
			conditions[0]++
		}
		if l.B != nil {
			conditions[1]++
		}
		if b.Add(l) != i {
			t.Fatal("bits are not in order")
		}
		res = append(res, re)
	}
	set := b.Build()
	t.Logf("%d patterns, %d with one condition, %d with two; set: %d bytes", len(res), conditions[0], conditions[1], set.Bytes())
	m := make([]uint64, 2*set.Words())
	pairs, matches, candidates := 0, 0, 0
	for _, v := range crsStrings(t, 600) {
		set.Scan(v, m)
		text := latin1(v)
		for i, re := range res {
			if re.simple != nil {
				continue
			}
			pairs++
			re.once.Do(re.build)
			want := re.std.MatchString(text)
			got, known := re.filter.match(v)
			if !known || got != want {
				t.Fatalf("%q on %q: automaton (%v, known %v), regexp %v", re, v, got, known, want)
			}
			can := m[i>>6]>>(i&63)&1 == 1
			if want && !can {
				t.Fatalf("%q on %q: matches, but the literals %q say no", re, v, re.Literals())
			}
			if want {
				matches++
			}
			if can {
				candidates++
			}
		}
	}
	t.Logf("%d pairs, %d matches, %d candidates (%.1f %%), automata %d bytes", pairs, matches, candidates, 100*float64(candidates)/float64(pairs), budget.Used())
}

func mustStd(t *testing.T, pattern string) *regexp.Regexp {
	re, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return re
}

// crsPhrases are the lines of all data files of CRS.
func crsPhrases(t testing.TB) []string {
	var all []string
	err := fs.WalkDir(coreruleset.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".data") {
			return err
		}
		b, err := fs.ReadFile(coreruleset.FS, name)
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				all = append(all, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
