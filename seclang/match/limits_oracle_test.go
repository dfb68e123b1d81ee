//go:build oracle

package match

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestLimitsAgainstPCRE2: where PCRE2 with its JIT, as mod_security2 runs it, finds a match within a limit, we do not
// give up within the same limit. The other way round we may find more: automata never give up, and we count less.
func TestLimitsAgainstPCRE2(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var patterns []string
	for range 1000 {
		m := &patternMaker{r: r}
		patterns = append(patterns, m.alternatives(3))
	}
	patterns = append(patterns, ordinary()...)
	subjects := []string{
		"name=value; other=\"quoted\"", "<script type=x>alert(1)</script>", "1 union select a, b from c where d = d", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
		"ab ab abc cba ABC 111", "../../etc/passwd", "the quick brown fox jumps over the lazy dog, twice: the quick brown fox", strings.Repeat("ab c1", 60), "(a(b)c(d))", "{\"a\":[1,2,{\"b\":null}]}",
		strings.Repeat("lorem ipsum, dolor sit amet; ", 70), strings.Repeat("a", 1500), strings.Repeat("<b x='1'>b</b> ", 100), strings.Repeat("0a1b", 400) + "!",
	}
	for _, limit := range []int{1, 100, 1000} {
		matched, gaveUp, theirs, early := 0, 0, 0, 0
		answers := runPCRELimited(t, patterns, subjects, limit)
		for i, p := range patterns {
			if answers[i] == nil {
				continue
			}
			re, err := Compile(p, Options{Limits: Limits{Ways: limit, Depth: limit}})
			if err != nil {
				t.Fatal(err)
			}
			for j, s := range subjects {
				_, ok, err := re.FindSubmatch(s, nil)
				if err != nil {
					gaveUp++
				}
				switch answers[i][j] {
				case "limit":
					theirs++
				case "no":
					// A pattern that calls itself without taking a byte: PCRE2 knows from literals that there is no match.
					if err != nil && !errors.Is(err, errLoop) {
						if early++; limit >= 1000 {
							t.Errorf("limit %d: %q on %.60q: %v, PCRE2 says no", limit, p, s, err)
						}
					}
				default:
					if matched++; !ok && err != nil {
						t.Errorf("limit %d: %q on %.60q: %v, PCRE2 finds %.60s", limit, p, s, err, answers[i][j])
					}
				}
			}
		}
		if early > matched/1000 {
			t.Errorf("limit %d: given up %d times where PCRE2 says no", limit, early)
		}
		t.Logf("limit %d: %d matches of PCRE2, which gave up %d times, we %d times", limit, matched, theirs, gaveUp)
	}
}

// ordinary are patterns that people write and that need backtracking.
func ordinary() []string {
	return []string{
		`(?<!x)y(?=z)`, `(\w+)\s+\1\b`, `(?:\w++\s?)++;(?!x)`, `(['"])(?:(?!\1).)*\1\s*=?`, `(?i)<script(?![^>]*src)[^>]*>(?=alert)`, `(?=.)[^<]*<(\w+)[^>]*>.*</\1>`,
		`^(?=.*\d)(?=.*[a-z]).{6,}$`, `(?<=\.\./)etc`, `(\d+)\s*=\s*\1`, `(\w)\s*=\s*\1`, `^(?:(?!union).)*$`, `(?s)union(?:(?!from).)+from`, `\b(\w+)\b(?=.*\b\1\b)`,
		`^(\((?:[^()]++|(?1))*\))$`, `(?(DEFINE)(?<s>"[^"]*")(?<v>\d+|null|(?&o)|(?&l)|(?&s))(?<l>\[(?:(?&v),?)*\])(?<o>\{(?:(?&s):(?&v),?)*\}))(?&o)`, `(?>a+)!`, `(?<a>\w)\k<a>`, `\Bb(?!c)`,
	}
}

func runPCRELimited(t *testing.T, patterns, subjects []string, limit int) [][]string {
	return runPCREWith(t, patterns, subjects, "dollar_endonly,jit", fmt.Sprintf(`\=match_limit=%d`, limit))
}
