package bodies

import (
	"fmt"
	"strings"
)

// form makes an urlencoded body.
func (m *maker) form(seed uint64) request {
	r := request{name: fmt.Sprintf("seed %d", seed), contentType: m.usually(70, "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLEncoded", "application/x-www-form-urlencoded;", "application/x-www-form-urlencoded, x",
		"application/x-www-form-urlencodedx", "text/plain", "", "application/octet-stream", "application/json", "application/x-www-form-urlencode", "text/plain; application/x-www-form-urlencoded", "application / x-www-form-urlencoded", "*/*"), processor: m.usually(90, "", "URLENCODED", "URLENCODED")}
	var b strings.Builder
	for range m.r.IntN(6) {
		b.WriteString(m.usually(80, "&", "", "&&", ";", "&amp;", "\n", "?", "&=&", "\r\n&", " & "))
		b.WriteString(m.word())
		b.WriteString(m.usually(80, "=", "", "==", "%3D", "=\x00", " = "))
		b.WriteString(m.word())
	}
	r.body = b.String()
	if m.chance(70) {
		r.body = strings.TrimPrefix(r.body, "&")
	}
	if m.chance(8) {
		r.body = m.damage(r.body)
	}
	return r
}

func (m *maker) word() string {
	var b strings.Builder
	for range m.r.IntN(4) {
		b.WriteString(m.usually(40, "a", "b", "1", "", "+", "%20", "%", "%4", "%41", "%zz", "%4z", "%z4", "%00", "\x00", "%u0041", "%uFF41", "%u00", "\xff", "é", "%C3%A9", "%c0%af", "'", "\"", "<script>", ".", "[", "]", "[]", "a[b]", "/", "\\", "?", "#", "%26", "%3d", "%25", "%2541", "\n", "\r", "\t", "&#x41;", "{\"a\":1}", "~", "*", "%+1", "%-1", "% 1", "%1 "))
	}
	return b.String()
}

// json makes a JSON body.
func (m *maker) json(seed uint64) request {
	r := request{name: fmt.Sprintf("seed %d", seed), contentType: "application/json", processor: "JSON"}
	var b strings.Builder
	b.WriteString(m.usually(92, "", " ", "\xef\xbb\xbf", "\n", "\x00", "//x\n", "\ufeff", ")]}',\n", "\xff\xfe"))
	m.jsonValue(&b, 0)
	b.WriteString(m.usually(90, "", " ", "\n", "\x00", "x", "{}", ",", "]", "}", "\x0c", "/* */", "\x1a", "null"))
	r.body = b.String()
	if m.chance(10) {
		r.body = m.damage(r.body)
	}
	return r
}

func (m *maker) jsonSpace(b *strings.Builder) {
	b.WriteString(m.usually(93, "", " ", "\n", "\t", "\r\n", "\v", "\f", "\u00a0", "/**/", "\x00"))
}

func (m *maker) jsonValue(b *strings.Builder, depth int) {
	m.jsonSpace(b)
	defer m.jsonSpace(b)
	n := m.r.IntN(10)
	if depth > 4 {
		n = 5 + n%5
	}
	switch {
	case n < 3:
		b.WriteString("{")
		for i := range m.r.IntN(4) {
			if i > 0 {
				b.WriteString(m.usually(97, ",", ";", "", ",,"))
			}
			m.jsonSpace(b)
			m.jsonString(b, m.usually(97, `"`, "", "'"))
			b.WriteString(m.usually(97, ":", "", "=", "::", " : "))
			m.jsonValue(b, depth+1)
		}
		b.WriteString(m.usually(97, "}", "]", "", ",}"))
	case n < 5:
		b.WriteString("[")
		for i := range m.r.IntN(4) {
			if i > 0 {
				b.WriteString(m.usually(97, ",", ";", "", ",,"))
			}
			m.jsonValue(b, depth+1)
		}
		b.WriteString(m.usually(97, "]", "}", "", ",]"))
	case n < 7:
		m.jsonString(b, m.usually(97, `"`, "'", "`"))
	case n < 9:
		b.WriteString(m.usually(50, "1", "0", "-1", "1.5", "1e5", "1E+5", "1e-5", "-0", "-0.0", "01", "1.", ".5", "+1", "0x10", "1e", "1e+", "--1", "1_000", "12345678901234567890", "1e400", "-", "1.5.5", "NaN", "Infinity", "-Infinity", "0.1e1", "1.e1", "9223372036854775808", "1 2", "0e0", "00", "0.0000001"))
	default:
		b.WriteString(m.usually(60, m.one("true", "false", "null"), "True", "nul", "truex", "undefined", "nulll", "t", "TRUE"))
	}
}

