//go:build peers

package gate

import (
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// proxyModules is what a real Apache needs to be a proxy.
const proxyModules = `LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
`

// besideApache starts a real Apache with mod_security2 and the gate with the same configuration before the same
// application, and returns their ports. UPSTREAM in the text is the application.
func besideApache(t *testing.T, text string, application http.Handler) (apache, gate int) {
	t.Helper()
	ln := listen(t)
	up := &http.Server{Handler: application}
	go up.Serve(ln)
	t.Cleanup(func() { up.Close() })
	ports := peertest.Ports(t, 2)
	text = strings.ReplaceAll(proxyModules+"Listen 127.0.0.1:PORT\nSecRuleEngine On\n"+text+"\nProxyPass / http://UPSTREAM/\nProxyPassReverse / http://UPSTREAM/\n", "UPSTREAM", ln.Addr().String())
	at := func(port int) string { return strings.ReplaceAll(text, "PORT", strconv.Itoa(port)) }
	dirs := "SecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\nSecAuditLog {{dir}}/audit/audit.log\n"
	peertest.StartApache(t, dirs+at(ports[0]), net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])))
	cfg, warnings, err := config.Parse("same.conf", []byte("ServerRoot "+t.TempDir()+"\nServerName localhost\n"+at(ports[1])), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Log(w)
	}
	engine, err := seclang.Compile(seclang.Config{Directives: cfg.Main.Sec})
	if err != nil {
		t.Fatal(err)
	}
	serveSites(t, Sites{Config: cfg, Site: func(h *config.Host) Site { return Site{Host: h, Engine: engine} }}, ports[1])
	return ports[0], ports[1]
}

const hashPages = `SecResponseBodyAccess On
SecContentInjection On
SecStreamOutBodyInspection On
SecHashEngine On
SecHashKey "a key, and an address" RemoteIP
SecHashParam hmac
SecHashMethodRx HashHref "^(?:/|http).*"
SecHashMethodPm HashHref "mailto: script: # ftp:"
SecHashMethodRx HashFormAction "\.php"
SecHashMethodRx HashIframeSrc "^/sub/dir/"
SecHashMethodPm HashFrameSrc "FRAME other"
SecHashMethodRx HashLocation "x"
SecRule REQUEST_URI "!@beginsWith /sub/dir/page.php" "id:1,phase:2,deny,status:406,chain"
SecRule REQUEST_URI "@validateHash ." ""
`

// sameLinks are links that both sign, so that they lead to the same place with the same hash.
var sameLinks = []string{
	"rel.php", "rel.php?x=1", "/abs.php", "/abs.php?a=1&b=2", "/abs.php?a=1&copy=2", "http://other.example/other", "https://other.example:8443/o?x=1", "../up.php", "./dot.php", "a/../b/./c.php",
	"/a/../../b.php", "%20enc%41.php?%41=%42", "/x;y?z", "/", ".", "..", "...", ".hidden", "/.", "a//b", "/a//b///c", "/a[1].php", "/a|b.php", "/a.php?", "/<x>",
	"/%2e%2e/x", "/%2E/x", "/%zz", "/a?b?c", "http://other.example/a/../b", "http://other.example/?a", "/x.php?hmac=1", "http://other.example", "/a/./b/../../c/", "/a?x=/../y", "/a?x=%2e", "/~u/+x,y=z@:!$*()",
	"/a%2fb", "a?b=http://x/y", "/a+b c", "sub/", "/%41%42%43",
}

// unlikeLinks are links of which mod_security2 makes what we do not, each with the reason.
var unlikeLinks = map[string]string{
	"/abs.php?a=1#frag": "the parameter would stand in the fragment, which no browser sends",
	"/abs.php#frag":     "the parameter would stand in the fragment, which no browser sends",
	"with space.php":    "methods see where a link leads to, written with a blank or not",
	"/..":               "it leads to the root",
	"#frag":             "a place in the page is no request",
	"":                  "an empty link leads to the page, not to its folder",
	"?q=2":              "a query alone leads to the page, not to its folder",
	"//other/x":         "another host's path is not one of this site",
	"mailto:a@b.c":      "no request to a server",
	"javascript:f()":    "no request to a server",
	"ftp://x/y":         "no request to this kind of server",
	"/A%2541":           "written anew without its escape it leads elsewhere",
	"x;hmac":            "the parameter's name within a path signs nothing",
	" /lead.php ":       "blanks around are not part of a link",
	"/é":                "without a charset a browser sends what was written",
	"/a?x=' y":          "the hash is of what a browser sends",
	"/xhmacx.php":       "the parameter's name within a path signs nothing",
	"http:/x":           "a host without a name",
	`/a\b`:              "a browser turns it into a slash",
}

