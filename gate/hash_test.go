package gate

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const hashRules = rules + `SecResponseBodyAccess On
SecContentInjection On
SecStreamOutBodyInspection On
SecHashEngine On
SecHashKey rand RemoteIP
SecHashParam sig
SecHashMethodRx HashHref "private"
SecHashMethodRx HashFormAction "private"
SecHashMethodRx HashLocation "private"
SecRule REQUEST_URI "@validateHash ^/private" "id:1,phase:2,deny,status:406"
SecAction "id:2,phase:3,pass,nolog,chain"
SecRule ARGS:inject "." "append:'<!-- end -->',prepend:'<!-- begin -->'"
`

// application answers with a page in the form that the query asks for.
func application(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("ETag", `"1"`)
	h.Set("Last-Modified", "Sun, 22 Nov 2026 10:00:00 GMT")
	page := []byte("<!DOCTYPE html>\r\n<p CLASS=x>\xff é<a HREF='private/ä b?x=1&amp;y=\"'>go</a><a href=/public>" + strings.Repeat("long ", 2000) + "</a>" +
		`<form action="/private/form" method=post></form>` + r.Method)
	if to := q.Get("to"); to != "" {
		h.Set("Location", to)
		w.WriteHeader(303)
		return
	}
	if q.Has("gzip") {
		h.Set("Content-Encoding", "gzip")
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(page)
		z.Close()
		page = b.Bytes()
	}
	if q.Has("br") {
		h.Set("Content-Encoding", "br")
	}
	if !q.Has("chunked") {
		h.Set("Content-Length", strconv.Itoa(len(page)))
		w.Write(page)
		return
	}
	for i := 0; i < len(page); i += 700 {
		w.Write(page[i:min(i+700, len(page))])
		w.(http.Flusher).Flush()
	}
}

// TestSignedLinks follows the links of a page through the gate: they pass, anything else below /private does not.
func TestSignedLinks(t *testing.T) {
	b := start(t, hashRules+proxyAll, http.HandlerFunc(application))
	if res, _ := b.get("/private/x"); res.StatusCode != 406 {
		t.Errorf("without a hash: %d", res.StatusCode)
	}
	_, plain := b.get("/?br")
	link := regexp.MustCompile(`(?:HREF|action)=['"]([^'"]*)['"]`)
	for _, form := range []string{"", "chunked", "gzip", "gzip&chunked"} {
		res, body := b.get("/?" + form)
		h := res.Header
		if res.StatusCode != 200 || h.Get("ETag") != "" || h.Get("Last-Modified") != "" || h.Get("Content-Encoding") != "" || int(res.ContentLength) != len(body) && res.ContentLength != -1 {
			t.Errorf("%s: %d, %d bytes of %d, %v", form, res.StatusCode, len(body), res.ContentLength, h)
		}
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			u, err := res.Request.URL.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
			if err != nil {
				t.Fatal(err)
			}
			method := "GET"
			if strings.Contains(m[1], "form") {
				method = "POST"
			}
			if res, _ := b.do(http.DefaultClient, method, u.String(), nil); res.StatusCode != 200 {
				t.Errorf("%s: %s %s: %d", form, method, u, res.StatusCode)
			}
			u.RawQuery = "x=2&" + u.RawQuery
			if res, _ := b.do(http.DefaultClient, method, u.String(), nil); res.StatusCode != 406 {
				t.Errorf("%s: %s %s: %d", form, method, u, res.StatusCode)
			}
		}
		unsigned := regexp.MustCompile(`(?:\?|&amp;)sig=[0-9a-f]{40}`).ReplaceAllString(body, "")
		unsigned = strings.Replace(unsigned, "private/%C3%A4%20b?x=1&amp;y=%22", `private/ä b?x=1&amp;y="`, 1)
		if unsigned != plain || strings.Count(body, "sig=") != 2 {
			t.Errorf("%s: the page changed beside its links:\n%.300q\n%.300q", form, unsigned, plain)
		}
	}
}

