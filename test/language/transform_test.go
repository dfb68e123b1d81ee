//go:build oracle && unix

package language

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang/transform"
)

// transformations are those of version 2.
func transformations() []string {
	var names []string
	for _, n := range transform.Names() {
		switch strings.ToLower(n) {
		case "cmd_line", "decodebase64ext", "phpargsnames", "uppercase", "none": // of version 3, or nothing
		default:
			names = append(names, n)
		}
	}
	return names
}

// hostile makes n values for the transformations and the operators: pieces
// that they know, cut, doubled and mixed, and bytes of any kind.
func hostile(seed uint64, n int, pieces []string) []string {
	r := rand.New(rand.NewPCG(seed, 29))
	out := []string{""}
	for b := range 256 {
		out = append(out, string([]byte{byte(b)}))
	}
	out = append(out, pieces...)
	for len(out) < n {
		var b strings.Builder
		for range 1 + r.IntN(5) {
			switch p := pieces[r.IntN(len(pieces))]; r.IntN(10) {
			case 0:
				b.WriteByte(byte(r.IntN(256)))
			case 1: // cut
				if p != "" {
					b.WriteString(p[:r.IntN(len(p))])
				}
			case 2: // one byte replaced
				if p != "" {
					q := []byte(p)
					q[r.IntN(len(q))] = byte(r.IntN(256))
					b.Write(q)
				}
			case 3:
				b.WriteString(strings.ToUpper(p))
			case 4:
				b.WriteString(p + p)
			default:
				b.WriteString(p)
			}
		}
		if s := b.String(); len(s) <= 64 {
			out = append(out, s)
		}
	}
	return out[:n]
}

func transformPieces() []string {
	return []string{
		"a", "B", "z9", " ", "  ", "\t", "\r\n", "\n", "\v", "\f", "\x00", "\xa0", "\x85", "\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff", "\xfe", "\xc3", "\xe2\x82",
		"\xc0\xaf", "\xc1\x9c", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xef\xbc\x9c",
		"%", "%%", "%4", "%41", "%zz", "%2541", "%00", "%u", "%u0041", "%u00e9", "%uff1c", "%uFF5F", "%u004", "%uzzzz", "%U0130", "%u01f0", "+",
		"\\", "\\\\", "\\x41", "\\x4", "\\X41", "\\u0041", "\\uff1c", "\\u00", "\\n", "\\r", "\\a", "\\b", "\\v", "\\?", "\\'", "\\\"", "\\101", "\\777", "\\400", "\\0", "\\08", "\\12", "\\q", "\\\n", "\\\r\n",
		"\\41 ", "\\000041 ", "\\ff21", "\\00ff21", "\\10ff21", "\\0041B", "\\41\n", "\\1", "\\4142434", "\\a0", "\\5c",
		"&lt;", "&lt", "&LT;", "&gt;", "&quot;", "&amp;", "&amp;lt;", "&nbsp;", "&apos;", "&copy;", "&#60;", "&#60", "&#060", "&#0000000060;", "&#x3c;", "&#X3C", "&#x3c3c;", "&#256;", "&#257;", "&#4294967356;",
		"&#18446744073709551676;", "&#99999999999999999999;", "&#xffffffffffffffffff3c;", "&#x;", "&#;", "&#", "&#x", "&;", "&", "&&lt;", "&#-60;", "&# 60;", "&#60a", "&ltt;", "&l", "&#0;", "&#x0",
		"/*", "*/", "/**/", "/*/", "/* a */", "/*!50000", "<!--", "-->", "<!-->", "--", "-", "#", "/", "//", "<", "!", ">", "*", "*/*", "<!- ",
		".", "..", "...", "/./", "/../", "a/..", "../a", "./", "/.", "/..", "..//", "//..//", "a/b/../../..", "\\..\\", ".\\", "c:\\a\\..\\b", "/a/./b/../c/", "a..", "..a", "/...", "/a.", "a/.b",
		"0x41", "0X4142", "0x", "0x4", "0x414", "00x41", "0x0x41", "0x41g", "0x00", "x'41'", "0xg1", "0x4142 0x43",
		"VGVzdA==", "VGVzdA", "VGVz dA==", "VGVz\r\ndA==", "YWJj", "YWJ", "YW", "Y", "=", "==", "===", "YQ==YQ==", "YQ=", "-_-_", "_w==", "/+8=", "YWJj*YWJj", "YW\x00Jj", "Zm9v\tYmFy", "TWFu\n",
		"4142", "414", "4", "zz", "4g", "41 42", "00ff", "FF",
		"^", "\"", "'", ",", ";", "cmd.exe /c", "c^m\"d", " /x", " (y", ",/", ";(", "C:\\WINDOWS", "a , b", "\t/",
		"select 1", "<script>", "é", "[", "]", "5", "12",
	}
}

