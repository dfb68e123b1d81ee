package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
)

// console is a Site on a real socket and a browser's cookie jar.
type console struct {
	*httptest.Server
	t        testing.TB
	store    *store.Store
	control  *control.Control
	password string
	client   *http.Client
}

func startConsole(t testing.TB, change func(*Config)) *console {
	t.Helper()
	s, err := store.Open(store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Open(control.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	password, _, err := c.FirstRun()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Store: s, Control: c, Version: "test"}
	if change != nil {
		change(&cfg)
	}
	srv := httptest.NewUnstartedServer(New(cfg))
	srv.Start()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		c.Close()
		s.Close()
	})
	return &console{srv, t, s, c, password, client}
}

// do makes a request and returns the answer with its body read.
func (c *console) do(method, path string, form url.Values, headers ...string) (*http.Response, string) {
	c.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(b)
}

var tokenPattern = regexp.MustCompile(`name="token" value="([^"]+)"`)

// token is the form token of the page at path.
func (c *console) token(path string) string {
	c.t.Helper()
	_, body := c.do("GET", path, nil)
	m := tokenPattern.FindStringSubmatch(body)
	if m == nil {
		c.t.Fatalf("%s has no form token: %s", path, body)
	}
	return m[1]
}

func (c *console) signIn() {
	c.t.Helper()
	form := url.Values{"token": {c.token("/sign-in")}, "user": {"admin"}, "password": {c.password}, "next": {"/events"}}
	resp, body := c.do("POST", "/sign-in", form)
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/events" {
		c.t.Fatalf("sign-in: %s %s", resp.Status, body)
	}
}

func testRecord(n int) *audit.Record {
	r := &audit.Record{
		ID: fmt.Sprintf("id-%d", n), Time: time.Now().Add(-time.Duration(n) * time.Minute).UTC().Truncate(time.Microsecond), Honeytrap: true, Host: "trap",
		Peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 9)}), 50000), Server: netip.MustParseAddrPort("127.0.0.1:8000"),
		RequestHead: []byte(fmt.Sprintf("GET /page-%d HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8\r\n", n)),
		Status:      403, ResponseHead: []byte("HTTP/1.1 403 Forbidden\r\n"), Parts: "ABCEFHIJKZ",
		Action:  &audit.Action{Phase: 2, Status: 403, Kind: "deny"},
		Matches: []audit.Match{{ID: 999004, Phase: 2, Disruptive: true, Operator: `Pattern match "^(8000)$" at SERVER_PORT.`, Message: "HoneyTrap Alert: Traffic Received on Fake Port.", Severity: "CRITICAL"}},
	}
	r.Client = r.Peer
	return r
}

func (c *console) insert(records ...*audit.Record) {
	c.t.Helper()
	var events []store.Event
	for _, r := range records {
		events = append(events, store.Event{Sensor: "east-1", Entry: audit.AppendNative(nil, r), Record: r})
	}
	if _, err := c.store.Insert(c.t.Context(), events); err != nil {
		c.t.Fatal(err)
	}
}

