package seclang_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/v3test"
)

// outcome is what a case gave.
type outcome struct {
	status   int
	url      string
	compile  error
	trace    string
	record   audit.Record
	warnings []seclang.Warning
}

// TestModSecurity3 runs the regression cases of libmodsecurity that expect a status, a verdict of the parser or a
// match. Of the files that v3test.Held knows every case passes but for those that testdata/v3-exceptions.txt lists
// with their reasons; of files that nobody has looked at, and of all together, 97 % must.
func TestModSecurity3(t *testing.T) {
	files := v3test.Files(t)
	dir := v3test.Data(t)
	known := v3test.Exceptions(t, "testdata/v3-exceptions.txt")
	ran, failed, silent := 0, 0, 0
	for _, f := range files {
		for i, c := range v3test.Cases(t, f) {
			if !c.On() {
				continue
			}
			name := fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(f), ".json"), i+1)
			if !comparable3(&c) {
				silent++
				continue
			}
			ran++
			o := run3(t, &c, dir)
			why := judge3(&c, o)
			_, listed := known[name]
			switch {
			case why != "" && !listed && v3test.Held(f):
				failed++
				t.Errorf("%s %q: %s\n%s", name, c.Title, why, strings.Join(c.Rules, "\n"))
			case why != "" && !listed:
				failed++
				t.Logf("FAILS %s %q: %s\n%s", name, c.Title, why, strings.Join(c.Rules, "\n"))
			case why != "":
				failed++
			case listed:
				t.Errorf("%s passes now: take it from testdata/v3-exceptions.txt", name)
			}
			delete(known, name)
		}
	}
	for name := range known {
		t.Errorf("%s is in testdata/v3-exceptions.txt and no comparable case", name)
	}
	t.Logf("%d cases run, %d failed (%.1f %% pass), %d cases expect nothing that can be compared", ran, failed, 100-100*float64(failed)/float64(ran), silent)
	if failed*100 > 3*ran {
		t.Errorf("more than 3 %% fail")
	}
}

func comparable3(c *v3test.Case) bool {
	e := &c.Expected
	if !withLibxml2 && c.Validates() || c.OldGeo() {
		return false
	}
	return e.HTTPCode != "" || e.ParserError != nil && *e.ParserError != "" || strings.Contains(e.DebugLog, "Target value") ||
		strings.Contains(e.AuditLog, `id "`) || e.ErrorLog != "" || e.RedirectURL != ""
}

func run3(t *testing.T, c *v3test.Case, dir string) (o outcome) {
	file := filepath.Join(dir, "case.conf")
	os.WriteFile(file, []byte(strings.Join(c.Rules, "\n")+"\n"), 0o644)
	ds, err := seclang.Load(file)
	if err != nil {
		o.compile = err
		return o
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds, Collections: store(t), Defaults: seclang.Defaults{Article: true}})
	if err != nil {
		o.compile = err
		return o
	}
	o.warnings = e.Warnings()
	addr := func(ip string, port v3test.Number) netip.AddrPort {
		a, err := netip.ParseAddr(ip)
		if err != nil {
			a = netip.MustParseAddr("127.0.0.1")
		}
		return netip.AddrPortFrom(a, uint16(port.Int()))
	}
	tx := e.NewTransaction(seclang.Conn{Peer: addr(c.Client.IP, c.Client.Port), Server: addr(c.Server.IP, c.Server.Port), ID: "179533601686.064725"})
	defer tx.Close()
	var trace strings.Builder
	tx.Trace(func(s seclang.Step) {
		fmt.Fprintf(&trace, "Target value: %q (Variable: %s)\n", s.Value, s.Variable)
		trace.WriteString(strings.ReplaceAll(fmt.Sprintf("Target value: \"%s\" (Variable: %s)\n", s.Value, s.Variable), "\r", ""))
	})
	o.status = 200
	if it := drive3(c, tx); it != nil {
		o.status, o.url = it.Status, it.URL
	}
	tx.Logging()
	tx.Fill(&o.record)
	o.trace = trace.String()
	return o
}