func TestPagesLikeModSecurity2(t *testing.T) {
	apache, ours := besideApache(t, hashPages, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, r.URL.Query().Get("page"))
	}))
	ask := func(port int, uri string) (int, string) {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, uri))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	value := regexp.MustCompile(`(?:href|action|src)="([^"]*)"`)
	link := func(port int, page string) string {
		_, body := ask(port, "/sub/dir/page.php?page="+url.QueryEscape(page))
		m := value.FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("%s became %q", page, body)
		}
		return html.UnescapeString(m[1])
	}
	check := func(tag, in, why string) {
		t.Helper()
		page := strings.Replace(tag, "@", html.EscapeString(in), 1)
		theirs, mine := link(apache, page), link(ours, page)
		same := place(t, theirs) == place(t, mine)
		switch {
		case why != "" && same:
			t.Errorf("%s: agrees now; remove it from the list (%s)", page, why)
		case why == "" && !same:
			t.Errorf("%s\nmod_security2: %s\nours:          %s", page, theirs, mine)
		case why == "" && strings.HasPrefix(place(t, mine), "/") && strings.Contains(mine, "hmac=") && in != mine && in != "/%zz":
			for _, l := range []string{theirs, mine} {
				for name, port := range map[string]int{"mod_security2": apache, "the gate": ours} {
					if status, _ := ask(port, request(t, l)); status == 406 {
						t.Errorf("%s refuses %s", name, request(t, l))
					}
				}
			}
		}
	}
	for _, l := range sameLinks {
		check(`<a href="@">x</a>`, l, "")
	}
	for l, why := range unlikeLinks {
		check(`<a href="@">x</a>`, l, why)
	}
	for _, tag := range []string{`<form action="@" method=post></form>`, `<form action="@" method=get></form>`, `<form action="@" option=x></form>`, `<iframe src="@"></iframe>`, `<frameset><frame src="@"></frameset>`, `<img src="@">`, `<map><area href="@"></map>`, `<link href="@">`, `<b href="@">`} {
		for _, l := range []string{"a.php", "/b.html", "frame", "/OTHER/f", "/sub/dir/x"} {
			check(tag, l, "")
		}
	}
	check(`<base href="@">`, "/base/", "an address without a file is no link")
	check(`<textarea><a href="@"></textarea>`, "/x", "text is no link")
}

// sameRedirects are status and Location.
var sameRedirects = []string{
	"301 /x.php", "302 /x.php", "302 /x.php?a=1", "302 x.php", "302 http://other.example/x", "302 https://other.example/x?y", "302 /other", "201 /x.php", "200 /x.php",
	"302 http://x", "302 /a/x.php?b=/../c", "302 http://127.0.0.1:PORT/x.php", "302 /x.php?",
}

var unlikeRedirects = map[string]string{
	"303 /x.php":      "a browser follows these, too",
	"307 /x.php":      "a browser follows these, too",
	"308 /x.php":      "a browser follows these, too",
	"302 ../x.php":    "the hash is of where it leads",
	"302 /a/../x.php": "the hash is of where it leads",
	"302 /%41x.php":   "the hash is of what phase 2 sees",
	"302 /x.php#f":    "the parameter would stand in the fragment",
	"302 #x":          "a place in the page is no request",
	"302 //other/x":   "another host's path is not one of this site",
	"302 /x?hmac=1":   "the parameter is there already",
	"302 /x?hmac":     "the parameter is there already",
}

