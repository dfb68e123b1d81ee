package hash

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func all() [5]bool { return [5]bool{true, true, true, true, true} }

func signer() *Signer {
	return &Signer{Key: []byte("this_is_my_key"), Param: "hmac", Page: "/sub/dir/page.php?q=1", Named: all(), Wants: func(Kind, string) bool { return true }}
}

// TestLinks: the hashes are those of mod_security2 2.9.7 with the same key, where it signs the link so that it can be followed.
func TestLinks(t *testing.T) {
	for _, c := range []struct{ in, want, hashed string }{
		{"rel.php", "rel.php?hmac=243ff74512c8d2500e5b7a1d5b18ec20ae91d560", "sub/dir/rel.php"},
		{"rel.php?x=1", "rel.php?x=1&hmac=fe0ff770ef8ef3b0b33e0c6d3d1c26b8739e07ef", "sub/dir/rel.php?x=1"},
		{"/abs.php", "/abs.php?hmac=e9c325cf843c85973b33bf6c84352defd4f05d46", "abs.php"},
		{"/abs.php?a=1&b=2", "/abs.php?a=1&b=2&hmac=5b25db3158b3dd3356feeaafcdc560cbd081cd35", "abs.php?a=1&b=2"},
		{"../up.php", "../up.php?hmac=030f78d5752420af3b3b397eaab2798a426db85d", "sub/up.php"},
		{"a/../b/./c.php", "a/../b/./c.php?hmac=259366a1e7d0cafd98afce5865a4cea500d87684", "sub/dir/b/c.php"},
		{"/a/../../b.php", "/a/../../b.php?hmac=f01d5732abaf240612dd94ed3195ef3b577b8b26", "b.php"},
		{"with space.php", "with%20space.php?hmac=44920ff6d72004984dd6b5d5ab665377d79aa1c0", "sub/dir/with space.php"},
		{"/%20enc%41.php?%41=%42", "/%20enc%41.php?%41=%42&hmac=a3ed8170b296d413e803f0715e980c337922fdf2", " encA.php?%41=%42"},
		{"http://localhost/same?x", "http://localhost/same?x&hmac=2d2775a8954d550e6b2a5fcd69a41d80703121b4", "same?x"},
		{"http://other.example/other", "http://other.example/other?hmac=00506bc8d76e2c8ec7bff581fe7c0bc9fd501db4", "other"},
		{"http://other.example/a/../b", "http://other.example/a/../b?hmac=5a3d10d1b5d50cf9c6475abfdd6c282d62f57208", "b"},
		{"/", "/?hmac=fe3775fc9a4c88a8f8275c55fbe115896ab63640", ""},
		{".", ".?hmac=f899948ca4eb2ec91aeef807a66b462fe6595dba", "sub/dir/"},
		{"..", "..?hmac=e83c2a94995896cf324d36c3a5ab9f6938a4f628", "sub/"},
		{"...", "...?hmac=4e0c07777d154483a6105a9c5de9f28eba6f8280", "sub/dir/..."},
		{"a//b", "a//b?hmac=c938923a87054e6a54fc19bc1e6b3437614b17c7", "sub/dir/a/b"},
		{"/a[1].php", "/a[1].php?hmac=28fc3089e918446e5fccea0a43383973c31063e5", "a[1].php"},
		{"/a.php?", "/a.php?&hmac=4280a498d7dd8dbc25b0c41ecaf506c2dbd2f19e", "a.php?"},
		{"/<x>", "/%3Cx%3E?hmac=f942118649f7e4596bc4318b090d7fc966021ed1", "<x>"},
		{"/%2e%2e/x", "/%2e%2e/x?hmac=e7dfbe4c3091039445d9eaea5da60ec080c35a99", "x"},
		{"/a%2Fb", "/a%2Fb?hmac=1403357d29473b90c2962ddca6a2de3557b4a748", "a/b"},
		{"/%zz", "/%zz?hmac=ae2623adcbb69921783f6251266020d12b42018b", "%zz"},
		// From here on mod_security2 leads astray, or nowhere.
		{" /lead.php\n", "/lead.php?hmac=*", "lead.php"},
		{"/abs.php?a=1#frag", "/abs.php?a=1&hmac=*#frag", "abs.php?a=1"},
		{"?q=2", "?q=2&hmac=*", "sub/dir/page.php?q=2"},
		{"", "?q=1&hmac=*", "sub/dir/page.php?q=1"},
		{"//other.example/x", "//other.example/x?hmac=*", "x"},
		{`\a\b`, "/a/b?hmac=*", "a/b"},
		{"HTTPS://Other.example/y", "HTTPS://Other.example/y?hmac=*", "y"},
		{"/é.php?é", "/%C3%A9.php?%C3%A9&hmac=*", "é.php?%C3%A9"},
		{"/a%3Fb%23c%00d", "/a%3Fb%23c%00d?hmac=*", "a%3Fb%23c%00d"},
		{"/x?a=' \"", "/x?a=%27%20%22&hmac=*", "x?a=%27%20%22"},
		{"/hmac/x", "/hmac/x?hmac=*", "hmac/x"},
		{"/x?xhmac=1", "/x?xhmac=1&hmac=*", "x?xhmac=1"},
		{"#frag", "", ""},
		{"mailto:a@b.c", "", ""},
		{"javascript:alert(1)", "", ""},
		{"JavaScript:alert(1)", "", ""},
		{"data:text/html,x", "", ""},
		{"ftp://x/y", "", ""},
		{"tel:1", "", ""},
		{"http:", "", ""},
		{"http:/x", "", ""},
		{"http:x", "", ""},
		{"http://other.example", "", ""},
		{"http:///x", "", ""},
		{"/x?hmac=1", "", ""},
		{"/x?hmac", "", ""},
		{"/x?a=1&hmac=1&b", "", ""},
	} {
		page := `<a href="` + html.EscapeString(c.in) + `">`
		out, n := signer().HTML([]byte(page), "text/html; charset=utf-8")
		if c.want == "" {
			if n != 0 || string(out) != page {
				t.Errorf("%q became %s", c.in, out)
			}
			continue
		}
		want := strings.Replace(c.want, "*", Sum([]byte("this_is_my_key"), "/"+escapeAll(c.hashed)), 1)
		if got := href(t, out); got != want || n != 1 {
			t.Errorf("%q became %q, expected %q", c.in, got, want)
		}
		if i := strings.LastIndex(want, "hmac="); want[i+5:i+45] != sum([]byte("this_is_my_key"), c.hashed) {
			t.Errorf("%q: the hash is not of %q", c.in, c.hashed)
		}
	}
}

