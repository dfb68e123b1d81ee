package match

import (
	"strconv"
	"strings"
)

// group reads from '(' to the matching ')'.
func (p *parser) group() (*node, error) {
	rest := p.src[p.pos+1:]
	if strings.HasPrefix(rest, "*") {
		return p.verb()
	}
	if !strings.HasPrefix(rest, "?") {
		if p.flags.plain {
			return p.inner(0, nil)
		}
		p.pos++
		return p.capture()
	}
	if name, n, ok := groupName(rest); ok {
		p.pos += 1 + n
		p.name(name)
		return p.capture()
	}
	switch {
	case strings.HasPrefix(rest, "?#"):
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return nil, p.fail("missing ) after (?# comment")
		}
		p.pos += end + 2
		return nil, nil
	case strings.HasPrefix(rest, "?:"):
		return p.inner(2, nil)
	case strings.HasPrefix(rest, "?>"):
		return p.inner(2, &node{op: opAtomic})
	case strings.HasPrefix(rest, "?="):
		return p.inner(2, &node{op: opLook})
	case strings.HasPrefix(rest, "?!"):
		return p.inner(2, &node{op: opLook, negative: true})
	case strings.HasPrefix(rest, "?<="):
		return p.behind(3, false)
	case strings.HasPrefix(rest, "?<!"):
		return p.behind(3, true)
	case strings.HasPrefix(rest, "?|"):
		return p.branchReset()
	case strings.HasPrefix(rest, "?("):
		return p.conditional()
	case strings.HasPrefix(rest, "?P="), strings.HasPrefix(rest, "?P>"), strings.HasPrefix(rest, "?&"):
		return p.namedCall(rest)
	}
	if n, err := p.numberedCall(rest); n != nil || err != nil {
		return n, err
	}
	if p.callout(rest) {
		return nil, nil
	}
	return p.flagGroup()
}

// inner reads a group whose opening is skip bytes after '('; flags inside end with it.
func (p *parser) inner(skip int, n *node) (*node, error) {
	start := p.pos
	p.pos += 1 + skip
	saved := p.flags
	sub, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	p.flags = saved
	if p.pos >= len(p.src) {
		p.pos = start
		return nil, p.fail("missing closing parenthesis")
	}
	p.pos++
	if n == nil {
		// A group of its own, so that a quantifier after it takes all of it.
		return sub, nil
	}
	n.sub = []*node{sub}
	return n, nil
}

// capture reads a capture group; p.pos is after what opens it.
func (p *parser) capture() (*node, error) {
	p.groups++
	n := &node{op: opCapture, n: p.groups}
	p.pos--
	return p.inner(0, n)
}

// branchReset reads (?|...): every alternative numbers its groups from the same start.
func (p *parser) branchReset() (*node, error) {
	start := p.pos
	p.pos += 3
	saved := p.flags
	first, last := p.groups, p.groups
	n := &node{op: opAlternate}
	for {
		p.groups = first
		s, err := p.sequence()
		if err != nil {
			return nil, err
		}
		n.sub = append(n.sub, s)
		last = max(last, p.groups)
		if p.pos >= len(p.src) || p.src[p.pos] != '|' {
			break
		}
		p.pos++
	}
	if p.pos >= len(p.src) {
		p.pos = start
		return nil, p.fail("missing closing parenthesis")
	}
	p.pos++
	p.groups, p.flags = last, saved
	if len(n.sub) == 1 {
		return n.sub[0], nil
	}
	return n, nil
}

// behind reads a lookbehind, of which each branch must have one length.
func (p *parser) behind(skip int, negative bool) (*node, error) {
	start := p.pos
	n, err := p.inner(skip, &node{op: opLook, behind: true, negative: negative})
	if err != nil {
		return nil, err
	}
	branches := n.sub
	if n.sub[0].op == opAlternate {
		branches = n.sub[0].sub
	}
	for _, b := range branches {
		if _, ok := b.fixedLen(); !ok {
			p.pos = start
			return nil, p.fail("the lookbehind has no fixed length: expected the same number of bytes in every way through a branch")
		}
	}
	return n, nil
}

