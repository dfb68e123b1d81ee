//go:build peers

package gate

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/test/peertest"
)

// sameConf is served by a real Apache and by the gate: the answers have to agree.
const sameConf = `
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so
LoadModule autoindex_module /usr/lib/apache2/modules/mod_autoindex.so
Listen 127.0.0.1:%[1]d
CustomLog {{dir}}/logs/same-%[1]d.log "%%{X-Case}i %%a \"%%r\" %%>s %%200,206b %%200,206B %%m %%U %%q %%H %%p %%{local}p %%v %%l %%u %%{X-Friend}i %%{X-A}o %%{friend}e %%404{Host}i %%!200,304{Host}i %%%% %%{c}a"
ErrorDocument 404 "nothing here"
ErrorDocument 410 /gone.html
AddType text/x-foo .foo
DirectoryIndex start.html index.html
SetEnvIf X-Friend yes friend
SetEnvIfNoCase User-Agent "^bad" bad=1
SetEnvIf Request_URI "^/p/(\w+)" word=$1
RemoteIPHeader X-Real
RemoteIPInternalProxy 127.0.0.1
Alias /other/ {{dir}}/other/
Redirect permanent /old http://new.example/place
RedirectMatch 302 "^/r/(.*)$" http://r.example/$1
Redirect gone /gone
ProxyPass /p/no !
ProxyPass /p/ http://127.0.0.1:%[2]d/up/
ProxyPassReverse /p/ http://127.0.0.1:%[2]d/up/
ProxyPass /dead/ http://127.0.0.1:1/
ProxyPreserveHost On
RequestHeader set X-Word "%%{word}e" env=word
RequestHeader edit X-Edit "^(a)(b)" "$2-$1"
RequestHeader unset X-Secret
Header set X-A one
Header append X-A two
Header add X-B 1
Header add X-B 2
Header merge X-A two
Header unset X-Powered-By
Header edit* X-Path / _
Header always set X-Always yes
Header setifempty X-New new
<Directory />
  Options FollowSymLinks
  Require all denied
</Directory>
<Directory {{dir}}/htdocs>
  Require all granted
</Directory>
<Directory {{dir}}/other>
  Options +Indexes
  Require all granted
</Directory>
<Directory {{dir}}/htdocs/private>
  Require ip 192.0.2.0/24
</Directory>
<FilesMatch "^\.ht">
  Require all denied
</FilesMatch>
<Files "*.bak">
  Require all denied
</Files>
<Location /any>
  Require ip 192.0.2.1
  Require env friend
</Location>
<Location /all>
  <RequireAll>
    Require local
    Require not env bad
  </RequireAll>
</Location>
<Location /none>
  <RequireAll>
    Require all granted
    <RequireNone>
      Require env friend
    </RequireNone>
  </RequireAll>
</Location>
<Location /allow>
  Order allow,deny
  Allow from 127.0.0
  Deny from env=bad
</Location>
<Location /deny>
  Order deny,allow
  Deny from all
  Allow from env=friend 198.51.100.7
</Location>
<Location /mutual>
  Order mutual-failure
  Allow from all
  Deny from env=bad
</Location>
<Location /limit>
  <LimitExcept GET>
    Require all denied
  </LimitExcept>
</Location>
<LocationMatch "^/m[0-9]+$">
  Require all denied
</LocationMatch>
<Location "/glob/*/x">
  Require all denied
</Location>
`

var sameFiles = map[string]string{
	"htdocs/start.html": "start", "htdocs/page.txt": "0123456789", "htdocs/.htpasswd": "secret", "htdocs/a.bak": "backup", "htdocs/private/x.html": "private",
	"htdocs/sub/index.html": "sub", "htdocs/noindex/file.txt": "f", "htdocs/data.foo": "foo", "htdocs/gone.html": "it is gone", "htdocs/a b.txt": "space",
	"other/o.txt": "outside", "htdocs/any": "any", "htdocs/all": "all", "htdocs/none": "none", "htdocs/allow": "allow", "htdocs/deny": "deny", "htdocs/mutual": "mutual",
	"htdocs/limit": "limit", "htdocs/m1": "m1", "htdocs/m1x": "m1x", "htdocs/glob/y/x": "globbed", "htdocs/glob/y/z": "not globbed",
}

