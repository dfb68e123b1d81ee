package seclang_test

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkHostile is the CPU time for each byte of a form that a client made to be expensive, through CRS 4 at paranoia
// level 4. What it shows is that no shape costs more for each byte when there are ten times as many: nothing is quadratic.
func BenchmarkHostile(b *testing.B) {
	e := crs4(b, strings.ReplaceAll(setup4, "PL", "4")+"SecRuleEngine DetectionOnly\n")
	for _, shape := range []struct{ name, repeat string }{
		{"letters", "a"},
		{"quotes", "'"},
		{"tags", "<"},
		{"scripts", "<script on"},
		{"union", "union select from where or 1=1 -- "},
		{"commands", ";cat /etc/passwd|"},
		{"comments", "/*"},
		{"dots", "../"},
		{"expressions", "$((("},
		{"backslashes", `\`},
		{"header lines", "\r\nSet-Cookie: a=b"},
		{"addresses", "http://1.2.3.4/"},
		{"prose", "lorem ipsum dolor sit amet "},
		{"everything", "' or 1=1 union select <script> ../ ; cat /etc/passwd ${jndi:ldap://x} "},
		{"parentheses", "(((((((("},
		{"percent", "%25%32%35"},
		{"escapes", `\u0041\x41&#x41;`},
		{"arguments", "a=1&"},
	} {
		for _, size := range []int{2_000, 20_000, 200_000} {
			b.Run(fmt.Sprintf("%s/%dk", shape.name, size/1000), func(b *testing.B) {
				r := benchRequest{
					method: "POST", uri: "/", body: []byte("a=" + strings.Repeat(shape.repeat, size/len(shape.repeat))),
					headers: commonHeaders([2]string{"Content-Type", "application/x-www-form-urlencoded"}),
				}
				drive(e, &r)
				start := cpuTime()
				for b.Loop() {
					drive(e, &r)
				}
				b.ReportMetric(float64((cpuTime()-start).Nanoseconds())/float64(b.N)/float64(size), "cpu-ns/byte")
			})
		}
	}
}
