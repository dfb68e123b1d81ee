package match

import (
	"strings"
	"testing"
)

// The values and patterns of the comparison of backtracking matchers.
func BenchmarkBacktracking(b *testing.B) {
	for _, c := range []struct{ name, pattern, in string }{
		{"look", `(?<!x)y(?=z)`, strings.Repeat("abcxyzy ", 20) + "yz"},
		{"backref", `(\w+)\s+\1\b`, strings.Repeat("lorem ipsum dolor ", 10) + "sit sit"},
		{"possessive", `(?:\w++\s?)++;(?!x)`, strings.Repeat("word ", 30) + ";y"},
		{"quotes", `(['"])(?:(?!\1).)*\1\s*=`, strings.Repeat(`x 'a' "b" `, 10) + "'q' ="},
		{"miss", `(?i)<script(?![^>]*src)[^>]*>(?=alert)`, strings.Repeat("<script src=x> <script>", 8)},
		{"long", `(?=.)[^<]*<(\w+)[^>]*>.*</\1>`, strings.Repeat("text ", 400) + "<b class=x>y</b>"},
	} {
		re, err := Compile(c.pattern, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if !re.Backtracks() {
			b.Fatal(c.pattern)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.in)))
			for b.Loop() {
				if _, _, err := re.FindSubmatch(c.in, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
