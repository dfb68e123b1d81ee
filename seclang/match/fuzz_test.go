package match

import (
	"slices"
	"strings"
	"testing"
)

// FuzzCompile compiles any pattern and matches any text: no panic, and where
// the automaton is exact it agrees with package regexp and with the backtracking matcher. What
// matches contains its literals.
func FuzzCompile(f *testing.F) {
	for _, p := range []string{
		`(?i)union\s+select`, `^(?:a|b)*c$`, `(?m)^b`, `a++b`, `(?>a|ab)c`, `(a)\1`, `(?<=x)y`, `[[:alpha:]-z]`, `\Qa.b\E+`, `a{2,3}?b`, `(?|(a)|(b))`, `\R\h\v\N`, `x\Ky`,
		`(?(1)a|b)()`, `(?x) a # b`, `\bfoo\b|\Bbar`, `[^\x00-\x7f]+`, `é|ü`, `$|^`, `(?1)(a|b)`, `\p{L}`, `(?-s).`, `\Z`, `[a-c&&]`, `a|b|`, `((a*)*)*b`,
	} {
		f.Add(p, "select a from b where aab\xe9\r\n 12 foo xy", uint8(0))
		f.Add(p, "\xc3\xa9 abc bar\n", uint8(1))
	}
	f.Fuzz(func(t *testing.T, pattern, text string, flags uint8) {
		if len(pattern) > 60 || len(text) > 80 {
			return
		}
		o := Options{Multiline: flags&1 != 0, FoldCase: flags&2 != 0, Limits: Limits{Ways: 10000}, Budget: NewBudget(1 << 20)}
		re, err := Compile(pattern, o)
		if err != nil {
			return
		}
		got, err := re.MatchString(text)
		groups, found, err2 := re.FindSubmatch(text, nil)
		if err == nil && err2 == nil && (found != got || found && !strings.Contains(text, groups[0])) {
			t.Fatalf("%q on %q: MatchString %v, FindSubmatch %v %q", pattern, text, got, found, groups)
		}
		if got && err == nil {
			checkLiterals(t, re, text)
		}
		if (re.simple != nil || re.exact) && re.guards == nil {
			checkExact(t, pattern, text, o, got)
		}
	})
}

// FuzzMachine runs any pattern on the backtracking matcher, from any place: it
// keeps within its allowance, and what it finds lies in the text.
func FuzzMachine(f *testing.F) {
	for _, c := range hostile() {
		f.Add(c[0], c[1][:min(len(c[1]), 100)], uint8(0))
	}
	for _, p := range []string{
		`^(\((?:[^()]++|(?1))*\))$`, `(?(DEFINE)(?<n>a|b(?&n)))(?P>n)\g<n>\k<n>?`, `a(*SKIP)b|(*MARK:x)c(*SKIP:x)|(*THEN)d|.(*COMMIT)e|(*PRUNE)f`, `(?:a(*ACCEPT)b|(?=c(*ACCEPT)d)c)(e)`,
		`(?(R)a|b)(?R)?(?(R1)c)((?1)?d)`, `(?|(a)|(b(?-1)))\1{2,3}?`, `\G\X+?\Ka(?<=b|cd)(?<!e)`, `(*LIMIT_MATCH=5)(a*)*b`, `(?<n>(?i)\k<n>?a)+?(?!\k{n})`, `(?((?=a)b)|(?!c)d|e)`, `(?>(a+)(*THEN)b|\1)*+`, `((a?){3}|){2,}\2`,
	} {
		f.Add(p, "ab(ab(b)a)aabbcdef\r\nAabb", uint8(1))
	}
	f.Fuzz(func(t *testing.T, pattern, text string, at uint8) {
		if len(pattern) > 100 || len(text) > 200 {
			return
		}
		re, err := Compile(pattern, Options{Overlapping: true, Multiline: at&1 != 0})
		if err != nil || re.program == nil {
			return
		}
		const steps = 50_000
		a := NewAllowance(steps)
		m := re.machine(&a)
		if m.find(text, min(int(at)/2, len(text)), re.limits.Ways) {
			for i := 0; i <= 2*re.slots(); i += 2 {
				if start, end := m.regs[i], m.regs[i+1]; start >= 0 && end >= 0 && (end > len(text) || start > len(text)) {
					t.Fatalf("%q on %q: group %d is %d to %d", pattern, text, i/2, start, end)
				}
			}
		}
		// One instruction may overdraw by what it looks at: the text, the stack.
		if over := -m.work; over > int64(len(text)+len(m.stack)+4*len(m.regs)+1000) {
			t.Fatalf("%q on %q: %d steps over", pattern, text, over)
		}
		if re.done(m, &a); a.left > steps {
			t.Fatalf("%d steps left of %d", a.left, steps)
		}
		b, c := NewAllowance(steps), NewAllowance(steps)
		groups, ok, err := re.Within(&b).FindSubmatch(text, nil)
		if again, ok2, err2 := re.Within(&c).FindSubmatch(text, nil); ok != ok2 || (err == nil) != (err2 == nil) || strings.Join(groups, "|") != strings.Join(again, "|") {
			t.Fatalf("%q on %q: %q %v, then %q %v", pattern, text, groups, err, again, err2)
		}
	})
}

