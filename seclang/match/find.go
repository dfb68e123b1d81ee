package match

import "strings"

// Matcher is a pattern with an allowance to run it in. The error of its methods
// is nil or ErrLimit, maybe with more words.
type Matcher struct {
	re        *Regexp
	allowance *Allowance
}

// Within is the pattern with an allowance; nil is none beyond the pattern's own limits.
func (re *Regexp) Within(a *Allowance) Matcher { return Matcher{re, a} }

// MatchString reports whether the pattern matches somewhere in s.
func (m Matcher) MatchString(s string) (bool, error) {
	re := m.re
	if ok, err := m.guarded(s); !ok {
		return false, err
	}
	if re.simple != nil {
		return re.simple.match(s), nil
	}
	if re.filter != nil {
		if matched, known := re.filter.match(s); known && (!matched || re.exact) {
			return matched, nil
		}
	}
	if re.program == nil {
		re.once.Do(re.build)
		return re.std.MatchString(latin1(s)), nil
	}
	x := re.machine(m.allowance)
	defer re.done(x, m.allowance)
	return x.find(s, 0, re.limits.Ways), x.err
}

// FindSubmatch finds the first match in s and appends its groups to dst: the
// whole match, then as many groups as the pattern has, at most MaxGroups in
// all; a group that took no part is "". The strings share memory with s.
func (m Matcher) FindSubmatch(s string, dst []string) ([]string, bool, error) {
	re := m.re
	if ok, err := m.guarded(s); !ok {
		return dst, false, err
	}
	if re.simple != nil {
		return re.simple.find(s, dst)
	}
	if re.filter != nil {
		if matched, known := re.filter.match(s); known && !matched {
			return dst, false, nil
		}
	}
	found := false
	err := m.eachUnguarded(s, 1, func(l []int) { dst, found = appendGroups(dst, s, l), true })
	return dst, found, err
}

// FindAll finds up to max matches in s that do not overlap (max < 0: all), each
// with its groups as FindSubmatch gives them.
func (m Matcher) FindAll(s string, max int) ([][]string, error) {
	var all [][]string
	err := m.each(s, max, func(l []int) { all = append(all, appendGroups(nil, s, l)) })
	return all, err
}

// FindAllIndex finds up to max matches (max < 0: all) and says where each starts and ends.
func (m Matcher) FindAllIndex(s string, max int) ([][2]int, error) {
	var all [][2]int
	err := m.each(s, max, func(l []int) { all = append(all, [2]int{l[0], l[1]}) })
	return all, err
}

// Replace puts repl in the place of every match in s and returns how many there
// were. \1 to \9 in repl stand for groups, as in @rsub.
func (m Matcher) Replace(s, repl string) (string, int, error) {
	var b strings.Builder
	last, n := 0, 0
	err := m.each(s, -1, func(l []int) {
		b.WriteString(s[last:l[0]])
		for i := 0; i < len(repl); i++ {
			if repl[i] != '\\' || i+1 == len(repl) || repl[i+1] < '1' || repl[i+1] > '9' {
				b.WriteByte(repl[i])
				continue
			}
			i++
			if g := 2 * int(repl[i]-'0'); g < len(l) && l[g] >= 0 {
				b.WriteString(s[l[g]:l[g+1]])
			}
		}
		last = l[1]
		n++
	})
	if err != nil || n == 0 {
		return s, 0, err
	}
	b.WriteString(s[last:])
	return b.String(), n, nil
}

// each calls f with the places of up to max matches, in bytes, two per group. f must not keep them.
func (m Matcher) each(s string, max int, f func(loc []int)) error {
	if ok, err := m.guarded(s); !ok {
		return err
	}
	return m.eachUnguarded(s, max, f)
}

func (m Matcher) eachUnguarded(s string, max int, f func(loc []int)) error {
	re := m.re
	if re.simple != nil {
		re.simple.each(s, max, f)
		return nil
	}
	if re.program != nil {
		return m.eachBack(s, max, f)
	}
	re.once.Do(re.build)
	text := latin1(s)
	all := re.std.FindAllStringSubmatchIndex(text, max)
	var at *places
	if len(text) != len(s) {
		at = &places{text: text}
	}
	for _, l := range all {
		loc := re.unset()
		for i := 0; i+1 < len(l); i += 2 {
			g := 0
			if i > 0 {
				g = re.groups[i/2-1]
			}
			if l[i] >= 0 && 2*g < len(loc) {
				loc[2*g], loc[2*g+1] = at.of(l[i]), at.of(l[i+1])
			}
		}
		f(re.kept(loc))
	}
	return nil
}

// FindOverlapping calls f with the place of the first match that is not empty,
// then of the first that starts later, and so on while f returns true. groups
// is how many groups there are up to the last that took part, the match
// itself included. It needs Options.Overlapping.
func (m Matcher) FindOverlapping(s string, f func(start, end, groups int) bool) error {
	re := m.re
	if ok, err := m.guarded(s); !ok {
		return err
	}
	if re.filter != nil {
		if matched, known := re.filter.match(s); known && !matched {
			return nil
		}
	}
	x := re.machine(m.allowance)
	defer re.done(x, m.allowance)
	for at := 0; at <= len(s); {
		if !x.find(s, at, re.limits.Ways) {
			return x.err
		}
		if x.regs[1] > x.regs[0] && !f(x.regs[0], x.regs[1], re.lastGroup(x.regs)) {
			return nil
		}
		at = x.regs[0] + 1
	}
	return nil
}

// lastGroup is how many groups a match has up to the last that took part.
func (re *Regexp) lastGroup(loc []int) int {
	g := re.highest
	for g > 0 && loc[2*g+1] < 0 {
		g--
	}
	return g + 1
}

// unset is room for the places of all groups.
func (re *Regexp) unset() []int {
	n := re.highest + 1
	if re.keep > 0 {
		n++
	}
	loc := make([]int, 2*n)
	for i := range loc {
		loc[i] = -1
	}
	return loc
}

// kept moves the start of the match to \K and drops the group that marks it.
func (re *Regexp) kept(loc []int) []int {
	if re.keep == 0 {
		return loc
	}
	if at := loc[2*re.keep]; at >= 0 && at <= loc[1] {
		loc[0] = at
	}
	return loc[:2*re.keep]
}

func (m Matcher) eachBack(s string, max int, f func(loc []int)) error {
	re := m.re
	x := re.machine(m.allowance)
	defer re.done(x, m.allowance)
	for at := 0; max != 0 && at <= len(s); max-- {
		if !x.find(s, at, re.limits.Ways) {
			return x.err
		}
		loc := x.regs[:2*(re.slots()+1)]
		if at = loc[1]; loc[0] == loc[1] {
			at++
		}
		f(re.kept(loc))
	}
	return nil
}

// places turns offsets in the Latin-1 text into offsets in the value. Offsets
// mostly grow, so it goes on from where it was.
type places struct {
	text       string
	wide, byte int
}

func (p *places) of(i int) int {
	if p == nil {
		return i
	}
	if i < p.wide {
		p.wide, p.byte = 0, 0
	}
	for p.wide < i {
		if p.text[p.wide] >= 0x80 {
			p.wide++
		}
		p.wide++
		p.byte++
	}
	return p.byte
}

func appendGroups(dst []string, s string, loc []int) []string {
	for i := 0; i+1 < len(loc) && i < 2*MaxGroups; i += 2 {
		if loc[i] < 0 {
			dst = append(dst, "")
		} else {
			dst = append(dst, s[loc[i]:loc[i+1]])
		}
	}
	return dst
}
