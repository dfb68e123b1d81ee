//go:build oracle

package bodies

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// limit is one configuration under test. In Apache each is a location.
type limit struct{ name, directives string }

func limits() []limit {
	var out []limit
	for _, mode := range []string{"On", "DetectionOnly"} {
		for _, action := range []string{"Reject", "ProcessPartial"} {
			out = append(out,
				limit{"body" + action + mode, "SecRuleEngine " + mode + "\nSecRequestBodyLimit 100\nSecRequestBodyNoFilesLimit 100000\nSecRequestBodyInMemoryLimit 50\nSecRequestBodyLimitAction " + action + "\n"},
				limit{"nofiles" + action + mode, "SecRuleEngine " + mode + "\nSecRequestBodyLimit 100000\nSecRequestBodyNoFilesLimit 100\nSecRequestBodyInMemoryLimit 50\nSecRequestBodyLimitAction " + action + "\n"},
				limit{"response" + action + mode, "SecRuleEngine " + mode + "\nSecResponseBodyLimit 100\nSecResponseBodyLimitAction " + action + "\n"},
			)
		}
	}
	return out
}

const processorRule = `SecRule REQUEST_HEADERS:Content-Type "json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
`

// limitRules show what the rules see at the end; they stand in every location.
func limitRules() string {
	return `SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule ARGS "@unconditionalMatch" "id:11,phase:2,pass,nolog,t:length,setvar:'tx.args=%{tx.args}|%{MATCHED_VAR}'"
SecRule FILES_SIZES "@unconditionalMatch" "id:12,phase:2,pass,nolog,t:none,setvar:'tx.files=%{tx.files}|%{MATCHED_VAR}'"
SecAction "id:13,phase:2,pass,nolog,setenv:'line=in%{INBOUND_DATA_ERROR} error%{REQBODY_ERROR} strict%{MULTIPART_STRICT_ERROR} args%{tx.args} files%{tx.files}'"
SecRule RESPONSE_BODY "@unconditionalMatch" "id:14,phase:4,pass,nolog,t:length,setenv:'out=out%{OUTBOUND_DATA_ERROR} body%{MATCHED_VAR}'"
`
}

// sized makes a body of n bytes.
func sized(kind string, n int) (contentType, body string) {
	pad := func(before, after string) string {
		return before + strings.Repeat("x", max(0, n-len(before)-len(after))) + after
	}
	switch kind {
	case "form":
		return "application/x-www-form-urlencoded", pad("a=", "")
	case "json":
		return "application/json", pad(`{"a":"`, `"}`)
	case "file":
		return "multipart/form-data; boundary=B", pad("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n", "\r\n--B--\r\n")
	case "multipart":
		return "multipart/form-data; boundary=B", pad("--B\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n", "\r\n--B--\r\n")
	}
	return "text/plain", pad("", "")
}

// seen is what came of a request: the status, what the rules saw, what the client got.
type seen struct {
	status int
	line   string
	body   int
}

func (s seen) String() string { return fmt.Sprintf("%d %q body %d", s.status, s.line, s.body) }

type limitServer struct {
	url string
	c   *http.Client
}

func startLimits(t *testing.T) limitServer {
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	var conf strings.Builder
	fmt.Fprintf(&conf, "Listen %s\nLogLevel crit\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\nSecAuditEngine Off\nLoadModule alias_module /usr/lib/apache2/modules/mod_alias.so\nSecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n%s", addr, processorRule)
	for _, l := range limits() {
		fmt.Fprintf(&conf, "Alias /%s {{dir}}/htdocs\n<Location /%s>\n%s%s</Location>\n", l.name, l.name, l.directives, limitRules())
	}
	conf.WriteString("Header always set X-Line \"%{line}e %{out}e\"\n<Directory {{dir}}/htdocs>\nRequire all granted\n</Directory>\n")
	a := peertest.StartApache(t, conf.String(), addr)
	for _, n := range []int{0, 99, 100, 101, 5000} {
		writeFile(t, fmt.Sprintf("%s/htdocs/%d.txt", a.Dir, n), strings.Repeat("y", n))
	}
	return limitServer{"http://" + addr + "/", &http.Client{}}
}

func (s limitServer) ask(t *testing.T, l limit, contentType, body, file string, chunked bool) seen {
	t.Helper()
	var r io.Reader = bytes.NewReader([]byte(body))
	if chunked {
		r = io.MultiReader(r) // a type that net/http does not know the length of
	}
	req, err := http.NewRequest("POST", s.url+l.name+"/"+file, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := s.c.Do(req)
	if err != nil {
		return seen{status: -1, line: err.Error()}
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	return seen{resp.StatusCode, strings.ReplaceAll(resp.Header.Get("X-Line"), "(null)", ""), len(got)}
}

func oursLimit(t *testing.T, l limit, contentType, body, answer string, pieces int) seen {
	t.Helper()
	ds, err := seclang.Lex("limits.conf", []byte(l.directives+processorRule+limitRules()))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds})
	if err != nil {
		t.Fatal(err)
	}
	tx := e.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("198.51.100.1:80")})
	defer tx.Close()
	it := oursDrive(tx, contentType, body, answer, pieces)
	s := seen{status: 200, body: len(answer)}
	if it != nil {
		s.status, s.body = it.Status, 0
	}
	env := map[string]string{}
	for _, f := range tx.Env() {
		env[f.Name] = f.Value
	}
	s.line = env["line"] + " " + env["out"]
	return s
}

