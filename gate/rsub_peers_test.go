//go:build peers

package gate

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// rsubText is what the patterns are tried on.
const rsubText = "aXbXc x.y secret SECRET line\ntwo |41| \\1 $1 foo/bar \"q\" %{x} a;b a:b end"

// substitutions are arguments of @rsub as a file has them. None may match nothing: mod_security2 then never ends.
var substitutions = []string{
	`s/X/y/`, `s/(b)X/[\\\\1]/`, `s/(b)X/\\\\1\\\\1-\\\\0/`, `s/(b)X/\\\\2/`, `s/(b)X/\\\\11/`, `s/secret/<&>/i`, `s/secret/[$1]/`, `s/secret/open/I`, `s/secret/open/g`, `s/secret/open/d`, `s/x.y/z/d`,
	`s/X|%{REQUEST_METHOD}/z/d`, `s/%{ARGS.m}/z/d`, `s/%{ARGS.m}/z/`, `s/foo\/bar/z/`, `s#foo/bar#z/z#`, `s,foo/bar,z,`, `s/\|41\|/Z/`, `s/[|]41/Z/`, `s/X/|41|Z/`, `s/X/|41 42|/`, `s/X/|4|/`, `s/X/|41/`, `s/X/|zz|/`,
	`s/X//`, `s/nothing/x/`, `s/end$/E/`, `s/line$/E/`, `s/line.two/E/`, `s/two/%{REQUEST_METHOD}-%{ARGS.m}/`, `s/X/a\/b/`, `s/X/a\\/b/`, `S/X/y/`, `s/X/y`, `s/X/y/ii`, `s/X/y/ i`, `s/a(X)b(q)?/[\\\\1\\\\2]/`,
	`s/\bx\b/W/`, `s/X/a b/`, `s/X/ y /`, `s/\x58/y/`, `s/\d+/N/`, `s/[^a-z]+/_/`, `s/X/a\:b\;c/`, `s/X/a:b;c/`, `s/a/b/c/d/`, `s/X/$&/`, `sXbXyX`, `s/(?i)secret/W/`, `s/s(?=ecret)/S/`, `s/\\$1/d/`,
}

// unlikeSubstitutions differ, each with the reason.
var unlikeSubstitutions = map[string]string{
	`s/X//`: "an empty replacement is the delimiter there",
}

// TestRsubOfAnswersLikeModSecurity2: what a client receives after @rsub on STREAM_OUTPUT_BODY, and its Content-Length.
func TestRsubOfAnswersLikeModSecurity2(t *testing.T) {
	conf := "SecResponseBodyAccess On\nSecContentInjection On\nSecStreamOutBodyInspection On\n"
	for i, s := range substitutions {
		conf += fmt.Sprintf("SecRule ARGS:n \"@streq %d\" \"id:%d,phase:4,pass,nolog,chain\"\nSecRule STREAM_OUTPUT_BODY \"@rsub %s\" \"setvar:tx.hit=1\"\n", i, i+1, s)
	}
	conf += `SecRule TX:hit "@eq 1" "id:900,phase:4,pass,nolog,chain"` + "\n" + `SecRule ARGS:add "." "append:'<hr>',prepend:'<!-- %{ARGS.n} -->'"` + "\n"
	conf += `SecRule ARGS:early "." "id:901,phase:3,pass,nolog,append:'[end]',prepend:'[begin]'"` + "\n"
	apache, ours := besideApache(t, conf, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, rsubText)
	}))
	for i, s := range substitutions {
		for _, more := range []string{"", "&early=1"} {
			answer := func(port int) string {
				res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/?n=%d&m=x.y%s", port, i, more))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				if res.ContentLength >= 0 && int(res.ContentLength) != len(b) {
					t.Errorf("%s: %d bytes, Content-Length %d", s, len(b), res.ContentLength)
				}
				return string(b)
			}
			theirs, mine := answer(apache), answer(ours)
			why := unlikeSubstitutions[s]
			if (theirs == mine) == (why != "") {
				t.Errorf("@rsub %s%s (%s)\nmod_security2: %q\nours:          %q", s, more, why, theirs, mine)
			}
		}
	}
}