// transformRules is one rule for each of the chains, which shows what it makes of an argument.
func transformRules(chains []string, more string) string {
	var b strings.Builder
	for i, c := range chains {
		fmt.Fprintf(&b, "SecRule ARGS \"@unconditionalMatch\" \"id:%d,phase:2,pass,log,t:none,t:%s%s,logdata:'%%{MATCHED_VAR_NAME}|%%{MATCHED_VAR}'\"\n", 1000+i, c, more)
	}
	return b.String()
}

// behindNUL is why four transformations go on where mod_security2 stops.
const behindNUL = "stopping at a NUL byte, as C strings do there, hides what follows from the rules"

// toleratedTransform says why a transformation may differ on a value.
func toleratedTransform(name, in string) string {
	nul := strings.Contains(in, "\x00")
	switch strings.ToLower(name) {
	case "cmdline":
		if nul {
			return behindNUL
		}
	case "sqlhexdecode":
		if nul || strings.Contains(strings.ToLower(in), "0x") && strings.Contains(in, "00") {
			return behindNUL // also a NUL that it decoded itself
		}
	case "base64decode":
		if strings.ContainsAny(in, "\r\n") {
			return "a folded value goes on in the next line (RFC 2045), as in version 3"
		}
	case "base64decodeext":
		if nul {
			return behindNUL
		}
		if strings.ContainsAny(in, "-_") {
			return "tokens (JWT) are written in the alphabet of RFC 4648 for URLs: skipping its two characters garbles what follows them"
		}
	}
	return ""
}

// compareTransforms compares what the sides say, but for what is tolerated; each reason must still be needed.
func compareTransforms(t *testing.T, names, values []string, theirs, ours [][]said) {
	t.Helper()
	needed := map[string]int{}
	for i, v := range values {
		for id, n := range names {
			if why := toleratedTransform(n, v); why != "" {
				if !slices.Equal(byRule(theirs[i])[1000+id], byRule(ours[i])[1000+id]) {
					needed[n+": "+why]++
				}
				theirs[i], ours[i] = without(theirs[i], 1000+id), without(ours[i], 1000+id)
			}
		}
	}
	for why, n := range needed {
		t.Logf("%d values tolerated, %s", n, why)
	}
	compare(t, values, theirs, ours, func(id int) string { return names[id-1000] })
}

func without(all []said, id int) []said {
	return slices.DeleteFunc(all, func(s said) bool { return s.id == id })
}

// TestTransformations runs every transformation on hostile values.
func TestTransformations(t *testing.T) {
	names := transformations()
	p := newPair(t, transformRules(names, ",t:hexEncode"), nil)
	values := hostile(1, count(3000), transformPieces())
	theirs, ours := p.ask(t, values, 1000/len(names))
	compareTransforms(t, names, values, theirs, ours)
}

// TestMultiMatch runs every transformation under multiMatch: how often a value
// is looked at shows what the transformation says about having changed it.
func TestMultiMatch(t *testing.T) {
	names := transformations()
	p := newPair(t, transformRules(names, ",multiMatch"), nil)
	values := hostile(2, count(2000), transformPieces())
	theirs, ours := p.ask(t, values, 450/len(names))
	compareTransforms(t, names, values, theirs, ours)
}

