package body

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

func argString(args []Arg) string {
	var parts []string
	for _, a := range args {
		parts = append(parts, fmt.Sprintf("%s=%s", a.Name, a.Value))
	}
	return strings.Join(parts, "|")
}

func TestForm(t *testing.T) {
	tests := []struct {
		in, want string
		invalid  bool
	}{
		{"", "", false},
		{"a=1&b=2", "a=1|b=2", false},
		{"a", "a=", false},
		{"a=", "a=", false},
		{"=b", "=b", false},
		{"a=1&&b", "a=1|=|b=", false},
		{"a=1&", "a=1", false},
		{"a=b=c", "a=b=c", false},
		{"a+b=%41%zz%4", "a b=A%zz%4", true},
		{"a=%", "a=%", true},
		{"%61=%00", "a=\x00", false},
		{"a=1;b=2", "a=1;b=2", false},
	}
	for _, tt := range tests {
		r := Parse("urlencoded", tt.in, Config{})
		if got := argString(r.Args); got != tt.want || r.InvalidEncoding != tt.invalid || r.Error != "" {
			t.Errorf("%q: %q %v %q", tt.in, got, r.InvalidEncoding, r.Error)
		}
		for _, a := range r.Args {
			if !strings.ContainsAny(tt.in, "%+") && tt.in[a.Offset:a.Offset+len(a.Value)] != a.Value {
				t.Errorf("%q: offset of %q is %d", tt.in, a.Name, a.Offset)
			}
		}
	}
	if r := Parse("URLENCODED", "a=1;b=2", Config{Separator: ';'}); argString(r.Args) != "a=1|b=2" {
		t.Error(argString(r.Args))
	}
	if r := Parse("URLENCODED", "a&b&c", Config{ArgumentsLimit: 2}); argString(r.Args) != "a=|b=" || !r.TooManyArgs || r.Error == "" {
		t.Errorf("%q %q", argString(r.Args), r.Error)
	}
	if r := Parse("URLENCODED", "a=12345", Config{NoFilesLimit: 5}); r.Error != noFilesText {
		t.Errorf("%q", r.Error)
	}
}

