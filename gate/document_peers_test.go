//go:build peers && unix

package gate

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/test/peertest"
)

// documentConf is served by Apache with mod_security2 and by the gate: rules must read the same of what answers a request, and what
// the server says about it.
const documentConf = `
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule autoindex_module /usr/lib/apache2/modules/mod_autoindex.so
LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so
RemoteIPHeader X-Real
RemoteIPInternalProxy 127.0.0.1
Listen 127.0.0.1:%[1]d
LogLevel info
ProxyTimeout 1
ProxyPass /dead/ http://127.0.0.1:1/
ProxyPass /slow/ http://127.0.0.1:%[2]d/
Alias /ali {{dir}}/htdocs/sub
<Directory {{dir}}/htdocs>
  Require all granted
</Directory>
<Directory {{dir}}/htdocs/nofollow>
  Options -FollowSymLinks
</Directory>
<Location /denied>
  Require all denied
</Location>
<Location /compat>
  Order allow,deny
  Deny from all
</Location>
<Location /small>
  LimitRequestBody 10
</Location>
SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine On
SecAuditLogParts ABHZ
%[3]s
`

// documentVariables are read in every phase.
var documentVariables = strings.Fields(`SCRIPT_FILENAME SCRIPT_BASENAME SCRIPT_UID SCRIPT_GID SCRIPT_USERNAME SCRIPT_GROUPNAME SCRIPT_MODE
	PATH_INFO AUTH_TYPE REMOTE_USER USERAGENT_IP REMOTE_HOST REMOTE_ADDR`)

func documentRules() string {
	var b strings.Builder
	for phase := 1; phase <= 5; phase++ {
		for i, v := range documentVariables {
			fmt.Fprintf(&b, "SecRule %s \"@unconditionalMatch\" \"id:%d,phase:%d,pass,log,msg:'%d %s',logdata:'%%{MATCHED_VAR}'\"\n", v, 1000*phase+i, phase, phase, v)
		}
	}
	return b.String()
}

// documentRequests are targets and further header lines.
var documentRequests = []string{
	"/", "/file.txt", "/file.txt?x=/y/z", "/sub", "/sub/", "/none", "/none/deeper/z", "/file.txt/more/x", "/file.txt/", "/empty/", "/empty", "/ali/index.html", "/ali/", "/ali/none",
	"/dead/x?y", "/slow/x", "/denied", "/denied/x", "/compat", "/../x", "/nofollow/link", "/sub/../file.txt", "/a%20b.txt", "/file.txt|X-Real: 192.0.2.7",
	"/small|Content-Length: 50",
}

// documentUnlike are phases and variables in which we differ on purpose.
func documentUnlike(request, line string) (why string) {
	target, _, _ := strings.Cut(request, "|")
	switch {
	case strings.HasPrefix(target, "/denied"), target == "/compat", target == "/../x", target == "/nofollow/link":
		if strings.HasPrefix(line, "2 ") {
			return "Apache refuses before phase 2; here the rules see every request"
		}
		if target == "/denied/x" && strings.HasPrefix(line, "Apache-Error") {
			return "Apache names the part of the path that it has found: we do not look for it"
		}
		if target == "/../x" && !strings.HasPrefix(line, "Apache-Error") {
			return "Apache has not looked for a file; phase 2 has here"
		}
	case strings.HasPrefix(target, "/small"):
		if !strings.HasPrefix(line, "Apache-Error") {
			return "Apache finds out in phase 2, while mod_security2 reads the body"
		}
	}
	return ""
}

func TestDocumentsLikeModSecurity2(t *testing.T) {
	silent := listen(t) // accepts and never answers
	defer silent.Close()
	ports := peertest.Ports(t, 1)
	apache := peertest.StartApache(t, "SecAuditLog {{dir}}/audit/audit.log\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\n"+
		fmt.Sprintf(documentConf, ports[0], silent.Addr().(*net.TCPAddr).Port, documentRules()), fmt.Sprintf("127.0.0.1:%d", ports[0]))
	root := filepath.Join(apache.Dir, "htdocs")
	for name, mode := range map[string]os.FileMode{"file.txt": 0o640, "sub/index.html": 0o644, "a b.txt": 0o444, "nofollow/x": 0o644, "empty/.keep": 0o644, "small": 0o644} {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Chown(filepath.Join(root, "file.txt"), 0, 33) // www-data may read it
	if err := os.Symlink("x", filepath.Join(root, "nofollow", "link")); err != nil {
		t.Fatal(err)
	}
	conf := strings.ReplaceAll(fmt.Sprintf(documentConf, 0, silent.Addr().(*net.TCPAddr).Port, documentRules()), "Listen 127.0.0.1:0\n", "")
	ours := start(t, strings.ReplaceAll("ServerRoot {{dir}}\nServerName localhost\nDocumentRoot {{dir}}/htdocs\n"+conf, "{{dir}}", apache.Dir), nil)
	for i, request := range documentRequests {
		target, header, _ := strings.Cut(request, "|")
		if header != "" {
			header += "\r\n"
		}
		method, body := "GET", ""
		if strings.Contains(header, "Content-Length") {
			method, body = "POST", strings.Repeat("x", 50)
		}
		text := method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + header + "\r\n" + body
		theirs := apacheRecord(t, apache, fmt.Sprintf("127.0.0.1:%d", ports[0]), text)
		sayTo(t, ours.addr, text)
		want, got := documentLines(request, theirs), documentLines(request, ours.record(i))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-mod_security2 +ours):\n%s", request, d)
		}
		if len(want) == 0 {
			t.Errorf("%s: nothing is compared", request)
		}
	}
}

func sayTo(t *testing.T, address, text string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte(text))
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	var b [4096]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			return
		}
	}
}

// apacheRecord sends text to Apache and waits for its record.
func apacheRecord(t *testing.T, a *peertest.Apache, address, text string) *audit.Record {
	t.Helper()
	log := filepath.Join(a.Dir, "audit", "audit.log")
	before, _ := os.ReadFile(log)
	sayTo(t, address, text)
	var b []byte
	peertest.Wait(t, "an audit entry", 10*time.Second, func() bool {
		b, _ = os.ReadFile(log)
		return len(b) > len(before) && bytes.Contains(b[len(before):], []byte("-Z--"))
	})
	s := audit.NewScanner(bytes.NewReader(b[len(before):]), 1<<20)
	if !s.Scan() {
		t.Fatalf("no entry in %q", b[len(before):])
	}
	r, _ := s.Entry().Record()
	return r
}

var sourceOf = regexp.MustCompile(`^\[file "[^"]*"\] \[line \d+\] `)

// documentLines are the values that rules read, as "phase VARIABLE=value", and what the server said, without its source.
func documentLines(request string, r *audit.Record) []string {
	var out []string
	for i := range r.Matches {
		if m := &r.Matches[i]; m.Message != "" {
			out = append(out, m.Message+"="+m.Data)
		}
	}
	for _, f := range r.Trailer {
		if f.Name == "Apache-Error" && !strings.Contains(f.Value, "ModSecurity: ") {
			out = append(out, "Apache-Error "+sourceOf.ReplaceAllString(f.Value, ""))
		}
	}
	kept := out[:0]
	for _, l := range out {
		if documentUnlike(request, l) == "" {
			kept = append(kept, l)
		}
	}
	sort.Strings(kept)
	return kept
}
