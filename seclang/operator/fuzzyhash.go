package operator

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fuzzyHash is @fuzzyHash: it matches a value whose ssdeep hash resembles one
// in a file. The library of that name for Go is not to be had through the
// module proxy, so the algorithm (A. Tridgell's spamsum, J. Kornblum's CTPH) is here.
type fuzzyHash struct {
	file   string
	score  int
	hashes []spamSum
}

// spamSum is one hash: "blocksize:first:second".
type spamSum struct {
	block         uint32
	first, second string
	text          string
}

// newFuzzyHash reads "file score"; the file has one hash per line, with a file name after a comma or none.
func newFuzzyHash(arg string, env Env) (Operator, error) {
	i := strings.LastIndexByte(strings.TrimRight(arg, " "), ' ')
	if i < 0 {
		return nil, errors.New("expected a file of ssdeep hashes and the least score, 0 to 100")
	}
	o := &fuzzyHash{file: strings.TrimSpace(arg[:i])}
	var err error
	if o.score, err = strconv.Atoi(strings.TrimSpace(arg[i:])); err != nil || o.score < 0 || o.score > 100 {
		return nil, fmt.Errorf("score %q: expected a number from 0 to 100", strings.TrimSpace(arg[i:]))
	}
	data, err := env.ReadFile(o.file)
	if err != nil {
		return nil, fmt.Errorf("read file of hashes: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "ssdeep,") {
			continue // ssdeep's own header
		}
		h, err := parseSpamSum(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", o.file, n, err)
		}
		o.hashes = append(o.hashes, h)
	}
	return o, nil
}

func (o *fuzzyHash) Match(in, _ string, m *Result) bool {
	if len(o.hashes) == 0 {
		return false
	}
	own := spamSumOf(in)
	for _, h := range o.hashes {
		if score := own.compare(h); score >= o.score {
			if m.Explain {
				m.Text = fmt.Sprintf("Fuzzy hash of %s matched with %s (from: %s). Score: %d.", m.Target, h.text, o.file, score)
			}
			return true
		}
	}
	return false
}

func parseSpamSum(line string) (spamSum, error) {
	text, _, _ := strings.Cut(line, ",")
	parts := strings.Split(text, ":")
	if len(parts) == 3 {
		if block, err := strconv.ParseUint(parts[0], 10, 32); err == nil && block >= minBlock && len(parts[1]) <= sumLength && len(parts[2]) <= sumLength {
			return spamSum{uint32(block), parts[1], parts[2], text}, nil
		}
	}
	return spamSum{}, fmt.Errorf("%q: expected an ssdeep hash such as 48:abc:def", line)
}

const (
	sumLength = 64
	minBlock  = 3
	sumWindow = 7 // bytes that the rolling hash sees, and least common substring
)

// rolling is a hash of the last sumWindow bytes.
type rolling struct {
	window     [sumWindow]byte
	n          uint32
	h1, h2, h3 uint32
}

func (r *rolling) add(c byte) uint32 {
	r.h2 += sumWindow*uint32(c) - r.h1
	r.h1 += uint32(c) - uint32(r.window[r.n%sumWindow])
	r.window[r.n%sumWindow] = c
	r.n++
	r.h3 = r.h3<<5 ^ uint32(c)
	return r.h1 + r.h2 + r.h3
}

// spamSumOf is the hash of s: s is cut where the rolling hash says so, and every
// piece gives one character. Half the block size is taken while there are too few pieces.
func spamSumOf(s string) spamSum {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	const start, prime = 0x28021967, 0x01000193
	block := uint32(minBlock)
	for int(block)*sumLength < len(s) {
		block *= 2
	}
	for {
		var r rolling
		var h uint32
		a, b := uint32(start), uint32(start)
		var first, second []byte
		for i := 0; i < len(s); i++ {
			h = r.add(s[i])
			a = a*prime ^ uint32(s[i])
			b = b*prime ^ uint32(s[i])
			if h%block == block-1 && len(first) < sumLength-1 {
				first = append(first, alphabet[a%64])
				a = start
			}
			if h%(2*block) == 2*block-1 && len(second) < sumLength/2-1 {
				second = append(second, alphabet[b%64])
				b = start
			}
		}
		if block > minBlock && len(first) < sumLength/2 {
			block /= 2
			continue
		}
		if h != 0 {
			first = append(first, alphabet[a%64])
			second = append(second, alphabet[b%64])
		}
		return spamSum{block: block, first: string(first), second: string(second)}
	}
}

// compare is how alike two hashes are, 0 to 100.
func (a spamSum) compare(b spamSum) int {
	switch {
	case a.block == b.block:
		if a.first == b.first && a.second == b.second {
			return 100
		}
		return max(likeness(a.first, b.first, a.block), likeness(a.second, b.second, 2*a.block))
	case a.block == 2*b.block:
		return likeness(a.first, b.second, a.block)
	case 2*a.block == b.block:
		return likeness(a.second, b.first, b.block)
	}
	return 0
}

func likeness(a, b string, block uint32) int {
	a, b = shorten(a), shorten(b)
	if !commonSubstring(a, b) {
		return 0
	}
	score := distance(a, b) * sumLength / (len(a) + len(b))
	score = 100 - 100*score/sumLength
	// Small blocks say little: a short value is not very like another.
	if limit := int(block/minBlock) * min(len(a), len(b)); block < (99+sumWindow)/sumWindow*minBlock {
		score = min(score, limit)
	}
	return max(score, 0)
}

// shorten leaves at most three of a run of one character, which carries little information.
func shorten(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if i < 3 || s[i] != s[i-1] || s[i] != s[i-2] || s[i] != s[i-3] {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// commonSubstring reports whether a and b share sumWindow bytes in a row.
func commonSubstring(a, b string) bool {
	for i := 0; i+sumWindow <= len(a); i++ {
		if strings.Contains(b, a[i:i+sumWindow]) {
			return true
		}
	}
	return false
}

// distance is the edit distance in which a change costs an insertion and a deletion.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		row := slices.Clone(prev)
		row[0] = i + 1
		for j := range len(b) {
			cost := 2
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
		}
		prev = row
	}
	return prev[len(b)]
}
