package body

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The disagreements between a rule engine and a back end that were published
// as advisories for other engines.

// GHSA-3ww9-vw83-9w5x, GHSA-6r3q-mjv7-xr8m: what is over the limit of
// arguments is dropped, so memory stays bounded, and a rule can see that it was.
func TestTrapArgumentsLimit(t *testing.T) {
	many := strings.Repeat("a=1&", 100_000)
	part := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
	for _, r := range []*Result{
		Parse("URLENCODED", many, Config{}),
		Parse("JSON", "["+strings.Repeat("1,", 100_000)+"1]", Config{}),
		Parse("MULTIPART", strings.Repeat(part, 2000)+"--B--\r\n", Config{ContentType: multipartType}),
		Parse("XML", "<a>"+strings.Repeat("<b>x</b>", 2000)+"</a>", Config{XMLArgs: XMLArgsOn}),
	} {
		if len(r.Args) != 1000 || !r.TooManyArgs || r.Error == "" {
			t.Errorf("%s: %d arguments, %q", r.Processor, len(r.Args), r.Error)
		}
	}
	exact := Parse("JSON", "["+strings.Repeat("1,", 999)+"1]", Config{})
	if len(exact.Args) != 1000 || exact.Error != "" {
		t.Errorf("exactly the limit: %d %q", len(exact.Args), exact.Error)
	}
}

// GHSA-5gj4-9gm7-2fx2: keys that flatten to one name stay two arguments.
func TestTrapJSONCollision(t *testing.T) {
	r := Parse("JSON", `{"account":{"role":"1' OR '1'='1"},"account.role":"safe"}`, Config{})
	if got := argString(r.Args); got != "json.account.role=1' OR '1'='1|json.account.role=safe" {
		t.Error(got)
	}
}

// GHSA-6gcq-wc29-5xf2: nesting ends at a limit, not with the stack, and padding does not switch the limit off.
func TestTrapJSONDepth(t *testing.T) {
	for _, pad := range []string{"", strings.Repeat("1,", 2000)} {
		deep := "[" + pad + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + "]"
		if r := Parse("JSON", deep, Config{}); r.Error == "" {
			t.Error("no limit")
		}
		if r := Parse("JSON", deep, Config{JSONDepth: 1 << 30, ArgumentsLimit: 1 << 30}); r.Error == "" {
			t.Error("no limit above the configured one")
		}
	}
}

// GHSA-r3rm-qphw-hh76: a body without its end is an error that rules 200002 and 200003 see, unless we cut it.
func TestTrapTruncated(t *testing.T) {
	in := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\ntw"
	for n := range in {
		if n == 0 {
			continue
		}
		r := Parse("MULTIPART", in[:n], Config{ContentType: multipartType})
		if r.Error == "" || !r.Multipart.Strict() {
			t.Errorf("cut at %d: %q %+v", n, r.Error, r.Multipart)
		}
	}
	r := Parse("MULTIPART", in, Config{ContentType: multipartType, Cut: true})
	if r.Error != "" || r.Multipart.Strict() || argString(r.Args) != "a=one|b=tw" {
		t.Errorf("%q %+v %q", r.Error, r.Multipart, argString(r.Args))
	}
	for processor, text := range map[string]string{"JSON": `{"a":1,"b":"x`, "XML": "<a><b>x</b><c"} {
		if r := Parse(processor, text, Config{Cut: true}); r.Error != "" {
			t.Errorf("%s: %q", processor, r.Error)
		}
		if r := Parse(processor, text, Config{}); r.Error == "" {
			t.Errorf("%s: no error", processor)
		}
	}
	// What a limit cuts in two shows its first half: a value must not be longer than the limit to hide.
	for processor, text := range map[string]string{"JSON": `{"a":"evil`, "XML": "<a><b>x</b>evil"} {
		r := Parse(processor, text, Config{Cut: true, XMLArgs: XMLArgsOn})
		if n := len(r.Args); n == 0 || r.Args[n-1].Value != "evil" || r.Error != "" {
			t.Errorf("%s: %q %q", processor, argString(r.Args), r.Error)
		}
	}
	if r := Parse("JSON", `{"a":x`, Config{Cut: true}); r.Error == "" {
		t.Error("malformed before the cut")
	}
}

// GHSA-3wr7-993q-jrff: both file names are shown, whatever the charset of the extended one; continuations are refused.
func TestTrapFilenames(t *testing.T) {
	file := func(parameters string) *Result {
		return Parse("MULTIPART", "--B\r\nContent-Disposition: form-data; name=\"f\"; "+parameters+"\r\n\r\nx\r\n--B--\r\n", Config{ContentType: multipartType})
	}
	for _, order := range []string{`filename*=iso-8859-1''evil%2ephp; filename="safe.gif"`, `filename="safe.gif"; filename*=utf-16'en'evil%2ephp`} {
		if r := file(order); len(r.Files) != 1 || r.Files[0].Name != "safe.gif" || r.Files[0].ExtendedName != "evil.php" {
			t.Errorf("%s: %+v %q", order, r.Files, r.Error)
		}
	}
	if r := file(`filename*=utf-8''evil.php`); len(r.Files) != 1 || r.Files[0].Name != "evil.php" || len(r.Args) != 0 {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{`filename*0="ev"; filename*1="il.php"`, `filename*0*=utf-8''evil`, `filename="a"; filename="b"`, `filename="a"; FileName="b"`, `filename*=''x`, `filename*=utf-8'x`, `filename*=utf-8''%4G`} {
		if r := file(bad); r.Error == "" || !r.Multipart.Strict() {
			t.Errorf("%s: accepted", bad)
		}
	}
}

// GHSA-rp9v-7xv3-r6g3: files are closed as soon as they are complete.
func TestTrapDescriptors(t *testing.T) {
	part := "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n1\r\n"
	r := Parse("MULTIPART", strings.Repeat(part, 1200)+"--B--\r\n", Config{ContentType: multipartType, Extract: true, UploadFileLimit: 1200, TmpDir: t.TempDir()})
	if len(r.Files) != 1200 || r.Error != "" {
		t.Errorf("%d files, %q", len(r.Files), r.Error)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Many headers in one part take no more than linear time.
func TestTrapPartHeaders(t *testing.T) {
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, "X%d: y\r\n", i)
	}
	r := Parse("MULTIPART", "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n"+b.String()+"\r\n1\r\n--B--\r\n", Config{ContentType: multipartType})
	if r.Error == "" || !r.Multipart.Strict() {
		t.Error("accepted")
	}
}

// Some expressions take the square of the number of nodes: they are not evaluated over a large document, and say so.
func TestTrapXPath(t *testing.T) {
	r := Parse("XML", "<a>"+strings.Repeat("<b k='v'>x</b>", 50_000)+"</a>", Config{})
	for expression, refused := range map[string]bool{
		"/*": false, "//@*": false, "//b[@k='v']": false, "//b/..": false, "//b/ancestor::a": false, "//text()": false,
		"//b/following-sibling::*": true, "//b/preceding-sibling::*": true, "/a/b[last()]": true, "//b[position()=2]": true, "//b[ 7 ]": true,
	} {
		q, err := CompileXPath(expression, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = r.XML.Select(q)
		if took := time.Since(start); (err != nil) != refused || took > 5*time.Second {
			t.Errorf("%s: %v after %v", expression, err, took)
		}
	}
}
