package seclang_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// ticking is a clock that moves 100 µs each time somebody looks at it.
type ticking struct {
	at    time.Time
	looks int
}

func (c *ticking) now() time.Time {
	c.looks++
	c.at = c.at.Add(100 * time.Microsecond)
	return c.at
}

// timedRun sends one request through rules and returns its record and how often the clock was looked at after the start.
func timedRun(t *testing.T, rules string) (*audit.Record, int) {
	t.Helper()
	clock := &ticking{at: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	e := compile(t, seclang.Config{Collections: store(t), Now: clock.now}, rules)
	tx := e.NewTransaction(conn("192.0.2.1", 80))
	defer tx.Close()
	start := clock.looks
	phases(tx, "GET /?a=1 HTTP/1.1\r\nHost: h\r\n\r\n", "", "")
	tx.Logging()
	tx.Commit()
	looks := clock.looks - start
	r := &audit.Record{}
	tx.Fill(r)
	return r, looks
}

func trailer(r *audit.Record, name string) string {
	for _, f := range r.Trailer {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// TestPerformance: PERF_* hold what came before the rule that reads them, Stopwatch2 all of it.
func TestPerformance(t *testing.T) {
	r, _ := timedRun(t, `SecRuleEngine On
SecAuditEngine On
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=1"
SecRule ARGS "@rx ." "id:2,phase:2,pass,nolog"
SecRule PERF_PHASE1|PERF_PHASE2|PERF_PHASE3|PERF_PHASE5|PERF_SREAD|PERF_SWRITE|PERF_COMBINED|PERF_LOGGING|PERF_GC|PERF_ALL "@unconditionalMatch" "id:5,phase:5,pass,log,msg:'%{MATCHED_VAR}'"
`)
	want := map[string]string{
		"PERF_PHASE1": "300", "PERF_PHASE2": "100", "PERF_PHASE3": "0", "PERF_PHASE5": "0", "PERF_SREAD": "100", "PERF_SWRITE": "0",
		"PERF_COMBINED": "400", "PERF_LOGGING": "0", "PERF_GC": "0", "PERF_ALL": "combined=400, p1=300, p2=100, p3=0, p4=0, p5=0, sr=100, sw=0, l=0, gc=0",
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		if m.Message != want[m.Variables[0]] {
			t.Errorf("%s is %q, want %q", m.Variables[0], m.Message, want[m.Variables[0]])
		}
		delete(want, m.Variables[0])
	}
	if len(want) > 0 {
		t.Errorf("not read: %v", want)
	}
	line := regexp.MustCompile(`^\d{16} \d+; combined=\d+, p1=300, p2=100, p3=0, p4=0, p5=\d+, sr=100, sw=\d{3}, l=0, gc=0$`)
	if s := trailer(r, "Stopwatch2"); !line.MatchString(s) {
		t.Errorf("Stopwatch2: %s", s)
	}
	if s := trailer(r, "Rules-Performance-Info"); s != "" {
		t.Errorf("nobody asked for %s", s)
	}
}

// TestSlowRules: SecRulePerfTime lists the rules that took so long and longer.
func TestSlowRules(t *testing.T) {
	rules := `SecRuleEngine On
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecRule ARGS "@rx ." "id:2,phase:2,pass,nolog"
SecRule PERF_RULES:1 "@ge 300" "id:3,phase:2,pass,log,msg:'%{PERF_RULES.1} %{PERF_RULES.2}'"
`
	r, _ := timedRun(t, "SecRulePerfTime 300\n"+rules)
	if s := trailer(r, "Rules-Performance-Info"); s != `"1=300".` || len(r.Matches) != 1 || r.Matches[0].Message != "300 " {
		t.Errorf("%s %+v", s, r.Matches)
	}
	r, _ = timedRun(t, "SecRulePerfTime 1\n"+rules)
	if s := trailer(r, "Rules-Performance-Info"); s != `"1=300", "2=100", "3=100".` {
		t.Errorf("all rules: %s", s)
	}
}

// TestTimesAreFree: nobody looks at the clock when no rule reads it and no record is written.
func TestTimesAreFree(t *testing.T) {
	rules := "SecRuleEngine On\n" + `SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecRule ARGS "@rx ." "id:2,phase:2,pass,nolog"
`
	r, looks := timedRun(t, rules)
	if looks != 0 || trailer(r, "Stopwatch2") != "" {
		t.Errorf("%d looks at the clock, %q", looks, trailer(r, "Stopwatch2"))
	}
	if _, looks := timedRun(t, rules+"SecRule PERF_ALL \"@rx x\" \"id:3,phase:5,pass\"\n"); looks == 0 {
		t.Error("a rule that reads PERF_ALL looks at no clock")
	}
}