// sameRequests are request lines and further header lines.
var sameRequests = []string{
	"GET /", "GET /page.txt", "HEAD /page.txt", "POST /page.txt", "PUT /page.txt", "TRACE /page.txt", "GET /nothing", "GET /start.html/", "GET /page.txt/", "GET /sub", "GET /sub/", "GET /sub?x=1",
	"GET /noindex/", "GET /noindex", "GET /.htpasswd", "GET /sub/../.htpasswd", "GET /%2ehtpasswd", "GET /a.bak", "GET /%61.bak", "GET /private/x.html", "GET /private/", "GET /private", "GET //private//x.html",
	"GET /private/x.html|X-Real: 192.0.2.7", "GET /private/x.html|X-Real: 192.0.2.7, 10.0.0.1", "GET /private/x.html|X-Real: nonsense", "GET /data.foo", "GET /a%20b.txt",
	"GET /other/o.txt", "GET /other/", "GET /other", "GET /other/../../../etc/passwd", "GET /old", "GET /old/x?y=1", "GET /older", "GET /r/abc", "GET /gone", "GET /gone/x",
	"GET /p/a/b?q=1", "GET /p/a%2fb", "GET /p/../p/x", "GET /p/no", "GET /p/nox", "GET /p", "POST /p/form|Content-Length: 3", "GET /p/e|X-Edit: abc|X-Secret: s", "GET /p/move", "GET /dead/x",
	"GET /any", "GET /any|X-Friend: yes", "GET /all", "GET /all|User-Agent: Badbot", "GET /none", "GET /none|X-Friend: yes", "GET /allow", "GET /allow|User-Agent: bad", "GET /deny", "GET /deny|X-Friend: yes",
	"GET /deny|X-Real: 198.51.100.7", "GET /mutual", "GET /mutual|User-Agent: bad", "GET /limit", "POST /limit", "GET /m1", "GET /m1x", "GET /glob/y/x", "GET /glob/y/z",
	"GET /page.txt|Range: bytes=2-4", "GET /page.txt|Range: bytes=20-", "GET /page.txt|If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "OPTIONS *",
	"GET /" + strings.Repeat("a", 9000), "GET /page.txt|X-Long: " + strings.Repeat("a", 9000), "GET /page.txt|" + strings.Repeat("X-N: 1|", 120) + "X: 1",
}

// apart lists where we answer otherwise on purpose, with the reason.
var apart = map[string]string{
	"TRACE /page.txt":                "TRACE is always refused here",
	"GET /p/a%2fb":                   "Apache refuses encoded slashes with 404 unless AllowEncodedSlashes; applications behind a proxy want them",
	"GET /page.txt|Range: bytes=20-": "Apache's page for 416 carries no Content-Range; ours names the length (RFC 9110, section 15.5.17)",
	"GET /page.txt|If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT": "RFC 9110, section 13.1.3: not modified since; Apache follows RFC 2616, for which a date to come was invalid",
}

