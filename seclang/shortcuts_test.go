package seclang_test

import (
	"io/fs"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// TestShortcuts holds the engine to the plain walk: a traced transaction tries every rule on every value, and must
// find what an untraced one finds, message by message.
func TestShortcuts(t *testing.T) {
	e := crs4(t, strings.ReplaceAll(setup4, "PL", "4")+"SecRuleEngine DetectionOnly\n")
	for i, s := range attackTexts(400) {
		r := benchRequest{method: "GET", uri: "/?a=" + url.QueryEscape(s), headers: commonHeaders([2]string{"X-Note", s})}
		switch i % 3 {
		case 1:
			r.method, r.uri, r.body = "POST", "/"+url.PathEscape(s), []byte("x=1&"+s+"=y&z="+url.QueryEscape(s))
			r.headers = append(r.headers, [2]string{"Content-Type", "application/x-www-form-urlencoded"})
		case 2:
			r.headers = append(r.headers, [2]string{"Cookie", "c=" + s}, [2]string{"User-Agent", s})
			r.answer, r.answerType = []byte("<html>"+s), "text/html"
		}
		quick, plain := matchesOf(e, &r, false), matchesOf(e, &r, true)
		if d := cmp.Diff(plain, quick); d != "" {
			t.Fatalf("%q (-plain +quick):\n%s", s, d)
		}
	}
}

func matchesOf(e *seclang.Engine, r *benchRequest, traced bool) []audit.Match {
	tx := e.NewTransaction(conn("192.0.2.7", 443))
	defer tx.Close()
	if traced {
		tx.Trace(func(seclang.Step) {})
	}
	tx.RequestLine(r.method, r.uri, "HTTP/1.1")
	for _, h := range r.headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	tx.RequestHeaders()
	tx.WriteRequestBody(r.body)
	tx.RequestBody()
	tx.ResponseLine(200, "HTTP/1.1")
	tx.AddResponseHeader("Content-Type", r.answerType)
	tx.ResponseHeaders()
	tx.WriteResponseBody(r.answer)
	tx.ResponseBody()
	tx.Logging()
	var rec audit.Record
	tx.Fill(&rec)
	return rec.Matches
}

// attackTexts are n strings out of the CRS tests, and mutations of them.
func attackTexts(n int) []string {
	var out []string
	_ = fs.WalkDir(crstests.FS, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(crstests.FS, p)
		for _, l := range strings.Split(string(b), "\n") {
			key, l, _ := strings.Cut(strings.TrimSpace(l), ": ")
			if l = strings.Trim(l, `"'`); len(l) > 2 && len(l) < 300 && (key == "uri" || key == "data" || key == "User-Agent" || key == "Cookie") {
				out = append(out, l)
			}
		}
		return err
	})
	rnd := rand.New(rand.NewPCG(3, 4))
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	out = out[:min(n, len(out))]
	for _, l := range out[:len(out)/3] {
		b := []byte(l)
		for range 3 {
			b[rnd.IntN(len(b))] = byte(rnd.IntN(256))
		}
		out = append(out, string(b))
	}
	return out
}

// FuzzShortcuts is TestShortcuts on whatever the fuzzer thinks of.
func FuzzShortcuts(f *testing.F) {
	for _, s := range attackTexts(60) {
		f.Add(s)
	}
	f.Add("\x00\xff%u0041&#x41;\\x41/**/-- ")
	e := crs4(f, strings.ReplaceAll(setup4, "PL", "4")+"SecRuleEngine DetectionOnly\n")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 2000 {
			return
		}
		r := benchRequest{
			method: "POST", uri: "/?a=" + url.QueryEscape(s), body: []byte(s), answer: []byte(s), answerType: "text/html",
			headers: commonHeaders([2]string{"Content-Type", "application/x-www-form-urlencoded"}, [2]string{"X-Note", s}),
		}
		quick, plain := matchesOf(e, &r, false), matchesOf(e, &r, true)
		if d := cmp.Diff(plain, quick); d != "" {
			t.Fatalf("%q (-plain +quick):\n%s", s, d)
		}
	})
}
