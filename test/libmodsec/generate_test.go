//go:build libmodsecurity || peers

package libmodsec

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"strings"
)

var (
	cases = flag.Int("cases", 600, "how many generated cases TestGenerated runs; version 3 keeps a segment of shared memory for each, of which Linux has 4,096")
	seed  = flag.Uint64("seed", 1, "the first of them")
)

var ctls = regexp.MustCompile(`,(?:ctl|skip):[^,]*`)

var numeric = regexp.MustCompile(`@(?:eq|ge|gt|le|lt) `)

var setvars = regexp.MustCompile(`,?(?:setvar:[^,]*|capture)`)

// generator makes one case.
type generator struct {
	*rand.Rand
	phase  int
	id     int
	left   int // rules that follow in the phase
	unique bool
	named  map[string]bool // arguments of this request
}

func generate(seed uint64) *Case {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 7))}
	var b strings.Builder
	b.WriteString("SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/plain text/html\n")
	for g.phase = 1; g.phase <= 5; g.phase++ {
		n := g.IntN(6)
		for i := range n {
			g.left = n - i - 1
			g.rule(&b)
		}
		if g.IntN(3) == 0 {
			fmt.Fprintf(&b, "SecMarker END%d\n", g.phase)
		}
	}
	g.updates(&b)
	c := &Case{Rules: b.String(), Steps: true}
	for range 1 + g.IntN(3) {
		c.Requests = append(c.Requests, g.request())
	}
	return c
}

func (g *generator) of(words ...string) string { return words[g.IntN(len(words))] }

func (g *generator) odds(n int) bool { return g.IntN(n) == 0 }

func (g *generator) rule(b *strings.Builder) {
	g.id++
	if g.odds(8) {
		fmt.Fprintf(b, "SecAction \"id:%d,%s\"\n", 900+g.id, g.actions("")) // ids that no ctl names: there it does not remove actions
		return
	}
	targets := g.targets()
	op := g.operator()
	if !g.odds(5) {
		fmt.Fprintf(b, "SecRule %s \"%s\" \"id:%d,%s\"\n", targets, op, g.id, g.actions(op))
		return
	}
	// What ctl says holds in version 2 with the first match of a chain, in version 3 when all of it has matched.
	acts := ctls.ReplaceAllString(g.actions(op), "")
	fmt.Fprintf(b, "SecRule %s \"%s\" \"id:%d,%s,chain\"\n", targets, op, g.id, acts)
	for g.odds(4) {
		op = g.operator()
		fmt.Fprintf(b, "SecRule %s \"%s\" \"%s,chain\"\n", g.targets(), op, g.steps(op))
	}
	op = g.operator()
	fmt.Fprintf(b, "SecRule %s \"%s\" \"%s\"\n", g.targets(), op, g.steps(op))
}

// targets are one to three variables. REQUEST_URI is left out, which version 3 decodes, and what is empty there and 0
// or absent in version 2.
func (g *generator) targets() string {
	var out []string
	g.unique = true
	for range 1 + g.IntN(3) {
		v := g.target()
		switch {
		case strings.HasPrefix(v, "REQUEST_M") || strings.HasPrefix(v, "REMOTE"):
		default:
			g.unique = false
		}
		out = append(out, v)
	}
	if len(out) > 1 {
		g.unique = false
	}
	// Patterns in exclusions do not look at case in version 2, and an exclusion does not change a count.
	if g.odds(5) && !strings.Contains(strings.Join(out, ""), "&") {
		out = append(out, "!"+g.keyed()+":"+g.of("a", "b", "c", "x-a", "none"))
	}
	return strings.Join(out, "|")
}

func (g *generator) target() string {
	switch g.IntN(10) {
	case 0, 1:
		return g.of("REQUEST_METHOD", "REQUEST_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT", "SERVER_ADDR", "REQUEST_FILENAME", "REQUEST_BASENAME", "QUERY_STRING", "REQUEST_LINE")
	case 2:
		return "&" + g.keyed()
	case 3:
		// Not the names that ctl takes away: there a count of what is absent goes with them.
		return "&" + g.keyed() + ":" + g.of("b", "c", "x-a", "X-B", "/x/", "/^.$/", "none")
	case 4:
		return "TX:" + g.of("a", "b", "n", "none", "/^[ab]$/")
	case 5:
		return g.keyed()
	}
	return g.keyed() + ":" + g.key()
}

func (g *generator) keyed() string {
	vs := []string{"ARGS", "ARGS_GET", "ARGS_NAMES", "ARGS_GET_NAMES", "REQUEST_HEADERS", "REQUEST_HEADERS_NAMES", "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES"}
	if g.phase > 1 {
		vs = append(vs, "ARGS_POST", "ARGS_POST_NAMES", "ARGS", "ARGS_POST")
	}
	if g.phase > 2 {
		vs = append(vs, "RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES")
	}
	return g.of(vs...)
}