// conditional reads (?(condition)yes|no).
func (p *parser) conditional() (*node, error) {
	start := p.pos
	n := &node{op: opCond}
	rest := p.src[p.pos+3:]
	var look *node
	if strings.HasPrefix(rest, "?=") || strings.HasPrefix(rest, "?!") || strings.HasPrefix(rest, "?<=") || strings.HasPrefix(rest, "?<!") {
		p.pos += 2
		var err error
		if look, err = p.group(); err != nil {
			return nil, err
		}
		n.kind = condLook
	} else {
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return nil, p.fail("missing ) after the condition")
		}
		if err := p.condition(n, rest[:end]); err != nil {
			return nil, err
		}
		p.pos += 3 + end + 1
	}
	saved := p.flags
	branches, err := p.branches()
	if err != nil {
		return nil, err
	}
	if p.flags = saved; p.pos >= len(p.src) {
		p.pos = start
		return nil, p.fail("missing closing parenthesis")
	}
	p.pos++
	most := 2
	if n.op == opDefine {
		most = 1
	}
	if len(branches) > most {
		p.pos = start
		return nil, p.fail("a conditional group has more branches than %d", most)
	}
	if n.sub = branches; n.op == opDefine {
		return n, nil
	}
	if len(branches) == 1 {
		n.sub = append(n.sub, &node{op: opEmpty})
	}
	if look != nil {
		n.sub = append(n.sub, look)
	}
	return n, nil
}

// condition reads what stands in (?(...): the number or the name of a group, R for a call, DEFINE.
func (p *parser) condition(n *node, what string) error {
	name, isCall := strings.CutPrefix(what, "R")
	_, named := p.names[what]
	var err error
	switch {
	case what == "DEFINE":
		n.op = opDefine
		return nil
	case isCall && !named && (name == "" || name[0] == '&' || name[0] >= '0' && name[0] <= '9'):
		if n.kind, n.n = condCall, -1; name != "" {
			n.n, err = p.groupNumber(strings.TrimPrefix(name, "&"))
		}
	case what == "" || strings.HasPrefix(what, "VERSION"):
		err = p.fail("condition (%s): expected the number or name of a group, R, DEFINE or a lookaround", what)
	default:
		n.n, err = p.groupNumber(strings.Trim(what, "<>'"))
	}
	if err == nil && n.n == 0 && n.kind == condGroup && !p.scouting {
		err = p.fail("condition (%s): expected the number of a group", what)
	}
	p.remember(n)
	return err
}

// namedCall reads (?P=name), (?P>name) or (?&name).
func (p *parser) namedCall(rest string) (*node, error) {
	end := strings.IndexByte(rest, ')')
	if end < 0 {
		return nil, p.fail("missing closing parenthesis")
	}
	n := &node{op: opBackref, fold: p.flags.fold}
	name, isRef := strings.CutPrefix(rest[:end], "?P=")
	if !isRef {
		n.op = opRecurse
		name = strings.TrimPrefix(strings.TrimPrefix(name, "?P>"), "?&")
	}
	var err error
	if n.n, err = p.groupOf(name); err != nil {
		return nil, err
	}
	p.pos += end + 2
	return p.refer(n, name), nil
}

// numberedCall reads (?R), (?0), (?1), (?+1), (?-1); nil when it is none of these.
func (p *parser) numberedCall(rest string) (*node, error) {
	end := strings.IndexByte(rest, ')')
	if end < 2 {
		return nil, nil
	}
	what := rest[1:end]
	n := &node{op: opRecurse}
	if what != "R" {
		if _, err := strconv.Atoi(what); err != nil {
			return nil, nil //nolint:nilerr // it is a group of flags
		}
		var err error
		if n.n, err = p.groupNumber(what); err != nil {
			return nil, err
		}
		p.remember(n)
	}
	p.pos += end + 2
	return n, nil
}

// callout passes over (?C) and (?C1), which tell a program about a match and change nothing.
func (p *parser) callout(rest string) bool {
	end := strings.IndexByte(rest, ')')
	if !strings.HasPrefix(rest, "?C") || end < 0 || strings.Trim(rest[2:end], "0123456789") != "" {
		return false
	}
	p.pos += end + 2
	return true
}

// flagGroup reads (?i), (?i-s) or (?i-s:...).
func (p *parser) flagGroup() (*node, error) {
	f := p.flags
	on := true
	for i := p.pos + 2; i < len(p.src); i++ {
		switch p.src[i] {
		case '^':
			f = flags{ungreedy: f.ungreedy}
		case '-':
			on = false
		case 'i':
			f.fold = on
		case 'm':
			f.multi = on
		case 's':
			f.dotAll = on
		case 'x':
			f.blanks = on && p.src[i-1] == 'x'
			f.extended = on
		case 'U':
			f.ungreedy = on
		case 'J':
			// Several groups may always have one name.
		case 'n':
			f.plain = on
		case ')':
			p.pos = i + 1
			p.flags = f
			return nil, nil
		case ':':
			saved := p.flags
			p.flags = f
			n, err := p.inner(i-p.pos, nil)
			p.flags = saved
			return n, err
		default:
			p.pos = i
			return nil, p.fail("unrecognized character %q after (?", p.src[i])
		}
	}
	return nil, p.fail("missing closing parenthesis")
}
