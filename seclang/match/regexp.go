// Package match holds what finds text in values: patterns in PCRE syntax, and
// Set, one scan of a value that tells which of many patterns can match at all.
//
// Patterns mean what they mean to ModSecurity: PCRE without UTF, one byte is
// one character, letters of ASCII alone have case. Most run on a lazily built
// automaton (dfa), which is exact against package regexp and bounded by a
// Budget; where captures are wanted, or the budget is spent, package regexp
// runs. What only PCRE knows (lookaround, back references, atomic groups that
// matter) runs on regexp2 behind an automaton that lets through whatever can
// match, and under a time limit: ErrLimit. Everything is safe for concurrent
// use; hostile values cost time linear in their length, or end in ErrLimit.
// There is no state but caches, so nothing is lost in a crash.
package match

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
	"time"

	"github.com/dlclark/regexp2"
)

// ErrLimit says that a match was given up because it took too long; the rule
// language shows it as MSC_PCRE_LIMITS_EXCEEDED.
var ErrLimit = errors.New("pattern match limit exceeded")

// DefaultTimeout is the time one match on the backtracking matcher may take.
const DefaultTimeout = 100 * time.Millisecond

// MaxGroups is how many captures there are, the whole match included: TX:0 to TX:9.
const MaxGroups = 10

// Options are how a pattern is to be read. The zero value is ModSecurity 2:
// PCRE_DOTALL and PCRE_DOLLAR_ENDONLY.
type Options struct {
	Multiline bool          // as libmodsecurity 3: PCRE_DOTALL and PCRE_MULTILINE
	FoldCase  bool          // PCRE_CASELESS
	Timeout   time.Duration // of one match on the backtracking matcher; 0 is DefaultTimeout
	Budget    *Budget       // for the automaton; nil is no bound
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
	net      string
	timeout  time.Duration

	once    sync.Once // guards the two below, built when first needed
	std     *regexp.Regexp
	back    *regexp2.Regexp
	backErr error
}

// Compile reads a pattern. The error is a *SyntaxError, or says which limit the pattern breaks.
func Compile(pattern string, o Options) (*Regexp, error) {
	p := &parser{src: pattern, endNL: o.Multiline}
	p.flags = flags{fold: o.FoldCase, multi: o.Multiline, dotAll: true}
	n, err := p.parse()
	if err != nil {
		return nil, err
	}
	if !inline(n) {
		return nil, &SyntaxError{Pattern: pattern, Text: "the pattern calls itself, and recursion is not supported"}
	}
	re := &Regexp{pattern: pattern, highest: p.groups}
	if p.keep {
		re.keep = p.groups + 1
		trimKeep(n, re.keep)
	}
	n, looks := splitGuards(n)
	for _, l := range looks {
		g := &Regexp{pattern: pattern}
		if err := g.assemble(&node{op: opConcat, sub: []*node{{op: opBegin}, l.sub[0]}}, o); err != nil {
			return nil, err
		}
		re.guards = append(re.guards, guard{g, l.negative})
	}
	if err := re.assemble(n, o); err != nil {
		return nil, err
	}
	return re, nil
}

// assemble chooses the matchers for n and prepares them.
func (re *Regexp) assemble(n *node, o Options) error {
	re.literals = required(n)
	if re.timeout = o.Timeout; re.timeout <= 0 {
		re.timeout = DefaultTimeout
	}
	if re.simple = simplify(n); re.simple != nil && !o.Overlapping {
		return nil
	}
	re.simple = nil
	linear := relax(n)
	if !linear || o.Overlapping || emptyRounds(n) {
		re.net = emitNET(n)
	}
	re.exact = linear
	re.re2, re.groups = emitRE2(n, !linear)
	if acceptable(n, re.re2) {
		re.filter = newDFA(re.re2, o.Budget)
	} else {
		re.exact, re.net = false, emitNET(n)
	}
	if re.net != "" {
		// Errors of the other matcher must show now, not at the first value.
		if re.once.Do(re.build); re.backErr != nil {
			return fmt.Errorf("pattern %q: %w", re.pattern, re.backErr)
		}
	}
	return nil
}

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
	return re.net != "" && !re.exact || slices.ContainsFunc(re.guards, func(g guard) bool { return g.re.Backtracks() })
}

// MatchString reports whether the pattern matches somewhere in s. The error is nil or ErrLimit.
func (re *Regexp) MatchString(s string) (bool, error) {
	if re.guards != nil {
		if ok, err := re.guarded(s); !ok {
			return false, err
		}
	}
	if re.simple != nil {
		return re.simple.match(s), nil
	}
	if re.filter != nil {
		if matched, known := re.filter.match(s); known && (!matched || re.exact) {
			return matched, nil
		}
	}
	re.once.Do(re.build)
	if re.net == "" {
		return re.std.MatchString(latin1(s)), nil
	}
	m, err := re.find(runes(s), 0)
	return m != nil, err
}

// build compiles the matcher behind the automaton.
func (re *Regexp) build() {
	if re.net == "" {
		re.std, re.backErr = regexp.Compile(re.re2)
		return
	}
	re.back, re.backErr = regexp2.Compile(re.net, regexp2.None)
	if re.backErr == nil {
		re.back.MatchTimeout = re.timeout
	}
}

// find runs the backtracking matcher.
func (re *Regexp) find(s []rune, at int) (*regexp2.Match, error) {
	m, err := re.back.FindRunesMatchStartingAt(s, at)
	if err != nil {
		// Its only error at run time is the time limit.
		return nil, ErrLimit
	}
	return m, nil
}

// runes makes one rune of every byte.
func runes(s string) []rune {
	r := make([]rune, len(s))
	for i := range r {
		r[i] = rune(s[i])
	}
	return r
}

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
