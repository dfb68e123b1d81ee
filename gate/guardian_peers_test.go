//go:build peers

package gate

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/test/peertest"
)

// guardianRules give a session, refuse one request and set a variable.
const guardianRules = `SecRuleEngine On
SecAction "id:5,phase:1,nolog,pass,setsid:abc"
SecAction "id:6,phase:5,nolog,pass,setsid:later"
SecRule ARGS "@rx evil" "id:7,phase:2,deny,status:403,log"
SecRule REQUEST_URI "@contains env" "id:8,phase:1,pass,nolog,setenv:watched=1"
`

// TestGuardianAgainstApache sends the same requests to mod_security2 with SecGuardianLog and to the gate: the lines are
// the same but for time, id and duration, and but for what tolerated says.
func TestGuardianAgainstApache(t *testing.T) {
	ports := peertest.Ports(t, 1)
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	a := peertest.StartApache(t, fmt.Sprintf("Listen %s\nSecGuardianLog {{dir}}/logs/guardian.log\nSecDataDir {{dir}}/data\n%s", address, guardianRules), address)
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("<p>the real site</p>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ours []string
	b := start(t, "ServerName localhost\nDocumentRoot "+root+"\n"+guardianRules, nil)
	sites := b.sites("Listen " + strings.TrimPrefix(b.addr, "127.0.0.1:") + "\nServerName localhost\nDocumentRoot " + root + "\n" + guardianRules)
	sites.Guardian = func(l *audit.IndexLine, took time.Duration, _ func(string) (string, bool)) {
		mu.Lock()
		defer mu.Unlock()
		ours = append(ours, string(audit.AppendGuardian(nil, l, took)))
	}
	if err := b.gate.SetSites(sites); err != nil {
		t.Fatal(err)
	}
	requests := []string{
		"GET /?a=evil HTTP/1.1\r\nHost: a.example\r\nReferer: http://r/\r\nUser-Agent: x\r\n",
		"GET /index.html?a=1 HTTP/1.1\r\nHost: A.Example:99\r\nAuthorization: Basic dXNlcjpwdw==\r\n",
		"GET /nope HTTP/1.1\r\nHost: h\r\n",
		"GET / HTTP/1.0\r\n",
		"HEAD / HTTP/1.1\r\nHost: h\r\n",
		"GET /?\"quoted\\ HTTP/1.1\r\nHost: h\r\n",
		"GET http://other.example/index.html HTTP/1.1\r\nHost: h\r\n",
		"GET /?" + strings.Repeat("x", 3600) + " HTTP/1.1\r\nHost: h\r\n",
		"GET /?" + strings.Repeat("y", 5000) + " HTTP/1.1\r\nHost: h\r\n",
		"OPTIONS / HTTP/1.1\r\nHost: h\r\n",
	}
	for _, r := range requests {
		for _, at := range []string{address, b.addr} {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, r+"Connection: close\r\n\r\n")
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.ReadAll(c)
			c.Close()
		}
	}
	var theirs []string
	peertest.Wait(t, "lines of both", 5*time.Second, func() bool {
		text, _ := os.ReadFile(filepath.Join(a.Dir, "logs", "guardian.log"))
		theirs = strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
		mu.Lock()
		defer mu.Unlock()
		return len(theirs) == len(requests) && len(ours) == len(requests)
	})
	for i := range requests {
		if got, want := plainGuardian(ours[i]), plainGuardian(theirs[i]); got != want {
			t.Errorf("request %.60q\nmod_security2 %s\nours          %s", requests[i], want, got)
		}
	}
}

// plainGuardian replaces what no two servers write alike. Tolerated: the sizes of error pages, which name the server, and
// that of a HEAD, for which Apache counts the body that it does not send.
func plainGuardian(line string) string {
	line = regexp.MustCompile(`\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{6} \+0000\]`).ReplaceAllString(strings.TrimSuffix(line, "\n"), "[TIME]")
	line = regexp.MustCompile(`[\w@-]{24,27} ("[^"]*") \d+ \d+ ("-" 0)`).ReplaceAllString(line, "ID $1 DURATION $2")
	line = regexp.MustCompile(`" ([45]\d\d) \d+ `).ReplaceAllString(line, `" $1 SIZE `)
	line = regexp.MustCompile(`("HEAD .*?" \d+) \d+ `).ReplaceAllString(line, "$1 SIZE ")
	return regexp.MustCompile(`[xy]{100,}`).ReplaceAllStringFunc(line, func(s string) string {
		if strings.HasSuffix(line, "L") {
			return "MANY" // as many as fit beside durations and ids of different lengths
		}
		return fmt.Sprint(len(s))
	})
}
