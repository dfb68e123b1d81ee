package body

import "strings"

type bodyCase struct{ processor, name, contentType, text string }

// bodies are requests that parsers are known to disagree about.
func bodies() []bodyCase {
	const form, mp = "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
	part := func(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }
	a := part("--B", `Content-Disposition: form-data; name="a"`, "", "1")
	end := part("--B--")
	var out []bodyCase
	add := func(processor, name, contentType, text string) {
		out = append(out, bodyCase{processor, name, contentType, text})
	}
	for name, text := range map[string]string{
		"plain": "a=1&b=2", "no value": "a", "empty value": "a=", "no name": "=b", "empty pair": "a=1&&b=2", "trailing": "a=1&", "leading": "&a=1", "equals": "a=b=c",
		"escapes": "a=%41%zz%4", "percent end": "a=%", "half": "a=%4", "nul": "a=%00b", "plus": "a+b=c+d", "semicolon": "a=1;b=2", "high": "a=%ff\xff", "only sep": "&", "unicode": "a=%u0041",
	} {
		add("URLENCODED", name, form, text)
	}
	for name, text := range map[string]string{
		"object": `{"a":"1","b":{"c":2}}`, "array": `{"a":["x","y"]}`, "objects in array": `{"a":[{"b":1},{"b":2}]}`, "top array": `["x",{"b":1},"y"]`, "nested arrays": `{"a":[["x"],["y"]],"z":1}`,
		"scalar": `"x"`, "types": `{"a":true,"b":null,"c":-1.5e3}`, "escape": `{"a":"\u0041\n\u00e9"}`, "half pair": `{"a":"\ud83dx"}`, "cut": `{"a":"1","b":`, "garbage": `{"a":1}x`, "comment": `{"a":1/**/}`,
		"deep then flat": `{"a":{"b":{"c":1}},"d":2}`, "duplicate": `{"a":1,"a":2}`, "dotted key": `{"a.b":{"c":1},"d":2}`, "empty key": `{"":1,"b":{"":2}}`, "after array": `{"a":[1,{"c":2}],"d":3}`,
		"two values": `{"a":1}{"b":2}`, "leading zero": `{"a":01}`, "bom": "\xef\xbb\xbf{\"a\":1}", "utf8": "{\"a\":\"\xff\"}", "nul": "{\"a\":\"\\u0000b\"}",
	} {
		add("JSON", name, "application/json", text)
	}
	for name, text := range map[string]string{
		"plain":                   a + end,
		"two":                     a + part("--B", `Content-Disposition: form-data; name="b"`, "", "2") + end,
		"file":                    part("--B", `Content-Disposition: form-data; name="f"; filename="x.txt"`, "Content-Type: text/plain", "", "file") + end,
		"empty file name":         part("--B", `Content-Disposition: form-data; name="f"; filename=""`, "Content-Type: application/octet-stream", "", "x") + end,
		"unquoted":                part("--B", `Content-Disposition: form-data; name=a; filename=x.txt`, "", "1") + end,
		"single quotes":           part("--B", `Content-Disposition: form-data; name='a'`, "", "1") + end,
		"quote inside":            part("--B", `Content-Disposition: form-data; name="a'b"`, "", "1") + end,
		"quote inside bare":       part("--B", `Content-Disposition: form-data; name=a'b`, "", "1") + end,
		"escaped quote":           part("--B", `Content-Disposition: form-data; name="a\"b"`, "", "1") + end,
		"other escape":            part("--B", `Content-Disposition: form-data; name="f"; filename="C:\dir\x.txt"`, "", "1") + end,
		"unterminated":            part("--B", `Content-Disposition: form-data; name="a`, "", "1") + end,
		"unknown parameter":       part("--B", `Content-Disposition: form-data; name="a"; x="y"`, "", "1") + end,
		"star":                    part("--B", `Content-Disposition: form-data; name="f"; filename*=utf-8''x.txt`, "", "1") + end,
		"duplicate name":          part("--B", `Content-Disposition: form-data; name="a"; name="b"`, "", "1") + end,
		"attachment":              part("--B", `Content-Disposition: attachment; name="a"`, "", "1") + end,
		"no disposition":          part("--B", `Content-Type: text/plain`, "", "1") + end,
		"no name":                 part("--B", `Content-Disposition: form-data`, "", "1") + end,
		"empty name":              part("--B", `Content-Disposition: form-data; name=""`, "", "1") + end,
		"lower case header":       part("--B", `content-disposition: form-data; name="a"`, "", "1") + end,
		"upper case kind":         part("--B", `Content-Disposition: Form-Data; name="a"`, "", "1") + end,
		"duplicate header":        part("--B", `Content-Disposition: form-data; name="a"`, `content-disposition: form-data; name="b"`, "", "1") + end,
		"no colon":                part("--B", `Content-Disposition form-data; name="a"`, "", "1") + end,
		"space before colon":      part("--B", `Content-Disposition : form-data; name="a"`, "", "1") + end,
		"fold":                    part("--B", `Content-Disposition: form-data;`, ` name="a"`, "", "1") + end,
		"fold tab":                part("--B", `Content-Disposition: form-data;`, "\tname=\"a\"", "", "1") + end,
		"fold vertical tab":       part("--B", `Content-Disposition: form-data;`, "\vname=\"a\"", "", "1") + end,
		"fold first":              part("--B", ` Content-Disposition: form-data;`, "", "1") + end,
		"blank fold":              part("--B", `Content-Disposition: form-data; name="a"`, " ", "", "1") + end,
		"nul in header":           part("--B", "Content-Disposition: form-data; name=\"a\x00b\"", "", "1") + end,
		"lf":                      strings.ReplaceAll(a+end, "\r\n", "\n"),
		"mixed":                   strings.Replace(a+end, "\r\n", "\n", 1),
		"data before":             "preamble\r\n" + a + end,
		"data after":              a + end + "epilogue",
		"crlf after":              a + end + "\r\n",
		"no end":                  a,
		"end without line":        a + "--B--",
		"cut in part":             part("--B", `Content-Disposition: form-data; name="a"`, "", "1") + "2",
		"no boundaries":           "a=1",
		"boundary suffix":         a + part("--Bx") + end,
		"boundary blank":          a + part("--B ") + end,
		"unmatched dashes":        part("--B", `Content-Disposition: form-data; name="a"`, "", "--C", "1") + end,
		"unmatched in line":       part("--B", `Content-Disposition: form-data; name="a"`, "", "x--B", "1") + end,
		"unmatched last":          a + part("--B", `Content-Disposition: form-data; name="b"`, "", "--C") + end,
		"white boundary":          part("--B", `Content-Disposition: form-data; name="a"`, "", "-- B", "1") + end,
		"end in middle":           a + end + part("--B", `Content-Disposition: form-data; name="b"`, "", "2") + end,
		"only end":                end,
		"empty value":             part("--B", `Content-Disposition: form-data; name="a"`, "", "") + end,
		"no value line":           part("--B", `Content-Disposition: form-data; name="a"`, "") + end,
		"blank lines":             part("--B", `Content-Disposition: form-data; name="a"`, "", "", "x", "", "") + end,
		"long line":               part("--B", `Content-Disposition: form-data; name="a"`, "", strings.Repeat("x", 3000)) + end,
		"long header":             part("--B", `Content-Disposition: form-data; name="a"`, "X: "+strings.Repeat("x", 5000), "", "1") + end,
		"transfer encoding":       part("--B", `Content-Disposition: form-data; name="a"`, "Content-Transfer-Encoding: base64", "", "MQ==") + end,
		"charset part":            part("--B", `Content-Disposition: form-data; name="a"`, "Content-Type: text/plain; charset=utf-7", "", "+ADw-") + end,
		"semicolon end":           part("--B", `Content-Disposition: form-data; name="a";`, "", "1") + end,
		"no semicolon":            part("--B", `Content-Disposition: form-data name="a"`, "", "1") + end,
		"after quote":             part("--B", `Content-Disposition: form-data; name="a"x`, "", "1") + end,
		"equals spaces":           part("--B", `Content-Disposition: form-data; name = "a"`, "", "1") + end,
		"empty":                   "",
		"filename in name":        part("--B", `Content-Disposition: form-data; name="filename=x"`, "", "1") + end,
		"file name case":          part("--B", `Content-Disposition: form-data; name="a"; FileName="x"`, "", "1") + end,
		"boundary as first bytes": "B" + a + end,
	} {
		add("MULTIPART", name, mp, text)
	}
	for name, contentType := range map[string]string{
		"quoted": `multipart/form-data; boundary="B"`, "half quoted": `multipart/form-data; boundary="B`, "no semicolon": `multipart/form-data boundary=B`, "no gap": `multipart/form-data;boundary=B`,
		"blank": `multipart/form-data; boundary= B`, "blank name": `multipart/form-data; boundary =B`, "upper": `multipart/form-data; BOUNDARY=B`, "two": `multipart/form-data; boundary=B; boundary=C`,
		"parameter before": `multipart/form-data; charset=utf-8; boundary=B`, "parameter after": `multipart/form-data; boundary=B; charset=utf-8`, "none": `multipart/form-data`, "empty": `multipart/form-data; boundary=`,
		"mixed": `multipart/mixed; boundary=B`, "case": `Multipart/Form-Data; boundary=B`, "comma": `multipart/form-data, boundary=B`, "word": `multipart/form-data; xboundary=B`, "star": `multipart/form-data; boundary*=B`,
		"inner": `multipart/form-data; boundary=boundary=B`, "bad characters": `multipart/form-data; boundary=B@`,
	} {
		add("MULTIPART", "type "+name, contentType, a+end)
	}
	return out
}
