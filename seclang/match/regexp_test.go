package match

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rsc.io/binaryregexp"
)

// TestAgainstBinaryRegexp compares with another implementation from the text
// of the pattern on: every pattern of CRS on text with any bytes.
func TestAgainstBinaryRegexp(t *testing.T) {
	texts := crsStrings(t, 150)
	texts = append(texts, "caf\xe9 \xc3\xa9", "\x80\xff", "", "\n", "a\x00b", "\xe2\x80\xa8<script>")
	pairs := 0
	for _, p := range crsPatterns(t) {
		oracle, err := binaryregexp.Compile("(?s)" + p)
		if err != nil {
			continue // \h and the like
		}
		re, err := Compile(p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range texts {
			if strings.Contains(s, "\v") {
				continue // which PCRE counts as \s since 8.34, and RE2 does not
			}
			pairs++
			got, err := re.MatchString(s)
			if want := oracle.MatchString(s); got != want || err != nil {
				t.Errorf("%q on %q: %v (%v), binaryregexp %v", p, s, got, err, want)
			}
		}
	}
	if pairs < 20000 {
		t.Errorf("only %d pairs", pairs)
	}
}

// TestPCRE pins what PCRE patterns mean. want is the groups, joined by |, or "no".
func TestPCRE(t *testing.T) {
	for _, c := range []struct {
		pattern, in, want string
		o                 Options
	}{
		{pattern: `^a`, in: "b\na", want: "no"},
		{pattern: `^a`, in: "b\na", want: "a", o: Options{Multiline: true}},
		{pattern: `a$`, in: "a\n", want: "no"},
		{pattern: `a$`, in: "a\n", want: "a", o: Options{Multiline: true}},
		{pattern: `(?-m)a$`, in: "a\n", want: "a", o: Options{Multiline: true}},
		{pattern: `a\Z`, in: "a\n", want: "a"},
		{pattern: `a\Z`, in: "a\nb", want: "no"},
		{pattern: `a\z`, in: "a\n", want: "no"},
		{pattern: `b\n^`, in: "b\n", want: "no", o: Options{Multiline: true}},
		{pattern: `b\n^`, in: "b\nx", want: "b\n", o: Options{Multiline: true}},
		{pattern: `^\s*$`, in: "x\n", want: "no"},
		{pattern: `.+`, in: "a\nb", want: "a\nb"},
		{pattern: `(?-s).+`, in: "a\nb", want: "a"},
		{pattern: `\N+`, in: "a\nb", want: "a"},
		{pattern: `\s`, in: "\v", want: "\v"},
		{pattern: `\v`, in: "\x85", want: "\x85"},
		{pattern: `[\h]`, in: "\xa0", want: "\xa0"},
		{pattern: `(?i)\xe9`, in: "\xc9", want: "no"},
		{pattern: `(?i)k`, in: "\xe2\x84\xaa", want: "no"},
		{pattern: `(?i)[k-m]`, in: "L", want: "L"},
		{pattern: `(?i)[^k]`, in: "Kk", want: "no"},
		{pattern: `a(?i)b|c`, in: "C", want: "C"},
		{pattern: `(a(?i)b)c`, in: "aBC", want: "no"},
		{pattern: `(?i:a)b`, in: "AB", want: "no"},
		{pattern: `é`, in: "\xc3\xa9", want: "\xc3\xa9"},
		{pattern: `[é]`, in: "\xc3", want: "\xc3"},
		{pattern: `\w+`, in: "caf\xe9", want: "caf"},
		{pattern: `\bcaf\b`, in: "caf\xe9", want: "caf"},
		{pattern: `[[:^digit:]]`, in: "1a", want: "a"},
		{pattern: `[]a]+`, in: "]a", want: "]a"},
		{pattern: `[^]a]`, in: "]ab", want: "b"},
		{pattern: `[a-\d]+`, in: "-5a", want: "-5a"},
		{pattern: `[\w-.]+`, in: "a-.b", want: "a-.b"},
		{pattern: `[a\]b]+`, in: "]", want: "]"},
		{pattern: `[\Q^-]\E]+`, in: "^-]", want: "^-]"},
		{pattern: `\07\101\x41\x{41}\o{101}\cA`, in: "\x07AAAA\x01", want: "\x07AAAA\x01"},
		{pattern: `(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10`, in: "abcdefghijj", want: "abcdefghijj|a|b|c|d|e|f|g|h|i"},
		{pattern: `\11`, in: "\t", want: "\t"},
		{pattern: `a{2}{3}`, in: "aaaaaa", want: "aaaaaa"},
		{pattern: `a{`, in: "a{", want: "a{"},
		{pattern: `a{1`, in: "a{1", want: "a{1"},
		{pattern: `x{1500}`, in: strings.Repeat("x", 1500), want: strings.Repeat("x", 1500)},
		{pattern: `^x{0,1500}$`, in: strings.Repeat("x", 1501), want: "no"},
		{pattern: `(?U)a+`, in: "aa", want: "a"},
		{pattern: `(?U)a+?`, in: "aa", want: "aa"},
		{pattern: `a+?`, in: "aa", want: "a"},
		{pattern: `(?x) a [ ] b # tail`, in: "a b", want: "a b"},
		{pattern: `a(?#comment)b`, in: "ab", want: "ab"},
		{pattern: `(?<year>\d+)-(?'m'\d+)-\k<year>\g{m}`, in: "1-2-12", want: "1-2-12|1|2"},
		{pattern: `(a)\g{-1}`, in: "aa", want: "aa|a"},
		{pattern: `(?i)(a)\1`, in: "aA", want: "aA|a"},
		{pattern: `(?>a+)b`, in: "aab", want: "aab"},
		{pattern: `(?>a+)ab`, in: "aaab", want: "no"},
		{pattern: `a*+a`, in: "aaa", want: "no"},
		{pattern: `[^"]*+"`, in: `ab"`, want: `ab"`},
		{pattern: `(?<=ab)c`, in: "abc", want: "c"},
		{pattern: `(?<!ab)c`, in: "abc", want: "no"},
		{pattern: `a(?=(b))`, in: "ab", want: "a|b"},
		{pattern: `(?!x)`, in: "", want: ""},
		{pattern: `foo\Kbar`, in: "foobar", want: "bar"},
		{pattern: `(f)oo\Kb(a)r`, in: "foobar", want: "bar|f|a"},
		{pattern: `\R+`, in: "a\r\n\n", want: "\r\n\n"},
		{pattern: `(?|(a)(b)|(c))(d)`, in: "cd", want: "cd|c||d"},
		{pattern: `(?(?=a)ab|c)`, in: "c", want: "c"},
		{pattern: `(?<q>['"])?x(?(q)\k<q>)`, in: `"x"`, want: `"x"|"`},
		{pattern: `\p{Lu}\P{Lu}`, in: "Aa", want: "Aa"},
		{pattern: `[\p{N}]`, in: "\xb2", want: "\xb2"},
		{pattern: `\y`, in: "y", want: "y"},
		{pattern: `\/\-\_`, in: "/-_", want: "/-_"},
		{pattern: `(a|b)*c`, in: "abc", want: "abc|b"},
		{pattern: `^(?:.(?0)?|)\BA?+`, in: "c.AA b", want: "no"},
		{pattern: `^(\((?:[^()]|(?1))*\))$`, in: "(a(b)c)", want: "(a(b)c)|(a(b)c)"},
		{pattern: `^(?:(.)(?R)?\1|.)$`, in: "abcba", want: "no"}, // $ inside the call as well
		{pattern: `^((.)(?1)\2|.?)$`, in: "abccba", want: "abccba|abccba|a"},
		{pattern: `(?(DEFINE)(?<byte>25[0-5]|2[0-4]\d|1?\d?\d))^(?&byte)(?:\.(?P>byte)){3}$`, in: "192.0.2.255", want: "192.0.2.255|"},
		{pattern: `(?J)(?:(?<n>a)|(?<n>b))c\k<n>`, in: "bcb", want: "bcb||b"},
		{pattern: `(?n)(a)(?<n>b)\1`, in: "abb", want: "abb|b"},
		{pattern: `(?xx)[a b]+ [[:<:]]c`, in: "ab c", want: "no"},
		{pattern: `[[:<:]]c[[:>:]]`, in: "ac c", want: "c"},
		{pattern: `\p{L&}\p{Xwd}\p{Xps}`, in: "a_\x85", want: "a_\x85"},
		{pattern: `a(*SKIP)(*FAIL)|[ab]`, in: "aab", want: "b"},
		{pattern: `'[^']*'(*SKIP)(*F)|;`, in: "';' ';;' x;", want: ";"},
		{pattern: `a+(*COMMIT)c|b`, in: "aab", want: "no"},
		{pattern: `a(?:b(*ACCEPT)c|d)e`, in: "abx", want: "ab"},
		{pattern: `(?:a(*THEN)b|ac)`, in: "ac", want: "ac"},
		{pattern: `\X\X`, in: "\r\n\xcc\x81", want: "\r\n\xcc"},
		{pattern: `\G(?<!x)a`, in: "xa", want: "no"},
		{pattern: `(*BSR_ANYCRLF)a\R`, in: "a\v", want: "no"},
		{pattern: `(*LIMIT_MATCH=1000)(?<=a)b`, in: "ab", want: "b"},
		{pattern: `(?C)a(?C5)b`, in: "ab", want: "ab"},
		{pattern: `(*positive_lookahead:a)\w(*nlb:b)`, in: "ba", want: "a"},
		{pattern: `(?2)(a)(b)`, in: "bab", want: "bab|a|b"},
		{pattern: `^(8000|8080)$`, in: "8080", want: "8080|8080"},
		{pattern: `x^`, in: "x", want: "no"},
		{pattern: ``, in: "x", want: ""},
		{pattern: `^.*$`, in: "a\nb", want: "a\nb"},
		{pattern: `^.*`, in: "", want: ""},
		{pattern: `(?-s)^.*$`, in: "a\nb", want: "no"},
		{pattern: `^(?:(?:a{50}){50})b$`, in: strings.Repeat("a", 2500) + "b", want: strings.Repeat("a", 2500) + "b"},
		{pattern: `A`, in: "a", want: "a", o: Options{FoldCase: true}},
	} {
		re, err := Compile(c.pattern, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		groups, ok, err := re.FindSubmatch(c.in, nil)
		got := strings.Join(groups, "|")
		if !ok {
			got = "no"
		}
		if got != c.want || err != nil {
			t.Errorf("%q on %q: %q (%v), want %q", c.pattern, c.in, got, err, c.want)
		}
		if b, err := re.MatchString(c.in); b != ok || err != nil {
			t.Errorf("%q on %q: MatchString %v (%v), FindSubmatch %v", c.pattern, c.in, b, err, ok)
		}
	}
}

// TestErrors checks that errors say where and what.
func TestErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		`(a`: "missing closing parenthesis", `a)`: "unmatched closing", `[a`: "missing ]", `*`: "nothing to repeat", `a\`: `\ at the end`,
		`[z-a]`: "out of order", `a{2,1}`: "out of order", `a{70000}`: "too big", `\x{100}`: "too large", `[[:foo:]]`: "POSIX",
		`(?z)`: "unrecognized", `(*SKIT)`: "verb", `a(*UTF8)`: "verb", `\2(a)`: "group 2", `(?<n>a)\k<m>`: `"m"`,
		`\p{Foo}`: "property", `(?P=x)`: `"x"`, `\400`: "octal", `(*UTF8)`: "UTF8", `(?<=a+)b`: "fixed length", `\ua`: `\u`, `(?(1)a|b|c)(d)`: "branches", `(?#`: "comment",
		strings.Repeat("(", 300) + strings.Repeat(")", 300): "nested",
	} {
		_, err := Compile(pattern, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", pattern, err, want)
		}
	}
	var se *SyntaxError
	if _, err := Compile("ab(c", Options{}); !errors.As(err, &se) || se.Offset != 2 {
		t.Errorf("no offset: %v", err)
	}
	if _, err := Compile(strings.Repeat("a", 100)+"(b"+strings.Repeat("c", 100), Options{}); err == nil || len(err.Error()) > 200 || !strings.Contains(err.Error(), "aa(bcc") {
		t.Errorf("a long pattern: %v", err)
	}
}

// TestLimit checks that a pattern that takes for ever is given up.
func TestLimit(t *testing.T) {
	re, err := Compile(`(?=(a+)+$)(a+)+$`, Options{})
	if err != nil || !re.Backtracks() {
		t.Fatal(err)
	}
	re.filter = nil // which would say no at once
	start := time.Now()
	_, err = re.MatchString(strings.Repeat("a", 64) + "!")
	if !errors.Is(err, ErrLimit) {
		t.Errorf("error %v, want ErrLimit", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestGuards: lookaheads at the begin need no backtracking.
func TestGuards(t *testing.T) {
	for _, c := range []struct {
		pattern, yes, no string
		backtracks       bool
	}{
		{`^(?!.*\.php)/app`, "/app/x", "/app/x.php", false},
		{`^(?=.*\d)(?=.*[a-z])(?!.*\s).{6,}$`, "abc123", "abcdef", false},
		{`^(?!admin$)\w+`, "admins", "admin", false},
		{`^(?!GET|POST)`, "PUT", "POST", false},
		{`^(?i)(?!get)`, "PUT", "Get", false},
		{`^(?=(a))b?`, "a", "b", true},
		{`^(?!a(?=b))a`, "ac", "ab", true},
		{`x(?!y)`, "xz", "xy", true},
		{`^(?!(?:a|b)*+c)`, "abd", "abc", true},
	} {
		re, err := Compile(c.pattern, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if re.Backtracks() != c.backtracks {
			t.Errorf("%s: backtracks is %v", c.pattern, re.Backtracks())
		}
		for in, want := range map[string]bool{c.yes: true, c.no: false} {
			if got, err := re.MatchString(in); got != want || err != nil {
				t.Errorf("%s on %q: %v (%v)", c.pattern, in, got, err)
			}
			if _, got, err := re.FindSubmatch(in, nil); got != want || err != nil {
				t.Errorf("%s on %q: FindSubmatch %v (%v)", c.pattern, in, got, err)
			}
		}
	}
}

// TestFilterStopsBacktracking: what the automaton excludes never reaches the slow matcher.
func TestFilterStopsBacktracking(t *testing.T) {
	re, err := Compile(`(?=.)(a+)+\x01$`, Options{Limits: Limits{Ways: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := re.MatchString(strings.Repeat("a", 10000)); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestReplaceAndFindAll(t *testing.T) {
	for _, c := range []struct {
		pattern, in, repl, want string
		n                       int
	}{
		{`a`, "banana", "o", "bonono", 3},
		{`(\w)(\d)`, "a1 b2", `\2\1`, "1a 2b", 2},
		{`x*`, "ab", "-", "-a-b-", 3},
		{`(?<=a)n`, "banana", "N", "baNaNa", 2},
		{`(a)|b`, "ab", `[\1]`, "[a][]", 2},
		{`é`, "caf\xc3\xa9s \xe9", "e", "cafes \xe9", 1},
		{`(.)$`, "\xe9\xe8", `<\1>`, "\xe9<\xe8>", 1},
		{`z`, "ab", "-", "ab", 0},
		{`a\Kb`, "abab", "-", "a-a-", 2},
		{`end$`, "end end", "END", "end END", 1},
		{`a`, "a", `\`, `\`, 1},
	} {
		re, err := Compile(c.pattern, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := re.Within(nil).Replace(c.in, c.repl)
		if got != c.want || n != c.n || err != nil {
			t.Errorf("%q in %q by %q: %q, %d (%v), want %q, %d", c.pattern, c.in, c.repl, got, n, err, c.want, c.n)
		}
	}
	re, _ := Compile(`(\d)(\d)?`, Options{})
	all, err := re.Within(nil).FindAll("12 3", -1)
	if got := fmt.Sprintf("%q", all); err != nil || got != `[["12" "1" "2"] ["3" "3" ""]]` {
		t.Errorf("FindAll: %s (%v)", got, err)
	}
	idx, err := re.Within(nil).FindAllIndex("\xe9 1 2 3", 2)
	if got := fmt.Sprint(idx); err != nil || got != "[[2 3] [4 5]]" {
		t.Errorf("FindAllIndex: %s (%v)", got, err)
	}
}

// TestSmallBudget: with no memory for automata the answers are the same.
func TestSmallBudget(t *testing.T) {
	for _, bytes := range []int64{0, 300, 2000} {
		budget := NewBudget(bytes)
		re, err := Compile(`(?i)select\s+[a-z, ]{1,40}\s+from|union\b.*\bselect`, Options{Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 * missesToReset {
			for in, want := range map[string]bool{"SELECT a, b FROM t": true, "union all select 1": true, "select from": false, "reunions select": false} {
				if got, err := re.MatchString(in); got != want || err != nil {
					t.Fatalf("%d bytes: %q: %v (%v)", bytes, in, got, err)
				}
			}
		}
		if budget.Used() > bytes {
			t.Errorf("%d bytes used of %d", budget.Used(), bytes)
		}
	}
}

// TestConcurrent builds one automaton from many goroutines. Run it with -race.
func TestConcurrent(t *testing.T) {
	budget := NewBudget(20000) // small, so that caches are replaced while others read them
	var res []*Regexp
	for _, p := range crsPatterns(t)[:20] {
		re, err := Compile(p, Options{Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		res = append(res, re)
	}
	texts := crsStrings(t, 60)
	want := make([]bool, 0, len(res)*len(texts))
	for _, re := range res {
		re.once.Do(re.build)
		for _, s := range texts {
			if re.simple != nil {
				want = append(want, re.simple.match(s))
				continue
			}
			want = append(want, re.std.MatchString(latin1(s)))
		}
	}
	done := make(chan string)
	for range 4 {
		go func() {
			for range 3 {
				for i, re := range res {
					for j, s := range texts {
						if got, _ := re.MatchString(s); got != want[i*len(texts)+j] {
							done <- fmt.Sprintf("%q on %q: %v", re, s, got)
							return
						}
					}
				}
			}
			done <- ""
		}()
	}
	for range 4 {
		if fault := <-done; fault != "" {
			t.Error(fault)
		}
	}
}
