package web

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

// payloads are what attackers write to take over the page of whoever reads the log. Each asks for /pwned when it runs.
func payloads() []string {
	return []string{
		`<script>fetch('/pwned')</script>`,
		`"><img src=/pwned onerror="fetch('/pwned')">`,
		`'><svg/onload=fetch('/pwned')>`,
		`</textarea></title></style></script><script src=/pwned></script>`,
		`javascript:fetch('/pwned')`,
		`" onmouseover="fetch('/pwned')" autofocus onfocus="fetch('/pwned')" x="`,
		"`${fetch('/pwned')}`",
		`{{.Token}}{{template "raw"}}`,
		"<iframe srcdoc=\"<script>parent.fetch('/pwned')</script>\">",
		"\x00<\x00script>\xff\xfe\x80<link rel=stylesheet href=/pwned>",
		"\u202egpj.exe\u2066\u200b\ufeff\u00a0\u0430dmin", // direction, zero width, Cyrillic а
		"\x1b]0;title\x07\x1b[2J\r\n--deadbeef-Z--\r\n",
		`<meta http-equiv=refresh content="0;url=/pwned"><base href=//evil.example/>`,
		`<form action=/pwned><button autofocus>`,
		"--><!--<!doctype><plaintext>",
	}
}

// hostileRecord carries a payload in every field that can hold one.
func hostileRecord(id, p string) *audit.Record {
	line := strings.NewReplacer("\r", "", "\n", "").Replace(p)
	r := &audit.Record{
		ID: id, Time: time.Now().UTC(), Host: p, Peer: netip.MustParseAddrPort("192.0.2.1:1"), Client: netip.MustParseAddrPort("192.0.2.2:2"),
		Server: netip.MustParseAddrPort("127.0.0.1:8000"), TLS: &audit.TLS{Version: p, Server: p, ALPN: []string{p}, JA4: p}, RemoteUser: p, SessionID: p,
		RequestHead: []byte(line + " /" + line + "?a=" + line + "&" + line + "=b HTTP/1.1\r\nHost: " + p + "\r\nUser-Agent: " + p + "\r\n" + p + ": " + p + "\r\n"),
		RequestBody: []byte(p), FakeBody: []byte(p), Files: []audit.File{{Size: 1, Name: p, Field: p, ContentType: p}},
		Status: 403, ResponseHead: []byte("HTTP/1.1 403 " + p + "\r\nX: " + p + "\r\n"), ResponseBody: []byte(p), Parts: "ABCEFHIJKZ",
		Action: &audit.Action{Phase: 2, Status: 403, Kind: p, URL: p},
		Matches: []audit.Match{
			{ID: 1, File: p, Line: 1, Phase: 2, Disruptive: true, Operator: p, Message: p, Data: p, Severity: p, Version: p, Tags: []string{p}, Variables: []string{p}},
			{Text: p, Fields: []audit.Field{{Name: p, Value: p}}},
		},
		Rules: []audit.RuleText{{ID: 1, Raw: p}}, Trailer: []audit.Field{{Name: p, Value: p}},
	}
	return r
}

// insertHostile stores records as they are in memory, so that no format between cleans a field, and their summaries with them.
func insertHostile(t testing.TB, c *console) {
	t.Helper()
	var events []store.Event
	for i, p := range payloads() {
		r := hostileRecord("hostile-"+string(rune('a'+i)), p)
		events = append(events, store.Event{Sensor: p, Entry: audit.AppendNative(nil, r), Record: r})
		events = append(events, store.Event{Sensor: "east-1", Entry: audit.AppendNative(nil, r), Record: r})
	}
	if _, err := c.store.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
}

// TestHostileFieldsAreInert reads every page as a browser's parser does: the
// elements and attributes must be those of our templates, whatever the fields hold.
func TestHostileFieldsAreInert(t *testing.T) {
	ban := Decision{Value: netip.MustParsePrefix("192.0.2.0/24"), Type: "ban", Until: time.Now().Add(time.Hour), Created: time.Now()}
	c := startConsole(t, func(cfg *Config) { cfg.Decisions, cfg.Unban = testDecisions(&ban) })
	c.signIn()
	insertHostile(t, c)
	var pages []string
	for _, p := range payloads() {
		ban.Scenario, ban.Origin, ban.Type = p, p, p
		// A failed login writes its name into the log of logins.
		if err := c.control.Authenticate(t.Context(), brief(60, p), "x", netip.MustParseAddr("198.51.100.1")); err == nil {
			t.Fatal("signed in")
		}
		q := url.Values{}
		for _, d := range fields() {
			q.Set(d.Name, p)
		}
		pages = append(pages, "/events?"+q.Encode(), "/events?"+url.Values{"sensor": {p}}.Encode(), "/decisions", "/account", "/sign-in?"+url.Values{"next": {p}}.Encode(), "/"+url.PathEscape(p))
	}
	pages = append(pages, "/events", "/events/rows?since=0", "/sensors")
	for i, p := range payloads() {
		id := "hostile-" + string(rune('a'+i))
		pages = append(pages, "/events/east-1/"+id, eventURL(p, id))
	}
	for _, path := range pages {
		resp, body := c.do("GET", path, nil)
		if resp.StatusCode >= 500 {
			t.Errorf("%s: %s", path, resp.Status)
		}
		checkInert(t, path, body)
	}
	// Forms that echo what was typed.
	for _, p := range payloads() {
		_, body := c.do("POST", "/sensors", url.Values{"token": {c.token("/sensors")}, "name": {p}})
		checkInert(t, "POST /sensors", body)
		_, body = c.do("POST", "/sign-in", url.Values{"token": {c.token("/sign-in")}, "user": {p}, "password": {p}, "next": {p}})
		checkInert(t, "POST /sign-in", body)
	}
}

