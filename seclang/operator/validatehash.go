package operator

import (
	"fmt"

	"github.com/trapline/trapline/seclang/hash"
	"github.com/trapline/trapline/seclang/match"
)

// validateHash is @validateHash: it matches a URI that the pattern names and that does not carry its hash.
type validateHash struct {
	re     *match.Regexp // nil when the pattern has macros
	expand *expanded
}

func newValidateHash(arg string, env Env) (Operator, error) {
	if hasMacro(arg) {
		return &validateHash{expand: &expanded{options: env.Match, escape: true}}, nil
	}
	re, err := match.Compile(arg, env.Match)
	return &validateHash{re: re}, err
}

func (o *validateHash) Match(in, arg string, m *Result) bool {
	re := o.re
	if re == nil {
		if re = o.expand.compile(arg); re == nil {
			return false
		}
	}
	var ok bool
	if ok, m.Err = re.Within(m.Allowance).MatchString(in); !ok || m.Signed == nil {
		return false
	}
	v := m.Signed(in)
	if v.State == hash.Off || v.State == hash.Valid {
		return false
	}
	if m.Explain {
		m.Text = fmt.Sprintf("Request URI matched \"%s\" at %s.", shown(re.String()), m.Target)
		switch v.State {
		case hash.Absent:
			m.Text += " No Hash parameter"
		case hash.Wrong:
			m.Text += fmt.Sprintf(" Hash parameter hash value = [%s] Requested URI hash value = [%s]", v.Got, v.Want)
		}
	}
	return true
}

// Literals are what every match contains.
func (o *validateHash) Literals() match.Literals {
	if o.re == nil {
		return match.Literals{}
	}
	return o.re.Literals()
}