// checkExact compares with both other matchers.
func checkExact(t *testing.T, pattern, text string, o Options, got bool) {
	o.Overlapping = true
	other, err := Compile(pattern, o)
	if err != nil {
		t.Fatal(err)
	}
	if other.exact {
		d := newDFA(other.re2, nil)
		if m, known := d.match(text); known && m != got {
			t.Fatalf("%q on %q: %v, automaton of %q says %v", pattern, text, got, other.re2, m)
		}
		std := mustStd(t, other.re2)
		if m := std.MatchString(latin1(text)); m != got {
			t.Fatalf("%q on %q: %v, regexp %q says %v", pattern, text, got, other.re2, m)
		}
	}
	x := other.machine(nil)
	m := x.find(text, 0, other.limits.Ways)
	if x.err == nil && m != got {
		t.Fatalf("%q on %q: %v, the backtracking matcher says %v", pattern, text, got, m)
	}
}

func checkLiterals(t *testing.T, re *Regexp, text string) {
	b := NewBuilder()
	b.Add(re.Literals())
	set := b.Build()
	m := make([]uint64, 2*set.Words())
	if set.Scan(text, m); m[0] != 1 {
		t.Fatalf("%q matches %q, but its literals are %q", re, text, re.Literals())
	}
}

// FuzzSet compares the scan with strings.Contains.
func FuzzSet(f *testing.F) {
	f.Add("he,she,his,hers|us,he", "ushers and she")
	f.Add("a,ab,abc,abcd|\xe9,\xff\xfe", "xabcd\xff\xfe")
	f.Fuzz(func(t *testing.T, words, text string) {
		if len(words) > 200 || len(text) > 200 {
			return
		}
		b := NewBuilder()
		var all []Literals
		for _, part := range strings.Split(words, "|") {
			l := strings.Split(part, ",")
			one := Literals{A: l[:len(l)/2], B: l[len(l)/2:]}
			b.Add(one)
			all = append(all, one)
		}
		set := b.Build()
		m := make([]uint64, 2*set.Words())
		set.Scan(text, m)
		folded := foldText(text)
		in := func(l []string) bool {
			return len(l) == 0 || slices.ContainsFunc(l, func(x string) bool { return strings.Contains(folded, foldText(x)) })
		}
		var flat []string
		for i, l := range all {
			if got, want := m[i>>6]>>(i&63)&1 == 1, in(l.A) && in(l.B); got != want {
				t.Fatalf("%q in %q: %v, want %v", l, text, got, want)
			}
			flat = append(append(flat, l.A...), l.B...)
		}
		flat = slices.DeleteFunc(flat, func(s string) bool { return s == "" })
		p := NewPhrases(flat)
		phrase, end, ok := p.Find(text)
		if want := len(flat) > 0 && in(flat); ok != want || ok && !strings.HasSuffix(folded[:end], foldText(phrase)) {
			t.Fatalf("Find(%q) in %q: %q %d %v", text, flat, phrase, end, ok)
		}
	})
}

// FuzzCRS runs the patterns of CRS on any text, against package regexp and their literals.
func FuzzCRS(f *testing.F) {
	var res []*Regexp
	for _, p := range crsPatterns(f) {
		re, err := Compile(p, Options{})
		if err != nil {
			f.Fatal(err)
		}
		if re.simple == nil {
			res = append(res, re)
		}
	}
	for i, s := range crsStrings(f, 200) {
		f.Add(uint16(i), s)
	}
	f.Fuzz(func(t *testing.T, i uint16, text string) {
		if len(text) > 500 {
			return
		}
		re := res[int(i)%len(res)]
		re.once.Do(re.build)
		want := re.std.MatchString(latin1(text))
		got, known := re.filter.match(text)
		if known && got != want {
			t.Fatalf("%q on %q: %v, regexp %v", re, text, got, want)
		}
		if want {
			checkLiterals(t, re, text)
		}
	})
}