// TestRedirectsLikeModSecurity2 compares Location headers, and follows those that both sign.
func TestRedirectsLikeModSecurity2(t *testing.T) {
	apache, ours := besideApache(t, hashPages, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, _ := strconv.Atoi(r.URL.Query().Get("status")); status > 0 {
			w.Header().Set("Location", r.URL.Query().Get("to"))
			w.WriteHeader(status)
		}
	}))
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	location := func(port int, status, to string) string {
		to = strings.ReplaceAll(to, "PORT", strconv.Itoa(port))
		res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/sub/dir/page.php?status=%s&to=%s", port, status, url.QueryEscape(to)))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return strings.ReplaceAll(res.Header.Get("Location"), strconv.Itoa(port), "PORT")
	}
	check := func(c, why string) {
		status, to, _ := strings.Cut(c, " ")
		theirs, mine := location(apache, status, to), location(ours, status, to)
		if same := place(t, theirs) == place(t, mine); same && why != "" {
			t.Errorf("%s: agrees now; remove it from the list (%s)", c, why)
		} else if !same && why == "" {
			t.Errorf("%s\nmod_security2: %s\nours:          %s", c, theirs, mine)
		}
		if !strings.Contains(mine, "hmac=") || strings.Contains(to, "hmac") || !strings.HasPrefix(place(t, mine), "/") || strings.HasPrefix(mine, "//") {
			return
		}
		for _, port := range []int{apache, ours} {
			res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, request(t, mine)))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode == 406 {
				t.Errorf("%s: port %d answers %d to %s", c, port, res.StatusCode, mine)
			}
		}
	}
	for _, c := range sameRedirects {
		check(c, "")
	}
	for c, why := range unlikeRedirects {
		check(c, why)
	}
}

// TestRewritingTogetherLikeModSecurity2: links are signed first, then phase 4 replaces, then text is put around.
func TestRewritingTogetherLikeModSecurity2(t *testing.T) {
	const link = `<a href="/abs.php">secret</a>`
	apache, ours := besideApache(t, hashPages+`SecRule ARGS:page "." "id:10,phase:3,pass,nolog,append:'<!-- secret /abs.php -->',prepend:'<!-- begin secret -->'"
SecRule STREAM_OUTPUT_BODY "@rsub s/secret|href/X/" "id:11,phase:4,pass,nolog,chain"
SecRule STREAM_OUTPUT_BODY "@rsub s/hmac=(....)/sig=\\\\1/" ""
`, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html><body>"+link+strings.Repeat(" ", len(r.URL.Query().Get("page")))+"</body></html>")
	}))
	answer := func(port int, page string) string {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/sub/dir/page.php?page=%s", port, page))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b)
	}
	// libxml2 adds a document type and ends of lines.
	anew := regexp.MustCompile(`<!DOCTYPE[^>]*>|\s+`)
	theirs, mine := anew.ReplaceAllString(answer(apache, "x"), ""), anew.ReplaceAllString(answer(ours, "x"), "")
	if theirs != mine || !strings.Contains(mine, `<aX="/abs.php?sig=`) || !strings.HasPrefix(mine, "<!--beginsecret-->") {
		t.Errorf("\nmod_security2: %s\nours:          %s", theirs, mine)
	}
	// Of a page above 4,000 bytes mod_security2 sends what libxml2 had last in its buffer.
	long := strings.Repeat("p", 6000)
	if mine := answer(ours, long); !strings.Contains(mine, "abs.php?sig=") || !strings.HasSuffix(mine, "</body></html><!-- secret /abs.php -->") {
		t.Errorf("a long page: %q", mine)
	}
}

// place is where a link leads to from the page, decoded.
func place(t *testing.T, link string) string {
	u, err := url.Parse(strings.ReplaceAll(link, "%zz", "%25zz"))
	if err != nil {
		return link
	}
	if u.Scheme == "" {
		if u = (&url.URL{Path: "/sub/dir/page.php"}).ResolveReference(u); u.Path != "" {
			clean := path.Clean(u.Path)
			if strings.HasSuffix(u.Path, "/") && clean != "/" {
				clean += "/"
			}
			u.Path = clean
		}
	} else {
		u.Path = path.Clean(u.Path)
	}
	q := "?" + u.RawQuery
	if u.RawQuery == "" && !u.ForceQuery {
		q = ""
	}
	return u.Scheme + u.Host + u.Path + q + "#" + u.Fragment
}

// request is what a browser asks for when it follows the link.
func request(t *testing.T, link string) string {
	u, err := url.Parse(strings.ReplaceAll(link, "%zz", "%25zz"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll((&url.URL{Path: "/sub/dir/page.php"}).ResolveReference(u).RequestURI(), "%25zz", "%zz")
}
