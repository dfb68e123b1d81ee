//go:build peers

package variables

import (
	"fmt"
	"strings"
)

type request struct{ name, text string }

// requests are where programs read requests in different ways.
func requests() []request {
	var out []request
	head := func(name, target string, headers ...string) {
		text := "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n"
		for _, h := range headers {
			text += h + "\r\n"
		}
		out = append(out, request{name, text + "\r\n"})
	}
	for _, target := range []string{
		"/", "/index.html", "/a/b.html", "/a//b", "/a/./b", "/a/../b", "/%61", "/a%2fb", "/a%3fb=c", "/a%20b?x=%20", "/?a=1", "/?a=1&b=2", "/?", "/??a=1", "/?a=1?b=2", "/?a", "/?a=", "/?=b", "/?&", "/?a=1&&b=2",
		"/?a=%zz", "/?a=%4", "/?a=%00b", "/?a+b=c+d", "/?a=%u0041", "/?a=1;b=2", "/?a[]=1&a[]=2", "/?a.b=1", "/?%61=%62", "/?a=b=c", "/?a=\xe9", "/?a=%e9", "/a;b=c", "/a;b=c?d=e", "http://localhost/x?y=z",
		"http://LOCALHOST:80/x", "http://localhost", "http://localhost?a=1", "//x/y", "/x/", "/x?a=/../b", "/a?b#c", "/~user/x", "/index.html/path/info", "/%2e%2e/x", "/A?B=C", "*", "/x?" + strings.Repeat("a=1&", 300),
		"/x?a=1%26b=2", "/x?a=%2526", "/\"<>", "/x?\"<>=1", "/x?a=b%0d%0ac", "/x?%00=1", "/index.html?a=" + strings.Repeat("b", 2000),
	} {
		head(fmt.Sprintf("target %.40s", target), target)
	}
	for _, cookie := range []string{
		"a=1", "a=1; b=2", "a=1;b=2", "a=1 ; b = 2", "a", "a=", "=b", ";", "a=1;;b=2", "a=b=c", "a=%41%zz", "a+b=c+d", "a=\"1; b=2\"", "$Version=1; a=1; $Path=/", "a=1, b=2", "a=1;a=2", "A=1", "a=1;\tb=2", "a=\xff", "a=1;", " a=1",
		"a=1; b", "; a=1", "a\v=1", "a=\t1\t", "a=1\v; b=2", "__utma=1.2", "a[b]=1", "a.b=1",
	} {
		head("cookie "+cookie, "/", "Cookie: "+cookie)
	}
	head("two cookies", "/", "Cookie: a=1", "Cookie: b=2")
	head("cookie case", "/", "cookie: a=1")
	head("headers", "/", "X-A: 1", "x-a: 2", "X-B:", "X-C:  3 \t", "X-D: a\tb")
	head("folded", "/", "X-A: 1\r\n 2\r\n\t3")
	head("space before colon", "/", "X-A : 1")
	head("two of Accept", "/", "Accept: a", "Accept: b")
	head("basic", "/", "Authorization: Basic dXNlcjpwYXNz")
	head("basic case", "/", "Authorization: basic dXNlcjpwYXNz")
	head("basic bad", "/", "Authorization: Basic ???")
	head("digest", "/", `Authorization: Digest username="u", realm="r"`)
	head("bearer", "/", "Authorization: Bearer x")
	for _, line := range []string{
		"GET / HTTP/1.0", "get / HTTP/1.1", "FOO / HTTP/1.1", "GET  /  HTTP/1.1", "GET\t/ HTTP/1.1", "GET / HTTP/1.1 ", "GET / http/1.1", "GET /a b HTTP/1.1", "GET / HTTP/2.0", "HEAD / HTTP/1.1", "OPTIONS * HTTP/1.1", "TRACE / HTTP/1.1",
	} {
		out = append(out, request{"line " + line, line + "\r\nHost: localhost\r\n\r\n"})
	}
	out = append(out, request{"bare LF", "GET /x?a=1 HTTP/1.1\nHost: localhost\nX: y\n\n"}, request{"leading lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		request{"host with port", "GET / HTTP/1.1\r\nHost: localhost:81\r\n\r\n"}, request{"no host 1.0", "GET / HTTP/1.0\r\n\r\n"}, request{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"})
	post := func(name, contentType, body string, more ...string) {
		text := "POST /p?q=1 HTTP/1.1\r\nHost: localhost\r\n"
		if contentType != "" {
			text += "Content-Type: " + contentType + "\r\n"
		}
		for _, h := range more {
			text += h + "\r\n"
		}
		if len(more) == 0 {
			text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
		}
		out = append(out, request{"post " + name, text + "\r\n" + body})
	}
	const form, mp = "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
	for _, ct := range []string{form, form + "; charset=utf-8", strings.ToUpper(form), form + ", x", form + "x", " " + form, "text/plain", "", "application/json", "text/xml", "application/octet-stream", "x/y;" + form, "multipart/form-data"} {
		post("type "+ct, ct, "a=1&b=%41")
	}
	post("multipart", mp, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nfile\r\n--B--\r\n")
	post("multipart empty", mp, "")
	post("form empty", form, "")
	post("same name in query", form, "q=2&q=3")
	post("chunked", form, "3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
	post("chunked extension", form, "3;x=y\r\na=1\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
	post("chunked trailer", form, "3\r\na=1\r\n0\r\nX-T: 1\r\n\r\n", "Transfer-Encoding: chunked")
	post("nul", form, "a=\x001&b\x00=2")
	post("new lines", form, "a=1\r\n&b=2\n")
	return out
}
