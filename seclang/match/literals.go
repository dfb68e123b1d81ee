package match

import "slices"

// Literals are conditions on a value: it must contain one string of A and, when
// B is not nil, one of B. With A nil there is no condition. Letters are lower
// case and compared without regard to case; all other bytes are exact.
type Literals struct {
	A, B []string
}

const (
	maxProduct = 24   // strings in a product of neighbours
	maxStrings = 4096 // strings in one condition
	maxChars   = 16   // bytes of a set that is multiplied with its neighbours
	maxSigns   = 48   // bytes of a set without letters, digits and blanks, which few values contain
)

// facts is what is known of the matches of a node.
type facts struct {
	exact []string // all matches, in lower case; nil when not known
	req   []string // every match contains one of these; nil when not known
	also  []string // and one of these
}

// required finds the condition that every match of n fulfils.
func required(n *node) Literals {
	f := analyse(n)
	b := better(f.exact, f.req)
	if !selective(b) {
		if f.exact == nil && selective(f.also) {
			return Literals{A: f.also}
		}
		return Literals{}
	}
	if f.exact != nil || !selective(f.also) {
		return Literals{A: b}
	}
	return Literals{A: b, B: f.also}
}

func analyse(n *node) facts {
	switch n.op {
	case opSet:
		return facts{exact: chars(n.set)}
	case opCapture, opAtomic:
		return analyse(n.sub[0])
	case opRepeat:
		return analyseRepeat(n)
	case opAlternate:
		return analyseAlternate(n.sub)
	case opCond:
		return analyseAlternate(n.sub[:2])
	case opConcat:
		return analyseConcat(n.sub)
	case opBackref, opRecurse:
		return facts{}
	case opVerb:
		if n.verb == verbFail {
			return facts{} // whatever one may say of its matches
		}
	}
	// Assertions take no byte; what a lookaround wants is not part of the match
	// but would have to be in the value: not used, it is rare.
	return facts{exact: []string{""}}
}

// chars are the bytes of a small set, letters in lower case.
func chars(s byteSet) []string {
	n := s.len()
	limit := maxChars
	if !s.overlaps(common()) {
		limit = maxSigns
	}
	if n == 0 || n > 2*limit {
		return nil
	}
	out := make([]string, 0, n)
	for c := s.next(0); c < 256; c = s.next(c + 1) {
		if l := lower(byte(c)); int(l) == c || !s.has(l) {
			out = append(out, string([]byte{l}))
		}
	}
	if len(out) > limit {
		return nil
	}
	slices.Sort(out)
	return out
}

// common are the bytes that nearly every value contains.
func common() byteSet { return wordBytes() }

func analyseRepeat(n *node) facts {
	f := analyse(n.sub[0])
	switch {
	case n.min == 0 && n.max == 1:
		if f.exact != nil && len(f.exact) < maxChars {
			return facts{exact: unique(append([]string{""}, f.exact...))}
		}
		return facts{}
	case n.min == 0:
		return facts{}
	case n.min == n.max && n.min <= 4 && f.exact != nil:
		out := []string{""}
		for range n.min {
			if out = product(out, f.exact); out == nil {
				return facts{req: f.exact}
			}
		}
		return facts{exact: out}
	}
	return facts{req: better(f.exact, f.req), also: f.also}
}

func analyseAlternate(subs []*node) facts {
	var exact, req []string
	allExact, allReq := true, true
	for _, s := range subs {
		f := analyse(s)
		if f.exact == nil {
			allExact = false
		}
		exact = append(exact, f.exact...)
		b := better(f.exact, f.req)
		if b == nil {
			allReq = false
		}
		req = append(req, b...)
	}
	var f facts
	if allExact && len(exact) <= maxStrings {
		f.exact = unique(exact)
	}
	if allReq && len(req) <= maxStrings {
		f.req = unique(req)
	}
	return f
}

// analyseConcat multiplies neighbours whose matches are known and few, and
// keeps the two best conditions of all that it finds.
func analyseConcat(subs []*node) facts {
	run := []string{""} // all strings that the parts since the last break match
	var found [][]string
	whole := true
	for _, s := range subs {
		f := analyse(s)
		if p := product(run, f.exact); p != nil {
			run = p
			continue
		}
		whole = false
		found = append(found, run)
		run = []string{""}
		if f.exact == nil {
			found = append(found, f.req, f.also)
			continue
		}
		found = append(found, f.exact)
		if len(f.exact) <= maxProduct {
			run = f.exact
		}
	}
	if whole {
		return facts{exact: run}
	}
	found = append(found, run)
	best := better(found...)
	var rest [][]string
	for _, s := range found {
		if len(s) > 0 && len(best) > 0 && &s[0] != &best[0] && selective(s) {
			rest = append(rest, s)
		}
	}
	return facts{req: best, also: better(rest...)}
}

// product is every string of a followed by every one of b; nil when unknown or too many.
func product(a, b []string) []string {
	if b == nil || len(a)*len(b) > maxProduct {
		return nil
	}
	if len(a) == 1 && a[0] == "" {
		return b
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return unique(out)
}

// better picks the set that filters most: long strings first, then few of them.
func better(sets ...[]string) []string {
	var best []string
	for _, s := range sets {
		if len(s) > 0 && !slices.Contains(s, "") && (best == nil || score(s) > score(best)) {
			best = s
		}
	}
	return best
}

func score(s []string) int {
	shortest := 5
	for _, x := range s {
		shortest = min(shortest, len(x))
	}
	return shortest*1000 - min(len(s), 900)
}

// selective is false for a set with a lone letter, digit or blank, which nearly every value contains.
func selective(s []string) bool {
	for _, x := range s {
		if x == "" || len(x) == 1 && common().has(x[0]) {
			return false
		}
	}
	return len(s) > 0
}

func unique(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