func TestAnswersLikeApache(t *testing.T) {
	up := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "PHP")
		w.Header().Set("X-Path", "/a/b")
		if r.URL.Path == "/up/move" {
			w.Header().Set("Location", "http://"+r.Host+"/up/moved")
			w.WriteHeader(302)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s word=%s edit=%s secret=%s body=%s", r.Method, r.RequestURI, r.Header.Get("X-Word"), r.Header.Get("X-Edit"), r.Header.Get("X-Secret"), body)
	})}
	ln := listen(t)
	go up.Serve(ln)
	defer up.Close()
	ports := peertest.Ports(t, 2)
	upstream := ln.Addr().(*net.TCPAddr).Port
	apache := peertest.StartApache(t, fmt.Sprintf(sameConf, ports[0], upstream), fmt.Sprintf("127.0.0.1:%d", ports[0]))
	for name, text := range sameFiles {
		p := filepath.Join(apache.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ours := strings.ReplaceAll(fmt.Sprintf("ServerRoot {{dir}}\nServerName localhost\nDocumentRoot {{dir}}/htdocs\n"+sameConf, ports[1], upstream), "{{dir}}", apache.Dir)
	cfg, warnings, err := config.Parse("same.conf", []byte(ours), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Log(w)
	}
	serveSame(t, cfg, ports[1])
	var skip []int // lines of the logs that need not agree
	for i, request := range sameRequests {
		theirs, mine := say(t, ports[0], i, request), say(t, ports[1], i, request)
		if reason, ok := apart[request]; ok {
			if theirs == mine {
				t.Errorf("%.60s: agrees now; remove it from the list (%s)", request, reason)
			}
			skip = append(skip, i)
			continue
		}
		if theirs != mine {
			t.Errorf("%.60s\napache: %s\nours:   %s", request, theirs, mine)
		}
	}
	sameLogs(t, apache.Dir, ports, skip)
}

// sameLogs compares the access logs line by line; Apache's threads write them in any order.
func sameLogs(t *testing.T, dir string, ports, skip []int) {
	t.Helper()
	var logs [2]map[int]string
	for i, port := range ports {
		var lines []string
		eventually(t, "a line for each request", func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, "logs", fmt.Sprintf("same-%d.log", port)))
			lines = strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), fmt.Sprint(port), "PORT")), "\n")
			return len(lines) == len(sameRequests)
		})
		logs[i] = map[int]string{}
		for _, line := range lines {
			number, rest, _ := strings.Cut(line, " ")
			// Apache reads no header after a request line that is too long.
			if n, err := strconv.Atoi(number); err == nil && !strings.Contains(rest, " 414 ") {
				logs[i][n] = rest
			}
		}
	}
	skip = append(skip, slices.Index(sameRequests, "GET /other/")) // the listings look different
	for i := range sameRequests {
		if logs[0][i] != logs[1][i] && !slices.Contains(skip, i) {
			t.Errorf("log of %.60s\napache: %.300s\nours:   %.300s", sameRequests[i], logs[0][i], logs[1][i])
		}
	}
}

func serveSame(t *testing.T, cfg *config.Config, port int) {
	t.Helper()
	serveSites(t, Sites{Config: cfg, Site: func(h *config.Host) Site { return Site{Host: h} }}, port)
}

func serveSites(t *testing.T, sites Sites, port int) {
	t.Helper()
	g, err := New(Config{Sites: sites, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { g.Serve(ctx, ln) })
	wg.Go(func() { g.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		stop, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		g.Shutdown(stop)
		wg.Wait()
	})
}

// say sends one request and returns what has to agree: status, some header fields, and the body where it is not a page
// of the server's own.
func say(t *testing.T, port, number int, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	lines := strings.Split(request, "|")
	body := ""
	if strings.Contains(request, "Content-Length: 3") {
		body = "a=1"
	}
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nX-Case: %d\r\nConnection: close\r\n%s\r\n%s", lines[0], number, strings.Join(append(lines[1:], ""), "\r\n"), body)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return "no answer: " + err.Error()
	}
	text, _ := io.ReadAll(res.Body)
	out := fmt.Sprintf("%d", res.StatusCode)
	for _, name := range []string{"Content-Type", "Location", "X-A", "X-B", "X-Powered-By", "X-Path", "X-Always", "X-New", "Content-Range"} {
		if v := res.Header.Values(name); len(v) > 0 {
			value := strings.ReplaceAll(strings.Join(v, ", "), fmt.Sprint(port), "PORT")
			if name == "Content-Type" {
				value, _, _ = strings.Cut(value, ";")
			}
			out += fmt.Sprintf(" %s=%q", name, value)
		}
	}
	if !strings.Contains(string(text), "<title>") && !strings.Contains(string(text), "<h1>") {
		out += fmt.Sprintf(" %q", text)
	}
	return out
}
