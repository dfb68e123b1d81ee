//go:build peers

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
		"minus zero": `{"a":-0}`, "exponent": `{"a":1E+2}`, "lone minus": `{"a":-}`, "point without digits": `{"a":1.}`, "leading point": `{"a":.5}`, "plus": `{"a":+1}`, "hex": `{"a":0x1}`, "nan": `{"a":NaN}`,
		"slash escape": `{"a":"\/\b\f"}`, "delete": "{\"a\":\"\x7f\"}", "vertical tab": "{\v\"a\":1}", "form feed": "{\f\"a\":1}", "new lines": "{\r\n\t\"a\" : 1 }\n", "overlong": "{\"a\":\"\xc0\xaf\"}", "surrogate bytes": "{\"a\":\"\xed\xa0\x80\"}",
		"pair": `{"a":"\ud83d\ude00"}`, "low half": `{"a":"\ude00"}`, "upper hex": `{"a":"\u00E9"}`, "short escape": `{"a":"\u00e"}`, "true upper": `{"a":True}`, "nothing after comma": `[1,]`, "comma first": `[,1]`, "comma only": `{,}`, "unquoted key": `{a:1}`,
		"number key": `{1:2}`, "nested empty": `{"a":{},"b":[],"c":1}`, "array in array empty": `[[],[[]],1]`, "deep": strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300), "null byte": "{\"a\":1}\x00", "word": "true", "number": "12", "truex": "truex",
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
	for name, text := range map[string]string{
		"plain": "<a>x</a>", "nested": "<a>x<b>y</b>z</a>", "attributes": `<a b="c" d='e'><f g="h"/></a>`, "cdata": "<a><![CDATA[<b>]]>x</a>", "comment": "<a>x<!-- y -->z</a>", "instruction": "<a>x<?php y ?>z</a>",
		"references": "<a>&lt;&amp;&#65;&#x42;</a>", "undeclared": "<a>&e;</a>", "entity": `<!DOCTYPE a [<!ENTITY e "evil">]><a>&e;</a>`, "entity in attribute": `<!DOCTYPE a [<!ENTITY e "evil">]><a b="&e;"/>`,
		"nested entity": `<!DOCTYPE a [<!ENTITY e "ev"><!ENTITY f "&e;il">]><a>&f;</a>`, "external": `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>x&e;y</a>`, "external dtd": `<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a>x</a>`,
		"parameter entity": `<!DOCTYPE a [<!ENTITY % p "<!ENTITY e 'evil'>">%p;]><a>&e;</a>`, "markup in entity": `<!DOCTYPE a [<!ENTITY e "<b c='d'>evil</b>">]><a>&e;</a>`,
		"declaration": `<?xml version="1.0" encoding="UTF-8"?><a>x</a>`, "latin1": "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>", "bad utf8": "<a>\xff</a>", "utf8": "<a>é</a>", "bom": "\xef\xbb\xbf<a>x</a>",
		"utf16": "\xff\xfe<\x00a\x00>\x00x\x00<\x00/\x00a\x00>\x00", "namespace": `<s:a xmlns:s="urn:x" s:b="c"><s:d>x</s:d></s:a>`, "undeclared prefix": `<s:a s:b="c">x</s:a>`, "blanks": "  <a> x \n y </a>\n", "empty": "<a/>",
		"cut": "<a><b>x", "mismatch": "<a></b>", "two roots": "<a/><b/>", "text after": "<a/>x", "text": "x", "duplicate attribute": `<a b="1" b="2"/>`, "bare ampersand": "<a>x & y</a>", "control": "<a>\x01</a>", "nul": "<a>x\x00y</a>",
		"deep": strings.Repeat("<a>", 200) + "x" + strings.Repeat("</a>", 200), "too deep": strings.Repeat("<a>", 300) + "x" + strings.Repeat("</a>", 300), "crlf": "<a>x\r\ny</a>", "unquoted attribute": "<a b=c/>", "less than in attribute": `<a b="<"/>`,
		"version 1.1": `<?xml version="1.1"?><a>x</a>`, "late declaration": ` <?xml version="1.0"?><a>x</a>`, "html": "<html><br></html>", "unknown encoding": `<?xml version="1.0" encoding="x-none"?><a>x</a>`,
	} {
		add("XML", name, "text/xml", text)
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
