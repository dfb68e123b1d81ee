package match

import (
	"fmt"
	"slices"
	"strings"
)

// maxNesting bounds the depth of parentheses (PCRE's own limit).
const maxNesting = 250

// flags are the options that (?imnsxUJ) changes.
type flags struct {
	fold, multi, dotAll, extended, ungreedy bool
	blanks                                  bool // (?xx): blanks in classes mean nothing
	plain                                   bool // (?n): parentheses capture only with a name
}

// parser reads PCRE syntax, as PCRE without UTF understands it: one byte is one character.
type parser struct {
	src     string
	pos     int
	flags   flags
	endNL   bool // $ also matches before a final newline (no PCRE_DOLLAR_ENDONLY)
	groups  int  // highest capture group opened so far
	total   int  // capture groups in the whole pattern
	names   map[string]int
	depth   int
	refs    []reference // checked at the end, when the number of groups is known
	keep    bool
	options int // where the next (*LF) or the like may stand: they come first

	scouting bool
	marks    []string         // names in verbs; n of a node is one more than the place here
	named    map[string][]int // all groups of a name: (?J)

	at       int  // where the element begins that is being read
	limit    int  // of (*LIMIT_MATCH=), 0 for none
	newlineR bool // (*BSR_ANYCRLF): \R is CRLF, CR or LF
}

// reference is a node that names a group, and where it stands.
type reference struct {
	n  *node
	at int
}

// remember keeps a reference that was just read.
func (p *parser) remember(n *node) { p.refs = append(p.refs, reference{n, p.at}) }

// SyntaxError says what is wrong in a pattern, and where.
type SyntaxError struct {
	Pattern string
	Offset  int // in bytes
	Text    string
}

// Error names the place and, with Text, what was expected. Of a long pattern it
// shows what stands around the place.
func (e *SyntaxError) Error() string {
	const around = 40
	shown := e.Pattern
	if end := e.Offset + around; end < len(shown) {
		shown = shown[:end] + "..."
	}
	if start := e.Offset - around; start > 0 {
		shown = "..." + shown[start:]
	}
	return fmt.Sprintf("pattern %q at offset %d: %s", shown, e.Offset, e.Text)
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{Pattern: p.src, Offset: p.pos, Text: fmt.Sprintf(format, args...)}
}

// parse reads the whole pattern.
func (p *parser) parse() (*node, error) {
	p.scout()
	n, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.src) {
		return nil, p.fail("unmatched closing parenthesis")
	}
	for _, r := range p.refs {
		if r.n.n > p.groups {
			p.pos = r.at
			return nil, p.fail("reference to group %d, but the pattern has %d", r.n.n, p.groups)
		}
	}
	return n, nil
}

// scout reads the pattern once, if that matters, to learn how many groups there are, which
// decides whether \10 is a reference or an octal number, and which names they have.
func (p *parser) scout() {
	if p.names = map[string]int{}; !refers(p.src) {
		return
	}
	first := &parser{src: p.src, flags: p.flags, endNL: p.endNL, names: map[string]int{}, named: map[string][]int{}, scouting: true}
	// What is wrong shows when the pattern is read in earnest.
	_, _ = first.alternatives()
	p.total, p.names, p.named = first.groups, first.names, first.named
}

// refers reports whether a pattern may have references by name or with two digits.
func refers(src string) bool {
	for i := 0; i+2 < len(src); i++ {
		switch {
		case src[i] == '\\' && (src[i+1] == 'k' || src[i+1] == 'g' || src[i+1] >= '1' && src[i+1] <= '9' && src[i+2] >= '0' && src[i+2] <= '9'):
			return true
		case src[i] == '(' && src[i+1] == '?' && (src[i+2] == '&' || src[i+2] == 'P' || src[i+2] == '('):
			return true
		}
	}
	return false
}

// name keeps the name of the group that opens next.
func (p *parser) name(name string) {
	n := p.groups + 1
	if _, known := p.names[name]; !known {
		p.names[name] = n
	}
	if p.scouting && !slices.Contains(p.named[name], n) {
		p.named[name] = append(p.named[name], n)
	}
}

// groupOf is the number of the group of that name, the first when there are several.
func (p *parser) groupOf(name string) (int, error) {
	n, ok := p.names[name]
	switch {
	case p.scouting:
		return 1, nil
	case !ok:
		return 0, p.fail("reference to group %q, which does not exist", name)
	}
	return n, nil
}

// refer is a reference to a name as PCRE means it: to the first group of the
// name that is set. n refers to the first.
func (p *parser) refer(n *node, name string) *node {
	p.remember(n)
	groups := p.named[name]
	if n.op != opBackref || len(groups) < 2 {
		return n
	}
	last := &node{op: opVerb, verb: verbFail}
	for _, g := range slices.Backward(groups) {
		one := *n
		one.n = g
		last = &node{op: opCond, n: g, sub: []*node{&one, last}}
	}
	return last
}

// groupName reads ?<name>, ?'name' or ?P<name>; n is the length read.
func groupName(s string) (name string, n int, ok bool) {
	for _, q := range [...]struct {
		open string
		end  byte
	}{{"?<", '>'}, {"?P<", '>'}, {"?'", '\''}} {
		if rest, found := strings.CutPrefix(s, q.open); found {
			end := strings.IndexByte(rest, q.end)
			if end > 0 && isName(rest[:end]) {
				return rest[:end], len(q.open) + end + 1, true
			}
		}
	}
	return "", 0, false
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !wordBytes().has(s[i]) || i == 0 && s[i] <= '9' {
			return false
		}
	}
	return s != ""
}