func (m *maker) jsonString(b *strings.Builder, quote string) {
	b.WriteString(quote)
	for range m.r.IntN(3) {
		b.WriteString(m.usually(55, string(rune('a'+m.r.IntN(3))), "", ".", "a.b", "é", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x00", "\n", "\t", "\x7f", "\x1f", "\u2028", `\n`, `\u0041`, `\u00e9`, `\u0000`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\ud83dx`, `\ud83d\n`, `\ud83d\ud83d`, `\ude00\ud83d`, `\u004`, `\u004g`, `\x41`, `\'`, `\"`, `\\`, `\/`, `\b\f\r\t`, `\0`, `\U0041`, `\`, "'", "&", "=", "<", "\U0001F600", `\uD83D\uDE00`, `\uFFFE`, `\uFFFF`, `\u2028`, "array", "json", "0", `\ud800\u0041`))
	}
	b.WriteString(m.usually(98, quote, "", "'"))
}

// xml makes an XML body.
func (m *maker) xml(seed uint64) request {
	r := request{name: fmt.Sprintf("seed %d", seed), contentType: "text/xml", processor: "XML"}
	var b strings.Builder
	b.WriteString(m.usually(70, "", `<?xml version="1.0"?>`, `<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version='1.0' standalone="yes"?>`, `<?xml version="1.1"?>`, `<?xml encoding="UTF-8"?>`, `<?xml version="1.0" encoding="ISO-8859-1"?>`, `<?xml version="1.0" encoding="US-ASCII"?>`,
		`<?xml version="2.0"?>`, "\xef\xbb\xbf", "\n", `<?xml version="1.0" encoding="utf-7"?>`, `<?xml?>`, `<!-- c -->`, `<?pi x?>`, `<?xml version="1.0" encoding="windows-1252"?>`, ` <?xml version="1.0"?>`))
	b.WriteString(m.usually(75, "", `<!DOCTYPE a>`, `<!DOCTYPE a [<!ENTITY e "evil">]>`, `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>`, `<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x">`, `<!DOCTYPE a PUBLIC "x" "y">`, `<!DOCTYPE a [<!ENTITY e '&#60;b>x&#60;/b>'>]>`, `<!DOCTYPE a [<!ELEMENT a ANY><!ATTLIST a d CDATA "def">]>`,
		`<!DOCTYPE a [<!ENTITY % p "<!ENTITY e 'evil'>">%p;]>`, `<!DOCTYPE a [<!ENTITY e "x&f;"><!ENTITY f "y">]>`, `<!DOCTYPE a [<!ENTITY e "&e;">]>`, `<!DOCTYPE a [<!ENTITY e "a"><!ENTITY e "b">]>`, `<!doctype a>`, `<!DOCTYPE>`, `<!DOCTYPE a [`, `<!DOCTYPE a [<!NOTATION n SYSTEM "x">]>`, `<!DOCTYPE a [<!-- ]> --><!ENTITY e "z">]>`, `<!DOCTYPE a [<!ENTITY e ">"><!ENTITY g "]>">]>`))
	m.element(&b, 0)
	b.WriteString(m.usually(92, "", "\n", "x", "<b/>", "<!-- c -->", "<?pi?>", "\x00", "<", "</a>", "&e;"))
	r.body = b.String()
	if m.chance(10) {
		r.body = m.damage(r.body)
	}
	return r
}

func (m *maker) element(b *strings.Builder, depth int) {
	name := m.usually(75, "a", "b", "c:d", "é", "a-b", "a.b", "1a", "", "A", ":a", "a:", "a:b:c", "_", "-a", "xml", "xmlns", "xmlfoo", "a b", "a\x00")
	b.WriteString("<" + m.usually(98, "", " ", "!", "?") + name)
	for range m.r.IntN(3) {
		if m.chance(50) {
			continue
		}
		b.WriteString(m.usually(97, " ", "\n", "", "\t") + m.usually(60, "k", "l", "xmlns", "xmlns:c", "c:k", "xml:lang", "xml:x", "1", "é", "k.l", "", "xmlns:xml", "xmlns:e", "K") + m.usually(96, "=", " = ", "", "=="))
		q := m.usually(60, `"`, "'", "", `"`)
		b.WriteString(q + m.usually(60, "v", "", "urn:x", "&lt;", "<", "&e;", "&#65;", "&#x0;", "&amp", "&", "a\nb", "a\tb", "é", "\xff", "\x01", ">", "&#xD;&#10;", "http://www.w3.org/XML/1998/namespace", "  x  ", "&#55296;", "]]>") + q)
	}
	if m.chance(20) {
		b.WriteString(m.usually(95, "/>", "/ >", " />"))
		return
	}
	b.WriteString(m.usually(98, ">", " >", ""))
	for range m.r.IntN(4) {
		if depth < 5 && m.chance(35) {
			m.element(b, depth+1)
			continue
		}
		b.WriteString(m.usually(50, "text", "", " ", "\n", "&lt;", "&e;", "&f;", "&#65;", "&#x41;", "&#0;", "&#xFFFF;", "&#x110000;", "&quot;", "&nbsp;", "&", "&amp", "&#;", "&x y;", "<![CDATA[<z>]]>", "<![CDATA[", "]]>", "<!-- c -->", "<!-- -- -->", "<!--", "<?pi data?>", "<?xml version='1.0'?>", "<?php", "é", "\xff", "\xe9", "\x00", "\x01", "\r\n", "\r", "\u2028", "\ufffe", "\x7f", "\u0080", "<!ELEMENT x>", "<![CDATA[a]]]]><![CDATA[>]]>", "1 < 2", "a > b", "&#x1F600;", "\U0001F600"))
	}
	b.WriteString(m.usually(96, "</"+name+">", "</"+name+" >", "", "</b>", "</"+strings.ToUpper(name)+">", "</ "+name+">", "</"+name))
}
