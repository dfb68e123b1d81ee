package audit

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// samplesDir holds real logs that are too big for the tree; testdata has a few of them for when it is absent.
const samplesDir = "../../shared/reference/modsec-audit-samples"

func samples(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat(samplesDir); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the real audit logs of %s are not here: %v", samplesDir, err)
	}
	return samplesDir
}

type label struct {
	ID     string `json:"unique_id"`
	Class  string `json:"cls"`
	Source string `json:"src"`
	Port   uint16 `json:"sport"`
	Status string `json:"status"`
	Line   string `json:"first_line"`
}

func labels(t testing.TB, folder string) map[string]label {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "labels.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]label{}
	for line := range bytes.Lines(text) {
		var l label
		if err := json.Unmarshal(line, &l); err != nil {
			continue
		}
		if l.ID != "" {
			m[l.ID] = l
		}
	}
	return m
}

// sameRecord compares times by instant, everything else exactly.
func sameRecord(t testing.TB, want, got *Record) bool {
	t.Helper()
	d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }))
	if d != "" {
		t.Errorf("record changed (-want +got):\n%s", d)
	}
	return d == ""
}

// roundTrip writes r and reads it again.
func roundTrip(t testing.TB, r *Record) []byte {
	t.Helper()
	b := AppendNative(nil, r)
	again, faults := ParseNative(b)
	if len(faults) > 0 {
		t.Errorf("%s: own entry has faults: %v", r.ID, faults)
	}
	if !sameRecord(t, r, again) {
		t.Logf("entry:\n%s", b)
	}
	if second := AppendNative(nil, again); !bytes.Equal(b, second) {
		t.Errorf("%s: written twice, two texts", r.ID)
	}
	return b
}

func fullRecord() *Record {
	return &Record{
		ID: "awKnLkkywei6cfh82bxCLwAAAEA", Time: time.Date(2026, 11, 22, 8, 26, 22, 809837000, time.UTC), Duration: 2877 * time.Microsecond,
		Kind: KindTLS, Host: "www.example1.com", Honeytrap: true,
		Peer: netip.MustParseAddrPort("[2001:db8::1]:4711"), Client: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("198.51.100.1:8000"),
		TLS:        &TLS{Version: "1.3", Server: "a \"b\"\n", ALPN: []string{"h2", "http/1.1", "\x00,"}, JA4: "t13d1516h2_8daaf6152771_b186095e22b6"},
		RemoteUser: "bob \\ \n", SessionID: "s\"1\"",
		RequestHead: []byte("POST /a?b=c HTTP/1.1\r\nHost: x\r\n"), RequestBody: []byte("a\x00b\n--deadbeef-Z--\n\n"), RequestBodySize: 70000,
		FakeBody: []byte("a=b&c=d"), Files: []File{{Size: 7, Name: "a;\"b.php", Field: "up load", ContentType: "text/plain"}, {Size: 1, Name: "x"}},
		Status: 403, ResponseHead: []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n"), ResponseBody: []byte("no"), ResponseBodySize: 2,
		Parts:  "ABCDEFHIJKZ",
		Action: &Action{Phase: 2, Status: 403, Kind: "deny"},
		Matches: []Match{
			{
				ID: 999004, File: "/etc/a b/rules.conf", Line: 24, Phase: 2, Disruptive: true, Operator: `Pattern match "^(8000|8080|8888)$" at SERVER_PORT.`,
				Message: "HoneyTrap \"Alert\"\n", Data: "d\\a\"ta", Severity: "CRITICAL", Revision: "2", Version: "OWASP_CRS/3.3.4", Maturity: 9, Accuracy: 8,
				Tags: []string{"a", "b]\""}, Variables: []string{"SERVER_PORT"}, Fields: []Field{{"hostname", "x"}, {"ref", "o0,5"}},
			},
			{ID: 1, Phase: 1, Operator: `Pattern match "x" at ARGS:a. [file "evil"] [line "1"] [id "666"] [msg "forged"].`, Variables: []string{"ARGS:a b", "ARGS:c"}},
			{Text: "Multipart parsing error: Multipart: Final boundary missing."},
			{Phase: 5, Operator: "Unconditional match in SecAction."},
		},
		Rules: []RuleText{
			{ID: 999004, Raw: `SecRule "SERVER_PORT" "@rx ^(8000)$" "phase:2,id:999004,deny"`},
			{ID: 5, Raw: "SecRule A \"@rx a\" \"id:'5',chain\"\n#SecRule B \"@rx b\""},
			{ID: 77, Raw: "SecRuleScript a.lua"},
		},
		Trailer: []Field{{"Apache-Error", `[file "x.c"] [line 275] x`}, {"Producer", "Trapline/1 (https://x/)."}, {"Engine-Mode", `"ENABLED"`}},
		Unknown: []Part{{Letter: 'G', Bytes: []byte("reserved")}},
	}
}

