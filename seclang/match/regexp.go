// Package match holds what finds text in values: patterns in PCRE syntax, and
// Set, one scan of a value that tells which of many patterns can match at all.
//
// Patterns mean what they mean to ModSecurity: PCRE without UTF, one byte is
// one character, letters of ASCII alone have case. Most run on a lazily built
// automaton (dfa), which is exact against package regexp and bounded by a
// Budget; where captures are wanted, or the budget is spent, package regexp
// runs. What only PCRE knows (lookaround, back references, atomic groups that
// matter, recursion, verbs) runs on a backtracking matcher (machine) behind an
// automaton that lets through whatever can match, and within Limits: ErrLimit.
// Everything is safe for concurrent use; hostile values cost time linear in
// their length, or end in ErrLimit after a number of steps that is the same in
// every run. There is no state but caches, so nothing is lost in a crash.
package match

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
)

// MaxGroups is how many captures there are, the whole match included: TX:0 to TX:9.
const MaxGroups = 10

// Options are how a pattern is to be read. The zero value is ModSecurity 2:
// PCRE_DOTALL and PCRE_DOLLAR_ENDONLY.
type Options struct {
	Multiline bool    // as libmodsecurity 3: PCRE_DOTALL and PCRE_MULTILINE
	FoldCase  bool    // PCRE_CASELESS
	Limits    Limits  // of one match on the backtracking matcher
	Budget    *Budget // for the automaton; nil is no bound
	// Overlapping says that FindOverlapping will be used, which takes the backtracking matcher.
	Overlapping bool
}

// Regexp is a compiled pattern. It is safe for concurrent use.
type Regexp struct {
	pattern  string
	literals Literals
	guards   []guard // what must hold where the value begins, before the rest is tried
	simple   *simple // set when the pattern is so simple that no automaton is needed
	filter   *dfa    // matches at least wherever the pattern does; nil only for odd sizes
	exact    bool    // ... and nowhere else
	re2      string
	groups   []int // for each group of re2, its number in the pattern
	highest  int   // highest group
	keep     int   // group that marks \K, 0 for none
	limits   Limits
	program  *program  // for the backtracking matcher; nil when package regexp can do it all
	machines sync.Pool // of *machine

	once sync.Once // guards std, built when first needed
	std  *regexp.Regexp
}

// Compile reads a pattern. The error is a *SyntaxError, or says which limit the pattern breaks.
func Compile(pattern string, o Options) (*Regexp, error) {
	p := &parser{src: pattern, endNL: o.Multiline}
	p.flags = flags{fold: o.FoldCase, multi: o.Multiline, dotAll: true}
	n, err := p.parse()
	if err != nil {
		return nil, err
	}
	inline(n)
	re := &Regexp{pattern: pattern, highest: p.groups}
	if p.keep {
		re.keep = p.groups + 1
		trimKeep(n, re.keep)
	}
	accepts := false
	n.walk(func(x *node) { accepts = accepts || x.op == opVerb && x.verb == verbAccept })
	if accepts {
		// A match may end before what the rest of the pattern demands.
		re.setLimits(o.Limits, p.limit)
		re.program = assembleProgram(n, re.slots(), re.keep)
		return re, nil
	}
	var looks []*node
	if !calls(n, 0) { // group 0 must stay whole
		n, looks = splitGuards(n)
	}
	for _, l := range looks {
		g := &Regexp{pattern: pattern}
		g.assemble(&node{op: opConcat, sub: []*node{{op: opBegin}, l.sub[0]}}, o, p.limit)
		re.guards = append(re.guards, guard{g, l.negative})
	}
	re.assemble(n, o, p.limit)
	return re, nil
}

// assemble chooses the matchers for n and prepares them.
func (re *Regexp) assemble(n *node, o Options, limit int) {
	re.literals = required(n)
	re.setLimits(o.Limits, limit)
	if re.simple = simplify(n); re.simple != nil && !o.Overlapping {
		return
	}
	re.simple = nil
	linear := relax(n)
	re.exact = linear
	re.re2, re.groups = emitRE2(n, !linear)
	fits := acceptable(n, re.re2)
	if fits {
		re.filter = newDFA(re.re2, o.Budget)
	} else {
		re.exact = false
	}
	if !linear || !fits || o.Overlapping || emptyRounds(n) {
		re.program = assembleProgram(n, re.slots(), re.keep)
	}
}

// slots is the highest group, that of \K included.
func (re *Regexp) slots() int { return max(re.highest, re.keep) }

// acceptable reports whether package regexp takes the pattern: its limits on
// size are below PCRE's. Only large repeats come near, so only they are tried.
func acceptable(n *node, re2 string) bool {
	large := len(re2) > 100_000
	n.walk(func(x *node) { large = large || x.op == opRepeat && max(x.min, x.max) > 10 })
	if !large {
		return true
	}
	tree, err := syntax.Parse(re2, syntax.Perl)
	if err == nil {
		_, err = syntax.Compile(tree.Simplify())
	}
	return err == nil
}

// String is the pattern as it was given.
func (re *Regexp) String() string { return re.pattern }

// Literals are the strings that every match must contain.
func (re *Regexp) Literals() Literals { return re.literals }

// Backtracks reports whether the pattern needs the backtracking matcher to say whether it matches.
func (re *Regexp) Backtracks() bool {
	return re.program != nil && !re.exact || slices.ContainsFunc(re.guards, func(g guard) bool { return g.re.Backtracks() })
}

// MatchString reports whether the pattern matches somewhere in s, without an
// allowance. The error is nil or as Matcher's.
func (re *Regexp) MatchString(s string) (bool, error) { return re.Within(nil).MatchString(s) }

// FindSubmatch finds the first match in s and its groups, without an allowance: see Matcher.
func (re *Regexp) FindSubmatch(s string, dst []string) ([]string, bool, error) {
	return re.Within(nil).FindSubmatch(s, dst)
}

// build compiles the matcher of package regexp.
func (re *Regexp) build() { re.std = regexp.MustCompile(re.re2) }

// latin1 is s with every byte written as the UTF-8 of the rune of that number.
func latin1(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x80 {
			continue
		}
		b := make([]byte, i, len(s)+len(s)/2)
		copy(b, s)
		for ; i < len(s); i++ {
			if s[i] < 0x80 {
				b = append(b, s[i])
			} else {
				b = append(b, 0xc0|s[i]>>6, 0x80|s[i]&0x3f)
			}
		}
		return string(b)
	}
	return s
}