func drive3(c *v3test.Case, tx *seclang.Transaction) *seclang.Interruption {
	proto := string(c.Request.Proto)
	if proto == "" {
		proto = "1.1"
	}
	tx.RequestLine(c.Request.Method, c.Request.URI, "HTTP/"+strings.TrimPrefix(proto, "HTTP/"))
	for _, h := range c.Request.Headers {
		tx.AddRequestHeader(h.Name, h.Value)
	}
	if it := tx.RequestHeaders(); it != nil {
		return it
	}
	if c.Request.Body != "" {
		if _, it := tx.WriteRequestBody([]byte(c.Request.Body)); it != nil {
			return it
		}
	}
	if it := tx.RequestBody(); it != nil {
		return it
	}
	tx.ResponseLine(200, "HTTP/1.1")
	for _, h := range c.Response.Headers {
		tx.AddResponseHeader(h.Name, h.Value)
	}
	if it := tx.ResponseHeaders(); it != nil {
		return it
	}
	if c.Response.Body != "" {
		if _, it := tx.WriteResponseBody([]byte(c.Response.Body)); it != nil {
			return it
		}
	}
	return tx.ResponseBody()
}

// judge returns "" when the outcome is what the case expects.
func judge3(c *v3test.Case, o outcome) string {
	e := &c.Expected
	if e.ParserError != nil && *e.ParserError != "" {
		if o.compile == nil {
			return fmt.Sprintf("loads, expected the parser error %q (warnings %v)", *e.ParserError, o.warnings)
		}
		return ""
	}
	if o.compile != nil {
		return "does not load: " + o.compile.Error()
	}
	if e.HTTPCode != "" && e.HTTPCode.Int() != o.status {
		var ids []int
		for _, m := range o.record.Matches {
			ids = append(ids, m.ID)
		}
		return fmt.Sprintf("status %d, expected %s; matches %v", o.status, e.HTTPCode, ids)
	}
	if e.RedirectURL != "" && e.RedirectURL != o.url {
		return fmt.Sprintf("redirects to %q, expected %s", o.url, e.RedirectURL)
	}
	if why := judgeErrorLog(e.ErrorLog, &o); why != "" {
		return why
	}
	if strings.Contains(e.DebugLog, "Target value") && e.HTTPCode == "" {
		_, e.DebugLog, _ = strings.Cut(e.DebugLog, "Target value")
		e.DebugLog = "Target value" + e.DebugLog
		if i := strings.Index(e.DebugLog, `[\s\S]*Rule`); i > 0 {
			e.DebugLog = e.DebugLog[:i]
		}
		e.DebugLog = strings.ReplaceAll(e.DebugLog, ":::::", ":") // its store puts the key between name and variable
		re, err := regexp.Compile("(?s)" + strings.ReplaceAll(e.DebugLog, `\:`, ":"))
		if err == nil && !re.MatchString(o.trace) && !strings.Contains(o.trace, e.DebugLog) {
			return fmt.Sprintf("no %s in the trace:\n%s", e.DebugLog, clipText(o.trace, 1500))
		}
	}
	if m := regexp.MustCompile(`^id "(\d+)`).FindStringSubmatch(e.AuditLog); m != nil && e.HTTPCode == "" {
		for _, x := range o.record.Matches {
			if strings.HasPrefix(strconv.Itoa(x.ID), m[1]) {
				return ""
			}
		}
		return "rule " + m[1] + " is not in the record"
	}
	return ""
}

// judgeErrorLog looks for the fields that both versions write into the error log. The sentence before them is another,
// and so is the line: Apache counts a rule at its last line, version 3 at its first.
func judgeErrorLog(want string, o *outcome) string {
	m := regexp.MustCompile(`^(msg|id) "([^"]*)"?$`).FindStringSubmatch(want)
	if m == nil {
		return ""
	}
	var found []string
	for _, x := range o.record.Matches {
		v := map[string]string{"msg": x.Message, "id": strconv.Itoa(x.ID)}[m[1]]
		if v == m[2] {
			return ""
		}
		found = append(found, v)
	}
	return fmt.Sprintf("no %s in the error log, but %q", want, found)
}

func clipText(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}
