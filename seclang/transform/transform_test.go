package transform

import (
	"strings"
	"testing"
	"unsafe"
)

// TestNames checks that every name of the reference is there, and no second thing of a name.
func TestNames(t *testing.T) {
	const names = `base64Decode sqlHexDecode base64DecodeExt base64Encode cmdLine compressWhitespace cssDecode escapeSeqDecode hexDecode hexEncode
htmlEntityDecode jsDecode length lowercase md5 none normalisePath normalizePath normalisePathWin normalizePathWin parityEven7bit
parityOdd7bit parityZero7bit removeNulls removeWhitespace replaceComments removeCommentsChar removeComments replaceNulls urlDecode
uppercase urlDecodeUni urlEncode utf8toUnicode sha1 trimLeft trimRight trim phpArgsNames`
	for _, n := range strings.Fields(names) {
		for _, spelled := range []string{n, strings.ToLower(n), strings.ToUpper(n)} {
			if _, ok := Lookup(spelled); !ok {
				t.Errorf("no transformation %q", spelled)
			}
		}
	}
	if _, ok := Lookup("removeEverything"); ok {
		t.Error("an unknown name was found")
	}
	seen := map[string]bool{}
	for _, n := range Names() {
		if l := strings.ToLower(n); seen[l] {
			t.Errorf("%s is there twice", n)
		} else {
			seen[l] = true
		}
	}
}

// TestUnchangedIsShared pins what the engine relies on: an unchanged value is the same string, without allocation.
func TestUnchangedIsShared(t *testing.T) {
	always := map[string]bool{
		"base64decode": true, "base64decodeext": true, "decodebase64ext": true, "base64encode": true, "hexdecode": true,
		"hexencode": true, "length": true, "md5": true, "sha1": true, "phpargsnames": true, "uppercase": true, "parityeven7bit": true, "parityodd7bit": true,
	}
	for _, n := range Names() {
		if always[strings.ToLower(n)] {
			continue
		}
		fn, _ := Lookup(n)
		in := strings.Repeat("abc", 5)
		if n := testing.AllocsPerRun(10, func() {
			out, changed := fn(in)
			if changed || unsafe.StringData(out) != unsafe.StringData(in) || len(out) != len(in) {
				t.Errorf("%s: (%q, %v), or another string", n, out, changed)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestParseUnicodeMap(t *testing.T) {
	const file = "(MAC - Roman)\n\n1250  (ANSI)\n00a1:21 ff1c:3d\n\n20127 (US-ASCII)\n00e9:65 0131:69\nff1c:3c\n\n1251 0434:64\n"
	m, err := ParseUnicodeMap("unicode.mapping", []byte(file), 20127)
	if err != nil {
		t.Fatal(err)
	}
	fn := URLDecodeUni(m)
	if got, _ := fn("%u00e9%u0131%uff1c%u00a1%u0434"); got != "ei<\xa14" {
		t.Errorf("got %q", got)
	}
	if got, _ := fn("%u3002%uff0e%uff61"); got != "..." {
		t.Errorf("separators of labels: got %q", got)
	}
	if m, err = ParseUnicodeMap("f", []byte(file), 1251); err != nil {
		t.Fatal(err)
	}
	if got, _ := URLDecodeUni(m)("%u0434"); got != "d" {
		t.Errorf("number and pairs on one line: got %q", got)
	}
	for _, c := range []struct{ text, want string }{
		{file[:30], "f: no code page 20127 in this file"},
		{"20127\n00e9:65 zz:1\n", "f:2: \"zz:1\": expected a pair"},
		{"20127\n00e9:6566\n", "f:2: \"00e9:6566\": expected a pair"},
	} {
		_, err := ParseUnicodeMap("f", []byte(c.text), 20127)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %s", c.text, err, c.want)
		}
	}
}

// idempotent names the transformations that change nothing the second time.
func idempotent(name string) bool {
	switch strings.ToLower(name) {
	case "none", "lowercase", "uppercase", "trim", "trimleft", "trimright", "removenulls", "replacenulls", "removewhitespace",
		"compresswhitespace", "parityzero7bit", "replacecomments":
		return true
	}
	return false
}

// FuzzTransform checks for every function and any bytes: no panic, changed says
// the truth, the same answer twice, bounded growth, and idempotence where it holds.
func FuzzTransform(f *testing.F) {
	names := Names()
	for i := range names {
		for _, s := range []string{
			"", "abc", "%u0041+%41%zz%", "\\u0041\\x41\\101\\", "&lt;&#60&#x3c;&", "/a/../b//./c\\d", "<!-- a --> /* b */ -- #", "0x4142",
			"a.b[c][ ]d", "\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80\xff\x00", "VGVzdA==", " \t\r\n\xa0 x ", "a;,^\"'/(B",
		} {
			f.Add(uint8(i), s)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, s string) {
		name := names[int(i)%len(names)]
		fn, _ := Lookup(name)
		out, changed := fn(s)
		if changed != (out != s) {
			t.Fatalf("%s(%q): changed is %v, out is %q", name, s, changed, out)
		}
		if again, _ := fn(s); again != out {
			t.Fatalf("%s(%q): %q, then %q", name, s, out, again)
		}
		if len(out) > 7*len(s)+40 {
			t.Fatalf("%s: %d bytes became %d", name, len(s), len(out))
		}
		if idempotent(name) {
			if twice, changed := fn(out); changed {
				t.Fatalf("%s(%q) is %q, again %q", name, s, out, twice)
			}
		}
	})
}

// FuzzUnicodeMap reads any mapping file.
func FuzzUnicodeMap(f *testing.F) {
	f.Add("20127 (US-ASCII)\n00e9:65 0131:69\n", "%u00e9")
	f.Fuzz(func(t *testing.T, file, s string) {
		m, err := ParseUnicodeMap("f", []byte(file), 20127)
		if err == nil {
			URLDecodeUni(m)(s)
		}
	})
}
