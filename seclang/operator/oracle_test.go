//go:build oracle

package operator

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"

	"github.com/trapline/trapline/seclang/match"
)

// corazaOperator runs one operator in Coraza.
func corazaOperator(t *testing.T, name, arg string) func(string) bool {
	q := strings.ReplaceAll(arg, `"`, `\"`)
	rules := fmt.Sprintf("SecRuleEngine On\nSecRule ARGS_GET:a \"@%s %s\" \"id:1,phase:1,pass,log,msg:'x',capture,t:none\"\n", name, q)
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(rules).WithRootFS(os.DirFS("testdata")))
	if err != nil {
		t.Logf("Coraza refuses @%s %s: %v", name, arg, err)
		return nil
	}
	return func(s string) bool {
		tx := waf.NewTransaction()
		defer tx.Close()
		tx.AddGetRequestArgument("a", s)
		tx.ProcessRequestHeaders()
		return len(tx.MatchedRules()) > 0
	}
}

// tolerated says for which values Coraza may differ, with the reason.
func tolerated(name, in string) bool {
	switch name {
	case "eq", "ge", "gt", "le", "lt":
		// "12abc" is 0 for Coraza (strconv.Atoi fails); ModSecurity's atoi reads 12.
		_, err := strconv.Atoi(in)
		return err != nil
	case "rx":
		// Coraza's . and [^a] take a character of UTF-8, PCRE's without UTF a byte.
		return strings.ContainsFunc(in, func(r rune) bool { return r >= 0x80 })
	case "pmFromFile":
		// |41 42| in a file is bytes for mod_security2, text for Coraza.
		return strings.Contains(strings.ToUpper(in), "ABC1")
	}
	return false
}

// TestAgainstCoraza compares operators with Coraza's on arguments and values made of parts that matter to them.
func TestAgainstCoraza(t *testing.T) {
	text := []string{"a", "ab", "abc", "B", " ", "x", "_", "0", "\n", "\xff", "\xc3\xa9", "%", "%41", "%4", "%zz", "'", "or", "1=1", "<script>", "--", "select", ".", "-5", "12", "574-57-8065", "10.1.2.3", "::1"}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"beginsWith", []string{"a", "ab", "B", "12"}},
		{"endsWith", []string{"a", "ab", "B", "12"}},
		{"contains", []string{"a", "ab", "or 1", "12"}},
		{"streq", []string{"a", "ab", "12"}},
		{"strmatch", []string{"ab", "12"}},
		{"within", []string{"abc ab or", "12 0"}},
		{"eq", []string{"0", "12", "-5"}},
		{"ge", []string{"0", "12", "-5"}},
		{"gt", []string{"0", "12"}},
		{"le", []string{"0", "12"}},
		{"lt", []string{"0", "12"}},
		{"rx", []string{`^a`, `b$`, `(?i)AB`, `a.b`, `\bor\b`, `[^a-z]{3}`, `^\d+$`, `\s`, `select.*or`, `(a|x)+B`, `\xff`, `%[0-9a-f]{2}`, `^.{3}$`}},
		{"pm", []string{"ab or", "select script", "B 12", "57-8065"}},
		{"ipMatch", []string{"10.0.0.0/8", "::1", "10.1.2.3,192.0.2.0/24", "0.0.0.0/0"}},
		{"detectSQLi", []string{""}},
		{"detectXSS", []string{""}},
		{"validateByteRange", []string{"32-126", "1-255", "9,10,13,32-126"}},
		{"validateUrlEncoding", []string{""}},
		{"validateUtf8Encoding", []string{""}},
		{"unconditionalMatch", []string{""}},
		{"noMatch", []string{""}},
		{"pmFromFile", []string{"phrases.data"}},
		{"ipMatchFromFile", []string{"ips.data"}},
	} {
		for _, arg := range c.args {
			t.Run(c.name+" "+arg, func(t *testing.T) {
				// Coraza matches all patterns with (?sm).
				env := Env{Match: match.Options{Multiline: true}, ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join("testdata", name)) }}
				o, err := New(c.name, arg, env)
				if err != nil {
					t.Fatal(err)
				}
				theirs := corazaOperator(t, c.name, arg)
				if theirs == nil {
					return
				}
				r := rand.New(rand.NewPCG(5, 6))
				for range 1500 {
					var b strings.Builder
					for range r.IntN(4) {
						b.WriteString(text[r.IntN(len(text))])
					}
					in := b.String()
					m := Result{}
					got := o.Match(in, "", &m)
					if want := theirs(in); got != want && !tolerated(c.name, in) {
						t.Errorf("%q: ours %v, Coraza %v", in, got, want)
					}
				}
			})
		}
	}
}
