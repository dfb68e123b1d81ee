package seclang_test

import (
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

// FuzzCookiesV1: whatever a Cookie header holds, its cookies end, and hold none of what separates them outside quotes.
func FuzzCookiesV1(f *testing.F) {
	for _, s := range []string{`$Version="1"; x=1; $Path="/"`, `a="b"c; d= "e" ;f="unclosed; g=1`, `; ,a b = c ;=x; ==; $A=1`, "a=\x00;\xff", `"=";"`} {
		f.Add(s)
	}
	e := compile(f, seclang.Config{}, "SecRuleEngine On\nSecCookieFormat 1\nSecRule REQUEST_COOKIES|REQUEST_COOKIES_NAMES \"@rx .\" \"id:1,phase:1,pass,nolog\"")
	f.Fuzz(func(t *testing.T, s string) {
		tx := e.NewTransaction(conn("192.0.2.1", 80))
		defer tx.Close()
		tx.RequestLine("GET", "/", "HTTP/1.1")
		tx.AddRequestHeader("Cookie", s)
		tx.Trace(func(st seclang.Step) {
			name, ok := strings.CutPrefix(st.Variable, "REQUEST_COOKIES_NAMES:")
			if ok && strings.ContainsAny(name, ";,=") {
				t.Errorf("%q: cookie %q", s, name)
			}
		})
		tx.RequestHeaders()
	})
}
