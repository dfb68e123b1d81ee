//go:build peers

package libmodsec

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
)

// TestGeneratedAgainstCoraza gives the generated rules and requests to Coraza: the same interventions, and the same
// rules must log. Spared is what Coraza does in
// another way than both versions of ModSecurity.
func TestGeneratedAgainstCoraza(t *testing.T) {
	failed := 0
	for n := *seed; n < *seed+uint64(*cases) && failed < 10; n++ {
		c := generate(n)
		c.Rules = spared(c.Rules)
		theirs, err := throughCoraza(c)
		if err != nil {
			failed++
			t.Errorf("-seed %d -cases 1: Coraza: %v\n%s", n, err, c.Rules)
			continue
		}
		ours, err := Ours(c)
		if err != nil {
			t.Fatal(err)
		}
		if d := unlike(theirs, verdicts(&ours)); d != "" {
			failed++
			t.Errorf("-seed %d -cases 1: -Coraza +ours\n%s\n%s%+v", n, d, c.Rules, c.Requests)
		}
	}
}

// verdicts is what Coraza can tell of a result: interventions and the rules that logged, each once.
func verdicts(r *Result) []string {
	if r.Load != "" {
		return []string{r.Load}
	}
	var out []string
	for i, a := range r.Answers {
		out = append(out, fmt.Sprintf("answer %d: %d %s", i+1, a.Status, a.URL))
		for _, m := range a.Matches {
			if line := fmt.Sprintf("  match %d", m.ID); line != out[len(out)-1] {
				out = append(out, line)
			}
		}
	}
	return out
}

// spared writes the rules without what Coraza 3.8 is known to do wrong, so that the rest can be compared.
func spared(rules string) string {
	for _, f := range []struct{ pattern, instead, why string }{
		{`nolog,auditlog`, `nolog`, "that a rule is in the audit log only is not told"},
		{`setvar:tx\.c\b`, `setvar:tx.c=1`, "setvar without a value panics"},
		{`setvar:!tx\.a`, `setvar:tx.a=0`, "setvar without a value panics"},
		{`SecRuleRemoveByMsg static\n`, ``, "SecRuleRemoveByMsg panics where a rule has no message"},
		{`,allow(?::[a-z]*)?,`, `,pass,`, "allow skips phase 5, and allow:request behind the request does not end the phase"},
		{`,ctl:ruleRemoveTargetById=[^,"]*`, ``, "a count leaves out what ctl takes away"},
		{`,skip:1`, ``, "skip skips once for each value that matched"},
		{`REQUEST_BASENAME`, `REQUEST_METHOD`, "the base name of / is /"},
		{`\(\?<?[=!][^)]*\)`, ``, "there is no look-around"},
		{`(@[a-zA-Z]+) %\{[^}]*\}`, `$1 foo`, "a macro without a value expands to its name"},
		{`(setvar:tx\.[ab]=)%\{[^,"]*`, `${1}bar`, "a macro without a value expands to its name"},
		{`(redirect:[^,"]*)%\{[^}]*\}`, `$1`, "a redirect keeps its macros"},
		{`@(?:eq|ge|gt|le|lt) `, `@streq `, "a number with more behind it is 0"},
	} {
		rules = regexp.MustCompile(f.pattern).ReplaceAllString(rules, f.instead)
	}
	return rules
}

func throughCoraza(c *Case) (out []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(c.Rules))
	if err != nil {
		return nil, err
	}
	for i := range c.Requests {
		q := c.Requests[i].complete()
		tx := waf.NewTransaction()
		status, url := 200, ""
		if it := corazaPhases(tx, &q); it != nil {
			if status = it.Status; it.Action == "redirect" {
				url = it.Data
			} else if it.Action == "drop" {
				status = 403 // it has no status for it
			}
		}
		tx.ProcessLogging()
		out = append(out, fmt.Sprintf("answer %d: %d %s", i+1, status, url))
		for _, m := range tx.MatchedRules() {
			l, ok := m.(interface{ Log() bool })
			if line := fmt.Sprintf("  match %d", m.Rule().ID()); (!ok || l.Log()) && line != out[len(out)-1] {
				out = append(out, line)
			}
		}
		if err := tx.Close(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func corazaPhases(tx types.Transaction, q *Request) *types.Interruption {
	tx.ProcessConnection(q.Client, q.ClientPort, q.Server, q.ServerPort)
	tx.ProcessURI(q.URI, q.Method, "HTTP/"+q.Proto)
	for _, h := range q.Headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	if it := tx.ProcessRequestHeaders(); it != nil {
		return it
	}
	if it, _, err := tx.WriteRequestBody([]byte(strings.Join(q.Body, ""))); it != nil || err != nil {
		return it
	}
	if it, err := tx.ProcessRequestBody(); it != nil || err != nil {
		return it
	}
	for _, h := range q.ResponseHeaders {
		tx.AddResponseHeader(h[0], h[1])
	}
	if it := tx.ProcessResponseHeaders(q.Status, q.ResponseProto); it != nil {
		return it
	}
	if it, _, err := tx.WriteResponseBody([]byte(q.ResponseBody)); it != nil || err != nil {
		return it
	}
	it, _ := tx.ProcessResponseBody()
	return it
}
