package operator

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/corazawaf/libinjection-go"

	"github.com/trapline/trapline/seclang/match"
)

// TestNames checks that every operator of the reference is there.
func TestNames(t *testing.T) {
	const names = `beginsWith contains containsWord detectSQLi detectXSS endsWith eq ge geoLookup gsbLookup gt inspectFile ipMatch le lt noMatch pm
rbl rsub rx streq strmatch validateByteRange validateDTD validateHash validateSchema validateUrlEncoding validateUtf8Encoding
verifyCC verifyCPF verifySSN verifySVNR within fuzzyHash unconditionalMatch rxGlobal pmFromFile pmf ipMatchFromFile ipMatchF`
	for _, n := range strings.Fields(names) {
		if !Known(strings.ToLower(n)) || Canonical(strings.ToUpper(n)) != n {
			t.Errorf("no operator @%s", n)
		}
	}
	if got := len(Names()); got != 40 {
		t.Errorf("%d operators", got)
	}
	if Known("x") || Canonical("x") != "x" {
		t.Error("an operator @x is known")
	}
}

func must(t *testing.T, name, arg string, env Env) Operator {
	t.Helper()
	o, err := New(name, arg, env)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestExpandedArgument checks that the expanded argument takes the place of the static one.
func TestExpandedArgument(t *testing.T) {
	for _, c := range []struct {
		name, arg, in, expanded string
		want                    bool
		text                    string
	}{
		{"eq", "%{tx.a}", "5", "5", true, "Operator EQ matched 5 at TX:x."},
		{"ge", "%{tx.a}", "4", "5", false, ""},
		{"within", "%{tx.a}", "GET", "GET POST", true, `String match within "GET POST" at TX:x.`},
		{"streq", "%{tx.a}", "b", "b", true, `String match "b" at TX:x.`},
		{"ipMatch", "%{tx.a}", "10.0.0.1", "10.0.0.0/8", true, `IPmatch: "10.0.0.1" matched at TX:x.`},
		{"ipMatch", "%{tx.a}", "10.0.0.1", "rubbish", false, ""},
		// As version 2: what the macro brought is text.
		{"rx", "^%{tx.a}$", "a.b", "^a.b$", true, `Pattern match "^a\\.b$" at TX:x.`},
		{"rx", "^%{tx.a}$", "axb", "^a.b$", false, ""},
		{"rx", "^%{tx.a}$", "multipart/form-data", "^application/json|multipart/form-data$", true, ""},
		// A pattern with syntax of its own can only mean version 3.
		{"rx", "^(?:%{tx.a})$", "axb", "^(?:a.b)$", true, ""},
		{"rx", "^(%{tx.a})$", "x", "^(()$", false, ""},
	} {
		o := must(t, c.name, c.arg, Env{})
		m := Result{Target: "TX:x", Explain: true}
		if got := o.Match(c.in, c.expanded, &m); got != c.want || c.text != "" && m.Text != c.text {
			t.Errorf("@%s %s (%s) on %q: %v, %q", c.name, c.arg, c.expanded, c.in, got, m.Text)
		}
		if l, ok := o.(Literaler); ok && l.Literals().A != nil {
			t.Errorf("@%s %s: literals %q of an argument with macros", c.name, c.arg, l.Literals())
		}
	}
}

func TestRsub(t *testing.T) {
	expand := func(s string) string {
		return strings.NewReplacer("%{tx.a}", "a.b", "%{tx.s}", "x").Replace(s)
	}
	for _, c := range []struct{ arg, in, want string }{
		{`s/</&lt;/`, "<a><b>", "&lt;a>&lt;b>"},
		{`s#/home#/h#`, "/home /home", "/h /h"},
		{`s/a\/b/c/`, "a/b", "c"},
		{`s/(\d+)-(\d+)/\2-\1/`, "1-2 3-4", "2-1 4-3"},
		{`s/secret/|58 58|/i`, "SECRET", "XX"},
		{`s/%{tx.a}/-/d`, "a.b axb", "- axb"},
		{`s/%{tx.a}/-/`, "a.b axb", "- -"},
		{`s/a/%{tx.s}/`, "a", "x"},
		{`s/b//`, "abc", "ac"},
	} {
		o := must(t, "rsub", c.arg, Env{})
		m := Result{Explain: true, Expand: expand}
		if !o.Match(c.in, "", &m) || !m.Replaced || m.Output != c.want || m.Text != "Operator rsub succeeded." {
			t.Errorf("@rsub %s on %q: %q %v %v", c.arg, c.in, m.Output, m.Replaced, m.Err)
		}
	}
}

type resolver map[string][]string

func (r resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	if host == "slow.dnsbl.example" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if a, ok := r[host]; ok {
		return a, nil
	}
	return nil, errors.New("no such host")
}

func TestRBL(t *testing.T) {
	r := resolver{
		"7.2.0.192.dnsbl.httpbl.org":                                      {"127.1.1.1"},
		"key.7.2.0.192.dnsbl.httpbl.org":                                  {"127.10.42.4"},
		"key.8.2.0.192.dnsbl.httpbl.org":                                  {"10.0.0.1"},
		"7.2.0.192.sbl-xbl.spamhaus.org":                                  {"127.0.0.4"},
		"8.2.0.192.sbl-xbl.spamhaus.org":                                  {"127.0.0.99"},
		"example.com.multi.uribl.com":                                     {"127.0.0.14"},
		"7.2.0.192.dnsbl.example":                                         {"127.0.0.2"},
		"1." + strings.Repeat("0.", 23) + "8.b.d.0.1.0.0.2.dnsbl.example": {"::1"},
	}
	key := func() string { return "key" }
	for _, c := range []struct{ zone, in, want string }{
		{"dnsbl.httpbl.org", "192.0.2.7", "RBL lookup of key.7.2.0.192.dnsbl.httpbl.org succeeded at REMOTE_ADDR. Comment spammer IP: 10 days since last activity, threat score 42"},
		{"dnsbl.httpbl.org", "192.0.2.8", "RBL lookup of key.8.2.0.192.dnsbl.httpbl.org failed: bad response"},
		{"sbl-xbl.spamhaus.org", "192.0.2.7", "RBL lookup of 7.2.0.192.sbl-xbl.spamhaus.org succeeded at REMOTE_ADDR (Illegal 3rd party exploits)."},
		{"sbl-xbl.spamhaus.org", "192.0.2.8", "RBL lookup of 8.2.0.192.sbl-xbl.spamhaus.org succeeded at REMOTE_ADDR."},
		{"multi.uribl.com", "example.com", "RBL lookup of example.com.multi.uribl.com succeeded at REMOTE_ADDR (BLACK,GREY,RED)."},
		{"dnsbl.example", "::ffff:192.0.2.7", "RBL lookup of 7.2.0.192.dnsbl.example succeeded at REMOTE_ADDR."},
		{"dnsbl.example", "2001:db8::1", "RBL lookup of 1." + strings.Repeat("0.", 23) + "8.b.d.0.1.0.0.2.dnsbl.example succeeded at REMOTE_ADDR."},
		{"dnsbl.example", "203.0.113.9", ""},
		{"dnsbl.example", "not a host", ""},
		{"dnsbl.example", "slow", ""},
	} {
		o := must(t, "rbl", c.zone, Env{Resolver: r, HTTPBLKey: key, RBLTimeout: 10 * time.Millisecond})
		m := Result{Target: "REMOTE_ADDR", Explain: true, Capture: true}
		if got := o.Match(c.in, "", &m); got != (c.want != "") || m.Text != c.want || got && m.Captures[0] != c.want {
			t.Errorf("@rbl %s on %s: %v %q %q", c.zone, c.in, got, m.Text, m.Captures)
		}
	}
	m := Result{}
	if must(t, "rbl", "dnsbl.httpbl.org", Env{Resolver: r}).Match("192.0.2.7", "", &m) || m.Err == nil || !strings.Contains(m.Err.Error(), "SecHttpBlKey") {
		t.Errorf("http:BL without a key: %v", m.Err)
	}
}

func TestGeo(t *testing.T) {
	const db = "/work/shared/reference/modsecurity-v3-tests/data/GeoIP2-City-Test.mmdb"
	fields := []Field{{"COUNTRY_CODE", "BR"}}
	env := Env{Geo: func(a netip.Addr) ([]Field, bool) { return fields, a == netip.MustParseAddr("192.0.2.1") }}
	m := Result{Target: "REMOTE_ADDR", Explain: true}
	o := must(t, "geoLookup", "", env)
	if !o.Match("::ffff:192.0.2.1", "", &m) || m.Geo[0] != fields[0] || m.Text != `Geo lookup for "::ffff:192.0.2.1" succeeded at REMOTE_ADDR.` {
		t.Errorf("%+v", m)
	}
	if o.Match("192.0.2.2", "", &m) || o.Match("example.com", "", &m) {
		t.Error("an unknown address matches")
	}
	var warned string
	m = Result{}
	if must(t, "geoLookup", "", Env{Warn: func(s string) { warned = s }}).Match("192.0.2.1", "", &m) || m.Err == nil || !strings.Contains(warned, "SecGeoLookupDb") {
		t.Errorf("without a database: %v, warned %q", m.Err, warned)
	}
	for code, want := range map[string]string{"BR": "BRA", "DE": "DEU", "ZW": "ZWE", "AD": "AND", "XK": "XKX", "xx": "", "": ""} {
		if got := readAtlas().code3(code); got != want {
			t.Errorf("the code of %q is %q", code, got)
		}
	}
	if _, err := OpenGeo(filepath.Join(t.TempDir(), "x.mmdb")); err == nil {
		t.Error("a database that is not there opens")
	}
	if _, err := OpenGeo("testdata/phrases.data"); err == nil {
		t.Error("a text opens as a database")
	}
	if _, err := os.Stat(db); err != nil {
		t.Skipf("SKIPPED: %s is not here", db)
	}
	g, err := OpenGeo(db)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	got, ok := g.Lookup(netip.MustParseAddr("200.249.12.31"))
	want := []Field{
		{"COUNTRY_CODE", "BR"},
		{"COUNTRY_CODE3", "BRA"},
		{"COUNTRY_NAME", "Brazil"},
		{"COUNTRY_CONTINENT", "South America"},
		{"REGION", ""},
		{"CITY", "Recife"},
		{"POSTAL_CODE", "50040090"},
		{"LATITUDE", "-8.051502"},
		{"LONGITUDE", "-34.874919"},
		{"DMA_CODE", "0"},
		{"AREA_CODE", "0"},
	}
	if !ok || !slices.Equal(got, want) {
		t.Errorf("%v, %q", ok, got)
	}
}

func TestInspectFile(t *testing.T) {
	o := must(t, "inspectFile", "/scan.sh", Env{})
	m := Result{Explain: true, Inspect: func(script, file string) (string, bool, error) {
		if file == "/broken" {
			return "", false, errors.New("exit status 3")
		}
		return "virus", script == "/scan.sh" && file == "/tmp/f", nil
	}}
	if !o.Match("/tmp/f", "", &m) || m.Text != `File "/tmp/f" rejected by the approver script "/scan.sh": virus` {
		t.Errorf("%+v", m)
	}
	m.Reset()
	if o.Match("/tmp/g", "", &m) || m.Err != nil {
		t.Error("a good file matches")
	}
	if o.Match("/broken", "", &m) || m.Err == nil {
		t.Error("a failed script is no error")
	}
}

// TestAbsent checks that what cannot work loads, warns once, and does not match.
func TestAbsent(t *testing.T) {
	for _, n := range []string{"gsbLookup"} {
		warned := ""
		o := must(t, n, "x", Env{Warn: func(s string) { warned += s }})
		if o.Match("x", "", &Result{}) || !strings.HasPrefix(warned, "@"+n+" never matches: ") {
			t.Errorf("%s: warned %q", n, warned)
		}
	}
	warned := ""
	must(t, "validateByteRange", "abc,def", Env{Warn: func(s string) { warned += s + "\n" }})
	if strings.Count(warned, "\n") != 1 || !strings.Contains(warned, `"abc" counts as 0`) {
		t.Errorf("warned %q", warned)
	}
}

func TestRequired(t *testing.T) {
	for _, c := range []struct{ op, arg, want string }{
		{"rx", `^[\d.]+$`, `Match of "rx ^[\\d.]+$" against "ARGS:a" required.`},
		{"within", "%{tx.allowed_methods}", `Match of "within %{tx.allowed_methods}" against "ARGS:a" required.`},
		{"detectSQLi", "", `Match of "detectSQLi " against "ARGS:a" required.`},
	} {
		if got := Required(c.op, c.arg, "ARGS:a"); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestShortcutsOfInjection holds what libinjection is not asked against what it says.
func TestShortcutsOfInjection(t *testing.T) {
	check := func(s string) {
		if ok, fp := libinjection.IsSQLi(s); ok && oneWord(s) {
			t.Fatalf("oneWord(%q), but libinjection says %s", s, fp)
		}
		if plainText(s) && libinjection.IsXSS(s) {
			t.Fatalf("plainText(%q), but libinjection says XSS", s)
		}
	}
	words := strings.Fields(`select union insert update delete drop or and xor not null true false like in is exec execute sp_password xp_cmdshell
		benchmark sleep waitfor delay having group order by limit offset case when then else end int char binary unhex hex ascii ord database user
		version current_user onerror onload javascript vbscript data style iframe script xmlns x n b q u e nq bq 0x41 1e5 1union`)
	r := rand.New(rand.NewPCG(1, 1))
	const letters = "abcdefghijklmnopqrstuvwxyzABCXNEUQ0123456789__.-"
	const signs = " \t\n\x00\x0b\x0c\r/!?:;&#%()[]{}*+,-.@\\^|~\xa0\xff"
	for _, w := range words {
		check(w)
		check(strings.ToUpper(w))
	}
	for range 200000 {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			switch r.IntN(4) {
			case 0:
				b.WriteString(words[r.IntN(len(words))])
			case 1:
				b.WriteByte(letters[r.IntN(len(letters))])
			case 2:
				b.WriteByte(signs[r.IntN(len(signs))])
			default:
				b.WriteString([]string{"onload", "javascript:", " style ", "/onerror/", "xmlns:x", "import", "entity", "&#61;", "--", "![cdata["}[r.IntN(10)])
			}
		}
		check(b.String())
	}
}

// FuzzOperators gives every operator any argument and any value: no panic, the
// same answer with and without captures and text, literals sound.
func FuzzOperators(f *testing.F) {
	names := Names()
	for i := range names {
		for _, s := range [][2]string{{"abc", "xabcx"}, {"10.0.0.0/8", "10.0.0.1"}, {"1-255", "\x00"}, {`\d+`, "4111111111111111"}, {"s/a/b/", "a"}, {"%{tx.a}", "1"}, {`|41|\:`, "A:"}, {"hashes.data 10", "x"}} {
			f.Add(uint8(i), s[0], s[1])
		}
	}
	env := Env{
		ReadFile: func(name string) ([]byte, error) { return []byte(name + "\n10.0.0.1\n"), nil },
		Resolver: resolver{}, HTTPBLKey: func() string { return "k" },
		Match: match.Options{Limits: match.Limits{Ways: 1000}, Budget: match.NewBudget(1 << 20)},
	}
	f.Fuzz(func(t *testing.T, i uint8, arg, in string) {
		if len(arg) > 100 || len(in) > 200 {
			return
		}
		name := names[int(i)%len(names)]
		o, err := New(name, arg, env)
		if err != nil {
			return
		}
		expand := func(s string) string { return s }
		plain := Result{Expand: expand}
		full := Result{Expand: expand, Capture: true, Explain: true, Target: "ARGS:a"}
		a, b := o.Match(in, "", &plain), o.Match(in, "", &full)
		if a != b && plain.Err == nil && full.Err == nil {
			t.Fatalf("@%s %q on %q: %v, with captures %v", name, arg, in, a, b)
		}
		if l, ok := o.(Literaler); ok && a {
			sb := match.NewBuilder()
			sb.Add(l.Literals())
			set := sb.Build()
			mask := make([]uint64, 2*set.Words())
			if set.Scan(in, mask); mask[0] != 1 {
				t.Fatalf("@%s %q matches %q, but not its literals %q", name, arg, in, l.Literals())
			}
		}
	})
}
