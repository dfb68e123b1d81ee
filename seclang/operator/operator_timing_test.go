package operator

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkMatch is what one value costs each operator, when it does not match
// and nobody asks for captures or a sentence.
func BenchmarkMatch(b *testing.B) {
	prose := strings.Repeat("please leave the parcel with the neighbours on the second floor. ", 4)[:256]
	for _, c := range []struct{ name, arg, in string }{
		{"beginsWith", "GET", prose},
		{"contains", "nothing", prose},
		{"containsWord", "thing", prose},
		{"streq", "x", prose},
		{"within", "GET POST", prose},
		{"eq", "5", "17"},
		{"rx", `(?i)union\s+select`, prose},
		{"rx", `^(8000|8080|8888)$`, "8090"},
		{"rx", `(?<!x)zz`, prose},
		{"pm", "nikto sqlmap nessus w3af", prose},
		{"ipMatch", "10.0.0.0/8,192.168.0.0/16,2001:db8::/32", "203.0.113.7"},
		{"detectSQLi", "", prose},
		{"detectSQLi", "", "johanna"},
		{"detectXSS", "", prose},
		{"detectXSS", "", "johanna"},
		{"validateByteRange", "1-255", prose},
		{"validateUrlEncoding", "", prose},
		{"validateUtf8Encoding", "", prose},
		{"verifyCC", `\d{13,16}`, prose},
	} {
		o, err := New(c.name, c.arg, Env{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%s %s on %d", c.name, c.arg, len(c.in)), func(b *testing.B) {
			b.ReportAllocs()
			var m Result
			for b.Loop() {
				m.Reset()
				if o.Match(c.in, "", &m) {
					b.Fatal("it matches")
				}
			}
		})
	}
}

// BenchmarkManyPrefixes looks an address up among 100,000 networks.
func BenchmarkManyPrefixes(b *testing.B) {
	var list strings.Builder
	for i := range 100000 {
		fmt.Fprintf(&list, "%d.%d.%d.0/24\n", 1+i/65536%200, i/256%256, i%256)
	}
	env := Env{ReadFile: func(string) ([]byte, error) { return []byte(list.String()), nil }}
	o, err := New("ipMatchFromFile", "x", env)
	if err != nil {
		b.Fatal(err)
	}
	var m Result
	for b.Loop() {
		o.Match("203.0.113.7", "", &m)
	}
}
