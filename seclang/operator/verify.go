package operator

import (
	"fmt"

	"github.com/trapline/trapline/seclang/match"
)

// verify is @verifyCC and its like: a pattern finds candidates, a checksum decides.
type verify struct {
	name  string
	re    *match.Regexp
	valid func(digits []byte) bool
}

func newVerify(name string, valid func([]byte) bool) func(string, Env) (Operator, error) {
	return func(arg string, env Env) (Operator, error) {
		o := env.Match
		o.Multiline, o.Overlapping = true, true // PCRE_MULTILINE in version 2 as well
		re, err := match.Compile(arg, o)
		if err != nil {
			return nil, err
		}
		return &verify{name, re, valid}, nil
	}
}

func (o *verify) Match(in, _ string, m *Result) bool {
	found := false
	m.Err = o.re.Within(m.Allowance).FindOverlapping(in, func(start, end, groups int) bool {
		var digits []byte
		for _, c := range []byte(in[start:end]) {
			if c >= '0' && c <= '9' {
				digits = append(digits, c-'0')
			}
		}
		if !o.valid(digits) {
			return true
		}
		found = true
		// mod_security2 puts the whole match into every group of the pattern.
		for i := 0; m.Capture && i < min(groups, match.MaxGroups); i++ {
			m.Captures = append(m.Captures, in[start:end])
		}
		if m.Explain {
			m.Text = fmt.Sprintf("%s match \"%s\" at %s. [offset \"%d\"]", o.name, o.re, m.Target, start)
		}
		return false
	})
	return found
}

// Literals are what every candidate contains.
func (o *verify) Literals() match.Literals { return o.re.Literals() }

// validCC is the Luhn check (ISO 2894, ANSI 4.13).
func validCC(d []byte) bool {
	sum := 0
	for i, v := range d {
		if (len(d)-i)%2 == 0 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += int(v)
	}
	return len(d) > 0 && sum%10 == 0
}

// validCPF checks a Brazilian CPF: eleven digits, of which ModSecurity looks at the first eleven found.
func validCPF(d []byte) bool {
	if len(d) < 11 || sameOrCounting(d[:11]) {
		return false
	}
	check := func(n int) byte {
		sum := 0
		for i := range n {
			sum += int(d[i]) * (n + 1 - i)
		}
		if f := sum % 11; f >= 2 {
			return byte(11 - f)
		}
		return 0
	}
	return d[9] == check(9) && d[10] == check(10)
}

// validSSN checks a US social security number: nine digits, none of the three fields zero.
func validSSN(d []byte) bool {
	if len(d) != 9 {
		return false
	}
	counting, repeated := 0, 0
	for i := range 8 {
		if d[i]+1 == d[i+1] {
			counting++
		}
		if d[i] == d[i+1] {
			repeated++
		}
	}
	if counting == 8 || repeated == 8 {
		return false
	}
	area := int(d[0])*100 + int(d[1])*10 + int(d[2])
	group := int(d[3])*10 + int(d[4])
	serial := int(d[5])*1000 + int(d[6])*100 + int(d[7])*10 + int(d[8])
	return area != 0 && group != 0 && serial != 0 && area < 740 && area != 666
}

// validSVNR checks an Austrian social insurance number: the fourth of ten digits is the checksum.
func validSVNR(d []byte) bool {
	if len(d) < 10 || sameOrCounting(d[:10]) {
		return false
	}
	sum := 0
	for i, weight := range [10]int{3, 7, 9, 0, 5, 8, 4, 2, 1, 6} {
		sum += int(d[i]) * weight
	}
	sum %= 11
	if sum == 10 {
		sum = 0
	}
	return sum == int(d[3])
}

// sameOrCounting is true for 000..., 111... and 0123..., which people type to fill a field.
func sameOrCounting(d []byte) bool {
	same, counting := true, d[0] == 0
	for i := 1; i < len(d); i++ {
		same = same && d[i] == d[0]
		counting = counting && d[i] == (d[i-1]+1)%10
	}
	return same || counting
}
