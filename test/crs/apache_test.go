//go:build peers

package crs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"github.com/trapline/trapline/test/peertest"
	"github.com/trapline/trapline/wire"
)

const apacheConf = `
Listen %[1]s
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyPass / %[2]s/
AllowEncodedSlashes NoDecode
LogLevel crit security2:error
ErrorLogFormat "[client %%a] %%M"
KeepAlive Off
SecRequestBodyAccess On
SecDataDir {{dir}}/data
SecTmpDir {{dir}}/data
SecPcreMatchLimit 1000000
SecPcreMatchLimitRecursion 1000000
SecRequestBodyLimit 13107200
Include %[3]s/@coraza.conf-recommended
SecAuditEngine On
SecAuditLog {{dir}}/logs/audit.log
SecAuditLogParts AHZ
Include %[3]s/crs-setup.conf
Include %[3]s/rules/*.conf
`

// writeRules puts the rule set on disk, where Apache can include it.
func writeRules(t *testing.T, settings string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err = fs.WalkDir(coreruleset.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(coreruleset.FS, path)
		switch {
		case strings.HasSuffix(path, "crs-setup.conf.example"):
			put("crs-setup.conf", text)
		case strings.HasPrefix(path, "@owasp_crs/"):
			put("rules/"+filepath.Base(path), text)
		case strings.HasSuffix(path, "recommended"):
			put(path, append(onlyRules(text), allSettings(settings)...))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// onlyRules keeps the rules, at their lines: the directives of the file are another engine's.
func onlyRules(text []byte) []byte {
	var out []byte
	keep := false
	for line := range bytes.Lines(text) {
		switch {
		case bytes.HasPrefix(line, []byte("SecRule ")):
			keep = true
		case line[0] != ' ' && line[0] != '\t':
			keep = false
		}
		if keep {
			out = append(out, line...)
		} else {
			out = append(out, '\n')
		}
	}
	return out
}

// messages reads the messages of each client's transactions from a serial audit log.
func messages(text []byte) map[string][]string {
	out := map[string][]string{}
	client, next := "", false
	for line := range bytes.Lines(text) {
		line := strings.TrimSuffix(string(line), "\n")
		switch {
		case next:
			client, next = clientOf.FindString(line), false
		case partA.MatchString(line):
			next = true
		case strings.HasPrefix(line, "Message: "):
			out[client] = append(out[client], normal(strings.TrimPrefix(line, "Message: ")))
		}
	}
	return out
}

var (
	partA    = regexp.MustCompile(`^--[0-9a-f]{8}-A--$`)
	clientOf = regexp.MustCompile(`127\.1\.\d+\.\d+`)
	filePath = regexp.MustCompile(`\[file "[^"]*/([^"/]*)"\]`)
	idOf     = regexp.MustCompile(`\[id "(\d+)"\]`)
)

// normal takes from a message what cannot be equal: the directory of the rules.
func normal(message string) string { return filePath.ReplaceAllString(message, `[file "$1"]`) }

func ids(messages []string) []int {
	var out []int
	for _, m := range messages {
		if found := idOf.FindAllStringSubmatch(m, -1); found != nil {
			id, _ := strconv.Atoi(found[len(found)-1][1])
			out = append(out, id)
		}
	}
	return out
}

// result is what both made of one request.
type result struct {
	name          string
	req           []byte
	status, ourst int
	theirs, ours  []string // messages
}

// namedRequest is one request and where it is from.
type namedRequest struct {
	name string
	req  []byte
}

// requests are those of all tests; CRS_RULE limits them to one rule.
func requests(t *testing.T) []namedRequest {
	t.Helper()
	files := load(t)
	var out []namedRequest
	for _, path := range slices.Sorted(maps.Keys(files)) {
		f := files[path]
		if only := os.Getenv("CRS_RULE"); only != "" && only != strconv.Itoa(f.RuleID) {
			continue
		}
		for i := range f.Tests {
			for k := range f.Tests[i].Stages {
				req, err := f.Tests[i].Stages[k].Input.request()
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, namedRequest{fmt.Sprintf("%d-%d", f.RuleID, f.Tests[i].ID), req})
			}
		}
	}
	return out
}

// both sends requests to mod_security2 and to our engine, with the same rules and settings.
func both(t *testing.T, settings string, list []namedRequest) []result {
	t.Helper()
	back := httptest.NewServer(http.HandlerFunc(reflect))
	defer back.Close()
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	a := peertest.StartApache(t, fmt.Sprintf(apacheConf, addr, back.URL, writeRules(t, settings)), addr)
	s := serve(t, engine(t, settings))
	var results []result
	from := func(i int) string { return fmt.Sprintf("127.1.%d.%d", i>>8, i&255) }
	for i, one := range list {
		r := result{name: one.name, req: one.req}
		r.status, _ = exchange(addr, from(i), one.req)
		ourst, local := exchange(s.ln.Addr().String(), from(i), one.req)
		r.ourst, r.ours = ourst, (<-s.result(local)).messages
		results = append(results, r)
	}
	a.Stop() // its log is complete then
	text, err := os.ReadFile(filepath.Join(a.Dir, "logs", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := messages(text)
	for i := range results {
		results[i].theirs = theirs[from(i)]
	}
	return results
}

// reflect is the back end of both.
func reflect(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	code, headers, answer := backend(&wire.Head{Method: r.Method, Target: r.RequestURI}, body)
	for _, h := range headers {
		w.Header().Add(h.name, h.value)
	}
	w.WriteHeader(code)
	_, _ = w.Write(answer)
}

// TestVerdictsAgainstApache compares the answers when the rules block: paranoia
// level 1 and the thresholds as the rule set comes.
func TestVerdictsAgainstApache(t *testing.T) {
	results := both(t, blocking, requests(t))
	same, blocked, refused := 0, 0, 0
	for _, r := range results {
		reason := verdictTolerated(r.name)
		switch {
		case r.status == r.ourst:
			same++
			if r.status == 403 {
				blocked++
			}
			if reason != "" && os.Getenv("CRS_RULE") == "" {
				t.Errorf("%s\tno difference any more: %s", r.name, reason)
			}
		case r.status == 400 && r.ourst == 403 && len(r.theirs) == 0:
			refused++ // httpd refuses it before any rule, ours after the rules
		case reason == "":
			t.Errorf("%s\tapache %d, ours %d\t%.300q\n%s\n--\n%s", r.name, r.status, r.ourst, r.req, strings.Join(r.theirs, "\n"), strings.Join(r.ours, "\n"))
		}
	}
	t.Logf("%d of %d verdicts are equal (%d blocked), %d are refused before any rule", same, len(results), blocked, refused)
}

// TestAgainstApache compares all rules that matched, not only those that a
// test names, and every message.
func TestAgainstApache(t *testing.T) {
	results := both(t, settings, requests(t))
	same, meant, refusals := 0, 0, 0
	count, wrong, spoken := 0, 0, 0 // messages
	for _, r := range results {
		their := r.theirs
		missing, extra := minus(ids(their), ids(r.ours)), minus(ids(r.ours), ids(their))
		reason := tolerated(r.name)
		switch {
		case len(missing)+len(extra) == 0:
			same++
			if reason != "" && os.Getenv("CRS_RULE") == "" {
				t.Errorf("%s\tno difference any more: %s", r.name, reason)
			}
			count += len(their)
			w, m := compare(t, r.name, their, r.ours)
			wrong, spoken = wrong+w, spoken+m
			continue
		case reason != "":
			meant++
			continue
		case len(their) == 0 && (r.status == 400 || r.status == 0):
			refusals++ // httpd answers 400 itself and runs no rule; ours see the request, and we answer 400 too
			continue
		}
		t.Errorf("%s\tstatus %d\tmissing %v\textra %v\t%.200q", r.name, r.status, missing, extra, r.req)
	}
	t.Logf("%d of %d messages are equal, %d differ as meant", count-wrong-spoken, count, spoken)
	t.Logf("%d of %d requests match the same rules; %d differ as meant, %d are refused by httpd before any rule", same, len(results), meant, refusals)
}

// minus returns the sorted ids of a that are not in b.
func minus(a, b []int) []int {
	var out []int
	for _, id := range a {
		if !slices.Contains(b, id) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// exchange sends a request from an address of its own, by which the error log
// tells requests apart. It closes its side only after the answer began: net/http
// takes an early end for a client that has gone.
func exchange(addr, from string, req []byte) (code int, local string) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return 0, ""
	}
	defer c.Close()
	local = c.LocalAddr().String()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(req)
	code, err = status(c)
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if err != nil { // the server waits for more: it gets the end instead
		code, _ = status(c)
	}
	_, _ = io.Copy(io.Discard, c)
	return code, local
}
