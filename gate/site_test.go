package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
)

// webRoot makes a folder to serve.
func webRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"index.html": "home", "page.txt": "0123456789", ".htpasswd": "secret", "sub/index.html": "sub", "private/x.html": "private",
		"list/a.txt": "a", "list/.hidden": "h", "list/b&c.txt": "b", "data.foo": "foo", "oops.html": "<b>our own 404</b>",
	} {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFiles(t *testing.T) {
	dir := webRoot(t)
	outside := t.TempDir()
	os.WriteFile(filepath.Join(outside, "o.txt"), []byte("outside"), 0o644)
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	b := start(t, fmt.Sprintf(`DocumentRoot %s
Alias /other %s
AddType text/x-foo .foo
AddDefaultCharset utf-8
ErrorDocument 404 /oops.html
Redirect permanent /old http://new.example/place
RedirectMatch 302 "^/r/(?!z)(.*)$" /sub/$1
<Directory %[1]s>
  Options -Indexes +FollowSymLinks
  Require all granted
</Directory>
<Directory %[1]s/list>
  Options +Indexes
</Directory>
<Directory %[1]s/private>
  Require ip 192.0.2.0/24
</Directory>
<FilesMatch "^\.ht">
  Require all denied
</FilesMatch>
<Location /status>
  Order deny,allow
  Deny from all
  Allow from 192.0.2.1
</Location>
`, dir, outside), nil)
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "home"},
		{"/page.txt", 200, "0123456789"},
		{"/sub", 301, ""},
		{"/sub/", 200, "sub"},
		{"/page.txt/", 404, "<b>our own 404</b>"},
		{"/nothing", 404, "<b>our own 404</b>"},
		{"/.htpasswd", 403, ""},
		{"/sub/../.htpasswd", 403, ""},
		{"/%2e%68tpasswd", 403, ""},
		{"/private/x.html", 403, ""},
		{"/private/", 403, ""},
		{"/private", 403, ""},
		{"//private//x.html", 403, ""},
		{"/status", 403, ""},
		{"/status/more", 403, ""},
		{"/list/", 200, "b&amp;c.txt"},
		{"/link/o.txt", 200, "outside"},
		{"/other/o.txt", 200, "outside"},
		{"/other/../../../../etc/passwd", 400, ""},
		{"/..%2f..%2f..%2fetc/passwd", 400, ""},
		{"/data.foo", 200, "foo"},
		{"/old/x?y=1", 301, ""},
		{"/r/abc", 302, ""},
		{"/r/z", 404, ""},
		{"/page.txt%00.html", 404, ""},
	} {
		res, body := b.get(c.path)
		if res.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %q, want %d %q", c.path, res.StatusCode, body, c.status, c.body)
		}
		if strings.Contains(body, "hidden") || strings.Contains(body, "secret") || strings.Contains(body, "root:") {
			t.Errorf("%s shows what it should not: %s", c.path, body)
		}
	}
	res, _ := b.get("/old/x?y=1")
	if got := res.Header.Get("Location"); got != "http://new.example/place/x?y=1" {
		t.Errorf("redirect to %q", got)
	}
	res, _ = b.get("/r/abc", "Host", "www.example.com")
	if got := res.Header.Get("Location"); got != "http://www.example.com/sub/abc" {
		t.Errorf("redirect to %q", got)
	}
	if res, _ = b.get("/data.foo"); res.Header.Get("Content-Type") != "text/x-foo" {
		t.Errorf("type %q", res.Header.Get("Content-Type"))
	}
	if res, _ = b.get("/page.txt"); res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("ETag") == "" {
		t.Errorf("header %v", res.Header)
	}
	res, body := b.get("/page.txt", "Range", "bytes=2-4")
	if res.StatusCode != 206 || body != "234" || res.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("range: %d %q %v", res.StatusCode, body, res.Header)
	}
	etag := res.Header.Get("ETag")
	if res, _ = b.get("/page.txt", "If-None-Match", etag); res.StatusCode != 304 {
		t.Errorf("not modified: %d", res.StatusCode)
	}
	for method, want := range map[string]int{"HEAD": 200, "POST": 200, "OPTIONS": 200, "TRACE": 405, "DELETE": 405} {
		res, body := b.do(http.DefaultClient, method, "http://"+b.addr+"/page.txt", nil)
		if res.StatusCode != want || method == "HEAD" && body != "" {
			t.Errorf("%s: %d %q", method, res.StatusCode, body)
		}
	}
	if out := b.raw("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.1 200 ") {
		t.Errorf("OPTIONS *: %q", out)
	}
	if out := b.raw("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(out, "HTTP/1.1 405 ") {
		t.Errorf("CONNECT: %q", out)
	}
}