func TestSignedHeads(t *testing.T) {
	b := start(t, hashRules+proxyAll, http.HandlerFunc(application))
	res, _ := b.do(http.DefaultClient, "HEAD", "http://"+b.addr+"/", nil)
	if h := res.Header; res.StatusCode != 200 || h.Get("ETag") != "" || h.Get("Content-Length") != "" {
		t.Errorf("HEAD says of the page what is not true of it: %v", h)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for to, signed := range map[string]bool{"/private/x": true, "http://" + b.addr + "/private/x?a=1#f": true, "private/x": true, "/public": false} {
		res, _ := b.do(client, "GET", "http://"+b.addr+"/?to="+url.QueryEscape(to), nil)
		location := res.Header.Get("Location")
		if strings.Contains(location, "sig=") != signed || len(res.Header["Location"]) != 1 {
			t.Errorf("%s became %s", to, location)
		}
		u, err := res.Request.URL.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		if res, _ := b.get(u.RequestURI()); res.StatusCode != 200 {
			t.Errorf("%s: %d", u, res.StatusCode)
		}
	}
}

// TestInjectionAroundSignedPages: append and prepend stand around what was signed, and what they add is not signed.
func TestInjectionAroundSignedPages(t *testing.T) {
	b := start(t, hashRules+proxyAll, http.HandlerFunc(application))
	for _, form := range []string{"", "&gzip", "&chunked"} {
		if _, body := b.get("/?inject=1" + form); !strings.HasPrefix(body, "<!-- begin --><!DOCTYPE") || !strings.HasSuffix(body, "GET<!-- end -->") || !strings.Contains(body, "sig=") {
			t.Errorf("%s: %.80q ... %q", form, body, body[max(len(body)-40, 0):])
		}
	}
	// What cannot be decoded stays as it is, all of it.
	res, body := b.get("/?br&inject=1")
	if !strings.HasPrefix(body, "<!DOCTYPE") || strings.Contains(body, "sig=") || res.Header.Get("Content-Encoding") != "br" || int(res.ContentLength) != len(body) {
		t.Errorf("br: %.80q %v", body, res.Header)
	}
}

// TestPagesOverTheLimit: a page longer than SecResponseBodyLimit is refused, or goes out as it came, with what append adds at its end.
func TestPagesOverTheLimit(t *testing.T) {
	for action, want := range map[string]int{"ProcessPartial": 200, "Reject": 403} {
		b := start(t, hashRules+"SecResponseBodyLimit 4000\nSecResponseBodyLimitAction "+action+"\n"+proxyAll, http.HandlerFunc(application))
		for _, form := range []string{"", "&chunked"} {
			res, body := b.get("/?inject=1" + form)
			if res.StatusCode != want {
				t.Errorf("%s%s: %d", action, form, res.StatusCode)
			}
			if want == 200 && (strings.Contains(body, "sig=") || !strings.HasSuffix(body, "</form>GET<!-- end -->") || strings.Count(body, "<!-- end -->") != 1) {
				t.Errorf("%s: %d bytes end in %q", form, len(body), body[max(len(body)-40, 0):])
			}
		}
		// A small coded page that is long without its coding goes out as it came.
		if res, body := b.get("/?gzip"); want == 200 && (res.StatusCode != 200 || strings.Contains(body, "sig=") || !strings.HasSuffix(body, "</form>GET")) {
			t.Errorf("gzip: %d %q", res.StatusCode, body[max(len(body)-40, 0):])
		}
	}
}

// TestHashEngineOff: without the engine, or without methods, nothing is touched.
func TestHashEngineOff(t *testing.T) {
	for _, off := range []string{strings.Replace(hashRules, "SecHashEngine On", "SecHashEngine Off", 1), regexp.MustCompile(`SecHashMethod.*\n`).ReplaceAllString(hashRules, "")} {
		b := start(t, off+proxyAll, http.HandlerFunc(application))
		res, body := b.get("/")
		if strings.Contains(body, "sig=") || res.Header.Get("ETag") == "" {
			t.Errorf("%.200q %v", body, res.Header)
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if res, _ := b.do(client, "GET", "http://"+b.addr+"/?to=/private/x", nil); res.Header.Get("Location") != "/private/x" {
			t.Errorf("%v", res.Header)
		}
	}
}

// TestRewritingCodedAnswers: what @rsub and append make of a compressed answer is sent without the coding.
func TestRewritingCodedAnswers(t *testing.T) {
	b := start(t, rules+`SecResponseBodyAccess On
SecContentInjection On
SecStreamOutBodyInspection On
SecRule STREAM_OUTPUT_BODY "@rsub s/secret/open/" "id:1,phase:4,pass,nolog"
`+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, "a secret")
		z.Close()
	}))
	res, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Get("http://" + b.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "a open" || res.Header.Get("Content-Encoding") != "" || res.ContentLength != 6 {
		t.Errorf("%q %v", body, res.Header)
	}
}

// TestPartEIsTheApplications: the record holds the page as the application made it, without hashes that would open other links.
func TestPartEIsTheApplications(t *testing.T) {
	b := start(t, hashRules+"SecAuditEngine On\nSecAuditLogParts AEHZ\n"+proxyAll, http.HandlerFunc(application))
	for i, form := range []string{"inject=1", "gzip&inject=1"} {
		if _, body := b.get("/?" + form); !strings.Contains(body, "sig=") {
			t.Fatalf("%q", body)
		}
		if e := string(b.record(i).ResponseBody); !strings.HasPrefix(e, "<!DOCTYPE") || !strings.HasSuffix(e, "</form>GET") || strings.Contains(e, "sig=") {
			t.Errorf("%s: part E is %.60q ... %q", form, e, e[max(len(e)-40, 0):])
		}
	}
}
