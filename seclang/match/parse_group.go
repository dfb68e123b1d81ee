package match

import (
	"strconv"
	"strings"
)

// group reads from '(' to the matching ')'.
func (p *parser) group() (*node, error) {
	rest := p.src[p.pos+1:]
	if strings.HasPrefix(rest, "*") {
		return nil, p.fail("verbs such as (*SKIP) are not supported")
	}
	if !strings.HasPrefix(rest, "?") {
		p.pos++
		return p.capture()
	}
	if name, n, ok := groupName(rest); ok {
		p.pos += 1 + n
		p.names[name] = p.groups + 1
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
		return p.inner(3, &node{op: opLook, behind: true})
	case strings.HasPrefix(rest, "?<!"):
		return p.inner(3, &node{op: opLook, behind: true, negative: true})
	case strings.HasPrefix(rest, "?|"):
		return p.branchReset()
	case strings.HasPrefix(rest, "?("):
		return p.conditional()
	case strings.HasPrefix(rest, "?P="), strings.HasPrefix(rest, "?P>"), strings.HasPrefix(rest, "?&"):
		return p.namedCall(rest)
	}
	if n, ok := p.numberedCall(rest); ok {
		return n, nil
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
	return n, nil
}

// conditional reads (?(1)yes|no), (?(<name>)yes|no) or (?(?=...)yes|no).
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
	} else {
		end := strings.IndexByte(rest, ')')
		if end < 0 {
			return nil, p.fail("missing ) after the condition")
		}
		name := strings.Trim(rest[:end], "<>'")
		if v, err := strconv.Atoi(name); err == nil && v > 0 && v < 1000 {
			n.n = v
		} else if v, ok := p.names[name]; ok {
			n.n = v
		} else {
			return nil, p.fail("condition (%s): expected the number or name of a group, or a lookaround", rest[:end])
		}
		p.refs = append(p.refs, n)
		p.pos += 3 + end + 1
	}
	p.pos--
	body, err := p.inner(0, nil)
	if err != nil {
		return nil, err
	}
	n.sub = []*node{body, {op: opEmpty}}
	if body.op == opAlternate {
		if len(body.sub) > 2 {
			p.pos = start
			return nil, p.fail("a conditional group has more than two branches")
		}
		n.sub = []*node{body.sub[0], body.sub[1]}
	}
	if look != nil {
		n.sub = append(n.sub, look)
	}
	return n, nil
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
		name = strings.TrimLeft(rest[:end], "?P>&")
	}
	v, ok := p.names[name]
	if !ok {
		return nil, p.fail("reference to group %q, which does not exist", name)
	}
	n.n = v
	p.refs = append(p.refs, n)
	p.pos += end + 2
	return n, nil
}

// numberedCall reads (?R), (?0), (?1), (?+1), (?-1).
func (p *parser) numberedCall(rest string) (*node, bool) {
	end := strings.IndexByte(rest, ')')
	if end < 2 {
		return nil, false
	}
	what := rest[1:end]
	n := &node{op: opRecurse}
	if what != "R" {
		v, err := strconv.Atoi(what)
		if err != nil || v > 1000 || v < -1000 {
			return nil, false
		}
		switch what[0] {
		case '+':
			v += p.groups
		case '-':
			v += p.groups + 1
		}
		n.n = v
		p.refs = append(p.refs, n)
	}
	p.pos += end + 2
	return n, true
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
			f.extended = on
		case 'U':
			f.ungreedy = on
		case 'J', 'n':
			// Duplicate names are always allowed.
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
