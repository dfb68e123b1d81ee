//go:build peers && unix

package touch_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
	"github.com/trapline/trapline/test/touch"
)

// articleRules are the article's, for the port of the test.
const articleRules = `SecRule SERVER_PORT "^(%d)$" \
"id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',\
setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" \
"id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
`

// apacheNeeds is what the article does not say and mod_security2 needs.
const apacheNeeds = `SecRuleEngine On
SecRequestBodyAccess On
SecDefaultAction "phase:2,log,auditlog,deny,status:403"
SecAction "id:900,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
SecDataDir {{dir}}/data
SecAuditEngine On
SecAuditLogType Serial
SecAuditLog {{dir}}/audit/audit.log
Timeout 3
KeepAliveTimeout 1
`

// server is one of the two: its trap port, its real site, its audit log.
type server struct {
	name       string
	trap, site int
	log        string
}

// outcome is what one touch left behind.
type outcome struct{ tagged, recorded bool }

// TestTouchesNoticed touches Apache with mod_security2 and the article's complete
// rule set, and Trapline with the article's two rules and nothing else, in
// every way we know, and prints what each of them noticed.
func TestTouchesNoticed(t *testing.T) {
	theirs, ours := startApache(t), startTrapline(t)
	kinds := touch.Kinds()
	var apache, trapline []outcome
	var both sync.WaitGroup
	both.Go(func() { apache = theirs.run(t, kinds) })
	both.Go(func() { trapline = ours.run(t, kinds) })
	both.Wait()
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-36s %-20s %s\n", "", theirs.name, ours.name)
	count := func(list []outcome) (tagged, nothing int) {
		for _, o := range list {
			if o.tagged {
				tagged++
			}
			if !o.tagged && !o.recorded {
				nothing++
			}
		}
		return tagged, nothing
	}
	for i, k := range kinds {
		fmt.Fprintf(&table, "%-36s %-20s %s\n", k.Name, apache[i], trapline[i])
		if !trapline[i].tagged || !trapline[i].recorded {
			t.Errorf("%s: Trapline: %s", k.Name, trapline[i])
		}
	}
	at, an := count(apache)
	tt, tn := count(trapline)
	fmt.Fprintf(&table, "%-36s %-20s %s\n", fmt.Sprintf("tagged, of %d", len(kinds)), fmt.Sprint(at), fmt.Sprint(tt))
	fmt.Fprintf(&table, "%-36s %-20s %s\n", "neither tag nor record", fmt.Sprint(an), fmt.Sprint(tn))
	t.Log(table.String())
	if at == 0 || at >= tt {
		t.Errorf("Apache tagged %d, Trapline %d: the comparison is broken", at, tt)
	}
}

func (o outcome) String() string {
	switch {
	case o.tagged && o.recorded:
		return "tagged, recorded"
	case o.tagged:
		return "tagged"
	case o.recorded:
		return "recorded only"
	}
	return "-"
}

func startApache(t *testing.T) server {
	ports := peertest.Ports(t, 2)
	conf := fmt.Sprintf("Listen 127.0.0.1:%d\nListen 127.0.0.1:%d\n", ports[0], ports[1]) + apacheNeeds + fmt.Sprintf(articleRules, ports[0])
	a := peertest.StartApache(t, conf, fmt.Sprintf("127.0.0.1:%d", ports[1]))
	return server{name: "Apache", trap: ports[0], site: ports[1], log: filepath.Join(a.Dir, "audit", "audit.log")}
}

func startTrapline(t *testing.T) server {
	ports := peertest.Ports(t, 3)
	dir := t.TempDir()
	root := filepath.Join(dir, "htdocs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("<p>the real site</p>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, log := filepath.Join(dir, "trapline.conf"), filepath.Join(dir, "audit.log")
	text := fmt.Sprintf(`Listen 127.0.0.1:%d
Listen 127.0.0.1:%d
TrapConsole 127.0.0.1:%d
TrapLimit request 2s
TrapLimit connection 3s
DocumentRoot %s
SecAuditEngine On
SecAuditLog %s
<VirtualHost *:%d>
ServerName www.example1.com
TrapHost On
</VirtualHost>
`, ports[0], ports[1], ports[2], root, log, ports[0]) + fmt.Sprintf(articleRules, ports[0])
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	binarytest.Start(t, binarytest.Build(t), "run", "-c", conf, "--data", filepath.Join(dir, "data"))
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", ports[1]))
	return server{name: "Trapline", trap: ports[0], site: ports[1], log: log}
}

// run makes every touch from an address of its own, many at a time.
func (s server) run(t *testing.T, kinds []touch.Kind) []outcome {
	out := make([]outcome, len(kinds))
	var wg sync.WaitGroup
	turn := make(chan struct{}, 30)
	for i := range kinds {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			out[i].tagged = s.touch(t, &kinds[i], client(i))
		})
	}
	wg.Wait()
	// Records of connections that the server had to cut come late.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		seen := s.clients(t)
		missing := 0
		for i := range out {
			out[i].recorded = seen[client(i)]
			if !out[i].recorded {
				missing++
			}
		}
		if missing == 0 || time.Now().After(end) {
			return out
		}
	}
}

// touch touches the trap and then asks the real site from the same address.
func (s server) touch(t *testing.T, k *touch.Kind, from netip.Addr) bool {
	c, err := s.dial(from, s.trap)
	if err != nil {
		t.Errorf("%s: %v", k.Name, err)
		return false
	}
	_, _ = k.Touch(c) // what it answers is its own affair
	_ = c.Close()
	// The tag of a connection that was closed at once may be a moment late; never
	// more than this, and never when an answer was read.
	for range 20 {
		status, err := s.ask(from)
		if err != nil {
			t.Errorf("%s: the real site: %v", k.Name, err)
			return false
		}
		if status == "403" {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func (s server) ask(from netip.Addr) (string, error) {
	c, err := s.dial(from, s.site)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	b := make([]byte, 12)
	if _, err := c.Read(b); err != nil {
		return "", err
	}
	_, status, _ := strings.Cut(string(b), " ")
	return status, nil
}

func (s server) dial(from netip.Addr, port int) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn), nil
}

// clients returns the addresses that the audit log has a record of on the trap port.
func (s server) clients(t *testing.T) map[netip.Addr]bool {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		return nil
	}
	seen := make(map[netip.Addr]bool)
	scanner := audit.NewScanner(bytes.NewReader(text), 8<<20)
	for scanner.Scan() {
		r, _ := scanner.Entry().Record()
		if r != nil && int(r.Server.Port()) == s.trap {
			seen[r.Client.Addr()] = true
		}
	}
	return seen
}

func client(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 7, 0, byte(i + 1)}) }