func TestEveryPageNeedsASession(t *testing.T) {
	c := startConsole(t, nil)
	for _, path := range []string{"/events", "/events/a/b", "/events/a/b/entry", "/sensors", "/account"} {
		resp, _ := c.do("GET", path, nil)
		if resp.StatusCode != 303 || !strings.HasPrefix(resp.Header.Get("Location"), "/sign-in?next=") {
			t.Errorf("%s: %s %s", path, resp.Status, resp.Header.Get("Location"))
		}
	}
	for _, path := range []string{"/events/rows?since=0", "/events/live?since=0"} {
		if resp, _ := c.do("GET", path, nil); resp.StatusCode != 401 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	for _, path := range []string{"/sensors", "/sensors/x/renew", "/sensors/x/remove", "/account", "/sign-out"} {
		if resp, _ := c.do("POST", path, url.Values{"token": {"x"}}); resp.StatusCode != 401 {
			t.Errorf("POST %s: %s", path, resp.Status)
		}
	}
}

func TestSignInAndOut(t *testing.T) {
	c := startConsole(t, nil)
	form := url.Values{"token": {c.token("/sign-in")}, "user": {"admin"}, "password": {"wrong"}}
	if resp, body := c.do("POST", "/sign-in", form); resp.StatusCode != 401 || !strings.Contains(body, "wrong") {
		t.Error(resp.Status, body)
	}
	form.Set("password", c.password)
	form.Set("token", "forged")
	if resp, _ := c.do("POST", "/sign-in", form); resp.StatusCode != 403 {
		t.Error("forged form:", resp.Status)
	}
	form.Set("token", c.token("/sign-in"))
	for next, want := range map[string]string{"/events?port=8000": "/events?port=8000", "//evil.example": "/events", `/\evil.example`: "/events", "https://evil.example/": "/events", "": "/events"} {
		form.Set("token", c.token("/sign-in"))
		form.Set("next", next)
		resp, _ := c.do("POST", "/sign-in", form)
		if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != want {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
		for _, cookie := range resp.Cookies() {
			if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" {
				t.Errorf("cookie %+v", cookie)
			}
		}
	}
	resp, body := c.do("GET", "/events", nil)
	if resp.StatusCode != 200 || !strings.Contains(body, "Nothing has touched a trap yet") || !strings.Contains(body, "curl http://127.0.0.1:8000/") {
		t.Error(resp.Status, body)
	}
	old := c.client.Jar.Cookies(resp.Request.URL)
	if resp, _ := c.do("POST", "/sign-out", url.Values{"token": {c.token("/events")}}); resp.StatusCode != 303 {
		t.Error(resp.Status)
	}
	c.client.Jar.SetCookies(resp.Request.URL, old)
	if resp, _ := c.do("GET", "/events", nil); resp.StatusCode != 303 {
		t.Error("the session lives after sign-out:", resp.Status)
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	token := c.token("/sensors")
	for _, h := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		if resp, _ := c.do("POST", "/sensors", url.Values{"token": {token}, "name": {"x"}}, h[0], h[1]); resp.StatusCode != 403 {
			t.Errorf("%v: %s", h, resp.Status)
		}
	}
	if resp, _ := c.do("POST", "/sensors", url.Values{"token": {"other"}, "name": {"x"}}); resp.StatusCode != 403 {
		t.Error("wrong token:", resp.Status)
	}
	if list := c.control.Sensors(); len(list) != 0 {
		t.Error(list)
	}
}

func TestHostNamesThatWeDoNotHaveAreRefused(t *testing.T) {
	c := startConsole(t, func(cfg *Config) { cfg.Hosts = []string{"console.example"}; cfg.URL = "https://public.example:8443/x" })
	for host, want := range map[string]int{
		"127.0.0.1:80": 200, "[::1]:80": 200, "localhost": 200, "x.localhost:1": 200, "LOCALHOST.": 200, "console.example:99": 200, "public.example": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "evilconsole.example": 421, "": 421,
	} {
		if host == "" {
			continue // net/http's client fills it in
		}
		if resp, _ := c.do("GET", "/sign-in", nil, "Host", host); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", host, resp.Status, want)
		}
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	c.insert(testRecord(1))
	for _, path := range []string{"/events", "/events/east-1/id-1", "/events/east-1/id-1/entry", "/sensors", "/nothing", "/events?older=bad", "/sign-in", New(Config{}).assets.url("live.js")} {
		resp, _ := c.do("GET", path, nil)
		h := resp.Header
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
		if cache := h.Get("Cache-Control"); cache != "no-store" && !strings.HasPrefix(path, "/static/") {
			t.Errorf("%s: %s", path, cache)
		}
	}
	for _, forbidden := range []string{"unsafe-inline", "unsafe-eval", "*", "http:", "data:"} {
		if strings.Contains(policy, forbidden) {
			t.Error("policy has", forbidden)
		}
	}
}

func TestEventsListFiltersAndPages(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	var records []*audit.Record
	for n := range 250 {
		records = append(records, testRecord(n))
	}
	c.insert(records...)
	resp, body := c.do("GET", "/events", nil)
	if resp.StatusCode != 200 || strings.Count(body, "<tr class=") != 100 || !strings.Contains(body, "/page-0<") || strings.Contains(body, "/page-100<") {
		t.Fatal(resp.Status, strings.Count(body, "<tr class="))
	}
	link := func(rel, body string) string {
		m := regexp.MustCompile(`href="([^"]+)" rel="` + rel + `"`).FindStringSubmatch(body)
		if m == nil {
			return ""
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	if link("prev", body) != "" {
		t.Error("the first page has a newer one")
	}
	_, body = c.do("GET", link("next", body), nil)
	if !strings.Contains(body, "/page-100<") || !strings.Contains(body, "/page-199<") || strings.Contains(body, "id=\"live\"") {
		t.Error("second page")
	}
	_, third := c.do("GET", link("next", body), nil)
	if strings.Count(third, "<tr class=") != 50 || link("next", third) != "" {
		t.Error("third page")
	}
	_, back := c.do("GET", link("prev", third), nil)
	if !strings.Contains(back, "/page-100<") || !strings.Contains(back, "/page-199<") {
		t.Error("newer page")
	}
	_, first := c.do("GET", link("prev", back), nil)
	if resp, _ := c.do("GET", link("prev", first), nil); resp.StatusCode != 303 {
		t.Error("before the first page:", resp.Status)
	}
	_, body = c.do("GET", "/events?client=192.0.2.3&status=4xx&port=nonsense", nil)
	if strings.Count(body, "<tr class=") != 28 || !strings.Contains(body, `aria-label="Remove filter Client"`) || !strings.Contains(body, "Not understood") {
		t.Error(strings.Count(body, "<tr class="), "rows of one client")
	}
	if _, body = c.do("GET", "/events?rule=1", nil); !strings.Contains(body, "No event matches") {
		t.Error("empty filter")
	}
}

func TestLiveRowsArriveWithinASecondAndGoOnWithoutAGap(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	c.insert(testRecord(1))
	listen := func(query, last string) (*http.Response, chan string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", c.URL+"/events/live?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := c.client.Do(req)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		messages := make(chan string, 10)
		go func() {
			var all string
			buf := make([]byte, 64<<10)
			for {
				n, err := resp.Body.Read(buf)
				all += string(buf[:n])
				for {
					message, rest, found := strings.Cut(all, "\n\n")
					if !found {
						break
					}
					all = rest
					if strings.Contains(message, "data:") {
						messages <- message
					}
				}
				if err != nil {
					close(messages)
					return
				}
			}
		}()
		return resp, messages
	}
	next := func(messages chan string) string {
		t.Helper()
		select {
		case m := <-messages:
			return m
		case <-time.After(3 * time.Second):
			t.Fatal("no message")
			return ""
		}
	}
	_, all := listen("since=1", "")
	_, filtered := listen("since=1&client=192.0.2.7", "")
	start := time.Now()
	c.insert(testRecord(2))
	if m := next(all); !strings.Contains(m, "id: 2\n") || !strings.Contains(m, "/page-2") {
		t.Error(m)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("the row took %s", d)
	}
	c.insert(testRecord(7))
	if m := next(filtered); strings.Contains(m, "/page-2") || !strings.Contains(m, "/page-7") {
		t.Error(m)
	}
	_, again := listen("since=1", "2")
	if m := next(again); strings.Contains(m, "/page-2") || !strings.Contains(m, "/page-7") {
		t.Error(m)
	}
	if resp, body := c.do("GET", "/events/rows?since=1", nil); resp.StatusCode != 200 || !strings.Contains(body, `"seq":3`) || !strings.Contains(body, "page-7") {
		t.Error(resp.Status, body)
	}
	if resp, _ := c.do("GET", "/events/rows?since=x", nil); resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
}

func TestEventPageAndDownload(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	r := testRecord(1)
	r.RequestHead = []byte("POST /a%2f..%2f?q=%3Cscript%3E&x=1 HTTP/1.1\r\nHost: h\r\nX-Two: a\r\nX-Two: b\r\n folded\r\nUser-Agent: u\r\n")
	r.RequestBody = []byte("a=\x00\x01\xffend")
	r.TLS = &audit.TLS{Version: "1.3", Server: "sni.example", ALPN: []string{"h2"}, JA4: "t13d1516h2_8daaf6152771_b186095e22b6"}
	r.Rules = []audit.RuleText{{ID: 999004, Raw: `SecRule SERVER_PORT "^8000$" "id:999004"`}}
	r.Files = []audit.File{{Size: 12, Name: "shell.php", Field: "f", ContentType: "text/x"}}
	c.insert(r)
	resp, body := c.do("GET", "/events/east-1/id-1", nil)
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status, body)
	}
	for _, want := range []string{
		"sni.example", "t13d1516h2_8daaf6152771_b186095e22b6", "SecRule SERVER_PORT", "/a/../?q=&lt;script&gt;&amp;x=1", `>\x00<`, `>\xff<`, "61 3d 00 01 ff",
		"folded", "HoneyTrap Alert", "999004", "east-1", "403",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	resp, entry := c.do("GET", "/events/east-1/id-1/entry", nil)
	e, err := c.store.Event(t.Context(), "east-1", "id-1")
	if err != nil || entry != string(e.Entry) {
		t.Error("download differs", err)
	}
	if resp.Header.Get("Content-Disposition") != `attachment; filename="id-1.audit"` || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Error(resp.Header)
	}
	for _, path := range []string{"/events/east-1/none", "/events/none/id-1", "/events/east-1/none/entry"} {
		if resp, _ := c.do("GET", path, nil); resp.StatusCode != 404 {
			t.Error(path, resp.Status)
		}
	}
}

func TestSensorsPageShowsTheSecretOnce(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	c.insert(testRecord(1))
	resp, body := c.do("POST", "/sensors", url.Values{"token": {c.token("/sensors")}, "name": {"west-1"}})
	m := regexp.MustCompile(`TrapReport ` + regexp.QuoteMeta(c.URL) + ` user=west-1 password=([A-Za-z0-9_-]{43})`).FindStringSubmatch(body)
	if resp.StatusCode != 200 || m == nil {
		t.Fatal(resp.Status, body)
	}
	if _, err := c.control.AuthenticateSensor(t.Context(), "west-1", m[1], netip.Addr{}); err != nil {
		t.Error(err)
	}
	if _, err := c.control.AuthenticateSensor(t.Context(), "west-1", "mistyped", netip.MustParseAddr("198.51.100.7")); err == nil {
		t.Error("a mistyped secret is right")
	}
	if _, body = c.do("GET", "/sensors", nil); !strings.Contains(body, "wrong secret from <code>198.51.100.7</code>") {
		t.Error("the wrong secret is not shown")
	}
	_, body = c.do("GET", "/sensors", nil)
	if strings.Contains(body, m[1]) || !strings.Contains(body, "west-1") || !strings.Contains(body, "no login") {
		t.Error("list of sensors:", body)
	}
	for _, name := range []string{"west-1", "<script>", ""} {
		if resp, body := c.do("POST", "/sensors", url.Values{"token": {c.token("/sensors")}, "name": {name}}); resp.StatusCode != 422 || strings.Contains(body, "<script>") {
			t.Error(name, resp.Status)
		}
	}
	resp, body = c.do("POST", "/sensors/west-1/renew", url.Values{"token": {c.token("/sensors")}})
	if resp.StatusCode != 200 || strings.Contains(body, m[1]) {
		t.Error(resp.Status)
	}
	if resp, _ := c.do("POST", "/sensors/west-1/remove", url.Values{"token": {c.token("/sensors")}}); resp.StatusCode != 303 || len(c.control.Sensors()) != 0 {
		t.Error(resp.Status, c.control.Sensors())
	}
}

func TestDecisionsPageAndUnban(t *testing.T) {
	bans := []Decision{{Value: netip.MustParsePrefix("192.0.2.1/32"), Type: "ban", Scenario: "ip.malicious_client <b>", Created: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Hour)}}
	c := startConsole(t, func(cfg *Config) {
		cfg.Decisions = func(context.Context) ([]Decision, error) { return bans, nil }
		cfg.Unban = func(_ context.Context, a netip.Addr) error {
			if a == netip.MustParseAddr("192.0.2.1") {
				bans = nil
			}
			return nil
		}
	})
	c.signIn()
	c.insert(testRecord(1))
	for _, path := range []string{"/decisions", "/events/east-1/id-1"} {
		_, body := c.do("GET", path, nil)
		if !strings.Contains(body, "Unban") || !strings.Contains(body, "ip.malicious_client &lt;b&gt;") {
			t.Error(path, body)
		}
	}
	if resp, _ := c.do("POST", "/decisions/unban", url.Values{"token": {c.token("/decisions")}, "address": {"192.0.2.1"}}); resp.StatusCode != 303 {
		t.Error(resp.Status)
	}
	if _, body := c.do("GET", "/decisions", nil); !strings.Contains(body, "Nobody is banned") {
		t.Error(body)
	}
	if resp, _ := c.do("POST", "/decisions/unban", url.Values{"token": {c.token("/decisions")}, "address": {"x"}}); resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
	without := startConsole(t, nil)
	without.signIn()
	if resp, _ := without.do("GET", "/decisions", nil); resp.StatusCode != 404 {
		t.Error(resp.Status)
	}
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	c := startConsole(t, nil)
	c.signIn()
	other, err := c.control.NewSession(t.Context(), "admin", netip.Addr{}, "")
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"token": {c.token("/account")}, "password": {"wrong"}, "new": {"a new password"}}
	if resp, _ := c.do("POST", "/account", form); resp.StatusCode != 422 {
		t.Error(resp.Status)
	}
	form.Set("password", c.password)
	if resp, _ := c.do("POST", "/account", form); resp.StatusCode != 303 {
		t.Fatal(resp.Status)
	}
	if resp, body := c.do("GET", "/account", nil); resp.StatusCode != 200 || !strings.Contains(body, "Latest logins") {
		t.Error(resp.Status)
	}
	if _, err := c.control.Session(t.Context(), other); err == nil {
		t.Error("the other session lives on")
	}
}

func testDecisions(d *Decision) (func(context.Context) ([]Decision, error), func(context.Context, netip.Addr) error) {
	return func(context.Context) ([]Decision, error) { return []Decision{*d}, nil }, func(context.Context, netip.Addr) error { return nil }
}