func (g *generator) key() string {
	return g.of("a", "b", "c", "x-a", "X-B", "user", "/^[ab]/", "/x/", "/^.$/", "none")
}

// operator makes no patterns with $, which ends lines in version 3, none that cannot be compiled, and no @containsWord,
// which finds 12 in 12345 there.
func (g *generator) operator() string {
	word := func() string { return g.of(words()...) }
	number := fmt.Sprint(g.IntN(6))
	neg := ""
	if g.odds(5) {
		neg = "!"
	}
	op := g.of(
		"@rx "+g.pattern(), "@rx "+g.pattern(), g.pattern(), "@rx ("+g.pattern()+")", "@streq "+word(), "@contains "+word(), "@beginsWith "+word(), "@endsWith "+word(),
		"@within "+word()+" "+word(), "@strmatch "+word(), "@pm "+word()+" "+word(), "@eq "+number, "@ge "+number, "@gt "+number, "@le "+number,
		"@lt "+number, "@ipMatch 192.0.2.0/24,10.0.0.1", "@validateByteRange 32-126", "@validateUrlEncoding", "@validateUtf8Encoding", "@detectSQLi", "@detectXSS",
		"@unconditionalMatch", "@noMatch", "@streq %{tx.a}", "@contains %{ARGS.a}", "@beginsWith %{tx.b}", "@eq %{tx.n}", "@within %{ARGS.b}",
	)
	if strings.HasPrefix(op, "!") {
		return op
	}
	return neg + op
}

func (g *generator) pattern() string {
	return g.of(`^a`, `b`, `[0-9]+`, `^[a-z]+\s`, `(?i)SELECT`, `a.c`, `\d{2}`, `x|y`, `^(?:a|b)`, `\bfoo\b`, `[^a-z]`, `.`, `^.{3,5}`, `o{2}`, `foo(?=bar)`, `(?<!f)oo`, `%[0-9a-f]{2}`, `<`, `\.\.`, `^\w+=`)
}

func words() []string {
	return []string{"a", "abc", "foo", "foobar", "GET", "POST", "1", "12", "x", "y", "select", "h", "value", "text", "foo bar", "b"}
}

// actions of a rule: version 3 goes on after an interruption, so that the values behind a disruptive match are not
// looked at here.
func (g *generator) actions(op string) string {
	out := []string{fmt.Sprintf("phase:%d", g.phase)}
	acts := g.odds(6) && g.phase < 5
	switch {
	case acts:
		out = append(out, g.of("deny", "deny,status:404", "deny,status:503", "redirect:http://x.example/%{tx.a}", "drop", "block", "allow", "allow:phase", "allow:request"))
	default:
		out = append(out, "pass")
	}
	if acts { // the log of an interruption is there with nolog, too
		out = append(out, "log,msg:'b %{tx.b}'")
	} else if op == "" { // an action without a message logs nothing there
		out = append(out, g.of("log,msg:a", "nolog"))
	} else {
		out = append(out, g.log())
	}
	switch {
	case g.odds(8) && g.left > 2 && !acts: // rules that are removed do not count, and the rest of a count goes on in the next phase there
		out = append(out, "skip:1")
	case g.odds(12):
		out = append(out, fmt.Sprintf("ctl:ruleRemoveById=%d", g.id+1+g.IntN(9)))
	case g.odds(12):
		out = append(out, fmt.Sprintf("ctl:ruleRemoveTargetById=%d;%s", g.id+1+g.IntN(9), g.of("ARGS:a", "ARGS:user")))
	case g.odds(12):
		out = append(out, "ctl:ruleRemoveByTag=t1")
	case g.odds(30):
		out = append(out, "ctl:ruleEngine=DetectionOnly")
	}
	steps := g.steps(op)
	if acts { // what the values behind the first would set
		steps = setvars.ReplaceAllString(steps, "")
	}
	return strings.TrimSuffix(strings.Join(append(out, steps), ","), ",")
}

func (g *generator) log() string {
	return g.of("log", "nolog", "log,msg:'m %{tx.a} %{tx.n}'", "log,msg:'static',logdata:'%{REQUEST_METHOD}',severity:"+fmt.Sprint(g.IntN(8)), "log,auditlog,tag:'t1',tag:'t/2',msg:x", "nolog,auditlog,msg:y", "log,msg:'%{REMOTE_ADDR} %{ARGS.a} %{request_headers.x-a}'")
}

