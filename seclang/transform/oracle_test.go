//go:build oracle

package transform

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"
)

// corazaTransform runs one transformation in Coraza, by a rule that always matches.
func corazaTransform(t *testing.T, name string) func(string) string {
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(fmt.Sprintf(
		"SecRuleEngine On\nSecRule ARGS_GET:a \"@unconditionalMatch\" \"id:1,phase:1,pass,log,msg:'x',t:none,t:%s\"\n", name)))
	if err != nil {
		t.Skipf("Coraza has no %s: %v", name, err)
	}
	return func(s string) string {
		tx := waf.NewTransaction()
		defer tx.Close()
		tx.AddGetRequestArgument("a", s)
		tx.ProcessRequestHeaders()
		for _, m := range tx.MatchedRules() {
			for _, d := range m.MatchedDatas() {
				return d.Value()
			}
		}
		t.Fatalf("%s: no match on %q", name, s)
		return ""
	}
}

// inputs are texts in which every transformation finds work.
func inputs(n int) []string {
	parts := []string{
		"a", "B", " ", "\t", "\r\n", "\x00", "\xa0", "\xc3\xa9", "\xe2\x82\xac", "\xff", "\xc3", "%", "%41", "%u0041", "%uff1c", "%zz", "+", "\\", "\\x41", "\\u0041", "\\n",
		"\\101", "\\777", "\\0", "&lt;", "&#60", "&#x3c;", "&nbsp;", "&foo;", "&", "/*", "*/", "<!--", "-->", "--", "#", "/", "..", ".", "//", "0x41", "0x4", "\"", "'", "^", ";", ",", "(",
		"[", "]", "=", "VGVzdA==", "YWJj", "4142", "zz", "é", "\\41 ", "\\ff21", "\n", "\v",
	}
	r := rand.New(rand.NewPCG(7, 8))
	out := []string{"", "plain"}
	for range n {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		out = append(out, b.String())
	}
	return out
}

// tolerated says for which inputs Coraza may differ, and why ours is right.
func tolerated(name string) (reason string, applies func(in string) bool) {
	beyondASCII := func(in string) bool {
		return strings.ContainsFunc(in, func(r rune) bool { return r >= 0x80 || r == 0 })
	}
	switch strings.ToLower(name) {
	case "lowercase", "uppercase", "removewhitespace":
		return "Coraza works on runes: it replaces bytes that are no UTF-8 and folds letters beyond ASCII; ModSecurity works on bytes", beyondASCII
	case "compresswhitespace":
		return "byte a0 is white space for ModSecurity wherever it stands; Coraza wants it on its own", beyondASCII
	case "utf8tounicode":
		return "for a broken sequence Coraza writes %ufffd, ModSecurity drops its lead byte; ModSecurity drops NUL", beyondASCII
	case "base64decodeext", "decodebase64ext":
		return "Coraza stops at the first =, ModSecurity skips it, and reads - and _ since 3.0.5", func(in string) bool { return strings.ContainsAny(in, "=-_") }
	case "cssdecode":
		return "Coraza writes code points as UTF-8 and NUL as U+FFFD; ModSecurity takes the low byte", func(in string) bool { return strings.Contains(in, `\`) }
	case "hexdecode":
		return "Coraza leaves a value with anything but pairs of digits alone; ModSecurity decodes whatever is there", func(in string) bool {
			return len(in)%2 == 1 || strings.ContainsFunc(in, func(r rune) bool { return r >= 0x80 || !isHex(byte(r)) })
		}
	case "htmlentitydecode":
		return "Coraza writes nbsp and numbers above 255 as UTF-8, ModSecurity as one byte", func(in string) bool {
			return strings.Contains(in, "&nbsp") || strings.Contains(in, "&#")
		}
	case "normalisepath", "normalizepath":
		return "Coraza uses path.Clean: it differs on double slashes at the ends and on segments that end in dots", func(in string) bool {
			return strings.Contains(in, "/") || strings.Contains(in, "..")
		}
	case "normalisepathwin", "normalizepathwin":
		return "Coraza uses the file rules of Windows: blanks and dots at the end go", func(string) bool { return true }
	}
	return "", func(string) bool { return false }
}

// TestAgainstCoraza compares every transformation with Coraza's.
func TestAgainstCoraza(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			theirs := corazaTransform(t, name)
			ours, _ := Lookup(name)
			reason, applies := tolerated(name)
			n := 0
			for _, s := range inputs(3000) {
				got, _ := ours(s)
				want := theirs(s)
				switch {
				case got == want:
				case applies(s):
					n++
				default:
					t.Errorf("%q:\n  ours   %q\n  Coraza %q", s, got, want)
				}
			}
			if n > 0 {
				t.Logf("%d tolerated: %s", n, reason)
			}
			if reason != "" && n == 0 {
				t.Errorf("no difference any more: remove %q", reason)
			}
		})
	}
}
