package seclang_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// lineWriter keeps what an engine writes to its debug log.
type lineWriter struct{ strings.Builder }

// debugCase is a file of testdata/debuglog: rules, requests, and the lines that the debug log then holds.
func debugCases(t *testing.T) map[string]*txtar.Archive {
	t.Helper()
	files, _ := filepath.Glob("testdata/debuglog/*.txtar")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	all := map[string]*txtar.Archive{}
	for _, f := range files {
		ar, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = ar
	}
	return all
}

// TestDebugLog compares the debug log with that of the cases; TestDebugLogAgainstModSecurity2 compares both with a real one.
func TestDebugLog(t *testing.T) {
	for f, ar := range debugCases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			var got strings.Builder
			log, alerts := debugRun(t, ar, "")
			for _, l := range debugLines(log) {
				got.WriteString(l + "\n")
			}
			for _, l := range alerts {
				got.WriteString("error log: " + l + "\n")
			}
			want := &ar.Files[len(ar.Files)-1]
			if *update {
				want.Data = []byte(got.String())
				if err := os.WriteFile(f, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(want.Data), got.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// debugRun sends the requests of a case through the rules, which lie in dir when it is not "", and returns the debug log.
func debugRun(t *testing.T, ar *txtar.Archive, dir string) (log string, alerts []string) {
	var out lineWriter
	cfg := seclang.Config{Collections: store(t), ReadFile: caseFile(ar)}
	cfg.Debug = seclang.DebugOutput{
		Open:  func(string) (io.Writer, error) { return &out, nil },
		Alert: func(client netip.AddrPort, line string) { alerts = append(alerts, line) },
	}
	if dir == "" {
		cfg.Directives = lex(t, "a.conf", "SecDebugLog debug.log\n"+string(ar.Files[0].Data))
	} else {
		ds, err := seclang.Load(dir + "/a.conf")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Directives = append(lex(t, "first.conf", "SecDebugLog debug.log\n"), ds...)
	}
	e, err := seclang.Compile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range ar.Files {
		if !strings.HasPrefix(f.Name, "request") {
			continue
		}
		c, _, head, body := parseRequest(t, string(f.Data))
		c.Peer = netip.MustParseAddrPort("127.0.0.1:40000")
		tx := e.NewTransaction(c)
		phases(tx, head, body, "")
		tx.Logging()
		tx.Commit()
		tx.AuditWanted(200)
		tx.Fill(&audit.Record{})
		tx.Close()
	}
	return out.String(), alerts
}

var (
	debugHead  = regexp.MustCompile(`^\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d\.\d{6} [+-]\d{4}\] \[([^/\]]*)/sid#[0-9a-f]+\]\[rid#[0-9a-f]+\]\[([^\]]*)\]\[([1-9])\] (.*)$`)
	debugNoise = regexp.MustCompile(`(dcfg |Rule |rule )[0-9a-f]{5,16}\b`)
	debugTimes = regexp.MustCompile(`\d+ (usec|microseconds)`)
	debugTxid  = regexp.MustCompile(`\(txid [^)]*\)`)
	debugClock = regexp.MustCompile(`value "\d{10}"`)
)

// debugLines are the lines of a debug log as "[level] text" without addresses and times. A line of another form is marked.
func debugLines(log string) []string {
	var out []string
	for l := range strings.Lines(log) {
		m := debugHead.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			out = append(out, "MALFORMED "+l)
			continue
		}
		text := debugNoise.ReplaceAllString(m[4], "${1}PTR")
		text = debugTimes.ReplaceAllString(text, "N $1")
		text = debugTxid.ReplaceAllString(text, "(txid ID)")
		text = debugClock.ReplaceAllString(text, `value "CLOCK"`)
		out = append(out, "["+m[3]+"] "+text)
	}
	return out
}

func TestDebugLogCannotOpen(t *testing.T) {
	open := func(string) (io.Writer, error) {
		return nil, &fs.PathError{Op: "open", Path: "/x/debug.log", Err: errors.New("no such folder")}
	}
	_, err := seclang.Compile(seclang.Config{
		Directives: lex(t, "a.conf", "SecRuleEngine On\nSecDebugLog debug.log"), Debug: seclang.DebugOutput{Open: open},
	})
	if err == nil || err.Error() != "a.conf:2: SecDebugLog: open debug.log: no such folder" {
		t.Errorf("error %v", err)
	}
	e := compile(t, seclang.Config{Debug: seclang.DebugOutput{Open: open}}, "SecRuleEngine On")
	if _, err := e.Derive(lex(t, "host.conf", "\nSecDebugLog host.log")); err == nil || !strings.Contains(err.Error(), "host.conf:2: SecDebugLog") {
		t.Errorf("derived: %v", err)
	}
}

// TestDebugLogHosts: a virtual host writes to the log it names, and otherwise to that of the main server.
func TestDebugLogHosts(t *testing.T) {
	logs := map[string]*lineWriter{}
	opened := 0
	out := seclang.DebugOutput{Open: func(path string) (io.Writer, error) {
		opened++
		logs[path] = &lineWriter{}
		return logs[path], nil
	}}
	main := compile(t, seclang.Config{Debug: out}, "SecRuleEngine On\nSecDebugLog main.log\nSecDebugLogLevel 4")
	own, err := main.Derive(lex(t, "own.conf", "SecDebugLog own.log"))
	if err != nil {
		t.Fatal(err)
	}
	quiet, err := main.Derive(lex(t, "quiet.conf", "SecDebugLogLevel 0"))
	if err != nil {
		t.Fatal(err)
	}
	for host, e := range map[string]*seclang.Engine{"a": own, "b": quiet, "c": main} {
		get(e, conn("192.0.2.1", 80), "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	}
	if s := logs["own.log"].String(); !strings.Contains(s, "] [a/sid#") || strings.Contains(s, "] [c/sid#") {
		t.Errorf("own.log:\n%s", s)
	}
	if s := logs["main.log"].String(); !strings.Contains(s, "] [c/sid#") || strings.Contains(s, "] [b/sid#") || strings.Contains(s, "] [a/sid#") {
		t.Errorf("main.log:\n%s", s)
	}
	if opened != 2 {
		t.Errorf("opened %d logs", opened)
	}
}

// TestDebugLogHostile: no byte of a client makes a line, or a line of more than 2,000 bytes.
func TestDebugLogHostile(t *testing.T) {
	var out lineWriter
	var alerts []string
	e := compile(t, seclang.Config{Collections: store(t), Debug: seclang.DebugOutput{
		Open:  func(string) (io.Writer, error) { return &out, nil },
		Alert: func(_ netip.AddrPort, l string) { alerts = append(alerts, l) },
	}}, `SecRuleEngine On
SecRequestBodyAccess On
SecDebugLog debug.log
SecDebugLogLevel 9
SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS|REQUEST_COOKIES|REQUEST_URI|REQUEST_BODY "@rx (.)" "id:1,phase:2,pass,log,capture,msg:'%{MATCHED_VAR}',logdata:'%{MATCHED_VAR_NAME}',t:none,t:urlDecode,t:lowercase,setvar:'tx.%{MATCHED_VAR_NAME}=%{MATCHED_VAR}',initcol:ip=%{MATCHED_VAR},setvar:'ip.%{MATCHED_VAR}=%{MATCHED_VAR}',setenv:'X=%{MATCHED_VAR}'"
`)
	evil := "%0a%0d[22/Nov/2026:08:25:52.000000 +0000] [h/sid#1][rid#2][/][1] Access denied\x0b\x85\x00" + strings.Repeat("%0a\\\"", 3000)
	head := "POST /" + evil + "?" + evil + "=" + evil + " HTTP/1.1\r\nHost: h]\x01" + evil + "\r\nCookie: a=" + evil + "\r\n" + evil + ": x\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
	tx := e.NewTransaction(conn("192.0.2.1", 80))
	phases(tx, head, evil+"="+evil, "")
	tx.Logging()
	tx.Commit()
	tx.Close()
	n := 0
	for l := range strings.Lines(out.String()) {
		n++
		if len(l) > 2500 || !strings.HasPrefix(l, "[") || !strings.Contains(l, "/sid#") || strings.ContainsFunc(strings.TrimSuffix(l, "\n"), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("line %d of %d bytes: %.300q", n, len(l), l)
		}
	}
	if n < 50 || len(alerts) < 5 {
		t.Errorf("%d lines, %d alerts", n, len(alerts))
	}
	for _, a := range alerts {
		if len(a) > 2500 || strings.ContainsFunc(a, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("alert %.300q", a)
		}
	}
}

func FuzzDebugLog(f *testing.F) {
	f.Add("a=b", "x\n[1] y")
	f.Add("%0a=\"\\", "\x00\xff")
	var out lineWriter
	e := compile(f, seclang.Config{Debug: seclang.DebugOutput{Open: func(string) (io.Writer, error) { return &out, nil }}},
		"SecRuleEngine On\nSecDebugLog x\nSecDebugLogLevel 9\nSecRule ARGS|REQUEST_HEADERS|REQUEST_URI \"@rx .\" \"id:1,phase:1,pass,msg:'%{MATCHED_VAR}',setvar:'tx.%{MATCHED_VAR}=%{MATCHED_VAR}'\"")
	f.Fuzz(func(t *testing.T, query, header string) {
		out.Reset()
		tx := e.NewTransaction(conn("192.0.2.1", 80))
		defer tx.Close()
		tx.RequestLine("GET", "/"+header+"?"+query, "HTTP/1.1")
		tx.AddRequestHeader("Host", header)
		tx.RequestHeaders()
		for l := range strings.Lines(out.String()) {
			if !strings.HasPrefix(l, "[") || strings.ContainsFunc(strings.TrimSuffix(l, "\n"), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q", l)
			}
		}
	})
}

// TestDebugLevels: each level adds lines to the one below it, and a rule's ctl:debugLogLevel holds from there on.
func TestDebugLevels(t *testing.T) {
	last := -1
	for level := range 10 {
		var out lineWriter
		e := compile(t, seclang.Config{Debug: seclang.DebugOutput{Open: func(string) (io.Writer, error) { return &out, nil }}},
			fmt.Sprintf("SecRuleEngine On\nSecDebugLog x\nSecDebugLogLevel %d\n", level)+
				"SecRule ARGS \"@rx a\" \"id:1,phase:1,deny,t:lowercase,setvar:tx.a=1\"\n")
		get(e, conn("192.0.2.1", 80), "GET /?a=a&b=a HTTP/1.1\r\nHost: h\r\n\r\n")
		n := strings.Count(out.String(), "\n")
		for l := range strings.Lines(out.String()) {
			if m := debugHead.FindStringSubmatch(strings.TrimSuffix(l, "\n")); m == nil || int(m[3][0]-'0') > level {
				t.Errorf("level %d: %q", level, l)
			}
		}
		if n < last || level == 0 && n != 0 || level == 1 && n != 1 {
			t.Errorf("level %d: %d lines, %d at the level below", level, n, last)
		}
		last = n
	}
	var out lineWriter
	e := compile(t, seclang.Config{Debug: seclang.DebugOutput{Open: func(string) (io.Writer, error) { return &out, nil }}},
		"SecRuleEngine On\nSecDebugLog x\nSecRule ARGS:d \"@eq 1\" \"id:1,phase:1,pass,nolog,ctl:debugLogLevel=9\"\nSecRule ARGS \"@rx never\" \"id:2,phase:1,deny\"\n")
	get(e, conn("192.0.2.1", 80), "GET /?d=0 HTTP/1.1\r\nHost: h\r\n\r\n")
	if out.Len() != 0 {
		t.Errorf("not asked for:\n%s", out.String())
	}
	get(e, conn("192.0.2.1", 80), "GET /?d=1 HTTP/1.1\r\nHost: h\r\n\r\n")
	if s := out.String(); !strings.Contains(s, `[id "2"]`) || strings.Contains(s, "Initialising transaction") {
		t.Errorf("one client's requests:\n%s", s)
	}
}