// TestLongValues runs every transformation on values of 100 kB, half of them without anything that is tolerated.
func TestLongValues(t *testing.T) {
	names := transformations()
	p := newPair(t, transformRules(names, ",t:sha1,t:hexEncode"), nil)
	r := rand.New(rand.NewPCG(3, 3))
	pieces := transformPieces()
	plain := slices.DeleteFunc(slices.Clone(pieces), func(s string) bool { return strings.ContainsAny(s, "\x00\r\n-_") || strings.Contains(s, "00") })
	var values []string
	for i := range 30 {
		from := pieces
		if i%2 == 0 {
			from = plain
		}
		var b strings.Builder
		for b.Len() < 100_000 {
			b.WriteString(from[r.IntN(len(from))])
		}
		values = append(values, b.String())
	}
	for _, piece := range pieces {
		values = append(values, strings.Repeat(piece, 3000))
	}
	theirs, ours := p.ask(t, values, 8)
	compareTransforms(t, names, values, theirs, ours)
}

// TestTransformationChains runs chains that were drawn by lot, of what is alike on every value, plain and with multiMatch.
func TestTransformationChains(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	names := slices.DeleteFunc(transformations(), func(n string) bool { return toleratedTransform(n, "0x00\x00\n-") != "" })
	var chains []string
	for i := range 60 {
		chain := names[r.IntN(len(names))]
		for range 1 + r.IntN(4) {
			chain += ",t:" + names[r.IntN(len(names))]
		}
		if i%2 == 1 {
			chain += ",multiMatch"
		}
		chains = append(chains, chain)
	}
	p := newPair(t, transformRules(chains, ""), nil)
	values := hostile(5, count(1000), transformPieces())
	theirs, ours := p.ask(t, values, 5)
	compare(t, values, theirs, ours, func(id int) string { return chains[id-1000] })
}

// count is how many values a test takes; more of them with TRAPLINE_ORACLE_VALUES.
func count(n int) int {
	if more, err := strconv.Atoi(os.Getenv("TRAPLINE_ORACLE_VALUES")); err == nil {
		return more
	}
	return n
}

// compare reports where the two sides differ, some values for each rule.
func compare(t *testing.T, values []string, theirs, ours [][]said, name func(id int) string) {
	t.Helper()
	shown := map[int]int{}
	for i, v := range values {
		a, b := byRule(theirs[i]), byRule(ours[i])
		for id := range union(a, b) {
			if slices.Equal(a[id], b[id]) {
				continue
			}
			if shown[id]++; shown[id] <= 8 {
				t.Errorf("%s on %.200q:\n  mod_security2 %.600v\n  ours          %.600v", name(id), v, a[id], b[id])
			}
		}
	}
	for id, n := range shown {
		t.Logf("%s: %d of %d values differ", name(id), n, len(values))
	}
}

func byRule(all []said) map[int][]said {
	m := map[int][]said{}
	for _, s := range all {
		m[s.id] = append(m[s.id], s)
	}
	return m
}

func union(a, b map[int][]said) map[int]bool {
	m := map[int]bool{}
	for id := range a {
		m[id] = true
	}
	for id := range b {
		m[id] = true
	}
	return m
}

// TestUnicodeMap decodes every %uHHHH, with and without a code page.
func TestUnicodeMap(t *testing.T) {
	for name, setting := range map[string]string{"none": "", "20127": "SecUnicodeMapFile {{dir}}/unicode.mapping 20127\n", "1252": "SecUnicodeMapFile {{dir}}/unicode.mapping 1252\n"} {
		t.Run(name, func(t *testing.T) {
			table, err := os.ReadFile("/etc/modsecurity/unicode.mapping")
			if err != nil {
				t.Skip("PEER MISSING: /etc/modsecurity/unicode.mapping of libapache2-mod-security2")
			}
			chains := []string{"urlDecodeUni,t:hexEncode", "utf8toUnicode,t:urlDecodeUni,t:hexEncode"}
			p := newPair(t, setting+transformRules(chains, ""), map[string]string{"unicode.mapping": string(table)})
			var values []string
			for code := 0; code < 0x10000; code += 16 {
				var escapes, utf8 strings.Builder
				for c := code; c < code+16; c++ {
					fmt.Fprintf(&escapes, "%%u%04x", c)
					utf8.WriteRune(rune(c))
				}
				values = append(values, escapes.String(), utf8.String())
			}
			theirs, ours := p.ask(t, values, 400)
			compare(t, values, theirs, ours, func(id int) string { return chains[id-1000] })
		})
	}
}