// allowedTags are the elements that our templates use.
const allowedTags = " html head meta title link script body a header img nav form input button main footer section article h1 h2 h3 p label div span b code pre " +
	"table caption thead tbody tr th td time ul li details summary dl dt dd figure figcaption svg rect "

func checkInert(t *testing.T, path, body string) {
	t.Helper()
	for i := range len(body) {
		if c := body[i]; c < 0x20 && c != '\n' {
			t.Errorf("%s: control byte %#x reaches the page", path, c)
			break
		}
	}
	if strings.ContainsAny(body, "\u202e\u2066\u200b\ufeff") || !strings.HasPrefix(path, "/events/rows") && strings.ContainsRune(body, '\u00a0') {
		t.Errorf("%s: a character without a glyph reaches the page", path)
	}
	for z := html.NewTokenizer(strings.NewReader(body)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := z.Token()
		if strings.HasPrefix(path, "/events/rows") {
			t.Errorf("%s: JSON holds the element %s unescaped", path, token.Data)
			return
		}
		if !strings.Contains(allowedTags, " "+token.Data+" ") {
			t.Errorf("%s: foreign element %v", path, token)
		}
		for _, a := range token.Attr {
			value := strings.TrimSpace(strings.ToLower(a.Val))
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc", a.Key == "formaction":
				t.Errorf("%s: attribute %v of %s", path, a, token.Data)
			case a.Key == "href" || a.Key == "src" || a.Key == "action":
				if !strings.HasPrefix(value, "/") && value != "#main" || strings.HasPrefix(value, "//") {
					t.Errorf("%s: %s leads to %q", path, token.Data, a.Val)
				}
			}
		}
		if token.Data == "script" {
			for _, a := range token.Attr {
				if a.Key == "src" && !strings.HasPrefix(a.Val, "/static/") {
					t.Errorf("%s: foreign script %v", path, token)
				}
			}
			if z.Next(); strings.TrimSpace(string(z.Text())) != "" {
				t.Errorf("%s: inline script %q", path, z.Text())
			}
		}
	}
}

func TestShowMakesEveryByteVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain":              "plain",
		"a\x00b":             `a[ctl \x00]b`,
		`a\x00b`:             `a\x00b`,
		"\r\n\t\x1b\x7f":     `[ctl \r][ctl \n][ctl \t][ctl \x1b][ctl \x7f]`,
		"\xff\xc0\x80":       `[ctl \xff][ctl \xc0][ctl \x80]`,
		"\u202e\u200b\ufeff": `[ctl U+202E][ctl U+200B][ctl U+FEFF]`,
		"p\u0430ypal":        "p[alien \u0430]ypal",
		"e\u0301":            `e[ctl U+0301]`,
		"\u00a0\u3000":       `[ctl U+00A0][ctl U+3000]`,
		"\ufffd":             "[alien \ufffd]",
		"日本 ok":              "[alien 日本] ok",
		"\U000e0041":         `[ctl U+E0041]`,
		"\u2800\u3164":       `[ctl U+2800][ctl U+3164]`,
	} {
		var got strings.Builder
		for _, p := range show(in) {
			if p.Class != "" {
				got.WriteString("[" + p.Class + " " + p.Text + "]")
			} else {
				got.WriteString(p.Text)
			}
		}
		if got.String() != want {
			t.Errorf("%q shows as %s, want %s", in, got.String(), want)
		}
	}
}

// FuzzShow: what a page shows of any bytes has no control character and loses no printable one.
func FuzzShow(f *testing.F) {
	for _, p := range payloads() {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range show(s) {
			for _, r := range p.Text {
				if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa1 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
					t.Errorf("%q shows %q", s, p.Text)
				}
			}
		}
		showLines([]byte(s))
		hexDump([]byte(s))
		decodeURI(s)
		headers([]byte(s))
		showBrief(10, s)
	})
}

// FuzzFilter: any query string gives a filter, and the filter's own query string gives the same one.
func FuzzFilter(f *testing.F) {
	f.Add("client=192.0.2.0/24&port=8000&status=4xx&rule=999004&q=a+b&kind=tls&from=2026-11-22+08:00&to=2026-11-22T09:00:00Z&request=00ff")
	f.Add("client=::ffff:192.0.2.1&status=403&kind=HTTP&method=G%00T&host=%ff")
	f.Add("client=fe80::1%25eth0&from=9999-12-31T23:59&status=0xx")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			t.Skip()
		}
		filter, _ := parseFilter(q)
		again, faults := parseFilter(formatFilter(&filter))
		if len(faults) > 0 {
			t.Fatalf("%q: own query string is not understood: %v", raw, faults)
		}
		if filter.Kind != nil && again.Kind != nil && *filter.Kind == *again.Kind {
			again.Kind = filter.Kind
		}
		if filter != again {
			t.Fatalf("%q: %+v became %+v", raw, filter, again)
		}
		chips(&filter)
	})
}

func TestFiltersThatCannotBeReadAreNamed(t *testing.T) {
	for _, raw := range []string{"client=x", "client=fe80::1%25eth0", "port=99999", "port=-1", "status=abc", "status=1000", "rule=-1", "rule=a", "kind=x", "request=zz", "from=yesterday", "to=0001-01-01"} {
		q, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		f, faults := parseFilter(q)
		if len(faults) != 1 || (f != store.Filter{}) {
			t.Errorf("%s: %+v %v", raw, f, faults)
		}
	}
}
