package seclang_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// maxPatternCPU is what a request may cost that does its worst to patterns, however many rules and arguments there are.
// Alone on a core it is a third of that; others use the machine and the race detector slows.
const maxPatternCPU = 2 * time.Second

// hostileRequest runs a request with a body of arguments through an engine and says what it cost and what the record holds.
func hostileRequest(t *testing.T, e *seclang.Engine, args []string) (time.Duration, *audit.Record) {
	t.Helper()
	tx := e.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort("192.0.2.2:80")})
	defer tx.Close()
	start := cpuTime()
	tx.RequestLine("POST", "/", "HTTP/1.1")
	for _, h := range [][2]string{{"Host", "h"}, {"User-Agent", "x"}, {"Accept", "*/*"}, {"Content-Type", "application/x-www-form-urlencoded"}} {
		tx.AddRequestHeader(h[0], h[1])
	}
	if it := tx.RequestHeaders(); it != nil {
		t.Fatalf("%+v", it)
	}
	for i, a := range args {
		if _, it := tx.WriteRequestBody([]byte(fmt.Sprintf("&a%d=%s", i, url.QueryEscape(a)))); it != nil {
			t.Fatalf("%+v", it)
		}
	}
	tx.RequestBody()
	tx.Logging()
	took := cpuTime() - start
	r := &audit.Record{}
	tx.Fill(r)
	return took, r
}

func gaveUp(r *audit.Record) int {
	n := 0
	for _, m := range r.Matches {
		if strings.Contains(m.Text, "PCRE limits exceeded") {
			n++
		}
	}
	return n
}

// TestPatternBudget: a client cannot spend a match's limit times rules times arguments. All share one allowance; when it
// is used up, patterns that need backtracking are given up at once, and the rest goes on as ever.
func TestPatternBudget(t *testing.T) {
	rules := "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 10000000\nSecRequestBodyNoFilesLimit 10000000\nSecPcreMatchLimit 500000\nSecPcreMatchLimitRecursion 500000\n"
	for i := range 20 {
		rules += fmt.Sprintf("SecRule ARGS \"@rx (?:a|aa)+(?<![a%d])!\" \"id:%d,phase:2,pass,log\"\n", i, 100+i)
	}
	rules += "SecRule ARGS:a49 \"@rx ^a+!$\" \"id:1,phase:2,pass,log\"\n" +
		"SecRule TX:/^MSC_/ \"!@streq 0\" \"id:2,phase:2,deny,log\"\n"
	ds, err := seclang.Lex("a.conf", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds, Collections: store(t)})
	if err != nil {
		t.Fatal(err)
	}
	took, r := hostileRequest(t, e, slices.Repeat([]string{strings.Repeat("a", 10000) + "!"}, 50))
	t.Logf("20 rules, 50 arguments of 10,000 bytes: %v", took)
	if took > maxPatternCPU {
		t.Errorf("%v of CPU", took)
	}
	if n := gaveUp(r); n == 0 || n > 20 {
		t.Errorf("%d messages about limits, want 1 to 20", n)
	}
	if !slices.ContainsFunc(r.Matches, func(m audit.Match) bool { return m.ID == 1 }) {
		t.Error("a rule that needs no backtracking did not match")
	}
	if r.Action == nil || r.Matches[len(r.Matches)-1].ID != 2 {
		t.Errorf("the rule about TX:MSC_ did not act: %+v", r.Action)
	}
	if _, r := hostileRequest(t, e, []string{"aaaa"}); gaveUp(r) > 0 || r.Action != nil {
		t.Errorf("the next transaction: %+v", r.Matches)
	}
}

// TestPatternBudgetCRS does its worst to the patterns of CRS 3.3.4, five of which need backtracking, and of 4.25, where none does.
func TestPatternBudgetCRS(t *testing.T) {
	engines := map[string]*seclang.Engine{"4.25": crs4(t, strings.Replace(setup4, "PL", "4", 2)+"SecRequestBodyLimit 10000000\nSecRequestBodyNoFilesLimit 10000000\n")}
	if _, err := os.Stat("/usr/share/modsecurity-crs/rules"); err == nil {
		ds, err := seclang.Lex("a.conf", []byte("SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\nSecRequestBodyLimit 10000000\nSecRequestBodyNoFilesLimit 10000000\nSecPcreMatchLimit 500000\nSecPcreMatchLimitRecursion 500000\n"))
		if err != nil {
			t.Fatal(err)
		}
		rest, err := seclang.Load("/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf")
		if err != nil {
			t.Fatal(err)
		}
		paranoid, err := seclang.Lex("b.conf", []byte("SecAction \"id:900000,phase:1,nolog,pass,setvar:tx.paranoia_level=4,setvar:tx.executing_paranoia_level=4\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := seclang.Compile(seclang.Config{Directives: slices.Concat(ds, paranoid, rest), Collections: store(t)})
		if err != nil {
			t.Fatal(err)
		}
		engines["3.3.4"] = e
	} else {
		t.Log("PEER MISSING: modsecurity-crs is not installed; CRS 3.3.4 is not measured")
	}
	for version, e := range engines {
		for _, v := range []string{
			strings.Repeat("a", 10000), strings.Repeat("'", 10000), strings.Repeat("' ", 5000), strings.Repeat("a'", 5000), strings.Repeat("a=", 5000), strings.Repeat("1 like ", 1400),
			strings.Repeat("' not ", 1600), strings.Repeat("+", 10000), strings.Repeat("&amp", 2500), strings.Repeat("x is not ", 1100) + "<", strings.Repeat("union select ", 770), strings.Repeat("a=b ", 2500), strings.Repeat("'", 5000) + strings.Repeat("a=b", 1600),
			strings.Repeat("' like ('", 1000), "text/a" + strings.Repeat(" ;", 5000),
		} {
			one, _ := hostileRequest(t, e, []string{v})
			took, r := hostileRequest(t, e, slices.Repeat([]string{v}, 20))
			if took > maxPatternCPU {
				t.Errorf("CRS %s: %v of CPU", version, took)
			}
			t.Logf("CRS %s, %.12q...: one argument %v, 20 arguments %v, %d given up", version, v, one.Round(time.Millisecond), took.Round(time.Millisecond), gaveUp(r))
		}
	}
}
