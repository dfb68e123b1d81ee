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
func writeRules(t *testing.T) string {
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
			put(path, append(onlyRules(text), allSettings()...))
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

// TestAgainstApache sends every request of the tests to mod_security2 with the
// same rules, and compares all rules that matched, not only those that a test names.
func TestAgainstApache(t *testing.T) {
	files := load(t)
	e := engine(t)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		code, headers, answer := backend(&wire.Head{Method: r.Method, Target: r.RequestURI}, body)
		for _, h := range headers {
			w.Header().Add(h.name, h.value)
		}
		w.WriteHeader(code)
		_, _ = w.Write(answer)
	}))
	defer back.Close()
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	a := peertest.StartApache(t, fmt.Sprintf(apacheConf, addr, back.URL, writeRules(t)), addr)
	s := serve(t, e)
	type result struct {
		name   string
		req    []byte
		from   string
		status int
		ours   []string
	}
	var results []result
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
				r := result{name: fmt.Sprintf("%d-%d", f.RuleID, f.Tests[i].ID), req: req}
				r.from = fmt.Sprintf("127.1.%d.%d", len(results)>>8, len(results)&255)
				r.status, _ = exchange(addr, r.from, req)
				_, local := exchange(s.ln.Addr().String(), r.from, req)
				r.ours = (<-s.result(local)).messages
				results = append(results, r)
			}
		}
	}
	a.Stop() // its log is complete then
	text, err := os.ReadFile(filepath.Join(a.Dir, "logs", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	theirs := messages(text)
	same, meant, refusals := 0, 0, 0
	count, wrong, spoken := 0, 0, 0 // messages
	for _, r := range results {
		their := theirs[r.from]
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

// compare compares messages one by one, in order. It counts those that differ
// without a reason and those that differ with one.
func compare(t *testing.T, name string, theirs, ours []string) (wrong, meant int) {
	if twice(theirs, ours) {
		return 0, len(theirs)
	}
	for i := range max(len(theirs), len(ours)) {
		var their, our string
		if i < len(theirs) {
			their = theirs[i]
		}
		if i < len(ours) {
			our = ours[i]
		}
		switch {
		case their == our:
		case alike(their, our):
			meant++
		default:
			t.Errorf("%s\tmessage %d\ntheirs %s\nours   %s", name, i, their, our)
			wrong++
		}
	}
	return wrong, meant
}

// twice reports whether a multiMatch rule matched another number of times:
// mod_security2 tries 930110 once more, because its t:cmdLine says that it
// changed what it did not change.
func twice(theirs, ours []string) bool {
	count := func(list []string, id string) (n int) {
		for _, m := range list {
			if strings.Contains(m, `[id "`+id+`"]`) {
				n++
			}
		}
		return n
	}
	if n := count(ours, "930110"); n > 0 && count(theirs, "930110") > n {
		return true
	}
	// Their libinjection finds something in another of the values that multiMatch tries.
	return count(theirs, "942100") != count(ours, "942100")
}

var (
	emptyData = regexp.MustCompile(` \[data ""\]`)
	dataField = regexp.MustCompile(` \[data "(.*?)"\]( \[|$)`)
)

// alike reports whether two messages differ only in what is meant to differ.
func alike(their, our string) bool {
	if strings.Contains(our, "json") && strings.Contains(their, "ARGS") || strings.Contains(our, "JSON parsing error") && strings.Contains(their, "JSON parsing error") {
		return true // values in JSON are named as in version 3, and yajl words its errors in another way
	}
	their = emptyData.ReplaceAllString(their, "") // a record does not keep logdata that expands to nothing
	td, od := dataField.FindStringSubmatch(their), dataField.FindStringSubmatch(our)
	if td != nil && od != nil && td[1] != od[1] {
		cut := strings.TrimSuffix(td[1], "...")
		switch {
		case cut != td[1] && strings.HasPrefix(cut, strings.TrimSuffix(od[1], "...")) && len(cut)-len(od[1]) < 4:
			// cut at the same length, theirs in the middle of an escape
		case strings.ReplaceAll(td[1], `\x5c`, "/") == od[1] && strings.Contains(their, `[id "930120"]`):
			// the normalisePathWin of mod_security2 leaves the second of two backslashes
		case strings.Contains(our, `[id "931131"]`):
			// phase 1 sees REQUEST_FILENAME before httpd has decoded it
		case strings.Contains(od[1], `\x00`) || strings.Contains(td[1], `\x00`):
			// C strings end at a NUL; what is behind it is lost, or is another variable's
		default:
			return false
		}
		their, our = strings.Replace(their, td[1], "", 1), strings.Replace(our, od[1], "", 1)
	}
	if strings.Contains(their, `"TX:rfi_parameter_ARGS:`) {
		their, our = strings.ReplaceAll(their, `\`, ""), strings.ReplaceAll(our, `\`, "") // a name that was a macro is escaped once more
	}
	// Their line ends at 1,023 bytes, in the middle of a tag.
	return their == our || len(their) > 900 && strings.HasPrefix(our, their) || strings.HasPrefix(our, strings.TrimRight(their, `"] `)) && len(their) > 400
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

// exchange sends a request from an address of its own, by which the error log tells requests apart.
func exchange(addr, from string, req []byte) (code int, local string) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return 0, ""
	}
	defer c.Close()
	local = c.LocalAddr().String()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = c.Write(req)
	_ = c.(*net.TCPConn).CloseWrite()
	code, _ = status(c)
	_, _ = io.Copy(io.Discard, c)
	return code, local
}

// tolerated tells why a request matches other rules in mod_security2 2.9.7.
func tolerated(name string) string {
	switch name {
	case "920170-4", "920180-1", "920640-5":
		return "what follows the request is a second, malformed one; httpd refuses it before any rule, ours see it"
	case "920181-1", "920620-1":
		return "httpd hides one of the two headers, see exceptions.txt"
	case "920100-4":
		return "httpd puts the target of CONNECT in place of the Host header"
	case "920201-2", "920202-2":
		return "httpd has not decoded the path yet when phase 1 sees REQUEST_BASENAME"
	case "920400-1":
		return "the body is shorter than Content-Length; httpd gives up after phase 1"
	case "920240-4", "920420-10":
		return "mod_security2 answers 500 to a malformed XML body and runs no rule of phase 2"
	case "922130-1", "922130-2", "922130-4", "922130-7":
		return "2.9.8 and later refuse the part header, as we do; 2.9.7 reads on"
	case "930140-13":
		return "the @pm of mod_security2 misses .env in /.a0proj/secrets.env"
	case "933100-34":
		return "mod_security2 gives all elements of a JSON array one name, which 921180 takes for parameter pollution"
	case "933100-79", "941130-5", "941130-15", "942560-1":
		return "another version of libinjection"
	}
	return ""
}
