//go:build peers

package seclang_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

const detection = `SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=4,setvar:tx.detection_paranoia_level=4"
`

// TestAgainstCoraza gives the attack strings of the CRS tests, as they are and mutated, in every place of a request to
// CRS at paranoia level 4 in both engines: the same rules must match.
func TestAgainstCoraza(t *testing.T) {
	ours := crs4(t, detection)
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(
		"Include @coraza.conf-recommended\nInclude @crs-setup.conf.example\n" + detection + "Include @owasp_crs/*.conf\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, place := range placements() {
		t.Run(place.name, func(t *testing.T) {
			texts := attackTexts(1500)
			if i > 0 {
				texts = texts[:600]
			}
			compareWithCoraza(t, ours, waf, place, texts)
		})
	}
}

func compareWithCoraza(t *testing.T, ours *seclang.Engine, waf coraza.WAF, place placement, texts []string) {
	known := knownDifferences()
	different, matched := 0, 0
	for _, s := range texts {
		r := place.request(s)
		a, c := ourIDs(ours, &r), corazaIDs(waf, &r)
		matched += len(a)
		for _, id := range slices.Sorted(maps.Keys(a)) {
			if !c[id] && known[id] == "" && !olderXSS(id, s) {
				different++
				t.Errorf("rule %d matches here only: %q", id, s)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(c)) {
			if !a[id] && known[id] == "" {
				different++
				t.Errorf("rule %d matches in Coraza only: %q", id, s)
			}
		}
		if different > 40 {
			t.Fatal("and so on")
		}
	}
	t.Logf("%d texts, %d matches", len(texts), matched)
}

// placement is a place of a request where a client may put a text.
type placement struct {
	name    string
	request func(s string) benchRequest
}

func placements() []placement {
	return []placement{
		{"argument", func(s string) benchRequest {
			return benchRequest{method: "GET", uri: "/?a=" + url.QueryEscape(s), headers: commonHeaders()}
		}},
		{"path", func(s string) benchRequest {
			return benchRequest{method: "GET", uri: "/" + url.PathEscape(s), headers: commonHeaders()}
		}},
		{"header", func(s string) benchRequest {
			return benchRequest{method: "GET", uri: "/", headers: commonHeaders([2]string{"X-Note", s})}
		}},
		{"cookie", func(s string) benchRequest {
			return benchRequest{method: "GET", uri: "/", headers: append(commonHeaders()[:6], [2]string{"Cookie", "c=" + s})}
		}},
		{"form", func(s string) benchRequest {
			return benchRequest{
				method: "POST", uri: "/", body: []byte("x=1&" + url.QueryEscape(s) + "=y&z=" + url.QueryEscape(s)),
				headers: commonHeaders([2]string{"Content-Type", "application/x-www-form-urlencoded"}),
			}
		}},
		{"json", func(s string) benchRequest {
			text, _ := json.Marshal(s)
			return benchRequest{
				method: "POST", uri: "/", body: []byte(`{"x":[1,` + string(text) + `],"y":{"z":null}}`),
				headers: commonHeaders([2]string{"Content-Type", "application/json"}),
			}
		}},
	}
}

// anyEvent finds a name that begins with "on" as the name of an event does.
var anyEvent = regexp.MustCompile(`(?i)on[^\s/>=]{3}`)

// olderXSS says whether @detectXSS may match s here only: every attribute that begins with "on" is an event to the
// libinjection of mod_security2 2.9.7, Coraza's knows a list of them.
func olderXSS(id int, s string) bool {
	return (id == 941100 || id == 941101) && anyEvent.MatchString(s)
}

// knownDifferences are rules on which the two engines differ, each with the reason.
func knownDifferences() map[int]string {
	return map[int]string{
		942460: `\W{4}: PCRE counts the bytes of a character beyond ASCII, Coraza the character`,
		942100: "t:utf8toUnicode of bytes that are not UTF-8: ModSecurity keeps them, Coraza replaces them",
	}
}

func ourIDs(e *seclang.Engine, r *benchRequest) map[int]bool {
	tx := e.NewTransaction(conn("192.0.2.7", 443))
	defer tx.Close()
	tx.RequestLine(r.method, r.uri, "HTTP/1.1")
	for _, h := range r.headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	if r.body != nil {
		tx.AddRequestHeader("Content-Length", fmt.Sprint(len(r.body)))
	}
	tx.RequestHeaders()
	tx.WriteRequestBody(r.body)
	tx.RequestBody()
	var rec audit.Record
	tx.Fill(&rec)
	m := map[int]bool{}
	for _, x := range rec.Matches {
		if x.Message != "" {
			m[x.ID] = true
		}
	}
	return m
}

func corazaIDs(waf coraza.WAF, r *benchRequest) map[int]bool {
	tx := waf.NewTransaction()
	defer tx.Close()
	tx.ProcessConnection("192.0.2.7", 40000, "198.51.100.1", 443)
	tx.ProcessURI(r.uri, r.method, "HTTP/1.1")
	for _, h := range r.headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	if r.body != nil {
		tx.AddRequestHeader("Content-Length", fmt.Sprint(len(r.body)))
	}
	tx.SetServerName("shop.example.com")
	tx.ProcessRequestHeaders()
	_, _, _ = tx.WriteRequestBody(r.body)
	_, _ = tx.ProcessRequestBody()
	m := map[int]bool{}
	for _, x := range tx.MatchedRules() {
		if logged(x) && x.Message() != "" {
			m[x.Rule().ID()] = true
		}
	}
	return m
}

// logged says whether the rule logs: Coraza also reports those that do not.
func logged(x types.MatchedRule) bool {
	l, ok := x.(interface{ Log() bool })
	return !ok || l.Log()
}
