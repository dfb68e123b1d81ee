//go:build unix

package bodies

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
)

// hostile are bodies that are meant to cost time, made to any size.
func hostile() map[string]func(n int) request {
	const form, mp = "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
	fill := func(unit string, n int) string { return strings.Repeat(unit, max(1, n/len(unit))) }
	multipart := func(text string) request { return request{contentType: mp, body: text} }
	field := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
	file := "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n"
	json := func(text string) request {
		return request{contentType: "application/json", processor: "JSON", body: text}
	}
	xml := func(text string) request { return request{contentType: "text/xml", processor: "XML", body: text} }
	entities := func() string {
		var b strings.Builder
		b.WriteString("<!DOCTYPE a [")
		for i := range 60 {
			fmt.Fprintf(&b, "<!ENTITY e%d 'x'>", i)
		}
		b.WriteString("]>")
		return b.String()
	}()
	return map[string]func(n int) request{
		"form: separators":         func(n int) request { return request{contentType: form, body: fill("&", n)} },
		"form: percent signs":      func(n int) request { return request{contentType: form, body: "a=" + fill("%", n)} },
		"form: one long value":     func(n int) request { return request{contentType: form, body: "a=" + fill("%41+", n)} },
		"multipart: one line":      func(n int) request { return multipart(field + fill("x", n) + "\r\n--B--\r\n") },
		"multipart: line feeds":    func(n int) request { return multipart(field + fill("\n", n) + "\r\n--B--\r\n") },
		"multipart: returns":       func(n int) request { return multipart(field + fill("\r", n) + "\r\n--B--\r\n") },
		"multipart: empty lines":   func(n int) request { return multipart(field + fill("\r\n", n) + "\r\n--B--\r\n") },
		"multipart: near matches":  func(n int) request { return multipart(field + fill("--A\r\n -B\r\nx--B", n) + "\r\n--B--\r\n") },
		"multipart: many fields":   func(n int) request { return multipart(fill(field+"1\r\n", n) + "--B--\r\n") },
		"multipart: many files":    func(n int) request { return multipart(fill(file+"1\r\n", n) + "--B--\r\n") },
		"multipart: a large file":  func(n int) request { return multipart(file + fill("x\r\n", n) + "\r\n--B--\r\n") },
		"multipart: preamble":      func(n int) request { return multipart(fill("--x\n", n) + field + "1\r\n--B--\r\n") },
		"multipart: epilogue":      func(n int) request { return multipart("--B--\r\n" + fill("--B--\r\n", n)) },
		"multipart: many headers":  func(n int) request { return multipart("--B\r\n" + fill("X: y\r\n", n) + "\r\n--B--\r\n") },
		"multipart: folded header": func(n int) request { return multipart("--B\r\nX: y\r\n" + fill(" z\r\n", n) + "\r\n--B--\r\n") },
		"multipart: long boundary": func(n int) request {
			b := strings.Repeat("b", 900)
			return request{contentType: "multipart/form-data; boundary=" + b, body: "--" + b + "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + fill("--"+b[1:]+"\r\n", n) + "--" + b + "--\r\n"}
		},
		"json: brackets":          func(n int) request { return json(fill("[", n)) },
		"json: blanks":            func(n int) request { return json(fill(" ", n) + "1") },
		"json: one string":        func(n int) request { return json(`"` + fill("x", n) + `"`) },
		"json: escapes":           func(n int) request { return json(`"` + fill(`\u0041\ud83d\ude00`, n) + `"`) },
		"json: digits":            func(n int) request { return json(fill("1", n)) },
		"json: empty objects":     func(n int) request { return json("[" + fill("{},", n) + "{}]") },
		"json: one long key":      func(n int) request { return json(`{"` + fill("k", n/2) + `":{"` + fill("k", n/2) + `":1}}`) },
		"json: long keys, values": func(n int) request { return json(`{"` + fill("k", n/2) + `":[` + fill("1,", min(n/2, 1800)) + `1]}`) },
		"xml: open tags":          func(n int) request { return xml(fill("<a>", n)) },
		"xml: siblings":           func(n int) request { return xml("<a>" + fill("<b/>", n) + "</a>") },
		"xml: text":               func(n int) request { return xml("<a>" + fill("x", n) + "</a>") },
		"xml: references":         func(n int) request { return xml(entities + "<a>" + fill("&e1;", n) + "</a>") },
		"xml: ampersands":         func(n int) request { return xml(entities + "<a><![CDATA[" + fill("&", n) + "]]></a>") },
		"xml: attributes": func(n int) request {
			var b strings.Builder
			b.WriteString("<a")
			for i := 0; b.Len() < n; i++ {
				fmt.Fprintf(&b, " a%d=''", i)
			}
			return xml(b.String() + "/>")
		},
		"xml: one attribute": func(n int) request { return xml("<a b='" + fill("\n", n) + "'/>") },
		"xml: comments":      func(n int) request { return xml("<a>" + fill("<!---->", n) + "</a>") },
		"xml: declarations":  func(n int) request { return xml("<!DOCTYPE a [" + fill("<!ELEMENT a ANY>", n) + "]><a/>") },
		"xml: parameters": func(n int) request {
			return xml("<!DOCTYPE a [<!ENTITY % p '" + fill(" ", 200) + "'>" + fill("%p;", n) + "]><a/>")
		},
		"xml: numeric entities": func(n int) request { return xml("<!DOCTYPE a [<!ENTITY e '" + fill("&#65;", n) + "'>]><a/>") },
	}
}

// costRules read the body and look at nothing.
const costRules = `SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 100000000
SecRequestBodyNoFilesLimit 100000000
SecAuditEngine Off
SecRule REQUEST_HEADERS:X-Processor "@streq JSON" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:X-Processor "@streq XML" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQBODY_ERROR "@eq 7" "id:3,phase:2,deny"
`

// cost is the processor time of one body of this engine; the least of some runs.
func (o ours) cost(r request, runs int) time.Duration {
	least := time.Duration(math.MaxInt64)
	for range runs {
		before := cpuTime()
		o.ask(r, nil)
		least = min(least, cpuTime()-before)
	}
	return least
}

func costEngine(t testing.TB) ours {
	t.Helper()
	ds, err := seclang.Lex("cost.conf", []byte(costRules+"SecTmpDir "+t.TempDir()+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds})
	if err != nil {
		t.Fatal(err)
	}
	return ours{e}
}

// TestLinear: eight times the body takes no more than about eight times the processor, for every hostile body.
func TestLinear(t *testing.T) {
	o := costEngine(t)
	for name, make := range hostile() {
		small, large := o.cost(make(256<<10), 3), o.cost(make(2<<20), 3)
		if large > 30*small+20*time.Millisecond {
			t.Errorf("%s: 256 KiB takes %v, 2 MiB %v", name, small, large)
		}
		if perMB := large / 2; perMB > 500*time.Millisecond { // ten times what it takes, for the race detector
			t.Errorf("%s: %v per MiB", name, perMB)
		}
	}
}
