package body

import "strings"

// header handles one line of the headers of a part.
func (m *Multipart) header(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		m.fail("Multipart: Nul byte in part headers.")
		return
	}
	m.noFiles += int64(len(s))
	if strings.HasSuffix(s, "\r\n") {
		m.flags.CRLFLine = true
	} else {
		m.flags.LFLine = true
	}
	line := withoutEnd(s)
	switch {
	case s == "\r\n" || s == "\n":
		m.endHeaders()
	case isSpace(s[0]):
		m.fold(s)
	default:
		m.newHeader(s, line)
	}
}

// withoutEnd takes one line end away: a second CR belongs to the value, for a back end may see it.
func withoutEnd(s string) string { return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r") }

func (p *part) header(lower string) string {
	for i := range p.headers {
		if lowerASCII(p.headers[i].Name) == lower {
			return p.headers[i].Value
		}
	}
	return ""
}

// endHeaders is at the empty line: the part must say what it is.
func (m *Multipart) endHeaders() {
	p := m.part
	value, found := "", false
	for i := range p.headers {
		if lowerASCII(p.headers[i].Name) == "content-disposition" {
			value, found = p.headers[i].Value, true
		}
	}
	if !found {
		m.fail("Multipart: Part missing Content-Disposition header.")
		return
	}
	if code := m.parseDisposition(value); code < 0 {
		m.fail(dispositionProblem(code, value))
		return
	}
	switch {
	case !p.named:
		m.fail("Multipart: Content-Disposition header missing name field.")
	case p.isFile && !strings.Contains(value, "filename="):
		// Back ends with a cruder parser would not see the file name that we see: "filename =", or filename* alone.
		m.fail("Multipart: Invalid Content-Disposition header (filename).")
	default:
		m.inData = true
	}
}

// fold joins a folded line to the header before it. PHP folds at any white
// space; RFC 822 at space and tab only, so the others raise a flag.
func (m *Multipart) fold(s string) {
	p := m.part
	m.flags.HeaderFolding = true
	m.flags.InvalidHeaderFolding = m.flags.InvalidHeaderFolding || s[0] != ' ' && s[0] != '\t'
	if len(p.headers) == 0 {
		m.fail("Multipart: Invalid part header (folding error).")
		return
	}
	i := 0
	for i < len(s) && isSpace(s[i]) {
		if s[i] != ' ' && s[i] != '\t' {
			m.flags.InvalidHeaderFolding = true
		}
		i++
	}
	last := &p.headers[len(p.headers)-1]
	last.Value += " " + withoutEnd(s[i:])
	p.lines[len(p.lines)-1] = last.Name + ": " + last.Value
	if len(last.Value) > lineBuffer {
		m.fail("Multipart: Part header too long.")
	}
}

func (m *Multipart) newHeader(s, line string) {
	p := m.part
	name, value, found := strings.Cut(line, ":")
	switch {
	case !found:
		m.fail("Multipart: Invalid part header (colon missing): " + escapeLog(s) + ".")
		return
	case name == "":
		m.fail("Multipart: Invalid part header (header name missing).")
		return
	case strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }):
		m.fail("Multipart: Invalid part header (contains invalid character): " + escapeLog(s) + ".")
		return
	case len(p.headers) >= maxPartHeaders:
		m.fail("Multipart: Too many part headers.")
		return
	case p.headerSeen(name):
		m.fail("Multipart: Duplicate part header: " + escapeLog(name) + ".")
		return
	}
	p.headers = append(p.headers, Arg{Name: strings.Clone(name), Value: strings.Clone(strings.TrimLeft(value, " \t")), Offset: m.offset + len(s) - len(value)})
	p.lines = append(p.lines, strings.Clone(line))
}

// maxPartHeaders is far above what any client sends; each one is compared with those before it.
const maxPartHeaders = 64

func (p *part) headerSeen(name string) bool {
	name = lowerASCII(name)
	for i := range p.headers {
		if lowerASCII(p.headers[i].Name) == name {
			return true
		}
	}
	return false
}