// escapeAll keeps Sum from decoding what is hashed as it is.
func escapeAll(s string) string {
	path, query, ok := strings.Cut(s, "?")
	path = strings.ReplaceAll(strings.ReplaceAll(path, "%", "%25"), " ", "%20")
	if ok {
		return path + "?" + query
	}
	return path
}

func href(t *testing.T, page []byte) string {
	z := html.NewTokenizer(bytes.NewReader(page))
	z.Next()
	_, _ = z.TagName()
	_, v, _ := z.TagAttr()
	return string(v)
}

// TestPages: which attributes of which tags are signed, and that every other byte stays.
func TestPages(t *testing.T) {
	re := regexp.MustCompile(`(\?|&amp;)hmac=[0-9a-f]{40}`)
	for _, c := range []struct{ in, want string }{
		{`<A HREF='/a'>`, `<A HREF='/a@'>`},
		{`<a href=/a>`, `<a href=/a@>`},
		{`<a href=/a/>`, `<a href=/a/@>`},
		{"<a\n  href\t=\r\n  \"/a\"\f/>", "<a\n  href\t=\r\n  \"/a@\"\f/>"},
		{`<a href="/a?x=1&amp;y">`, `<a href="/a?x=1&amp;y+">`},
		{`<a href="/a?x=1&copy=2">`, `<a href="/a?x=1&amp;copy=2+">`},
		{`<a href="/&#x41;">`, `<a href="/A@">`},
		{`<a href='/a"b&#39;c'>`, `<a href='/a%22b&#39;c@'>`},
		{`<a href="/1" href="/2">`, `<a href="/1@" href="/2">`},
		{`<a href href="/2">`, `<a href href="/2">`},
		{`<a href= href="/2">`, `<a href= href=%22/2%22@>`},
		{`<a =href="/2">`, `<a =href="/2">`},
		{`<a x=">" href="/2">`, `<a x=">" href="/2@">`},
		{`<a x='"' href="/2">`, `<a x='"' href="/2@">`},
		{`<a/href="/2"/x>`, `<a/href="/2@"/x>`},
		{`<a x="y"href="/2">`, `<a x="y"href="/2@">`},
		{`<area href="/a"><link rel=x href=/b><b href="/c">`, `<area href="/a@"><link rel=x href=/b@><b href="/c@">`},
		{`<svg><a xlink:href="/x" href="/y">`, `<svg><a xlink:href="/x" href="/y@">`},
		{`<form action="/a" method=post>`, `<form action="/a@" method=post>`},
		{`<form method=post><form action><form action="">`, `<form method=post><form action><form action="?q=1+">`},
		{`<form action="/a" option=1><form option action=/b>`, `<form action="/a" option=1><form option action=/b>`},
		{`<iframe src="/a"></iframe><frame src=/b><img src=/c>`, `<iframe src="/a@"></iframe><frame src=/b@><img src=/c>`},
		{`<!-- <a href="/a"> --><a href="/b">`, `<!-- <a href="/a"> --><a href="/b@">`},
		{`<script>"<a href='/a'>"</script><a href="/b">`, `<script>"<a href='/a'>"</script><a href="/b@">`},
		{`<textarea><a href="/a"></textarea><a href="/b">`, `<textarea><a href="/a"></textarea><a href="/b@">`},
		{`<noscript><a href="/a"></noscript>`, `<noscript><a href="/a@"></noscript>`},
		{`</a href="/a"><a href="/b`, `</a href="/a"><a href="/b`},
		{"<a href=\"/\x00x\">", `<a href="/%00x@">`},
		{"<a href=\"/\xff\">", "<a href=\"/\xff\">"},
		{`<base href="/b/"><a href="x">`, `<base href="/b/"><a href="x@">`},
		{"\x00\xff<a href=/a>\xfe\r\n", "\x00\xff<a href=/a@>\xfe\r\n"},
	} {
		out, _ := signer().HTML([]byte(c.in), "text/html; charset=utf-8")
		got := re.ReplaceAllStringFunc(string(out), func(s string) string {
			if s[0] == '?' {
				return "@"
			}
			return "+"
		})
		if got != c.want {
			t.Errorf("%q\nbecame   %q\nexpected %q", c.in, got, c.want)
		}
		if again, n := signer().HTML(out, "text/html; charset=utf-8"); n != 0 || !bytes.Equal(again, out) {
			t.Errorf("%q: signed twice: %q", c.in, again)
		}
	}
}