func oursDrive(tx *seclang.Transaction, contentType, body, answer string, piece int) *seclang.Interruption {
	tx.RequestHead([]byte("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + contentType + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"))
	if it := tx.RequestHeaders(); it != nil {
		return it
	}
	for rest := body; rest != ""; {
		n := min(piece, len(rest))
		kept, it := tx.WriteRequestBody([]byte(rest[:n]))
		if it != nil {
			return it
		}
		if rest = rest[n:]; kept < n {
			break
		}
	}
	if it := tx.RequestBody(); it != nil {
		return it
	}
	tx.ResponseLine(200, "HTTP/1.1")
	tx.AddResponseHeader("Content-Type", "text/plain")
	if it := tx.ResponseHeaders(); it != nil {
		return it
	}
	for rest := answer; rest != ""; {
		n := min(piece, len(rest))
		kept, it := tx.WriteResponseBody([]byte(rest[:n]))
		if it != nil {
			return it
		}
		if rest = rest[n:]; kept < n {
			break
		}
	}
	return tx.ResponseBody()
}

// limitCase is one request against one configuration.
type limitCase struct {
	limit
	kind, contentType, body, answer string
	n                               int
}

func limitCases() []limitCase {
	var out []limitCase
	for _, l := range limits() {
		for _, n := range []int{99, 100, 101, 5000} {
			if strings.HasPrefix(l.name, "response") {
				out = append(out, limitCase{limit: l, kind: "answer", contentType: "text/plain", answer: strings.Repeat("y", n), n: n})
				continue
			}
			for _, kind := range []string{"form", "json", "file", "multipart", "text"} {
				contentType, body := sized(kind, n)
				out = append(out, limitCase{limit: l, kind: kind, contentType: contentType, body: body, n: n})
			}
		}
	}
	return out
}

func (c limitCase) String() string { return fmt.Sprintf("%s %s of %d", c.name, c.kind, c.n) }

// judge compares after the difference that the case is known for. It returns the reason, "" when there is none to give.
func (c limitCase) judge(t *testing.T, who string, theirs, mine seen, meant func(limitCase, *seen, *seen) string) string {
	t.Helper()
	a, b := theirs, mine
	if a.status != 200 || b.status != 200 {
		a.body, b.body = 0, 0 // error pages
	}
	reason := meant(c, &a, &b)
	a.line, b.line = strings.Join(strings.Fields(a.line), " "), strings.Join(strings.Fields(b.line), " ")
	if a != b {
		t.Errorf("%s\n  %s %s\n  ours %s\n  excused: %s", c, who, theirs, mine, reason)
	}
	return reason
}

// meant2 are the differences from mod_security2 at limits.
func meant2(c limitCase, theirs, mine *seen) string {
	over := c.n > 100
	switch {
	case theirs.status == 413 && strings.HasPrefix(c.name, "body"):
		*theirs = seen{status: 403}
		theirs.line, mine.line = "", ""
		return "httpd answers 413 for a body over SecRequestBodyLimit; 403 as in version 3"
	case theirs.status == 413:
		theirs.status, theirs.line, mine.line = 200, "", ""
		return "SecRequestBodyNoFilesLimit is REQBODY_ERROR, for rule 200002 to refuse, as in version 3; mod_security2 answers 413, even in DetectionOnly"
	case theirs.status == 500 && over && strings.HasPrefix(c.name, "body"):
		*theirs = *mine
		return "mod_security2 answers 500 when the block in which the limit falls ends in the middle of a body; here the cut is no fault of the client"
	case theirs.status == 500:
		theirs.status = 403
		return "httpd answers 500 for an answer over SecResponseBodyLimit; 403 as in version 3"
	case over && strings.HasPrefix(c.name, "body"):
		theirs.line = strings.Replace(theirs.line, "in0", "in1", 1)
		if c.kind != "form" && c.kind != "text" {
			theirs.line, _, _ = strings.Cut(theirs.line, "error")
			mine.line, _, _ = strings.Cut(mine.line, "error")
		}
		return "mod_security2 does not set INBOUND_DATA_ERROR for chunked bodies, and parses to the end of the block in which the limit falls"
	}
	return ""
}

// TestLimitsAgainstModSecurity2 goes to and over each limit, with Content-Length and chunked; ours in one piece and in many.
func TestLimitsAgainstModSecurity2(t *testing.T) {
	s := startLimits(t)
	reasons := map[string]int{}
	for _, c := range limitCases() {
		file := "0.txt"
		if c.answer != "" {
			file = fmt.Sprintf("%d.txt", len(c.answer))
		}
		for _, piece := range []int{1 << 20, 7} {
			mine := oursLimit(t, c.limit, c.contentType, c.body, c.answer, piece)
			reasons[c.judge(t, "with length", s.ask(t, c.limit, c.contentType, c.body, file, false), mine, meant2)]++
			reasons[c.judge(t, "chunked", s.ask(t, c.limit, c.contentType, c.body, file, true), mine, meant2)]++
		}
	}
	t.Logf("%d cases; %v", len(limitCases()), reasons)
}
