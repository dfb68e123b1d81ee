//go:build peers && linux

package forward

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/test/peertest"
)

// TestPeerNginx: the index that libmodsecurity 3 writes under nginx, of which mlogc understands no line, with requests that
// put quotes, blanks and forged fields where it does not escape them, over IPv4 and IPv6.
func TestPeerNginx(t *testing.T) {
	bin := peertest.Program(t, "nginx", "/usr/sbin/nginx")
	const module = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so"
	if _, err := os.Stat(module); err != nil {
		t.Skip("PEER MISSING: libnginx-mod-http-modsecurity is not installed; make test installs it")
	}
	c := newConsole(t)
	s := newSensor(t, c.URL)
	os.MkdirAll(s.conf.StorageDir(), 0o700)
	index := filepath.Join(s.dir, "index.log")
	rules := filepath.Join(s.dir, "rules.conf")
	os.WriteFile(rules, []byte(fmt.Sprintf("SecRuleEngine On\nSecAuditEngine On\nSecAuditLogType Parallel\nSecAuditLogStorageDir %s\nSecAuditLog %s\nSecAuditLogParts ABCFHZ\nSecRule REQUEST_URI \"@contains trap\" \"id:1,phase:1,deny,status:403,msg:'trap'\"\n", s.conf.StorageDir(), index)), 0o600)
	port := peertest.Ports(t, 1)[0]
	conf := filepath.Join(s.dir, "nginx.conf")
	os.WriteFile(conf, []byte(fmt.Sprintf(`load_module %s;
daemon off; master_process off; user root; pid %[2]s/nginx.pid; error_log %[2]s/error.log;
events {}
http {
  access_log off; client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  server { listen 127.0.0.1:%[3]d; listen [::1]:%[3]d; modsecurity on; modsecurity_rules_file %[4]s; root %[2]s/none; }
}
`, module, s.dir, port, rules)), 0o600)
	cmd := exec.Command(bin, "-c", conf, "-p", s.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	peertest.Listening(t, "127.0.0.1:"+strconv.Itoa(port))
	sent := 0
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		for _, r := range []struct{ uri, agent, referer string }{
			{"/", "plain", ""}, {"/trap?a=\"b", `x" 666 - /etc/passwd 0 1 md5:0`, ""}, {"/trap/%22/a%20b", "a \"b\" c", `http://x/" 200 5 "`}, {"/" + strings.Repeat("a", 5000), "long", "http://r/"},
		} {
			req, err := http.NewRequest(http.MethodGet, "http://"+host+":"+strconv.Itoa(port)+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.URL.Opaque = r.uri
			req.Header.Set("User-Agent", r.agent)
			if r.referer != "" {
				req.Header.Set("Referer", r.referer)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			sent++
		}
	}
	var lines []byte
	until(t, "index lines", func() bool {
		lines, _ = os.ReadFile(index)
		return strings.Count(string(lines), "\n") == sent
	})
	s.run(t, string(lines))
	if len(c.puts) != sent || s.files(t) != 0 {
		t.Errorf("%d of %d came, %d files left", len(c.puts), sent, s.files(t))
	}
	for _, p := range c.puts {
		r, faults := audit.ParseNative(p.body)
		l, err := audit.ParseIndex(p.header.Get("X-ForensicLog-Summary"))
		if err != nil || len(faults) > 0 || l.ID != r.ID || l.Version != 2 || l.Client != r.Client.Addr().String() {
			t.Errorf("%v %v\n%+v\n%s", err, faults, l, p.body)
		}
	}
}
