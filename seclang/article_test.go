package seclang_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
)

const articleRules = `SecRule SERVER_PORT "^(8000|8080|8888)$" \
"id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',\
setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" \
"id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
`

// printedRules are the same two rules as the article prints them: the line breaks after the backslashes are lost.
const printedRules = `SecRule SERVER_PORT "^(8000|8080|8888)$" \"id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',\setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" \"id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
`

func lex(t testing.TB, file, text string) []seclang.Directive {
	t.Helper()
	ds, err := seclang.Lex(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func compile(t testing.TB, cfg seclang.Config, texts ...string) *seclang.Engine {
	t.Helper()
	for i, text := range texts {
		cfg.Directives = append(cfg.Directives, lex(t, "rules"+string(rune('0'+i))+".conf", text)...)
	}
	e, err := seclang.Compile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func store(t testing.TB) *collection.Store {
	t.Helper()
	s, err := collection.Open(collection.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func conn(client string, port uint16) seclang.Conn {
	return seclang.Conn{
		Peer:   netip.AddrPortFrom(netip.MustParseAddr(client), 40000),
		Server: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), port),
	}
}

// get runs GET / through all phases and returns the status and the record.
func get(e *seclang.Engine, c seclang.Conn, head string) (int, *audit.Record) {
	tx := e.NewTransaction(c)
	defer tx.Close()
	tx.RequestHead([]byte(head))
	status := 200
	it := tx.RequestHeaders()
	if it == nil {
		it = tx.RequestBody()
	}
	if it != nil {
		status = it.Status
	}
	tx.ResponseLine(status, "HTTP/1.1")
	tx.Logging()
	tx.Commit()
	r := &audit.Record{}
	tx.Fill(r)
	return status, r
}

const plainHead = "GET / HTTP/1.1\r\nHost: www.example1.com\r\nUser-Agent: curl/8\r\n\r\n"

func TestArticle(t *testing.T) {
	crsSetup := "SecDefaultAction \"phase:1,log,auditlog,pass\"\nSecDefaultAction \"phase:2,log,auditlog,pass\"\n" +
		"SecAction \"id:901321,phase:1,pass,nolog,initcol:ip=%{remote_addr}_%{request_headers.user-agent}\"\n" +
		"SecRule REQUEST_HEADERS:User-Agent \"@contains sqlmap\" \"id:949110,phase:1,deny,status:406\"\n"
	for name, texts := range map[string][]string{
		"alone":      {articleRules},
		"as printed": {printedRules},
		"after CRS":  {crsSetup, articleRules},
		"before CRS": {articleRules, crsSetup},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t)
			cfg := seclang.Config{Collections: s, Defaults: seclang.Defaults{Article: true}}
			site := compile(t, cfg, texts...)
			cfg.Honeytrap = true
			trap := compile(t, cfg, texts...)
			if !trap.TagsOnConnect() {
				t.Error("TagsOnConnect is false")
			}
			if st, _ := get(site, conn("192.0.2.1", 80), plainHead); st != 200 {
				t.Fatalf("clean client got %d", st)
			}
			st, r := get(trap, conn("192.0.2.1", 8000), plainHead)
			if st != 403 {
				t.Fatalf("trap answered %d", st)
			}
			m := r.Matches[0]
			if m.ID != 999004 || m.Operator != `Pattern match "^(8000|8080|8888)$" at SERVER_PORT.` || !m.Disruptive ||
				m.Message != "HoneyTrap Alert: Traffic Received on Fake Port." {
				t.Errorf("match: %+v", m)
			}
			other := strings.Replace(plainHead, "curl/8", "Other", 1)
			if st, r := get(site, conn("192.0.2.1", 80), other); st != 403 || r.Matches[0].Operator != "Operator EQ matched 1 at IP." {
				t.Errorf("tagged client got %d, %+v", st, r.Matches)
			}
			if st, _ := get(site, conn("192.0.2.2", 80), plainHead); st != 200 {
				t.Errorf("another client got %d", st)
			}
			trap.Touch(conn("192.0.2.3", 8080))
			if st, _ := get(site, conn("192.0.2.3", 80), plainHead); st != 403 {
				t.Errorf("after a bare connection: %d", st)
			}
			// CRS denies first: the tag is set all the same, and the record shows it.
			st, r = get(trap, conn("192.0.2.4", 8888), strings.Replace(plainHead, "curl/8", "sqlmap", 1))
			if st == 200 || r.Matches[len(r.Matches)-1].ID != 999004 {
				t.Errorf("scanner: %d %+v", st, r.Matches)
			}
			if st, _ := get(site, conn("192.0.2.4", 80), plainHead); st != 403 {
				t.Errorf("scanner on the site: %d", st)
			}
			for _, a := range site.Assumptions() {
				t.Log(a)
			}
		})
	}
}

func TestArticleExplicit(t *testing.T) {
	s := store(t)
	cfg := seclang.Config{Collections: s, Defaults: seclang.Defaults{Article: true}}
	text := "SecRuleEngine On\nSecDataDir /tmp\nSecDefaultAction \"phase:2,log,pass\"\n" +
		"SecAction \"id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}\"\n" + articleRules
	e := compile(t, cfg, text)
	if a := e.Assumptions(); len(a) != 0 {
		t.Errorf("assumptions: %v", a)
	}
	if st, _ := get(e, conn("192.0.2.1", 8000), plainHead); st != 200 {
		t.Errorf("explicit pass: %d", st)
	}
	if v, ok := s.Load("ip", "192.0.2.1", e.Now()); !ok {
		t.Error("no record")
	} else if x, _ := v.Get("malicious_client"); x != "1" {
		t.Errorf("malicious_client = %q", x)
	}
}