// steps are actions that a member of a chain may carry, too. Counters never fall below zero, a negative sum is left out.
func (g *generator) steps(op string) string {
	out := []string{"t:none"}
	if op == "" {
		out = nil
	}
	for range g.IntN(3) {
		if numeric.MatchString(op) { // digits beyond 32 bits are 0 in version 3
			out = append(out, "t:"+g.of("lowercase", "length", "trim", "urlDecode"))
		} else if op != "" {
			out = append(out, "t:"+g.of("lowercase", "uppercase", "urlDecode", "urlDecodeUni", "htmlEntityDecode", "removeWhitespace", "trim", "trimLeft", "length", "removeNulls", "normalizePath", "cmdLine", "hexEncode", "base64Encode", "urlEncode", "replaceComments", "jsDecode"))
		}
	}
	if g.odds(3) {
		out = append(out, "setvar:"+g.of("tx.a=1", "tx.b=foo", "tx.n=+1", "tx.n=+2", "'tx.a=foo bar'", "tx.b=%{tx.a}", "!tx.a", "tx.n=3", "TX.b=%{REQUEST_METHOD}", "tx.a=%{ARGS.a}", "tx.%{REQUEST_METHOD}=1", "tx.c"))
	}
	if len(out) == 0 {
		out = append(out, "setvar:tx.z=1")
	}
	if strings.HasPrefix(op, "@rx (") && g.unique && g.odds(2) {
		out = append(out, "capture", "setvar:tx.b=%{TX.0}%{TX.1}")
	}
	return strings.Join(out, ",")
}

// updates takes rules away. Rules that are gone do not count for skip in version 2, and version 3 reads an exclusion of
// SecRuleUpdateTargetById in its own way.
func (g *generator) updates(b *strings.Builder) {
	if strings.Contains(b.String(), "skip:") {
		return
	}
	if g.odds(4) {
		fmt.Fprintf(b, "SecRuleRemoveById %d\n", 1+g.IntN(15))
	}
	if g.odds(8) {
		b.WriteString("SecRuleRemoveByTag t/2\n")
	}
	if g.odds(8) {
		b.WriteString("SecRuleRemoveByMsg static\n")
	}
}

func (g *generator) request() Request {
	g.named = map[string]bool{}
	q := Request{Method: g.of("GET", "GET", "HEAD", "POST", "PUT"), URI: g.of("/", "/a", "/a/b.php", "/foo/../bar", "/x//y", "/a.b/c")}
	q.URI += "?" + g.arguments() // without the mark there is an empty QUERY_STRING in version 3
	names := []string{"Host", "X-A", "x-b", "User-Agent", "A"}
	for _, n := range names {
		if g.odds(2) {
			q.Headers = append(q.Headers, [2]string{n, g.value()})
		}
	}
	if g.odds(3) {
		q.Headers = append(q.Headers, [2]string{"Cookie", g.of("a=1", "a=1; b=foo", "b=foo bar; a=abc; c=", "user=x")})
	}
	if q.Method == "POST" || q.Method == "PUT" {
		body := g.arguments()
		q.Body = []string{body[:len(body)/2], body[len(body)/2:]}
		q.Headers = append(q.Headers, [2]string{"Content-Type", "application/x-www-form-urlencoded"}, [2]string{"Content-Length", fmt.Sprint(len(body))})
		if body == "" {
			q.Body = nil
		}
	}
	q.ResponseHeaders = [][2]string{{"Content-Type", g.of("text/plain", "text/html")}, {"X-A", g.value()}}
	q.Status = []int{200, 404, 500}[g.IntN(3)]
	q.ResponseBody = g.of("hello", "foo bar", "<html>select</html>")
	return q
}

func (g *generator) arguments() string {
	var out []string
	for range g.IntN(5) {
		// Of several values of one name a macro takes another one there, in the order of a hash table.
		name := g.of("a", "b", "c", "user", "foo", "x%20y", "ab")
		if g.named[name] {
			continue
		}
		g.named[name] = true
		out = append(out, name+"="+strings.ReplaceAll(url.QueryEscape(g.value()), "%0", "%250"))
	}
	return strings.Join(out, "&")
}

func (g *generator) value() string {
	return g.of(append(words(), "", "foo bar", "FooBar", "1' or '1'='1", "<script>alert(1)</script>", "../../etc/passwd", "%41%2542", "a&lt;b", "12345", " padded ", "SELECT a", "UNION SELECT", "\\u0041", "/*x*/", "caf\xc3\xa9")...)
}

// unlike is the lines that only one of two lists has, in order, by a longest common subsequence.
func unlike(a, b []string) string {
	n, m := len(a), len(b)
	lcs := make([][]int, n+1)
	for i := range lcs {
		lcs[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if a[i] == b[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var out strings.Builder
	for i, j := 0, 0; i < n || j < m; {
		switch {
		case i < n && j < m && a[i] == b[j]:
			i, j = i+1, j+1
		case j == m || i < n && lcs[i+1][j] >= lcs[i][j+1]:
			fmt.Fprintf(&out, "-%s\n", a[i])
			i++
		default:
			fmt.Fprintf(&out, "+%s\n", b[j])
			j++
		}
	}
	return out.String()
}