// TestDecoyName: a honeytrap may share a port with the real site, under a name that nobody has reason to ask for.
func TestDecoyName(t *testing.T) {
	b := start(t, rules+`SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
SecRule &IP:DECOY "@eq 1" "id:2,phase:2,deny,status:403"
<VirtualHost *:PORT>
ServerName www.example.com
TrapSite builtin
</VirtualHost>
<VirtualHost *:PORT>
ServerName admin.example.com
TrapHost On
SecAuditEngine On
SecAction "id:3,phase:1,pass,nolog,setvar:ip.decoy=1"
</VirtualHost>
`, nil)
	for _, c := range []struct {
		host   string
		status int
	}{{"www.example.com", 200}, {"unknown.example", 200}, {"admin.example.com", 403}, {"www.example.com", 403}} {
		if res, _ := b.get("/", "Host", c.host); res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.host, res.StatusCode, c.status)
		}
	}
	if r := b.record(0); !r.Honeytrap || r.Host != "admin.example.com" {
		t.Errorf("record %+v", r)
	}
}

func TestSymlinksCanBeRefused(t *testing.T) {
	dir := webRoot(t)
	if real, err := filepath.EvalSymlinks(dir); err != nil || real != dir {
		t.Skip("SKIPPED: the temporary folder is itself behind a link")
	}
	os.Symlink("/etc", filepath.Join(dir, "etc"))
	b := start(t, "DocumentRoot "+dir+"\n<Directory "+dir+">\nOptions None\n</Directory>\n", nil)
	for path, want := range map[string]int{"/page.txt": 200, "/etc/passwd": 403, "/etc/": 403} {
		if res, _ := b.get(path); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

func TestRequireTrees(t *testing.T) {
	b := start(t, `TrapSite builtin
SetEnvIf X-Friend yes friend
SetEnvIfNoCase User-Agent "^bad" bad=1
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
<Location /not>
  Require not ip 10.0.0.1
</Location>
<Location /old>
  Order allow,deny
  Allow from 127.0
  Deny from env=bad
</Location>
<Location /limit>
  <LimitExcept GET>
    Require all denied
  </LimitExcept>
</Location>
`, nil)
	for _, c := range []struct {
		path, name, value string
		denied            bool
	}{
		{"/any", "", "", true},
		{"/any", "X-Friend", "yes", false},
		{"/all", "", "", false},
		{"/all", "User-Agent", "BADbot", true},
		{"/none", "", "", false},
		{"/none", "X-Friend", "yes", true},
		{"/not", "", "", true}, // as Apache: "not" alone grants nothing
		{"/old", "", "", false},
		{"/old", "User-Agent", "bad", true},
		{"/limit", "", "", false},
	} {
		header := []string{}
		if c.name != "" {
			header = []string{c.name, c.value}
		}
		if res, _ := b.get(c.path, header...); (res.StatusCode == 403) != c.denied {
			t.Errorf("%s %s: %d", c.path, c.value, res.StatusCode)
		}
	}
	if res, _ := b.do(http.DefaultClient, "PUT", "http://"+b.addr+"/limit", nil); res.StatusCode != 403 {
		t.Errorf("PUT: %d", res.StatusCode)
	}
}

func TestHeaderDirectives(t *testing.T) {
	b := start(t, rules+`SecAction "id:1,phase:1,nolog,pass,setenv:score=7"
SetEnvIf Request_URI "^/v(\d)" version=$1
RequestHeader set X-Version "%{version}e"
RequestHeader unset Cookie
RequestHeader edit User-Agent "^(\w+).*" "<$1>"
RequestHeader append Via-List two
RequestHeader set X-Score %{score}e env=score
Header set X-A one
Header append X-A two
Header add X-B 1
Header add X-B 2
Header merge X-A two
Header unset X-Powered-By
Header edit* X-Path / _
Header always set X-Always "100%%" env=version
Header setifempty X-Up ours
Header setifempty X-New new
Header echo ^X-Echo
<Location /v2>
Header set X-Loc yes
</Location>
ErrorDocument 403 "No \"entry\"."
<Location /forbidden>
Require all denied
</Location>
`+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "PHP")
		w.Header().Set("X-Path", "/a/b")
		w.Header().Set("X-Up", "theirs")
		echoServer(w, r)
	}))
	res, body := b.get("/v2/x", "Cookie", "a=1", "User-Agent", "curl/8 (x)", "Via-List", "one", "X-Echo-Me", "hi")
	for _, want := range []string{"X-Version: 2\n", "User-Agent: <curl>\n", "Via-List: one, two\n", "X-Score: 7\n"} {
		if !strings.Contains(body, want) {
			t.Errorf("upstream saw %s, want %s", body, want)
		}
	}
	if strings.Contains(body, "Cookie") {
		t.Error("the cookie went through")
	}
	for name, want := range map[string]string{
		"X-A": "one, two", "X-B": "1|2", "X-Powered-By": "", "X-Path": "_a_b", "X-Always": "100%", "X-Up": "theirs", "X-New": "new", "X-Echo-Me": "hi", "X-Loc": "yes",
	} {
		if got := strings.Join(res.Header.Values(name), "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	res, body = b.get("/forbidden")
	if res.StatusCode != 403 || body != `No "entry".` || res.Header.Get("X-A") != "" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
}

// A rule that reads the body gets it unless SecRequestBodyAccess is Off; what the rules alone would say (trapline explain) is
// what the site does.
func TestBodyAccessUnsaid(t *testing.T) {
	rule := "SecRule ARGS_POST:evil \"@streq 1\" \"id:1,phase:2,deny,status:403\"\n"
	limit := "SecRequestBodyLimit 10\nSecRequestBodyLimitAction Reject\n"
	for _, c := range []struct {
		conf, body string
		want       int
	}{
		{rule, "evil=1", 403},
		{rule, "evil=2", 200},
		{rule, "a=" + strings.Repeat("x", 300_000), 200},
		{rule + "SecRequestBodyAccess Off\n", "evil=1", 200},
		{rule + "SecRequestBodyAccess On\n", "evil=1", 403},
		{limit, "0123456789", 200},
		{limit, "0123456789a", 403},
	} {
		b := start(t, rules+c.conf+proxyAll, http.HandlerFunc(echoServer))
		res, text := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", strings.NewReader(c.body), "Content-Type", "application/x-www-form-urlencoded")
		if res.StatusCode != c.want || c.want == 200 && !strings.HasSuffix(text, c.body) {
			t.Errorf("%q %.20q: %d, want %d", c.conf, c.body, res.StatusCode, c.want)
		}
	}
}

func TestBodyRules(t *testing.T) {
	b := start(t, rules+`SecRequestBodyAccess On
SecRequestBodyLimit 300000
SecRequestBodyInMemoryLimit 1000
SecRequestBodyNoFilesLimit 300000
SecAuditEngine RelevantOnly
SecAuditLogParts ABCFHZ
SecRule ARGS_POST:evil "@streq 1" "id:1,phase:2,deny,status:403"
`+proxyAll, http.HandlerFunc(echoServer))
	post := func(body string) (int, string) {
		res, text := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", strings.NewReader(body), "Content-Type", "application/x-www-form-urlencoded")
		return res.StatusCode, text
	}
	if status, text := post("good=1&x=2"); status != 200 || !strings.HasSuffix(text, "\n\ngood=1&x=2") {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := post("evil=1"); status != 403 {
		t.Errorf("evil: %d", status)
	}
	if r := b.record(0); string(r.RequestBody) != "evil=1" || r.RequestBodySize != 6 {
		t.Errorf("record body %q", r.RequestBody)
	}
	large := "good=" + strings.Repeat("x", 200_000)
	if status, text := post(large); status != 200 || !strings.HasSuffix(text, "\n\n"+large) {
		t.Errorf("a body in a file: %d, %d bytes", status, len(text))
	}
	if left, _ := filepath.Glob(filepath.Join(b.gate.cfg.TempDir, "*")); len(left) != 0 {
		t.Errorf("files left: %v", left)
	}
	if status, _ := post(strings.Repeat("x", 400_000)); status != 413 && status != 403 {
		t.Errorf("over the limit: %d", status)
	}
	if out := b.raw("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"); !strings.HasPrefix(out, "HTTP/1.1 400 ") {
		t.Errorf("bad chunk: %q", out)
	}
	// A client may end a chunked body with trailers: framing does not change what the upstream gets.
	out := b.raw("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	if !strings.HasSuffix(out, "\n\nabc") {
		t.Errorf("chunked: %q", out)
	}
}

// TestSecretsAreMasked: the body has to be parsed for the sake of the record, even if no rule looks at it.
func TestSecretsAreMasked(t *testing.T) {
	b := start(t, rules+`SecRequestBodyAccess On
SecAuditEngine On
SecAuditLogParts ABCFHZ
SecAction "id:1,phase:2,nolog,pass,sanitiseArg:password"
`+proxyAll, http.HandlerFunc(echoServer))
	_, text := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", strings.NewReader("user=me&password=geheim"), "Content-Type", "application/x-www-form-urlencoded")
	if !strings.HasSuffix(text, "password=geheim") {
		t.Errorf("the upstream got %q", text)
	}
	if got := string(b.record(0).RequestBody); got != "user=me&password=******" {
		t.Errorf("the record has %q", got)
	}
}

func TestPartialBodyStreamsOn(t *testing.T) {
	b := start(t, rules+`SecRequestBodyAccess On
SecRequestBodyLimit 1000
SecRequestBodyNoFilesLimit 1000
SecRequestBodyLimitAction ProcessPartial
SecRule ARGS_POST:evil "@streq 1" "id:1,phase:2,deny,status:403"
`+proxyAll, http.HandlerFunc(echoServer))
	large := "good=" + strings.Repeat("x", 100_000)
	res, text := b.do(http.DefaultClient, "POST", "http://"+b.addr+"/", strings.NewReader(large), "Content-Type", "application/x-www-form-urlencoded")
	if res.StatusCode != 200 || !strings.HasSuffix(text, "\n\n"+large) {
		t.Errorf("%d, %d bytes", res.StatusCode, len(text))
	}
}

func TestDisruptiveActions(t *testing.T) {
	b := start(t, rules+`SecRule ARGS:do "@streq drop" "id:1,phase:1,drop"
SecRule ARGS:do "@streq redirect" "id:2,phase:1,redirect:http://elsewhere.example/x"
SecRule ARGS:do "@streq pause" "id:3,phase:2,pause:50,deny,status:418"
SecRule ARGS:do "@streq proxy" "id:4,phase:2,proxy:http://UPSTREAM/proxied"
SecAuditEngine RelevantOnly
SecAuditLogParts ABFHZ
TrapSite builtin
`, http.HandlerFunc(echoServer))
	if out := b.raw("GET /?do=drop HTTP/1.1\r\nHost: x\r\n\r\n"); out != "" {
		t.Errorf("drop: %q", out)
	}
	if r := b.record(0); r.Action == nil || r.Action.Kind != "drop" {
		t.Errorf("drop: %+v", r)
	}
	res, _ := b.get("/?do=redirect")
	if res.StatusCode != 302 || res.Header.Get("Location") != "http://elsewhere.example/x" {
		t.Errorf("redirect: %d %v", res.StatusCode, res.Header)
	}
	began := time.Now()
	if res, _ = b.get("/?do=pause"); res.StatusCode != 418 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("pause: %d after %v", res.StatusCode, time.Since(began))
	}
	if res, body := b.get("/?do=proxy"); res.StatusCode != 200 || !strings.HasPrefix(body, "GET /proxied?do=proxy") {
		t.Errorf("proxy: %d %q", res.StatusCode, body)
	}
}

func TestTagIsInForceBeforeTheFirstByte(t *testing.T) {
	b := start(t, rules+`SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
SecRule REQUEST_URI "@contains touch" "id:2,phase:2,pass,nolog,setvar:ip.bad=1"
TrapSite builtin
`, nil)
	c := b.dial()
	defer c.Close()
	io.WriteString(c, "GET /touch HTTP/1.1\r\nHost: x\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	v, _ := b.store.Load("ip", "127.0.0.1", time.Now())
	if bad, _ := v.Get("bad"); bad != "1" {
		t.Error("the first byte came before the tag")
	}
}

// TestSlowRecordsDelayNobody gives the gate a Handle that never returns.
func TestSlowRecordsDelayNobody(t *testing.T) {
	b := start(t, rules+"SecAuditEngine On\nTrapSite builtin\n", nil)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	sites := b.gate.cfg.Sites
	site := sites.Site
	sites.Site = func(h *config.Host) Site {
		s := site(h)
		s.Handle = func(ctx context.Context, _ *audit.Record, _ collection.Ticket) error {
			select {
			case <-hang:
			case <-ctx.Done():
			}
			return errors.New("never")
		}
		return s
	}
	if err := b.gate.SetSites(sites); err != nil {
		t.Fatal(err)
	}
	c := b.gate.cfg.Queue + 100
	began := time.Now()
	for range c {
		if res, _ := b.get("/"); res.StatusCode != 200 {
			t.Fatal(res.StatusCode)
		}
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("%d requests took %v", c, d)
	}
	if got := b.gate.Stats().Dropped; got == 0 {
		t.Error("nothing was counted as dropped")
	}
}

// TestWaitingBodiesAreBounded has records with large bodies wait for a disk that stands still.
func TestWaitingBodiesAreBounded(t *testing.T) {
	b := start(t, "TrapSite builtin\n", nil)
	const size = 1 << 20
	s := b.gate.table.Load().sites[b.gate.table.Load().config.Main]
	hang := make(chan struct{})
	s.Handle = func(context.Context, *audit.Record, collection.Ticket) error {
		<-hang
		return nil
	}
	const n = maxWaitingBodies/size + 100
	var first, last *audit.Record
	for i := range n {
		r := &audit.Record{RequestBody: make([]byte, size)}
		if i == 0 {
			first = r
		}
		last = r
		b.gate.enqueue(queued{site: s, record: r})
	}
	if got := b.gate.Stats(); got.Dropped != 0 || got.BodiesCut != 100 || len(last.RequestBody) != 0 || len(last.Trailer) != 1 || len(first.RequestBody) != size {
		t.Errorf("%+v, first %d, last %d bytes", got, len(first.RequestBody), len(last.RequestBody))
	}
	close(hang)
	eventually(t, "an empty queue", func() bool { return b.gate.waiting.Load() == 0 })
}

// panicFS is a file system with a bug.
type panicFS struct{}

func (panicFS) Open(string) (fs.File, error) { panic("a bug") }

func TestPanicsAreContained(t *testing.T) {
	b := start(t, rules+"SecAuditEngine On\nSecAuditLogParts ABFHZ\nTrapSite builtin\n", nil)
	b.gate.table.Load().sites[b.gate.table.Load().config.Main].root = &folder{files: panicFS{}}
	res, _ := b.get("/")
	if res.StatusCode != 500 || b.gate.Stats().Panics != 1 {
		t.Errorf("%d %+v", res.StatusCode, b.gate.Stats())
	}
	if r := b.record(0); r.Status != 500 {
		t.Errorf("record %d", r.Status)
	}
	// Handle, and what runs after an answer, where net/http recovers nothing.
	sites, site := b.gate.cfg.Sites, b.gate.cfg.Sites.Site
	sites.Site = func(h *config.Host) Site {
		s := site(h)
		s.Handle = func(context.Context, *audit.Record, collection.Ticket) error { panic("a bug") }
		return s
	}
	if err := b.gate.SetSites(sites); err != nil {
		t.Fatal(err)
	}
	table := b.gate.table.Load()
	table.sites[table.config.Main].logs = []*accessLog{nil}
	if res, _ := b.get("/"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
	eventually(t, "both panics to be contained", func() bool { return b.gate.Stats().Panics == 3 })
	if res, _ := b.get("/"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestAccessLog(t *testing.T) {
	dir := t.TempDir()
	file, piped := filepath.Join(dir, "access.log"), filepath.Join(dir, "piped.log")
	b := start(t, rules+fmt.Sprintf(`SecAction "id:1,phase:1,nolog,pass,setenv:tagged=yes"
SetEnvIf Request_URI quiet quiet
CustomLog %s combined env=!quiet
CustomLog %[1]s "%%a %%m %%U%%q %%>s %%{tagged}e %%{X-Odd}i %%400,404{Referer}i %%{sec}t %%D" env=!quiet
CustomLog "|/bin/sh -c 'cat > %s'" "%%s"
TrapSite builtin
`, file, piped), nil)
	b.get("/?x=1", "User-Agent", "curl", "Referer", "http://r/", "X-Odd", "a\tb\"c")
	b.get("/quiet")
	b.raw("GET /refused HTTP/1.1\r\nHost : x\r\n\r\n")
	var lines []string
	eventually(t, "four lines", func() bool {
		text, _ := os.ReadFile(file)
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return len(lines) == 4
	})
	if !strings.HasPrefix(lines[0], "127.0.0.1 - - [") || !strings.Contains(lines[0], `] "GET /?x=1 HTTP/1.1" 200 `) || !strings.HasSuffix(lines[0], ` "http://r/" "curl"`) {
		t.Errorf("combined: %s", lines[0])
	}
	if !strings.HasPrefix(lines[1], `127.0.0.1 GET /index.html?x=1 200 yes a\tb\"c - `) && !strings.HasPrefix(lines[1], `127.0.0.1 GET /?x=1 200 yes a\tb\"c - `) {
		t.Errorf("own format: %s", lines[1])
	}
	if !strings.Contains(lines[2], `] "GET /refused HTTP/1.1" 400 `) {
		t.Errorf("what net/http refused: %s", lines[2])
	}
	eventually(t, "the program's lines", func() bool {
		text, _ := os.ReadFile(piped)
		return string(text) == "200\n404\n400\n"
	})
	// A rotated file is opened anew by a reload.
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := b.gate.SetSites(b.gate.cfg.Sites); err != nil {
		t.Fatal(err)
	}
	b.get("/after")
	eventually(t, "the new file", func() bool {
		text, _ := os.ReadFile(file)
		return strings.Contains(string(text), "/after")
	})
}

// TestStalledBodiesAreCut sends requests whose bodies never end: blocked, refused or answered from files, each must give
// its connection back.
func TestStalledBodiesAreCut(t *testing.T) {
	b := start(t, "Timeout 1\n"+rules+"SecRule REQUEST_URI \"@contains blocked\" \"id:1,phase:1,deny,status:403\"\nTrapSite builtin\n", nil)
	for _, line := range []string{"GET / ", "GET /missing ", "POST /blocked ", "DELETE / ", "GET /\t/ "} {
		for _, framing := range []string{"Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
			t.Run(line+framing, func(t *testing.T) {
				t.Parallel()
				c := b.dial()
				defer c.Close()
				io.WriteString(c, line+"HTTP/1.1\r\nHost: x\r\n"+framing)
				c.SetReadDeadline(time.Now().Add(8 * time.Second))
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Errorf("still open: %v", err)
				}
			})
		}
	}
}

// TestBodiesLeaveNoFiles: what a kill -9 finds of a long body has no name any more.
func TestBodiesLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	b := &requestBody{limit: 10}
	const text = "ten bytes, and what is above them"
	if err := b.write([]byte(text), dir); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 0 && runtime.GOOS != "windows" {
		t.Errorf("%v %v", files, err)
	}
	r, err := b.reader()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("%q %v", got, err)
	}
	b.close()
}