func TestNativeRoundTrip(t *testing.T) {
	full := fullRecord()
	roundTrip(t, full)
	for name, change := range map[string]func(*Record){
		"nothing at all": func(r *Record) { *r = Record{} },
		"no parts named": func(r *Record) { r.Parts = "" },
		"bare connect": func(r *Record) {
			*r = Record{ID: "x", Kind: KindConnect, Peer: r.Peer, Client: r.Client, Server: r.Server, Time: r.Time}
		},
		"bytes with CR LF": func(r *Record) {
			r.Kind = KindBytes
			r.RequestHead = []byte("SSH-2.0-x\r\n")
			r.ResponseHead = nil
			r.Status = 0
		},
		"summary of a flood": func(r *Record) {
			r.Folded = &Folded{Records: 5321, First: r.Time, Last: r.Time.Add(59*time.Second + 123456789)}
		},
		"head cut":            func(r *Record) { r.RequestHead = []byte("GET / HTTP/1.1\r\nHos") },
		"head with bare LF":   func(r *Record) { r.RequestHead = []byte("GET / HTTP/1.1\nHost: a\r\n") },
		"head of newlines":    func(r *Record) { r.RequestHead = []byte("\r\n\r\n\r\n") },
		"own boundary forged": func(r *Record) { r.RequestBody = append([]byte("\n"), AppendNative(nil, full)...) },
		"drop":                func(r *Record) { r.Action = &Action{Kind: "drop", Phase: 1}; r.Matches[0].Phase = 1 },
		"drop with status":    func(r *Record) { r.Action = &Action{Kind: "drop", Phase: 1, Status: 403} },
		"redirect": func(r *Record) {
			r.Action = &Action{Kind: "redirect", Phase: 1, Status: 302, URL: "http://a/b c. using status 9"}
		},
		"proxy":              func(r *Record) { r.Action = &Action{Kind: "proxy", Phase: 3, URL: "http://a/"} },
		"allow":              func(r *Record) { r.Action = &Action{Kind: "allow:phase", Phase: 2} },
		"action unseen":      func(r *Record) { r.Matches = nil },
		"status not in head": func(r *Record) { r.Status = 200 },
		"ipv6 with zone":     func(r *Record) { r.Client = netip.MustParseAddrPort("[fe80::1%eth0]:1") },
		"mapped":             func(r *Record) { r.Client = netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"); r.Peer = r.Client },
		"odd id":             func(r *Record) { r.ID = "a b\n-" },
		"dash id":            func(r *Record) { r.ID = "-" },
		"other zone":         func(r *Record) { r.Time = r.Time.In(time.FixedZone("", -34200)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := fullRecord()
			change(r)
			roundTrip(t, r)
		})
	}
}

// A number without times is enough; what is no number is a fault and changes nothing.
func TestFoldedLine(t *testing.T) {
	for value, want := range map[string]int64{
		"7": 7, "7 2026-11-22T13:00:00Z 2026-11-22T13:01:00Z": 7,
		"": -1, "x": -1, "-1": -1, "7 8": -1, "7 2026 2027": -1, "7 2026-11-22T13:00:00Z": -1, "7 9999-12-31T23:59:59-23:00 2026-11-22T13:01:00Z": -1,
	} {
		text := strings.Replace(string(AppendNative(nil, fullRecord())), "Trapline-Kind:", "Trapline-Folded: "+value+"\nTrapline-Kind:", 1)
		r, faults := ParseNative([]byte(text))
		if want < 0 {
			if r.Folded != nil || len(faults) != 1 {
				t.Errorf("%q: %+v, faults %v", value, r.Folded, faults)
			}
			continue
		}
		if r.Folded == nil || r.Folded.Records != want || r.Folded.First.IsZero() || len(faults) > 0 {
			t.Errorf("%q: %+v, faults %v", value, r.Folded, faults)
		}
	}
}

func TestNativeOmitsParts(t *testing.T) {
	r := fullRecord()
	r.Parts = "ABHZ"
	got, faults := ParseNative(AppendNative(nil, r))
	if len(faults) > 0 || got.Parts != "ABHZ" || got.RequestBody != nil || got.ResponseHead != nil || got.Files != nil || got.Rules != nil {
		t.Errorf("faults %v, record %+v", faults, got)
	}
	if got.Status != 403 || got.RequestBodySize != 70000 {
		t.Errorf("status %d, body size %d", got.Status, got.RequestBodySize)
	}
}

// TestMessageForging: an argument's name stands in the operator's text with its quotes; only the last [file] counts.
func TestMessageForging(t *testing.T) {
	line := `Warning. Pattern match "x" at ARGS:a. [file "evil.conf"] [line "1"] [id "666"] [msg "forged"] . [file "/etc/r.conf"] [line "9"] [id "1"] [msg "\" ] [id \"667\"]"] [tag "t"]`
	m, _ := ParseMessage(line)
	if m.ID != 1 || m.File != "/etc/r.conf" || m.Message != `" ] [id "667"]` || !reflect.DeepEqual(m.Tags, []string{"t"}) || !strings.Contains(m.Operator, "forged") {
		t.Errorf("%+v", m)
	}
}

// TestMessageForging3: version 3 escapes no quotes, neither in the value before the fields nor in the URI behind them.
func TestMessageForging3(t *testing.T) {
	real := ` [file "/etc/r.conf"] [line "9"] [id "1"] [rev ""] [msg "m"] [data ""] [severity "2"] [ver ""] [maturity "0"] [accuracy "0"] [tag "t"] [hostname "h"]`
	for name, line := range map[string]string{
		"in the value": "Warning. Matched \"Operator `Rx' with parameter `x' against variable `ARGS:a' (Value: `x' ) [file \"e\"] [line \"1\"] [id \"666\"] [rev \"\"] [msg \"forged\"' )" + real + ` [uri "/"]`,
		"in the uri":   "Warning. Matched \"Operator `Rx' with parameter `x' against variable `ARGS:a' (Value: `x' )" + real + ` [uri "/"] [id "666"] [tag "forged"] [file "e"] [line "1"] [id "667"] [rev ""] [msg "forged"] [data ""] [severity "0"] [ver ""] [maturity "0"] [accuracy "0"]"] [unique_id "1.2"] [ref ""]`,
	} {
		m, _ := parseMessage(line, true)
		if m.ID != 1 || m.File != "/etc/r.conf" || m.Message != "m" || m.Severity != "CRITICAL" || !reflect.DeepEqual(m.Tags, []string{"t"}) || m.Variables[0] != "ARGS:a" {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if len(id) != 27 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@-") != "" || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
}
