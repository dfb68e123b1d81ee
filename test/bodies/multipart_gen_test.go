package bodies

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// maker makes hostile bodies; one seed makes one body, for ever.
type maker struct {
	r *rand.Rand
	// calm bodies have few faults, so that what comes late in them is reached.
	calm bool
	// boundary is what the body's own lines use.
	boundary string
}

func newMaker(seed uint64) *maker {
	return &maker{r: rand.New(rand.NewPCG(seed, 0x7a11)), calm: seed%3 != 0}
}

func (m *maker) chance(percent int) bool { return m.r.IntN(100) < percent }

// usually returns the first choice most of the time, so that one body has few faults and gets far.
func (m *maker) usually(percent int, choices ...string) string {
	if m.calm && percent >= 80 {
		percent += (100 - percent) * 4 / 5
	}
	if m.chance(percent) {
		return choices[0]
	}
	return choices[m.r.IntN(len(choices))]
}

func (m *maker) one(choices ...string) string { return choices[m.r.IntN(len(choices))] }

// multipart makes one multipart request.
func (m *maker) multipart(seed uint64) request {
	m.boundary = m.usually(70, "B", "----WebKitFormBoundary7MA4YWxk", "a b", "B'()+_,-./:=?", strings.Repeat("x", 70), strings.Repeat("y", 200), "boundary", "-", "--", "", "boundary=")
	r := request{name: fmt.Sprintf("seed %d", seed), contentType: m.multipartType(), processor: m.usually(90, "", "MULTIPART")}
	var b strings.Builder
	b.WriteString(m.usually(90, "", "preamble\r\n", "\r\n", "x", "--", "\n", "--C\r\n", " "))
	for range m.r.IntN(4) {
		m.part(&b)
	}
	if m.chance(92) {
		b.WriteString("--" + m.boundary + m.usually(92, "--", "", "-", " --", "---", "-- ") + m.usually(85, "\r\n", "", "\n", "x", "x\r\n", "\r", "\r\n\r\n", "\r\nepilogue", "\r\n--"+m.boundary+"--\r\n"))
	}
	r.body = b.String()
	if m.chance(8) {
		r.body = m.damage(r.body)
	}
	return r
}

func (m *maker) multipartType() string {
	kind := m.usually(94, "multipart/form-data", "Multipart/Form-Data", "multipart/mixed", "multipart/form-dataX", "multipart/form-data ", "multipart/")
	sep := m.usually(88, "; ", ";", " ;", ", ", " ", "", ";;", ";\t", "; charset=utf-8; ", "; ; ", ";  ")
	name := m.usually(92, "boundary", "Boundary", "BOUNDARY", "boundary ", "xboundary", "boundary*", "boundar", "bOuNdArY", "boundary\t")
	eq := m.usually(94, "=", " =", "= ", "==", "", "=\t", ":")
	value := m.boundary
	switch m.r.IntN(25) {
	case 0, 1:
		value = `"` + value + `"`
	case 2:
		value = `"` + value
	case 3:
		value += `"`
	case 4:
		value = "'" + value + "'"
	case 5:
		value = m.one("C", value+"x", " "+value, strings.ToUpper(value), "\""+value+"\"x")
	}
	return kind + sep + name + eq + value + m.usually(90, "", ";", "; x=y", ",", "; boundary=C", "; BOUNDARY=C", "; charset=utf-8", "\"", "\x80", "; boundary")
}

func (m *maker) eol() string { return m.usually(93, "\r\n", "\n", "\r", "\r\r\n", "\n\r", "") }

func (m *maker) part(b *strings.Builder) {
	b.WriteString("--" + m.boundary + m.usually(95, "", " ", "x", "--", "\t", "-", `"`) + m.eol())
	if m.chance(95) {
		m.header(b, m.usually(95, "Content-Disposition", "content-disposition", "CONTENT-DISPOSITION", "Content-Disposition ", "Content Disposition", "Content-Dispositio", "Content-Disposition\t"), m.disposition())
	}
	for range m.r.IntN(3) {
		if m.chance(60) {
			continue
		}
		m.header(b, m.one("Content-Type", "content-type", "Content-Transfer-Encoding", "X", "X-\x80", "Content-Disposition", "X\x01", "X-Y", "", "Content-Length", "X\x7f", "Content_Type", "X("),
			m.one("text/plain", "image/jpeg; charset=x", "base64", "", "form-data; name=\"z\"", "\x00", "\xff\xfe", strings.Repeat("h", 4080+m.r.IntN(20)), "a:b", "quoted-printable", "\x01", "7bit\x0b"))
	}
	b.WriteString(m.usually(95, "\r\n", "\n", "", " \r\n", "\r", "\t\r\n", "\r\r\n"))
	m.data(b)
}

func (m *maker) header(b *strings.Builder, name, value string) {
	if m.chance(8) {
		fold := m.one("\r\n ", "\r\n\t", "\n ", "\r\n\v", "\r\n\f", "\r\n\r", "\r\n  ", "\r\n \t", "\r\n\u00a0")
		if i := strings.IndexAny(value, "; ="); i >= 0 && m.chance(80) {
			value = value[:i+1] + fold + value[i+1:]
		} else {
			value += fold
		}
	}
	b.WriteString(name + m.usually(93, ": ", ":", " : ", "", ":\t", ":  ", "::", " ", ": \t", ":\v") + value + m.eol())
}