// TestEncodings: a browser sends the path in UTF-8 and the query in the page's encoding.
func TestEncodings(t *testing.T) {
	key := []byte("this_is_my_key")
	for _, c := range []struct{ kind, in, want, hashed string }{
		{"text/html; charset=iso-8859-1", "<a href='/\xe9?\xe9'>", "/%C3%A9?%E9", "é?%E9"},
		{"text/html; charset=iso-8859-1", "<a href='/\xe9&eacute;?\xe9'>", "/%C3%A9%C3%A9?%E9", "éé?%E9"},
		{"text/html; charset=shift_jis", "<a href='/\x83e?\x83e'>", "/%E3%83%86?%83e", "テ?%83e"},
		{"text/html", "<meta charset=utf-8><a href='/é'>", "/%C3%A9", "é"},
	} {
		out, n := signer().HTML([]byte(c.in), c.kind)
		sep := "?"
		if strings.Contains(c.want, "?") {
			sep = "&amp;"
		}
		want := "<a href='" + c.want + sep + "hmac=" + sum(key, c.hashed) + "'>"
		if n != 1 || !strings.HasSuffix(string(out), want) {
			t.Errorf("%s: %q became %q, expected %q", c.kind, c.in, out, want)
		}
	}
}

// TestBase: relative links start where <base> says, the first one that has an address.
func TestBase(t *testing.T) {
	for base, want := range map[string]string{
		`<base href="/b/c">`:                    "b/x",
		`<base target=_top><base href="/b/">`:   "b/x",
		`<base href="/b/"><base href="/c/">`:    "b/x",
		`<base href="up/">`:                     "sub/dir/up/x",
		`<base href="https://cdn.example/v1/">`: "v1/x",
		`<base href="//cdn.example">`:           "x",
		`<base href="http://cdn.example?x">`:    "x",
		`<base href="#x">`:                      "sub/dir/x",
		`<base href="ftp://cdn.example/v1/">`:   "-",
		`<base href="mailto:x">`:                "-",
	} {
		out, n := signer().HTML([]byte(base+"<a href=x>"), "text/html")
		if want == "-" {
			if n != 0 {
				t.Errorf("%s: %s", base, out)
			}
		} else if !strings.HasSuffix(string(out), "<a href=x?hmac="+sum([]byte("this_is_my_key"), want)+">") {
			t.Errorf("%s: %s is not the hash of %s", base, out, want)
		}
	}
}

