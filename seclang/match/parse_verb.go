package match

import (
	"slices"
	"strconv"
	"strings"
)

// verb reads (*...): a backtracking verb, an option of the whole pattern, or a
// group that begins with a word, such as (*pla:...).
func (p *parser) verb() (*node, error) {
	rest := p.src[p.pos+2:]
	end := strings.IndexByte(rest, ')')
	if end < 0 {
		return nil, p.fail("missing ) after (*")
	}
	name, arg, hasArg := strings.Cut(rest[:end], ":")
	if name != "" && name[0] >= 'a' && name[0] <= 'z' {
		return p.wordGroup(name)
	}
	n := &node{op: opVerb, n: p.mark(arg)}
	switch name {
	case "FAIL", "F":
		n.verb = verbFail
	case "ACCEPT":
		n.verb = verbAccept
	case "COMMIT":
		n.verb = verbCommit
	case "PRUNE":
		n.verb = verbPrune
	case "SKIP":
		n.verb = verbSkip
	case "THEN":
		n.verb = verbThen
	case "MARK", "":
		if n.verb = verbMark; !hasArg || arg == "" {
			return nil, p.fail("(*MARK) needs a name: expected (*MARK:name)")
		}
	default:
		return p.option(name, end)
	}
	p.pos += end + 3
	if n.n == 0 || n.verb == verbSkip || n.verb == verbMark {
		return n, nil
	}
	// (*PRUNE:name) and its like are (*MARK:name) and the verb.
	mark := &node{op: opVerb, verb: verbMark, n: n.n}
	n.n = 0
	return &node{op: opConcat, sub: []*node{mark, n}}, nil
}

// mark is the number of a name in verbs; 0 for none.
func (p *parser) mark(name string) int {
	if name == "" {
		return 0
	}
	i := slices.Index(p.marks, name)
	if i < 0 {
		i = len(p.marks)
		p.marks = append(p.marks, name)
	}
	return i + 1
}

// option reads what may stand at the begin of a pattern only.
func (p *parser) option(name string, end int) (*node, error) {
	if p.pos != p.options {
		return nil, p.fail("unknown verb (*%s), or not at the begin of the pattern: expected ACCEPT, COMMIT, FAIL, MARK, PRUNE, SKIP or THEN", name)
	}
	key, value, _ := strings.Cut(name, "=")
	switch key {
	case "LF", "BSR_UNICODE", "NO_JIT", "NO_START_OPT", "NO_AUTO_POSSESS", "NO_DOTSTAR_ANCHOR":
		// So it is, or it bears on speed alone.
	case "BSR_ANYCRLF":
		p.newlineR = true
	case "LIMIT_MATCH", "LIMIT_DEPTH", "LIMIT_RECURSION", "LIMIT_HEAP":
		v, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return nil, p.fail("(*%s): expected a number after =", name)
		}
		if key == "LIMIT_MATCH" {
			p.limit = max(int(v), 1)
		}
	case "UTF", "UTF8", "UCP":
		return nil, p.fail("(*%s) is not possible: one character is one byte, as ModSecurity has it", name)
	case "CR", "CRLF", "ANYCRLF", "ANY", "NUL":
		return nil, p.fail("(*%s) is not possible: a line ends with a line feed", name)
	default:
		return nil, p.fail("unknown option (*%s): expected LF, BSR_ANYCRLF, BSR_UNICODE, LIMIT_MATCH=, NO_JIT, NO_START_OPT or a verb", name)
	}
	p.pos += end + 3
	p.options = p.pos
	return nil, nil
}

// wordGroup reads (*atomic:...), (*pla:...) and the like, which PCRE2 has beside the signs.
func (p *parser) wordGroup(word string) (*node, error) {
	skip := len(word) + 2
	if p.pos+skip >= len(p.src) || p.src[p.pos+skip] != ':' {
		return nil, p.fail("unknown verb (*%s): expected capital letters, or a colon", word)
	}
	switch word {
	case "atomic":
		return p.inner(skip, &node{op: opAtomic})
	case "pla", "positive_lookahead":
		return p.inner(skip, &node{op: opLook})
	case "nla", "negative_lookahead":
		return p.inner(skip, &node{op: opLook, negative: true})
	case "plb", "positive_lookbehind":
		return p.behind(skip, false)
	case "nlb", "negative_lookbehind":
		return p.behind(skip, true)
	}
	return nil, p.fail("unknown group (*%s:...): expected atomic, pla, nla, plb or nlb", word)
}
