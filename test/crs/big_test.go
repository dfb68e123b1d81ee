//go:build peers

package crs

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
)

// TestBigBodies measures what one request can cost with the whole rule set at
// paranoia level 4: no body of a size that servers let through may hold a core for long.
func TestBigBodies(t *testing.T) {
	e := engine(t, settings)
	const size = 1 << 20
	fill := func(unit string) string { return strings.Repeat(unit, size/len(unit)) }
	const form, json, xml, mp = "application/x-www-form-urlencoded", "application/json", "text/xml", "multipart/form-data; boundary=B"
	for _, c := range []struct{ name, contentType, body string }{
		{"form of one value", form, "a=" + fill("lorem ipsum dolor sit amet ")},
		{"form of attack", form, "a=" + fill("' or 1=1 -- <script>alert(1)</script> /etc/passwd ; cat ")},
		{"form of many arguments", form, fill("a=1&")},
		{"form of many attacks", form, numbered("a%d="+strings.Repeat("' or 1=1 -- <script>alert(1)</script> /etc/passwd ; cat ", 19)+"&", size)},
		{"form of many words", form, numbered("a%d="+strings.Repeat("lorem ipsum dolor sit amet ", 40)+"&", size)},
		{"form of escapes", form, "a=" + fill("%27%20")},
		{"form of quotes", form, "a=" + fill("'")},
		{"form of brackets", form, "a=" + fill("<")},
		{"form of slashes", form, "a=" + fill("../")},
		{"form of blanks", form, "a=" + fill(" ")},
		{"form of NUL", form, "a=" + fill("%00")},
		{"form of entities", form, "a=" + fill("&amp;")},
		{"form of comments", form, "a=" + fill("/*")},
		{"form of base64", form, "a=" + fill("QUJD")},
		{"form of high bytes", form, "a=" + fill("\xff")},
		{"json of one value", json, `{"a":"` + fill("lorem ipsum ") + `"}`},
		{"json of many", json, "[" + fill(`{"a":1},`) + "1]"},
		{"json deep", json, fill("[")},
		{"xml of elements", xml, "<a>" + fill("<b>x</b>") + "</a>"},
		{"xml of attributes", xml, "<a>" + fill(`<b c="d"/>`) + "</a>"},
		{"xml of text", xml, "<a>" + fill("lorem ipsum ") + "</a>"},
		{"xml of entities", xml, `<!DOCTYPE a [<!ENTITY e "` + strings.Repeat("x", 1000) + `">]><a>` + fill("&e;") + "</a>"},
		{"multipart of parts", mp, fill("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n") + "--B--\r\n"},
		{"multipart of a file", mp, "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + fill("0123456789abcde\n") + "\r\n--B--\r\n"},
		{"multipart of files", mp, fill("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n1\r\n") + "--B--\r\n"},
		{"multipart of names", mp, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n" + numbered("X%d: y\r\n", size) + "\r\n1\r\n--B--\r\n"},
		{"json of names", json, "{" + numbered(`"a%d":1,`, size) + `"b":1}`},
		{"cookies", form, ""},
		{"multipart of headers", mp, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n" + fill("X: y\r\n") + "\r\n1\r\n--B--\r\n"},
	} {
		tx := e.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort("192.0.2.2:80"), Time: time.Now()})
		begin := time.Now()
		more := ""
		if c.name == "cookies" {
			more = "Cookie: " + numbered("a%d=b;", 60_000) + "\r\n"
		}
		tx.RequestHead(fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n", c.contentType, len(c.body), more))
		tx.RequestHeaders()
		tx.WriteRequestBody([]byte(c.body))
		tx.RequestBody()
		tx.Logging()
		took := time.Since(begin)
		tx.Close()
		t.Logf("%-24s %v", c.name, took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
}

func numbered(format string, size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