// TestMethodsSee shows what patterns are matched with.
func TestMethodsSee(t *testing.T) {
	var seen []string
	s := signer()
	s.Wants = func(k Kind, l string) bool { seen = append(seen, Kinds()[k]+" "+l); return false }
	s.HTML([]byte(`<a href="r.php?x=1#f"><a href="http://h:1/a/../%41">
<form action="/f"><iframe src="i"></iframe><frame src=..><a href="mailto:x">`), "text/html")
	s.Header("x")
	want := "HashHref /sub/dir/r.php?x=1#f|HashHref http://h:1/A|HashFormAction /f|HashIframeSrc /sub/dir/i|HashFrameSrc /sub/|HashLocation x|HashLocation /sub/dir/x"
	if got := strings.Join(seen, "|"); got != want {
		t.Errorf("\n%s\nexpected\n%s", got, want)
	}
	s.Named = [5]bool{}
	seen = nil
	if s.HTML([]byte(`<a href=x>`), ""); seen != nil {
		t.Error("kinds without methods are looked at")
	}
}

func TestLocation(t *testing.T) {
	for in, want := range map[string]string{
		"/x.php":                       "/x.php?hmac=7769b8058eed9e0012fb898753bae1b3568a2748",
		"http://127.0.0.1:14998/x.php": "http://127.0.0.1:14998/x.php?hmac=7769b8058eed9e0012fb898753bae1b3568a2748",
		"/x.php?a=1":                   "/x.php?a=1&hmac=b108e0c243281770084bcc9a00cec3ed77862b04",
		"/x.php?a=1#f":                 "/x.php?a=1&hmac=b108e0c243281770084bcc9a00cec3ed77862b04#f",
		"http://other.example":         "",
		"/x?hmac=1":                    "",
		"/\xe9":                        "",
	} {
		s := signer()
		s.Key = []byte("k")
		got, ok := s.Header(in)
		if ok != (want != "") || ok && got != want || !ok && got != in {
			t.Errorf("%q: %q %v, expected %q", in, got, ok, want)
		}
	}
}

func TestCheck(t *testing.T) {
	key := []byte("this_is_my_key")
	const private, x1 = "d287a8f0848a7bddb76d7f26b97ef0e27d34ed76", "ac879d3b20d166b2bfb8591e98b091805da0af38"
	for _, c := range []struct {
		uri  string
		want State
		got  string
	}{
		{"/private", Absent, ""},
		{"/private?hmac", Missing, ""},
		{"/private?hmac=", Wrong, ""},
		{"/private?hmac=" + private, Valid, private},
		{"/private?hmac=" + strings.ToUpper(private), Wrong, strings.ToUpper(private)},
		{"/private?x=1&hmac=" + x1, Valid, x1},
		{"/private?x=1&hmac=" + x1 + "&y=2", Wrong, x1 + "&y=2"},
		{"/private?hmac=" + private + "&hmac=" + private, Wrong, private},
		{"http://h:1/private?hmac=" + private, Valid, private},
		{"/privat%65?hmac=" + private, Valid, private},
		{"/private?hmac=" + sum(key, "private"), Valid, private},
		{"/./x/..//private?hmac=" + private, Valid, private},
		{"/private%20x?hmac=" + sum(key, "private x"), Valid, "740a350eec4d134ecce9e7eb85597d277aa78d71"},
		{"/private%20x?hmac=" + sum(key, "private%20x"), Valid, sum(key, "private%20x")}, // a Location of mod_security2's
		{"/a%3Fb?hmac=" + sum(key, "a?b"), Wrong, sum(key, "a?b")},
		{"/private?x=1Zhmac=" + x1, Wrong, x1},                            // passes in mod_security2
		{"/privatehmac=" + sum(key, "privat"), Wrong, sum(key, "privat")}, // so does this
		{"hmac", Missing, ""},
		{"hmac=", Wrong, ""},
		{"", Absent, ""},
		{"?hmac=" + sum(key, "sub/"), Valid, sum(key, "sub/")},
	} {
		v := Check(key, "hmac", c.uri, "/sub/page?x")
		if v.State != c.want || v.Got != c.got {
			t.Errorf("%s: %+v, expected %d %q", c.uri, v, c.want, c.got)
		}
	}
}

