package seclang_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/corazawaf/libinjection-go"
)

// TestPlainWords holds libinjection to what the engine takes for granted: it finds no SQL in a single word, and no
// HTML in a value without < and =.
func TestPlainWords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	word := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	html := " \t\n\r\x00\f\v/>\"'`!?-#;:&%abconloadstylehrefsrcxmlnsjavascript:expression()"
	for range 200000 {
		b := make([]byte, 1+rnd.IntN(12))
		for i := range b {
			b[i] = word[rnd.IntN(len(word))]
		}
		if ok, fp := libinjection.IsSQLi(string(b)); ok {
			t.Fatalf("SQL in %q: %s", b, fp)
		}
		var s strings.Builder
		for range 1 + rnd.IntN(30) {
			s.WriteByte(html[rnd.IntN(len(html))])
		}
		if libinjection.IsXSS(s.String()) {
			t.Fatalf("HTML in %q", s.String())
		}
	}
	for _, w := range strings.Fields("select union SELECT_1 insert update delete drop and or not null true false sleep benchmark user version " +
		"database char concat 1 0x1 0x 1e5 0b1 x n q e u binary like div mod xor having limit into procedure dual if case between exec begin") {
		for _, s := range []string{w, strings.ToUpper(w)} {
			if ok, fp := libinjection.IsSQLi(s); ok {
				t.Errorf("SQL in %q: %s", s, fp)
			}
		}
	}
	for _, s := range []string{"onload", " onload ", "x onerror", `" onclick "`, "style", "javascript:alert(1)", "href javascript:x"} {
		if libinjection.IsXSS(s) {
			t.Errorf("HTML in %q", s)
		}
	}
}