// TestRsubOfRequestsLikeModSecurity2: what the application receives after @rsub on STREAM_INPUT_BODY, and what rules see of it.
func TestRsubOfRequestsLikeModSecurity2(t *testing.T) {
	apache, ours := besideApache(t, `SecRequestBodyAccess On
SecStreamInBodyInspection On
SecResponseBodyAccess Off
SecRule REQUEST_HEADERS:Content-Type "json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS_GET:n "@streq longer" "id:2,phase:2,pass,nolog,chain"
SecRule STREAM_INPUT_BODY "@rsub s/secret/a much longer text than it was/" "setvar:tx.hit=+1"
SecRule ARGS_GET:n "@streq shorter" "id:3,phase:2,pass,nolog,chain"
SecRule STREAM_INPUT_BODY "@rsub s/secret=?/x/i" "setvar:tx.hit=+1"
SecRule ARGS_GET:n "@streq lower" "id:4,phase:2,pass,nolog,chain"
SecRule STREAM_INPUT_BODY "@rsub s/secret/x/" "t:lowercase,setvar:tx.hit=+1"
SecRule ARGS_GET:n "@streq twice" "id:5,phase:2,pass,nolog,chain"
SecRule STREAM_INPUT_BODY "@rsub s/secret/third/" "setvar:tx.hit=+1,chain"
SecRule STREAM_INPUT_BODY "@rsub s/(t)hird/\\\\1wo/" "setvar:tx.hit=+1"
SecRule ARGS_GET:n "@streq never" "id:6,phase:2,pass,nolog,chain"
SecRule STREAM_INPUT_BODY "!@rsub s/secret/x/" "setvar:tx.hit=+1"
SecRule ARGS_GET:n "@streq early" "id:7,phase:1,pass,nolog,chain"
SecRule STREAM_INPUT_BODY "@rsub s/secret/x/" "setvar:tx.hit=+1"
SecRule ARGS_GET:n "@streq deny" "id:8,phase:2,deny,status:403,nolog,chain"
SecRule STREAM_INPUT_BODY "@rsub s/nothing/x/" "setvar:tx.hit=+1"
SecRule TX:hit "@ge 1" "id:20,phase:2,pass,nolog,setvar:tx.seen=%{TX.hit}"
SecRule ARGS_POST:a|ARGS_POST:b "@contains secret" "id:21,phase:2,pass,nolog,setvar:tx.args=%{MATCHED_VAR}"
SecRule STREAM_INPUT_BODY "!@contains secret" "id:22,phase:2,pass,nolog,setvar:tx.clean=1"
SecRule TX:args|TX:seen|TX:clean "@unconditionalMatch" "id:30,phase:2,pass,nolog,setenv:seen=%{TX.seen}/%{TX.args}/%{TX.clean}"
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
RequestHeader set X-Seen "%{seen}e" env=seen`, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %q %q %s", r.ContentLength, r.TransferEncoding, b, r.Header.Get("X-Seen"))
	}))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte("a secret"))
	z.Close()
	const cut, doubled = "C strings end at a NUL", "of a body in several blocks the later ones are sent a second time"
	bodies := []struct{ kind, text, unlike string }{
		{"application/x-www-form-urlencoded", "a=secret&b=secret&c=Secret%3d", ""},
		{"application/x-www-form-urlencoded", "a=none", ""},
		{"application/json", `{"a":"secret","b":[1,"secret"]}`, ""},
		{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nsecret\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\r\nfile secret\r\n--b--\r\n", ""},
		{"text/plain", "plain secret", ""},
		{"text/plain", "", ""},
		{"application/x-www-form-urlencoded", "a=" + strings.Repeat("secret ", 30_000), doubled},
		{"application/octet-stream", "bytes \xff\xfe secret", ""},
		{"text/plain", zipped.String(), cut},
	}
	for _, n := range []string{"longer", "shorter", "lower", "twice", "never", "early", "deny", "none"} {
		for _, b := range bodies {
			for _, chunked := range []bool{false, true} {
				answer := func(port int) string {
					var body io.Reader = strings.NewReader(b.text)
					if chunked {
						body = io.MultiReader(body) // a length that http.NewRequest cannot know
					}
					req, err := http.NewRequest("POST", fmt.Sprintf("http://127.0.0.1:%d/?n=%s", port, n), body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", b.kind)
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					text, _ := io.ReadAll(res.Body)
					if res.StatusCode != 200 {
						text = nil
					}
					return strconv.Itoa(res.StatusCode) + " " + string(text)
				}
				theirs, mine := answer(apache), answer(ours)
				if b.unlike != "" {
					// One replacement of five bytes shows that nothing is lost or doubled here.
					if want := strings.ReplaceAll(b.text, "secret", "x"); n == "shorter" && !strings.HasPrefix(mine, fmt.Sprintf("200 %d [] %q", len(want), want)) {
						t.Errorf("%.40q: %.100s", b.text, mine)
					}
					continue
				}
				if theirs != mine {
					t.Errorf("%s, %s %.40q, chunked %v:\nmod_security2: %.300s\nours:          %.300s", n, b.kind, b.text, chunked, theirs, mine)
				}
			}
		}
	}
}