func (m *maker) disposition() string {
	var b strings.Builder
	b.WriteString(m.usually(95, "form-data", "Form-Data", "attachment", "form-data ", " form-data", "", "form-dataX", "form-data\t", "form-data;"))
	m.parameter(&b, m.usually(94, "name", "Name", "name ", "x", "name*", "filename", "n\x00ame"))
	for range m.r.IntN(3) {
		if m.chance(50) {
			m.parameter(&b, m.usually(60, "filename", "name", "filename*", "Filename", "x", "FILENAME", "filename ", "file name", "", "size", "filename*0"))
		}
	}
	b.WriteString(m.usually(94, "", ";", " ", "; ", " ;", "\t", ";;", "x"))
	return b.String()
}

func (m *maker) parameter(b *strings.Builder, name string) {
	b.WriteString(m.usually(92, "; ", ";", " ; ", ";;", "", " ", ", ", ";\t", "; ;", ";\v") + name + m.usually(94, "=", " = ", "==", "", "= ", " =", ":") + m.value(name))
}

func (m *maker) value(name string) string {
	if name == "filename*" && m.chance(80) {
		return m.one("utf-8''x.txt", "UTF-8'en'x%20y.txt", "iso-8859-1''%e9", "''x", "utf-8'x", "utf-8''%zz", "utf-8''a b", "\"utf-8''x\"", "utf-8''", "utf-8''%", "utf-8''a%2", "utf-8''x;y", "utf-8''x'y", "u/8''x", "utf-16''a*b")
	}
	v := m.usually(55, string(rune('a'+m.r.IntN(4))), "", "a b", "a'b", "é", "\xff", "a;b", "a=b", "filename=x", `C:\dir\x.txt`, strings.Repeat("n", 300), "a\tb", "a,b", "..", "a[]", "a[0]", "a.b", "name", "%41", "\x00", "a\x00b", "\x01", "a&b", "a+b", "<a>", "a/b", "\u00a0", "\x7f", "'", "''", "a'", "'a")
	n := 20
	if m.calm {
		n = 100
	}
	switch m.r.IntN(n) {
	case 0, 1, 2:
		return v
	case 3:
		return "'" + v + "'"
	case 4:
		return `"` + v
	case 5:
		return v + `"`
	case 6:
		return `"` + v + `\"` + v + `"`
	case 7:
		return `"` + v + m.one(`\`, `\\`, `\\\`, `\x`, `\'`) + `"`
	case 8:
		return `"` + v + `"` + m.one("x", " x", `"`, "'", `""`, "'x'")
	case 9:
		return m.one(`\"`+v+`\"`, `'`+v+`"`, `"`+v+`'`, `'`+v+`\'`+v+`'`, v+`\`, "'"+v)
	}
	return `"` + strings.ReplaceAll(v, `\`, m.one(`\`, `\\`)) + `"`
}

func (m *maker) data(b *strings.Builder) {
	for range 1 + m.r.IntN(3) {
		if m.chance(65) {
			b.WriteString(m.one("1", "value", "x=y&z"))
		} else {
			b.WriteString(m.one("", "--", "---", "--"+m.boundary, "--"+m.boundary+"x", "-- "+m.boundary, `--"`+m.boundary+`"`, "x--"+m.boundary, "--C", " --"+m.boundary, strings.Repeat("d", 4085+m.r.IntN(20)), strings.Repeat("e", 8185+m.r.IntN(12)),
				"\r", "\n\r", "\x00", "a\x00b", "\xff\xfe", "\r\r", "- -", "--"+strings.ToLower(m.boundary), "--\t"+m.boundary, "x\ry", strings.Repeat("f", 4090+m.r.IntN(8))+"\r", "\u2028", "--"+m.boundary+"--x", strings.Repeat("g", 4092)+"--"+m.boundary))
		}
		b.WriteString(m.usually(93, "\r\n", "\n", "\r", "", "\r\r\n", "\n\n"))
	}
}

// damage changes single bytes or cuts.
func (m *maker) damage(s string) string {
	if s == "" {
		return s
	}
	b := []byte(s)
	for range 1 + m.r.IntN(2) {
		i := m.r.IntN(len(b))
		switch m.r.IntN(6) {
		case 0:
			b = b[:max(i, 1)]
		case 1:
			b[i] = byte(m.r.IntN(256))
		case 2:
			b = append(b[:i:i], b[min(i+1+m.r.IntN(3), len(b)):]...)
		case 3:
			b = append(b[:i:i], append([]byte(m.one("\r", "\n", "\"", "'", ";", "\x00", " ", "--", "=", "\\", ":")), b[i:]...)...)
		case 4:
			b[i] = m.one("\r", "\n", "\"", "'", ";", " ", "-", "=")[0]
		case 5:
			j := m.r.IntN(len(b))
			b = append(b[:max(i, j):max(i, j)], b[min(i, j):]...)
		}
		if len(b) == 0 {
			return ""
		}
	}
	return string(b)
}
