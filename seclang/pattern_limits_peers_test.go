//go:build peers && unix

package seclang_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// limited are patterns with a value, ordinary ones first.
func limited() [][2]string {
	return [][2]string{
		{`(?i)union\s+select`, strings.Repeat("x ", 50) + "union   select"},
		{`(?i)union\s+select`, strings.Repeat("x ", 50) + "union   selec"},
		{`^(?!.*\.php)/app.*\d`, "/app/index/ab/c/d1"},
		{`foo(?!bar)\w+`, strings.Repeat("a foobar foobaz", 5)},
		{`(\w+)=\1`, "aa=ab bc=bc"},
		{`\w++=\w++;`, "session=abcdef;"},
		{`<.*?script.*?>`, strings.Repeat("x", 200) + "<a><script src=1>"},
		{`^.*a.*b.*c$`, strings.Repeat("a", 100) + strings.Repeat("b", 100) + "c"},
		{`^(?:(?!union).)*$`, strings.Repeat("lorem ipsum ", 150)},
		{`((?:a|b|c|d)+)\1e`, strings.Repeat("abcd", 8) + "e"},
		{`^(\((?:[^()]|(?1))*\))$`, strings.Repeat("(", 20) + "x" + strings.Repeat(")", 20)},
		{`(?:(\w)\1?)*x$`, strings.Repeat("a", 40) + "!"},
		{`(a+)+$`, strings.Repeat("a", 30) + "!"},
		{`(?=(a+)+$)(a+)+$`, strings.Repeat("a", 30) + "!"},
		{`(?=(?:a+)+!)(?:a+)+(?<!a)$`, strings.Repeat("a", 30) + "!"},
		{`^(\w+\s?)*$`, strings.Repeat("word ", 12) + "!"},
		{`^(?:(a)|b)*$`, strings.Repeat("ab", 1500)},
	}
}

// TestPatternLimitsAgainstModSecurity runs the same patterns under the same limits in mod_security2 on Apache: where it
// finds a match we find it, and where it does not give up we do not. The other way round we may do better: an automaton
// never gives up. Negated rules match there as here when the pattern was given up.
func TestPatternLimitsAgainstModSecurity(t *testing.T) {
	for _, limit := range []int{1, 2, 100, 1000, 500000} {
		rules := fmt.Sprintf("SecRuleEngine On\nSecPcreMatchLimit %d\nSecPcreMatchLimitRecursion %d\n", limit, limit)
		for i, c := range limited() {
			rules += fmt.Sprintf("SecRule ARGS:p%d \"@rx %s\" \"id:%d,phase:1,pass,log,auditlog,t:none\"\n", i, c[0], 1000+i)
			rules += fmt.Sprintf("SecRule ARGS:n%d \"!@rx %s\" \"id:%d,phase:1,pass,log,auditlog,t:none\"\n", i, c[0], 2000+i)
		}
		rules += "SecRule TX:MSC_PCRE_LIMITS_EXCEEDED \"@streq 1\" \"id:3000,phase:2,pass,log,auditlog\"\n"
		ds, err := seclang.Lex("a.conf", []byte(rules))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := seclang.Compile(seclang.Config{Directives: ds, Collections: store(t)})
		if err != nil {
			t.Fatal(err)
		}
		port := peertest.Ports(t, 1)[0]
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		a := peertest.StartApache(t, "Listen "+address+"\nLimitRequestLine 100000\nSecAuditEngine On\nSecAuditLogType Serial\nSecAuditLog {{dir}}/audit/audit.log\nSecAuditLogParts AHZ\n"+rules, address)
		gaveUp := 0
		for i, c := range limited() {
			for _, kind := range []string{"p", "n"} {
				head := fmt.Sprintf("GET /?%s%d=%s HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n", kind, i, url.QueryEscape(c[1]))
				log := a.Dir + "/audit/audit.log"
				before, _ := os.ReadFile(log)
				exchangeRaw(t, address, head, "")
				theirs := limitMessages(lastRecord(t, log, len(before)))
				r, _ := ourRecord(ours, port, head, "", "")
				mine := limitMessages(r)
				if theirs.limit {
					gaveUp++
				}
				switch {
				case mine.limit && !theirs.limit:
					t.Errorf("limit %d: %s on %.40q: we give up, mod_security2 does not", limit, c[0], c[1])
				case mine.limit == theirs.limit && mine.matched != theirs.matched:
					t.Errorf("limit %d: %s on %.40q (%s): matched %v, mod_security2 %v", limit, c[0], c[1], kind, mine.matched, theirs.matched)
				case mine.limit && mine.text != theirs.text:
					t.Errorf("message %q, mod_security2 %q", mine.text, theirs.text)
				case mine.limit != mine.seen || theirs.limit != theirs.seen:
					t.Errorf("TX:MSC_PCRE_LIMITS_EXCEEDED: ours %v, theirs %v", mine, theirs)
				case kind == "p" && theirs.matched && !mine.matched:
					t.Errorf("limit %d: %s on %.40q: mod_security2 finds it", limit, c[0], c[1])
				}
			}
		}
		t.Logf("limit %d: mod_security2 gave up %d times", limit, gaveUp)
		a.Stop()
	}
}

// patternOutcome is what the messages of one request say.
type patternOutcome struct {
	matched, limit, seen bool
	text                 string // the message about the limit, without the rule's address and place
}

func limitMessages(r *audit.Record) (o patternOutcome) {
	for _, m := range r.Matches {
		switch {
		case strings.Contains(m.Text, "Execution error"):
			o.limit = true
			_, o.text, _ = strings.Cut(m.Text, " - ")
		case m.ID == 3000:
			o.seen = true
		case m.ID > 0:
			o.matched = true
		}
	}
	return o
}
