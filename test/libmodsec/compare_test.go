//go:build libmodsecurity

package libmodsec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHarness shows that the comparison sees what it must: verdict, messages, values.
func TestHarness(t *testing.T) {
	c := &Case{Steps: true, Rules: `SecRuleEngine On
SecRule ARGS "@contains x" "id:1,phase:1,pass,log,msg:'m %{MATCHED_VAR_NAME}=%{MATCHED_VAR}',logdata:'d',severity:2,tag:'a',tag:'b',t:lowercase,rev:'r',ver:'v'"
SecRule ARGS:c "@rx ." "id:2,phase:2,redirect:http://x/%{ARGS.c},log"
`, Requests: []Request{{URI: "/?a=x&b=Xy%01&c=1"}, {URI: "/"}}}
	want := []string{
		"answer 1: 302 http://x/1",
		`  match 1 msg "m ARGS:b=xy\\x01" data "d" severity 2 ver "v" rev "r" tags ["a" "b"]`,
		`  match 2 msg "" data "" severity 0 ver "" rev "" tags []`,
		`  step 1 args:a="x"`, `  step 1 args:b="xy\\x01"`, `  step 1 args:c="1"`, `  step 2 args:c="1"`,
		"answer 2: 200 ",
	}
	for name, run := range map[string]func(*Case) (Result, error){"libmodsecurity": Theirs, "ours": Ours} {
		r, err := run(c)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, r.Outline()); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}