func TestJSON(t *testing.T) {
	tests := []struct{ in, v3, v2, err string }{
		{"", "", "", ""},
		{" \n", "", "", "unexpected end"},
		{"{\v\"a\"\f:1}", "json.a=1", "a=1", ""},
		{`{"":1,"b":{"":{"c":2}}}`, "json.empty-key=1|json.b.empty-key.c=2", "=1|b.c=2", ""},
		{`{"a":"\ud83d\u0027\ude00"}`, "json.a=?'\xed\xb8\x80", "a=?'\xed\xb8\x80", ""},
		{"{\"a\":\"\xc0\xaf\xed\xa0\x80\"}", "json.a=\xc0\xaf\xed\xa0\x80", "a=\xc0\xaf\xed\xa0\x80", ""},
		{`{"foo":"bar","mod":"sec"}`, "json.foo=bar|json.mod=sec", "foo=bar|mod=sec", ""},
		{`{"a":{"b":{"c":1.5e3}},"d":true,"e":null}`, "json.a.b.c=1.5e3|json.d=true|json.e=", "a.b.c=1.5e3|d=true|e=", ""},
		{`{"a":[1,[2,3],{"b":4}]}`, "json.a.array_0=1|json.a.array_1.array_0=2|json.a.array_1.array_1=3|json.a.array_2.b=4", "a.a=1|a.a.a=2|a.a.a=3|a.a.b=4", ""},
		{`[1,"x"]`, "json.array_0=1|json.array_1=x", "array.array=1|array.array=x", ""},
		{`"x"`, "json=x", "=x", ""},
		{`{"a":1,"a":2}`, "json.a=1|json.a=2", "a=1|a=2", ""},
		{`{"a\u0062":"\u003cscript\ud83d\ude00\ud83d\n"}`, "json.ab=<script😀?\n", "ab=<script😀?\n", ""},
		{`{"a":1,`, "json.a=1", "a=1", "object key must be a string"},
		{`{"a":1}x`, "json.a=1", "a=1", "trailing garbage"},
		{`{'a':1}`, "", "", "object key"},
		{`{"a":1,}`, "json.a=1", "a=1", "object key"},
		{`[1,]`, "json.array_0=1", "array.array=1", "invalid character"},
		{`{"a":01}`, "", "", "malformed number"},
		{`{"a":"` + "\xff" + `"}`, "", "", "invalid bytes"},
		{`{"a":"` + "\x01" + `"}`, "", "", "control character"},
		{`{"a":"\x41"}`, "", "", "invalid escape"},
		{`// c`, "", "", "invalid character"},
		{"\xef\xbb\xbf{}", "", "", "invalid character"},
		{`a`, "", "", "invalid character"},
		{`{}`, "", "", ""},
		{`[]`, "", "", ""},
	}
	for _, tt := range tests {
		for names, want := range map[JSONNames]string{NamesV3: tt.v3, NamesV2: tt.v2} {
			r := Parse("JSON", tt.in, Config{JSONNames: names})
			if got := argString(r.Args); got != want || (r.Error == "") != (tt.err == "") || !strings.Contains(r.Error, tt.err) {
				t.Errorf("%q: %q %q, want %q %q", tt.in, got, r.Error, want, tt.err)
			}
		}
	}
	deep := strings.Repeat(`{"k":`, 5) + "1" + strings.Repeat("}", 5)
	if r := Parse("JSON", deep, Config{JSONDepth: 5}); r.Error != "" || argString(r.Args) != "json.k.k.k.k.k=1" {
		t.Errorf("%q %q", r.Error, argString(r.Args))
	}
	if r := Parse("JSON", deep, Config{JSONDepth: 4}); !strings.Contains(r.Error, depthText) {
		t.Errorf("%q", r.Error)
	}
	bomb := strings.Repeat("[", 9000) + strings.Repeat("1,", 999) + "1" + strings.Repeat("]", 9000)
	if r := Parse("JSON", bomb, Config{}); r.Error == "" {
		t.Error("names without a limit")
	}
}

func TestXML(t *testing.T) {
	doc := `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY js "Jo &#120;"><!ENTITY ext SYSTEM "/etc/passwd">]><s:a xmlns:s="urn:s" id="7"><b k='v'>one<![CDATA[<two>]]></b> &js;&ext;<!-- c --></s:a>`
	r := Parse("xml", doc, Config{XMLArgs: XMLArgsOn})
	if r.Error != "" || argString(r.Args) != "xml.a.b=one<two>|xml.a= Jo x" {
		t.Errorf("%q %q", r.Error, argString(r.Args))
	}
	for _, tt := range []struct{ expr, want string }{
		{"/*", "one<two> Jo x"},
		{"//@*", "7|v"}, // the declaration of s is none
		{"/s:a/b", "one<two>"},
		{"//b[@k='v']/@k", "v"},
		{"count(//b)", "1"},
		{"//nothing", ""},
	} {
		q, err := CompileXPath(tt.expr, map[string]string{"s": "urn:s"})
		if err != nil {
			t.Fatal(err)
		}
		found, err := r.XML.Select(q)
		var values []string
		for _, f := range found {
			values = append(values, f.Value)
		}
		if got := strings.Join(values, "|"); err != nil || !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
			t.Errorf("%s: %q %v, want %q", tt.expr, got, err, tt.want)
		}
	}
	for in, want := range map[string]string{
		"<a>":                      "XML parsing error",
		"<a></b>":                  "XML parsing error",
		"<a>&undeclared;</a>":      "XML parsing error",
		"<a/><b/>":                 "extra content",
		"x":                        "XML parsing error",
		strings.Repeat("<a>", 300): "nested too deep",
		"<?xml version='1.0' encoding='utf-7'?><a/>": "XML parsing error",
		`<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]><a>&e;</a>`: "over the limit",
		`<!DOCTYPE a [<!ENTITY a "` + strings.Repeat("a", 30000) + `">]><a>` + strings.Repeat("&a;", 100) + "</a>":                                                                                                                          "over the limit",
	} {
		if r := Parse("XML", in, Config{}); !strings.Contains(r.Error, want) {
			t.Errorf("%.60q: %q", in, r.Error)
		}
	}
	if r := Parse("XML", "", Config{}); r.Error != "" {
		t.Error(r.Error)
	}
	if r := Parse("XML", "<a>x</a>", Config{XMLArgs: XMLArgsOnly}); r.XML != nil || argString(r.Args) != "xml.a=x" {
		t.Error(argString(r.Args))
	}
}

