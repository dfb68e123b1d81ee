package seclang_test

import (
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

// TestEvasion sends the word "evil" in the places where other engines were
// published not to look at it, or not under the name that the back end sees.
func TestEvasion(t *testing.T) {
	e := compile(t, seclang.Config{}, `SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_COOKIES_NAMES|FILES|REQUEST_HEADERS:X-Last|XML:/* "@contains evil" "id:1,phase:2,deny,status:403"
SecRule REQUEST_COOKIES:a "@contains 1" "id:2,phase:2,deny,status:403"
SecRule REQBODY_ERROR|MULTIPART_STRICT_ERROR "!@eq 0" "id:3,phase:2,deny,status:400"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:4,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "xml" "id:5,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
`)
	post := func(contentType, body string) [2]string {
		return [2]string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: " + contentType, body}
	}
	get := func(target string, headers ...string) [2]string {
		return [2]string{"GET " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(headers, "\r\n"), ""}
	}
	const form = "application/x-www-form-urlencoded"
	part := func(disposition string) string {
		return "--B\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\nx\r\n--B--\r\n"
	}
	for name, tt := range map[string][2]string{
		"form without anything to be said":                 post(form, "a=evil"),
		"form with charset (GHSA-w253-m66g-rx24)":          post(form+"; charset=UTF-8", "a=evil"),
		"form in capitals":                                 post(strings.ToUpper(form)+" ;x", "a=evil"),
		"form with comma":                                  post(form+", text/plain", "a=evil"),
		"many arguments (GHSA-3ww9-vw83-9w5x)":             post(form, strings.Repeat("a=1&", 2000)+"b=evil"),
		"arguments behind the limit (GHSA-6r3q-mjv7-xr8m)": post(form, strings.Repeat("a=1&", 1000)+"b=evil"),
		"many in the query":                                get("/?" + strings.Repeat("a=1&", 2000) + "b=evil"),
		"json collision (GHSA-5gj4-9gm7-2fx2)":             post("application/json", `{"a":{"b":"evil"},"a.b":"safe"}`),
		"json depth (GHSA-6gcq-wc29-5xf2)":                 post("application/json", strings.Repeat("[", 20000)+`"evil"`+strings.Repeat("]", 20000)),
		"malformed target (GHSA-x26q-wvhg-fh4m)":           get("/\x01%zz?a=evil"),
		"control in the target (GHSA-x26q-wvhg-fh4m)":      get("/a\tb\x7f?b=\x02&a=evil"),
		"port that is none (GHSA-x26q-wvhg-fh4m)":          get("http://x:port/?a=evil"),
		"target without slash":                             get("x?a=evil"),
		"two names for a file (GHSA-3wr7-993q-jrff)":       post("multipart/form-data; boundary=B", part(`name="f"; filename="safe.gif"; filename*=iso-8859-1''evil.php`)),
		"extended name alone":                              post("multipart/form-data; boundary=B", part(`name="f"; filename*=utf-8''evil.php`)),
		"empty file name":                                  post("multipart/form-data; boundary=B", strings.Replace(part(`name="f"; filename=""`), "x\r\n", "evil\r\n", 1)),
		"truncated multipart (GHSA-r3rm-qphw-hh76)":        post("multipart/form-data; boundary=B", strings.TrimSuffix(part(`name="a"`), "--B--\r\n")),
		"cookie control (GHSA-g4qm-m288-5cp9)":             get("/", "Cookie: a\v=1"),
		"cookie control before":                            get("/", "Cookie: b=2; \x1fa=1"),
		"many cookies":                                     get("/", "Cookie: "+strings.Repeat("b=2;", 5000)+"c=evil"),
		"many headers":                                     get("/", strings.Repeat("B: 2\r\n", 5000)+"X-Last: evil"),
		"xml entity":                                       post("text/xml", `<!DOCTYPE a [<!ENTITY e "evil">]><a>&e;</a>`),
		"xml entity that nobody declared":                  post("text/xml", `<a>&e;</a>`),
	} {
		t.Run(name, func(t *testing.T) {
			tx := e.NewTransaction(conn("192.0.2.1", 80))
			defer tx.Close()
			tx.RequestHead([]byte(tt[0] + "\r\n\r\n"))
			it := tx.RequestHeaders()
			if it == nil {
				_, it = tx.WriteRequestBody([]byte(tt[1]))
			}
			if it == nil {
				it = tx.RequestBody()
			}
			if it == nil {
				t.Error("passed")
			}
		})
	}
}