// TestArticleWithCRS puts the article's rules before and after the whole of CRS, as installed and as the module has it.
func TestArticleWithCRS(t *testing.T) {
	sets := map[string][]seclang.Directive{"crs 4": crs4Config(t, strings.ReplaceAll(setup4, "PL", "1")).Directives}
	if ds, err := seclang.Load("/etc/modsecurity/modsecurity.conf-recommended", "/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf"); err == nil {
		sets["crs 3"] = append(ds, lex(t, "on.conf", "SecRuleEngine On")...)
	}
	data := crs4Config(t, "").ReadFile
	for name, crs := range sets {
		ours := lex(t, "honeypot.conf", articleRules)
		for order, ds := range map[string][]seclang.Directive{
			"before": append(append([]seclang.Directive{}, ours...), crs...),
			"after":  append(append([]seclang.Directive{}, crs...), ours...),
		} {
			t.Run(name+"/"+order, func(t *testing.T) {
				cfg := seclang.Config{Directives: ds, Collections: store(t), Defaults: seclang.Defaults{Article: true}}
				if name == "crs 4" {
					cfg.ReadFile = data
				}
				site := compile(t, cfg)
				trap := site.ForHoneytrap()
				scanner := "GET /?id=1'+union+select+1 HTTP/1.1\r\nHost: www.example1.com\r\nUser-Agent: sqlmap/1.7\r\nAccept: */*\r\n\r\n"
				visitor := "GET / HTTP/1.1\r\nHost: www.example1.com\r\nUser-Agent: " + browser + "\r\nAccept: */*\r\n\r\n"
				if st, r := get(site, conn("192.0.2.1", 80), visitor); st != 200 {
					t.Fatalf("a visitor gets %d: %+v", st, r.Matches)
				}
				st, r := get(trap, conn("192.0.2.1", 8000), scanner)
				if st != 403 {
					t.Errorf("the trap answers %d", st)
				}
				tagged := false
				for _, m := range r.Matches {
					tagged = tagged || m.ID == 999004
				}
				if !tagged {
					t.Error("999004 is not in the record")
				}
				if st, r := get(site, conn("192.0.2.1", 80), visitor); st != 403 || r.Matches[len(r.Matches)-1].ID != 999005 && r.Action.Phase != 2 {
					t.Errorf("the tagged client with another User-Agent gets %d", st)
				}
				if st, _ := get(site, conn("192.0.2.2", 80), visitor); st != 200 {
					t.Errorf("another visitor gets %d", st)
				}
				if n := len(site.Assumptions()); n != 3 && n != 2 {
					t.Errorf("%d assumptions: %v", n, site.Assumptions())
				}
			})
		}
	}
}

// TestBareConnection is a connection without a request: Touch tags, and the record has the match all the same.
func TestBareConnection(t *testing.T) {
	s := store(t)
	trap := compile(t, seclang.Config{Collections: s, Honeytrap: true, Defaults: seclang.Defaults{Article: true}}, articleRules)
	tx := trap.NewTransaction(conn("192.0.2.1", 8000))
	defer tx.Close()
	tx.Logging()
	tx.Commit()
	var r audit.Record
	tx.Fill(&r)
	if len(r.Matches) != 1 || r.Matches[0].ID != 999004 {
		t.Errorf("matches: %+v", r.Matches)
	}
	if v, ok := s.Load("ip", "192.0.2.1", trap.Now()); !ok {
		t.Error("no record")
	} else if x, _ := v.Get("malicious_client"); x != "1" {
		t.Errorf("malicious_client = %q", x)
	}
}

// TestArticleOwnInitcol: an initcol in the file of the honeytrap rules decides whom a tag means, also when CRS opens
// the collection first.
func TestArticleOwnInitcol(t *testing.T) {
	crs := "SecRuleEngine On\nSecAction \"id:901321,phase:1,pass,nolog,initcol:ip=%{remote_addr}_%{request_headers.user-agent}\"\n"
	own := "SecDefaultAction \"phase:2,log,deny,status:404\"\nSecAction \"id:1,phase:1,nolog,pass,initcol:ip=net_%{REMOTE_ADDR}\"\n" + articleRules
	s := store(t)
	e := compile(t, seclang.Config{Collections: s, Defaults: seclang.Defaults{Article: true}}, crs, own)
	if st, _ := get(e, conn("192.0.2.1", 8000), plainHead); st != 404 {
		t.Errorf("the file's own SecDefaultAction: %d", st)
	}
	if st, _ := get(e, conn("192.0.2.1", 80), strings.Replace(plainHead, "curl/8", "Other", 1)); st != 404 {
		t.Errorf("another User-Agent: %d", st)
	}
	if _, ok := s.Load("ip", "net_192.0.2.1", e.Now()); !ok {
		t.Error("the tag is not under the file's own key")
	}
	e.Touch(conn("192.0.2.2", 8000))
	if _, ok := s.Load("ip", "net_192.0.2.2", e.Now()); !ok {
		t.Error("Touch did not use the file's own key")
	}
	var what []string
	for _, a := range e.Assumptions() {
		what = append(what, a.What)
	}
	if got := strings.Join(what, "; "); got != "the initcol:ip of rules1.conf runs before all rules; tags are kept in the program's own data directory" {
		t.Errorf("assumptions: %s", got)
	}
}
