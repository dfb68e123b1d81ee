package config

import (
	"github.com/trapline/trapline/seclang/match"
)

// Pattern is a regular expression of Apache's, that is PCRE: lookahead and back references included. It is safe for
// concurrent use. A match that PCRE would give up on (its work is limited) counts as none, as in Apache.
type Pattern struct{ re *match.Regexp }

// CompilePattern reads a pattern.
func CompilePattern(pattern string) (*Pattern, error) {
	re, err := match.Compile(pattern, match.Options{})
	if err != nil {
		return nil, err
	}
	return &Pattern{re}, nil
}

// MatchString says whether s contains a match.
func (p *Pattern) MatchString(s string) bool {
	ok, err := p.re.MatchString(s)
	return ok && err == nil
}

// Groups returns the first match and its groups, at most ten in all; nil when there is none.
func (p *Pattern) Groups(s string) []string {
	groups, ok, err := p.re.FindSubmatch(s, nil)
	if !ok || err != nil {
		return nil
	}
	return groups
}

// Replace puts what with returns for its groups in the place of the first most matches (most < 0: of all).
func (p *Pattern) Replace(s string, most int, with func(groups []string) string) string {
	at, err := p.re.Within(nil).FindAllIndex(s, most)
	if err != nil || len(at) == 0 {
		return s
	}
	groups, err := p.re.Within(nil).FindAll(s, most)
	if err != nil || len(groups) != len(at) {
		return s
	}
	out, end := "", 0
	for i := range at {
		out += s[end:at[i][0]] + with(groups[i])
		end = at[i][1]
	}
	return out + s[end:]
}