const multipartType = "multipart/form-data; boundary=B"

func TestMultipart(t *testing.T) {
	in := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n--B\r\n" +
		"Content-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nfile\r\n\r\n--B--\r\n"
	c := Config{ContentType: multipartType, Fake: true}
	for _, size := range []int{1, 2, 3, 7, 50, len(in)} {
		m := NewMultipart(c)
		for s := in; s != ""; {
			n := min(size, len(s))
			_, _ = m.Write([]byte(s[:n]))
			s = s[n:]
		}
		r := m.Result()
		if r.Error != "" || r.Multipart.Strict() || argString(r.Args) != "a=one\r\ntwo" || string(r.Fake) != "a=one%0d%0atwo" {
			t.Fatalf("%d: %q %+v %q %q", size, r.Error, r.Multipart, argString(r.Args), r.Fake)
		}
		if len(r.Files) != 1 || r.Files[0].Content != "file\r\n" || r.Files[0].Size != 6 || r.Files[0].Name != "x.txt" || r.Files[0].Field != "f" || r.Files[0].ContentType != "text/plain" {
			t.Fatalf("%+v", r.Files)
		}
		if in[r.Args[0].Offset:][:3] != "one" || in[r.Files[0].Offset:][:4] != "file" {
			t.Errorf("offsets %d %d", r.Args[0].Offset, r.Files[0].Offset)
		}
		want := `a=Content-Disposition: form-data; name="a"|f=Content-Disposition: form-data; name="f"; filename="x.txt"|f=Content-Type: text/plain`
		if got := argString(r.PartHeaders); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestMultipartFiles(t *testing.T) {
	in := ""
	for i := range 3 {
		in += fmt.Sprintf("--B\r\nContent-Disposition: form-data; name=\"f%d\"; filename=\"x\"\r\n\r\n%s\r\n", i, strings.Repeat("x", 10000))
	}
	in += "--B--\r\n"
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		c       Config
		onDisk  int
		limited bool
	}{
		"memory":  {Config{}, 0, false},
		"spill":   {Config{MemoryLimit: 15000}, 2, false},
		"extract": {Config{Extract: true, UploadFileLimit: 2}, 2, true},
		"keep":    {Config{KeepFiles: true, UploadDir: dir, ID: "../../x"}, 3, false},
	} {
		c := tt.c
		c.ContentType, c.TmpDir = multipartType, dir
		r := Parse("MULTIPART", in, c)
		disk := 0
		for _, f := range r.Files {
			if f.Size != 10000 {
				t.Errorf("%s: size %d", name, f.Size)
			}
			if f.Path != "" {
				disk++
				if b, err := os.ReadFile(f.Path); err != nil || len(b) != 10000 {
					t.Errorf("%s: %d %v", name, len(b), err)
				}
			}
		}
		if disk != tt.onDisk || r.Multipart.FileLimitExceeded != tt.limited || r.Error != "" {
			t.Errorf("%s: %d on disk, %+v %q", name, disk, r.Multipart, r.Error)
		}
		if name == "keep" {
			r.Keep()
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("%d files left, want those kept", len(left))
	}
}

func FuzzForm(f *testing.F) {
	f.Add("a=1&b=%41+%zz&&=")
	f.Fuzz(func(t *testing.T, in string) {
		n := 0
		for _, a := range Parse("URLENCODED", in, Config{}).Args {
			n += len(a.Name) + len(a.Value)
		}
		if n > len(in) {
			t.Fatal("grew")
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add(`{"a":[1,{"b":"\u0041\ud83d"}],"c":-0.1e+5}`)
	f.Fuzz(func(t *testing.T, in string) {
		Parse("JSON", in, Config{JSONDepth: 20, ArgumentsLimit: 50})
		Parse("JSON", in, Config{JSONNames: NamesV2})
	})
}

func FuzzXML(f *testing.F) {
	f.Add("<!DOCTYPE a [<!ENTITY % p \"<!ENTITY e '&f;&#65;'>\">%p;<!ENTITY f 'x'>]><a b='\t&#55296;'>&e;</a>")
	f.Add("<?xml version='1.0' encoding='ISO-8859-1'?><!DOCTYPE a SYSTEM 'x' [<!-- ]> --><?p ?>]><a>\xe9&u;</a>")
	f.Add(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a x="&b;">&b;<b/></a>`)
	q, _ := CompileXPath("/*", nil)
	at, _ := CompileXPath("//@*", nil)
	f.Fuzz(func(t *testing.T, in string) {
		r := Parse("XML", in, Config{XMLArgs: XMLArgsOn})
		if _, err := r.XML.Select(q); err != nil {
			t.Fatal(err)
		}
		if _, err := r.XML.Select(at); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzMultipart(f *testing.F) {
	f.Add("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"a\"; filename*=utf-8''x%41\r\n X\r\n\r\none\r\n--B--\r\n", uint8(3))
	f.Add("multipart/form-data; boundary=\"B\"", "x\n--B\nContent-Disposition: form-data; name='a\\'b'\n\n"+strings.Repeat("y", 9000)+"\r\n--B--", uint8(100))
	f.Fuzz(func(t *testing.T, contentType, in string, size uint8) {
		c := Config{ContentType: contentType, MemoryLimit: 1 << 30}
		whole := Parse("MULTIPART", in, c)
		m := NewMultipart(c)
		for s := in; s != ""; {
			n := min(int(size)+1, len(s))
			_, _ = m.Write([]byte(s[:n]))
			s = s[n:]
		}
		parts := m.Result()
		if argString(whole.Args) != argString(parts.Args) || whole.Error != parts.Error || whole.Multipart != parts.Multipart || !reflect.DeepEqual(whole.Files, parts.Files) || !reflect.DeepEqual(whole.PartHeaders, parts.PartHeaders) ||
			whole.NoFilesLength != parts.NoFilesLength || whole.MultipartName != parts.MultipartName {
			t.Fatalf("whole %q %q %+v, in pieces %q %q %+v", argString(whole.Args), whole.Error, whole.Multipart, argString(parts.Args), parts.Error, parts.Multipart)
		}
	})
}

func BenchmarkForm1K(b *testing.B) {
	in := strings.Repeat("field_name=some+value+with%20text%21&", 28)
	b.ReportAllocs()
	for b.Loop() {
		Parse("URLENCODED", in, Config{})
	}
}

func BenchmarkJSON2K(b *testing.B) {
	in := "[" + strings.TrimSuffix(strings.Repeat(`{"id":1234,"name":"value of it","ok":true},`, 47), ",") + "]"
	b.ReportAllocs()
	for b.Loop() {
		if r := Parse("JSON", in, Config{}); r.Error != "" {
			b.Fatal(r.Error)
		}
	}
}

func BenchmarkMultipart64K(b *testing.B) {
	in := "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + strings.Repeat("0123456789abcdef\n", 4000) + "\r\n--B--\r\n"
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		Parse("MULTIPART", in, Config{ContentType: multipartType})
	}
}
