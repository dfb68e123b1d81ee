//go:build oracle

package match

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// patternMaker writes random patterns in PCRE syntax.
type patternMaker struct {
	r      *rand.Rand
	groups int
}

func (p *patternMaker) pick(s ...string) string { return s[p.r.IntN(len(s))] }

func (p *patternMaker) alternatives(depth int) string {
	n := 1
	if p.r.IntN(4) == 0 {
		n += p.r.IntN(3)
	}
	var parts []string
	for range n {
		parts = append(parts, p.sequence(depth))
	}
	return strings.Join(parts, "|")
}

func (p *patternMaker) sequence(depth int) string {
	var b strings.Builder
	for range 1 + p.r.IntN(4) - p.r.IntN(2) {
		b.WriteString(p.atom(depth))
		if p.r.IntN(3) == 0 {
			b.WriteString(p.pick("*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "+?", "??", "*+", "++", "?+", "{1,2}+", "{,2}"))
		}
	}
	return b.String()
}

func (p *patternMaker) atom(depth int) string {
	if depth > 0 && p.r.IntN(3) == 0 {
		switch p.r.IntN(24) {
		case 0, 1, 2, 3, 4:
			p.groups++
			return "(" + p.alternatives(depth-1) + ")"
		case 5, 6, 7:
			return "(?:" + p.alternatives(depth-1) + ")"
		case 8:
			return "(?>" + p.alternatives(depth-1) + ")"
		case 9:
			return "(?=" + p.alternatives(depth-1) + ")"
		case 10:
			return "(?!" + p.alternatives(depth-1) + ")"
		case 11:
			return p.pick("(?<=a)", "(?<!b)", "(?<=ab|b)", "(?<![^a])", `(?<=\n)`)
		case 12:
			return "(?i:" + p.alternatives(depth-1) + ")"
		case 13:
			return p.pick("(?i)", "(?-s)", "(?m)", "(?s)", "(?x) ", "(?-i)")
		case 14:
			return "(?-s:" + p.alternatives(depth-1) + ")"
		case 15, 16:
			return p.special(depth)
		case 17:
			return p.conditional(depth)
		case 18, 19:
			return p.call()
		case 20:
			return p.verb()
		case 21:
			return p.branchReset(depth)
		}
		p.groups++
		return p.pick("(?<n"+strconv.Itoa(p.groups)+">", "(?P<n"+strconv.Itoa(p.groups)+">") + p.alternatives(depth-1) + ")"
	}
	if p.groups > 0 && p.r.IntN(12) == 0 {
		return `\` + strconv.Itoa(1+p.r.IntN(min(p.groups, 9)))
	}
	return p.pick("a", "b", "c", "A", "ab", "bc", " ", `\n`, "1", `\xe9`, "\xe9", ".", ".", "[ab]", "[^a]", "[a-c]", `[^\n]`, `[\w ]`, `[[:alpha:]]`, `[^[:digit:]]`, `[\xe0-\xff]`,
		`\w`, `\W`, `\d`, `\D`, `\s`, `\S`, `\h`, `\v`, `\N`, `\R`, `\b`, `\B`, "^", "$", `\A`, `\z`, `\Z`, `\Qa.\E`, `\x61`, `\141`, `[]a]`, `[a\-b]`, `[\d-b]`, `\x{62}`, `[b-]`, `\t`, `\.`, `a\Kb`)
}

// special are groups that are written in more ways than one.
func (p *patternMaker) special(depth int) string {
	switch p.r.IntN(9) {
	case 5:
		p.groups += 2
		return "(?J)(?:(?<j>a|b)|(?<j>.))" + p.alternatives(depth-1) + p.pick(`\k<j>`, `\k{j}`, "(?P=j)", `\g{j}`, "(?&j)", "")
	case 6:
		return p.pick("(?n)", "(?n:(a)|b)", "(?-n)", "(?n-i)")
	case 0:
		return "(*atomic:" + p.alternatives(depth-1) + ")"
	case 1:
		return p.pick("(*pla:", "(*nla:", "(*positive_lookahead:", "(*negative_lookahead:") + p.alternatives(depth-1) + ")"
	case 2:
		return p.pick("(*plb:a)", "(*nlb:a|bc)", "(*negative_lookbehind:[^a]b)", `(?<=a(?=b))`, `(?<=(a|b))`, `(?<!\R{0}[ab]{2}|^)`, `(?<=\bab|c)`)
	case 3:
		return "(?i" + p.pick("-s", "m", "x", "U", "") + ":" + p.alternatives(depth-1) + ")"
	case 4:
		return p.pick("(?U)", "(?^)", "(?-U)", "(?xs) #x\n ", "(?#c(o)", "(?C)", "(?C1)", `\Q\E`, `\E`)
	}
	return p.pick(`\X`, `\X+`, `\G`, `\X*?`, `\R*`, `\N+`, `\H`, `\V`, `[\h\v]`, `\C`, `[[:^space:][:punct:]]`, `\cA`, `\o{141}`, `\pL`, `\P{Lu}`, `[^\p{L}\d]`, "[[:<:]]", "[[:>:]]", `\p{L&}`, `\P{Xan}`, `[\p{Xwd}\p{Xsp}]`, `(?xx)[a b]`, `(?xx)[^ \t\v]`)
}

func (p *patternMaker) conditional(depth int) string {
	cond := p.pick("?=a", "?!b", "?<=a", "?=(a)b", "R")
	if strings.Contains(cond, "(") {
		p.groups++
	}
	if p.groups > 0 && p.r.IntN(2) == 0 {
		n := strconv.Itoa(1 + p.r.IntN(p.groups))
		cond = p.pick(n, "R"+n)
	}
	yes := p.sequence(depth - 1)
	if p.r.IntN(3) == 0 {
		return "(?(" + cond + ")" + yes + ")"
	}
	return "(?(" + cond + ")" + yes + "|" + p.sequence(depth-1) + ")"
}

// call is a subroutine call or a recursion, often one that needs a byte to go on.
func (p *patternMaker) call() string {
	n := strconv.Itoa(p.r.IntN(p.groups + 1))
	c := p.pick("(?"+n+")", `\g<`+n+`>`, `\g'`+n+`'`)
	switch p.r.IntN(5) {
	case 0:
		return "(?:a" + c + ")?"
	case 1:
		return "(?:" + p.pick("[ab]", ".", "b") + p.pick("(?R)", "(?0)") + "?c?|a)"
	case 2:
		p.groups++
		return "(" + p.pick("a", ".", `\w`) + "(?" + strconv.Itoa(p.groups) + ")?" + p.pick("b", "c", `\`+strconv.Itoa(p.groups), "") + ")"
	case 3:
		p.groups++
		return "(?(DEFINE)(" + p.sequence(1) + "))" + c
	}
	return c
}

func (p *patternMaker) verb() string {
	return p.pick("(*FAIL)", "(*F)", "(*ACCEPT)", "(*COMMIT)", "(*PRUNE)", "(*SKIP)", "(*THEN)", "(*MARK:m)", "(*SKIP:m)", "(*:m)", "(?:a(*THEN)b|a|.(*SKIP)c)", "(?!a(*COMMIT)b)", "(?:ab(*PRUNE)|a(*THEN)|b)")
}

func (p *patternMaker) branchReset(depth int) string {
	from, most := p.groups, p.groups
	var b strings.Builder
	for i := range 1 + p.r.IntN(3) {
		if i > 0 {
			b.WriteByte('|')
		}
		p.groups = from
		b.WriteString(p.sequence(depth - 1))
		most = max(most, p.groups)
	}
	p.groups = most
	return "(?|" + b.String() + ")"
}

// TestAgainstPCRE2 compares first matches and groups with PCRE2 on random patterns, by its own test program.
func TestAgainstPCRE2(t *testing.T) {
	seed := uint64(1)
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = s
	}
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprintf("multiline=%v", multi), func(t *testing.T) { comparePCRE(t, seed, multi) })
	}
}

func comparePCRE(t *testing.T, seed uint64, multi bool) {
	r := rand.New(rand.NewPCG(seed, 9))
	var patterns, subjects []string
	for range 3000 {
		m := &patternMaker{r: r}
		patterns = append(patterns, m.alternatives(3))
	}
	letters := []string{"a", "b", "c", "A", "B", " ", "\n", "1", "\xe9", "\r\n", "."}
	for range 12 {
		var b strings.Builder
		for range 1 + r.IntN(8) { // pcre2test has no way to say the empty subject
			b.WriteString(letters[r.IntN(len(letters))])
		}
		subjects = append(subjects, b.String())
	}
	answers, jit := runPCRE(t, patterns, subjects, multi, ""), runPCRE(t, patterns, subjects, multi, ",jit")
	differ, both, nonEmpty, split := 0, 0, 0, 0
	for i, p := range patterns {
		re, err := Compile(p, Options{Multiline: multi})
		if answers[i] == nil {
			continue // PCRE2 refuses what PCRE 1 took, such as \z*
		}
		if err != nil {
			t.Errorf("%q: %v, but PCRE2 compiles it", p, err)
			continue
		}
		if len(answers[i]) != len(subjects) {
			t.Fatalf("%q: %q for %d subjects", p, answers[i], len(subjects))
		}
		for j, s := range subjects {
			both++
			if !strings.HasPrefix(answers[i][j], `[""`) && answers[i][j] != "no" {
				nonEmpty++
			}
			groups, ok, err := re.FindSubmatch(s, nil)
			got := "no"
			if ok {
				got = fmt.Sprintf("%q", groups)
			}
			// The automaton alone, where it can, must say the same.
			if matched, err2 := re.MatchString(s); matched != ok && err == nil && err2 == nil {
				t.Errorf("%q on %q: MatchString %v, FindSubmatch %v", p, s, matched, ok)
			}
			want := answers[i][j]
			if got != want && want == "limit" {
				continue
			}
			if got != want && (got == jit[i][j] || jit[i][j] == "limit" || acceptsInWhole(p)) {
				// PCRE2's own two matchers differ about ways back into a call of the whole pattern. ModSecurity runs the JIT.
				split++
				continue
			}
			if got != want || err != nil {
				if differ++; differ < 25 {
					t.Errorf("%q on %q: ours %s (%v), PCRE2 %s [%s]", p, s, got, err, want, re.re2)
				}
			}
		}
	}
	t.Logf("%d pairs, %d with a match that is not empty, %d differ, %d as PCRE2's JIT only", both, nonEmpty, differ, split)
	if split > both/1000 {
		t.Errorf("%d answers are as the JIT's only", split)
	}
}

// acceptsInWhole: what (*ACCEPT) ends in a call of the whole pattern, only PCRE2's JIT knows, and
// not for all patterns: the interpreter of 10.42 leaves the outer match as well when ways lead back into the call.
func acceptsInWhole(pattern string) bool {
	return strings.Contains(pattern, "(*ACCEPT)") && regexp.MustCompile(`\(\?[R0]\)|\\g.0`).MatchString(pattern)
}

// runPCRE returns, for each pattern that compiles, an answer per subject: "no" or the groups, quoted.
func runPCRE(t *testing.T, patterns, subjects []string, multi bool, more string) [][]string {
	// Two optimizations of PCRE2 10.42 lose matches: it starts \d(a|\1??)\S in the
	// wrong places, and does not let \R* give back what \s after it wants.
	options := "no_start_optimize,no_auto_possess,dollar_endonly"
	if multi {
		options = "no_start_optimize,no_auto_possess,multiline"
	}
	return runPCREWith(t, patterns, subjects, options+more, "")
}

func runPCREWith(t *testing.T, patterns, subjects []string, options, each string) [][]string {
	if _, err := exec.LookPath("pcre2test"); err != nil {
		t.Skip("SKIPPED: pcre2test (package pcre2-utils) is not installed")
	}
	var in bytes.Buffer
	for _, p := range patterns {
		// An empty pattern has no hexadecimal form.
		if p == "" {
			p = "(?:)"
		}
		fmt.Fprintf(&in, "/%x/hex,dotall,%s\n", p, options)
		for _, s := range subjects {
			in.WriteString("    ")
			for i := range len(s) {
				fmt.Fprintf(&in, `\x%02x`, s[i])
			}
			in.WriteString(each + "\n")
		}
		in.WriteByte('\n')
	}
	cmd := exec.Command("pcre2test", "-q")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(out), "\n/")
	if len(blocks) < len(patterns) {
		t.Fatalf("%d blocks for %d patterns", len(blocks), len(patterns))
	}
	answers := make([][]string, len(patterns))
	for i, b := range blocks[:len(patterns)] {
		if !regexp.MustCompile(`\nFailed: error \d`).MatchString(b) {
			answers[i] = parsePCRE(b, patterns[i])
		}
	}
	return answers
}

var pcreGroup = regexp.MustCompile(`^ ?(\d+): (.*)$`)

func parsePCRE(block, pattern string) []string {
	p := &parser{src: pattern}
	_, _ = p.parse()
	var all []string
	var groups []string
	flush := func() {
		if groups != nil {
			for len(groups) < p.groups+1 {
				groups = append(groups, "")
			}
			all = append(all, fmt.Sprintf("%q", groups[:min(len(groups), MaxGroups)]))
			groups = nil
		}
	}
	for _, l := range strings.Split(block, "\n")[1:] {
		if m := pcreGroup.FindStringSubmatch(l); m != nil {
			text := m[2]
			if text == "<unset>" {
				text = ""
			}
			text = regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(text, func(h string) string {
				v, _ := strconv.ParseUint(h[2:], 16, 8)
				return string([]byte{byte(v)})
			})
			text = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(text)
			if m[1] == "0" {
				groups = []string{}
			}
			groups = append(groups, text)
			continue
		}
		flush()
		switch {
		case l == "No match":
			all = append(all, "no")
		case strings.HasPrefix(l, "Failed: error -"):
			all = append(all, "limit")
		}
	}
	flush()
	return all
}

// TestCRSAgainstPCRE2 runs the patterns of CRS on text of its tests in PCRE2.
func TestCRSAgainstPCRE2(t *testing.T) {
	patterns := crsPatterns(t)
	var subjects []string
	for _, s := range crsStrings(t, 150) {
		if s != "" {
			subjects = append(subjects, s)
		}
	}
	for _, multi := range []bool{false, true} {
		answers := runPCRE(t, patterns, subjects, multi, "")
		pairs, matches := 0, 0
		for i, p := range patterns {
			re, err := Compile(p, Options{Multiline: multi})
			if err != nil || len(answers[i]) != len(subjects) {
				t.Errorf("%q: %v, %d answers", p, err, len(answers[i]))
				continue
			}
			for j, s := range subjects {
				pairs++
				got, err := re.MatchString(s)
				if got {
					matches++
				}
				if want := answers[i][j]; want != "limit" && got != (want != "no") || err != nil {
					t.Errorf("%q on %q: ours %v (%v), PCRE2 %s", p, s, got, err, want)
				}
			}
		}
		t.Logf("multiline %v: %d pairs, %d matches", multi, pairs, matches)
	}
}