// alternatives reads up to the closing parenthesis or the end.
func (p *parser) alternatives() (*node, error) {
	alts, err := p.branches()
	if err != nil {
		return nil, err
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &node{op: opAlternate, sub: alts}, nil
}

// branches reads what | parts.
func (p *parser) branches() ([]*node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxNesting {
		return nil, p.fail("more than %d nested parentheses", maxNesting)
	}
	var alts []*node
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alts = append(alts, n)
		if p.pos >= len(p.src) || p.src[p.pos] != '|' {
			break
		}
		p.pos++
	}
	return alts, nil
}

// sequence reads up to | or ) or the end.
func (p *parser) sequence() (*node, error) {
	seq := &node{op: opConcat}
	for p.pos < len(p.src) {
		if p.flags.extended && p.skipExtended() {
			continue
		}
		c := p.src[p.pos]
		if c == '|' || c == ')' {
			break
		}
		n, err := p.atom()
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue // a comment, a flag group, \E
		}
		if n, err = p.quantified(n); err != nil {
			return nil, err
		}
		seq.sub = append(seq.sub, n)
	}
	switch len(seq.sub) {
	case 0:
		return &node{op: opEmpty}, nil
	case 1:
		return seq.sub[0], nil
	}
	return seq, nil
}

// skipExtended skips white space or a comment of (?x).
func (p *parser) skipExtended() bool {
	c := p.src[p.pos]
	if c == ' ' || c >= '\t' && c <= '\r' {
		p.pos++
		return true
	}
	if c != '#' {
		return false
	}
	if end := strings.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
		p.pos += end + 1
	} else {
		p.pos = len(p.src)
	}
	return true
}

// atom reads one element without its quantifier; nil for something that matches nothing and takes no quantifier.
func (p *parser) atom() (*node, error) {
	p.at = p.pos
	c := p.src[p.pos]
	switch c {
	case '(':
		return p.group()
	case '[':
		return p.class()
	case '\\':
		return p.escape()
	case '.':
		p.pos++
		if p.flags.dotAll {
			return &node{op: opSet, set: anyByte()}, nil
		}
		return &node{op: opSet, set: notNewline()}, nil
	case '^':
		p.pos++
		if p.flags.multi {
			return &node{op: opLineBegin}, nil
		}
		return &node{op: opBegin}, nil
	case '$':
		p.pos++
		switch {
		case p.flags.multi:
			return &node{op: opLineEnd}, nil
		case p.endNL:
			return &node{op: opEndNL}, nil
		}
		return &node{op: opEnd}, nil
	case '*', '+', '?':
		return nil, p.fail("nothing to repeat: expected something before %q", c)
	}
	p.pos++
	return p.literal(c), nil
}

func (p *parser) literal(c byte) *node {
	s := setOf(c)
	if p.flags.fold {
		s.fold()
	}
	return &node{op: opSet, set: s}
}

// quantified reads the quantifiers after n.
func (p *parser) quantified(n *node) (*node, error) {
	for p.pos < len(p.src) {
		if p.skipNothing() {
			continue
		}
		lo, hi, ok, err := p.quantifier()
		if err != nil || !ok {
			return n, err
		}
		r := &node{op: opRepeat, sub: []*node{n}, min: lo, max: hi, lazy: p.flags.ungreedy}
		for p.skipNothing() {
		}
		switch p.peek() {
		case '?':
			r.lazy = !r.lazy
			p.pos++
		case '+':
			r.possess, r.lazy = true, false
			p.pos++
		}
		if n.op == opLook {
			// What holds once holds as often as one likes.
			r.min, r.max = min(r.min, 1), 1
		}
		n = r
	}
	return n, nil
}

// skipNothing skips what may stand between an element, its quantifier and the
// ? or + after that: a comment, \E, \Q\E, and blanks of (?x).
func (p *parser) skipNothing() bool {
	if p.pos < len(p.src) && p.flags.extended && p.skipExtended() {
		return true
	}
	rest := p.src[p.pos:]
	n := 0
	switch {
	case strings.HasPrefix(rest, "(?#"):
		n = strings.IndexByte(rest, ')') + 1
	case strings.HasPrefix(rest, `\Q\E`):
		n = 4
	case strings.HasPrefix(rest, `\E`):
		n = 2
	}
	p.pos += n
	return n > 0
}

// quantifier reads * + ? {n} {n,} {n,m}. A brace that is none of these is text.
func (p *parser) quantifier() (lo, hi int, ok bool, err error) {
	switch p.src[p.pos] {
	case '*':
		p.pos++
		return 0, -1, true, nil
	case '+':
		p.pos++
		return 1, -1, true, nil
	case '?':
		p.pos++
		return 0, 1, true, nil
	case '{':
	default:
		return 0, 0, false, nil
	}
	rest := p.src[p.pos+1:]
	i := 0
	number := func() (v int, ok bool) {
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			v, ok = min(v*10+int(rest[i]-'0'), 1<<20), true
			i++
		}
		return v, ok
	}
	lo, ok = number()
	if !ok {
		return 0, 0, false, nil
	}
	hi = lo
	if i < len(rest) && rest[i] == ',' {
		i++
		if hi, ok = number(); !ok {
			hi = -1
		}
	}
	if i >= len(rest) || rest[i] != '}' {
		return 0, 0, false, nil
	}
	if lo > 65535 || hi > 65535 {
		return 0, 0, false, p.fail("number too big in {} quantifier: expected at most 65535")
	}
	if hi >= 0 && hi < lo {
		return 0, 0, false, p.fail("numbers out of order in {} quantifier")
	}
	p.pos += i + 2
	return lo, hi, true, nil
}