// TestSignedLinksAreValid: what is signed passes, as a browser would ask for it, and no other address does.
func TestSignedLinksAreValid(t *testing.T) {
	for _, in := range []string{"rel.php", "../a b?c d", "?x", "", "/%41%zz", "/é?é=é#é", `\x`, "//h/p?q", "a;b?c;d", "/a'b", "./..//.//x/?"} {
		out, n := signer().HTML([]byte(`<a href="`+in+`">`), "text/html; charset=utf-8")
		if n != 1 {
			t.Errorf("%q is not signed", in)
			continue
		}
		l, _ := parse(href(t, out), startAt("/sub/dir/page.php?q=1"))
		asked := l.path + "?" + l.query
		if v := Check([]byte("this_is_my_key"), "hmac", asked, "/"); v.State != Valid {
			t.Errorf("%q asks for %q: %+v", in, asked, v)
		}
		if v := Check([]byte("this_is_my_key"), "hmac", strings.Replace(asked, "hmac=", "x=1&hmac=", 1), "/"); v.State != Wrong {
			t.Errorf("%q: %+v", asked, v)
		}
		if v := Check([]byte("another key"), "hmac", asked, "/"); v.State != Wrong {
			t.Errorf("%q: %+v", asked, v)
		}
	}
}

// FuzzHTML: apart from the values of the signed attributes the page stays as it was, and a signed page stays as it is.
func FuzzHTML(f *testing.F) {
	for _, s := range []string{
		`<a href="/x">`, `<a href=x&amp;y><base href=//h><form option action=b><iframe src=c>`, `<noscript><a href='&#x26;'>`,
		"<a\r\nhref\x00=\"\xff&eacute;\">", `<a href href=x / / =x==href=y>`, `<script><!--<script></script>--><a href=/x></script>`, `<svg><![CDATA[<a href=x>]]>`,
	} {
		f.Add([]byte(s), "text/html; charset=utf-8", "/sub/page?q")
		f.Add([]byte(s), "text/html; charset=shift_jis", "")
	}
	f.Fuzz(func(t *testing.T, page []byte, kind, at string) {
		s := signer()
		s.Page = at
		before := append([]byte(nil), page...)
		out, n := s.HTML(page, kind)
		if !bytes.Equal(page, before) {
			t.Fatal("the page was changed in place")
		}
		s.work = 0
		again, m := s.HTML(out, kind)
		if m != 0 || !bytes.Equal(again, out) {
			t.Fatalf("%d links signed twice: %q then %q", m, out, again)
		}
		if n == 0 && !bytes.Equal(out, page) {
			t.Fatal("changed without a signature")
		}
		if a, b := tokens(page), tokens(out); a != b {
			t.Fatalf("the pages differ beside links:\n%s\n%s", a, b)
		}
	})
}

// tokens is the page with the values of all attributes that can be signed left out.
func tokens(page []byte) string {
	z := html.NewTokenizer(bytes.NewReader(page))
	type tok struct {
		Type html.TokenType
		Raw  string
		Attr []string
	}
	var all []tok
	for {
		tt := z.Next()
		x := tok{Type: tt, Raw: string(z.Raw())}
		if tt == html.ErrorToken {
			b, _ := json.Marshal(all)
			return string(b)
		}
		if tt == html.StartTagToken || tt == html.SelfClosingTagToken {
			name, more := z.TagName()
			if string(name) == "noscript" {
				z.NextIsNotRawText()
			}
			x.Raw = string(name)
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				switch string(k) {
				case "href", "action", "src":
					v = nil
				}
				x.Attr = append(x.Attr, string(k), string(v))
			}
		}
		all = append(all, x)
	}
}

// FuzzCheck: no address panics, and only its own hash is good for it.
func FuzzCheck(f *testing.F) {
	f.Add("/private?x=1", "hmac", "/page")
	f.Add("http://h/%zz/../?hmac=", "hmac", "")
	f.Fuzz(func(t *testing.T, uri, param, page string) {
		key := []byte("k")
		Check(key, param, uri, page)
		if param == "" || strings.Contains(uri, "#") {
			return
		}
		sep := "?"
		if strings.Contains(uri, "?") {
			sep = "&"
		}
		signed := uri + sep + param + "=" + Sum(key, absolute(uri, page))
		if v := Check(key, param, signed, page); v.State != Valid && !strings.ContainsAny(param, "?&=") {
			t.Fatalf("%q: %+v", signed, v)
		}
	})
}
