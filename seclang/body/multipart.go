package body

import (
	"fmt"
	"strings"
	"unsafe"
)

// lineBuffer is the longest line that is looked at in one piece, as in
// ModSecurity: a longer part header is an error, longer data comes in pieces.
const lineBuffer = 4096

// maxParts is far above what any form has; each file and each header of a part is a value that rules look at.
const maxParts = 10_000

// Multipart parses a multipart/form-data body as it comes in. It is line
// based:
//
//	before ──boundary──► headers ──empty line──► data ──boundary──► headers … ──final boundary──► after
//
// The line end before a boundary belongs to the boundary, so it is held back
// (reserve) until the next line is known.
type Multipart struct {
	c        Config
	flags    Flags
	boundary string
	dashed   string // "--" + boundary
	r        *Result
	err      string // first error; nothing is parsed after it
	noType   bool   // the error is in the Content-Type
	cut      bool   // a limit of ours cut the body

	line      []byte // of the current line what earlier writes brought
	lineStart bool   // line begins at the start of a line, not inside a long one
	offset    int    // in the body, of the first byte of line
	bareLF    bool   // the line before ended in LF without CR
	seen      bool
	count     int // boundaries
	complete  bool

	part         *part
	inData       bool
	dataRead     bool   // the part has a line of data
	reserve      string // "\r\n", "\n" or ""
	noFiles      int64
	store        fileStore
	lastName     string
	lastFilename string
}

// part is the part being read.
type part struct {
	name, filename string
	star           string // filename*, decoded, beside a filename
	named          bool   // a name was given, perhaps ""
	isFile         bool   // a file name was given, perhaps ""
	headers        []Arg  // name and value, unfolded
	lines          []string
	value          []byte
	offset         int
	file           *openFile
}

// NewMultipart returns a parser for a body with the Content-Type of c.
func NewMultipart(c Config) *Multipart {
	c.fill()
	m := &Multipart{c: c, lineStart: true, r: &Result{Processor: "MULTIPART", uploadDir: c.UploadDir}}
	m.store.c = &m.c
	boundary, problem := m.flags.parseBoundary(c.ContentType)
	if problem != "" {
		m.fail(problem)
		m.noType = true
	}
	m.boundary, m.dashed = boundary, "--"+boundary
	return m
}

// Write parses more of the body. It never fails: what is wrong with the body is in the Result.
func (m *Multipart) Write(p []byte) (int, error) {
	if len(p) > 0 {
		// The bytes are only read during the call; what is kept is copied.
		m.write(unsafe.String(&p[0], len(p)))
	}
	return len(p), nil
}

// Cut says that a limit of ours cut the body off (ProcessPartial): that the
// final boundary is missing is then no fault of the client.
func (m *Multipart) Cut() { m.cut = true }

func (m *Multipart) write(s string) {
	m.seen = m.seen || s != ""
	for s != "" && m.err == "" {
		if m.complete {
			m.flags.DataAfter = true
			return
		}
		n := min(len(s), lineBuffer-len(m.line))
		full := false
		if i := strings.IndexByte(s[:n], '\n'); i >= 0 {
			n, full = i+1, true
		} else if n == lineBuffer-len(m.line) {
			// A CR is never the last byte of a piece: its LF may follow.
			if s[n-1] == '\r' && len(m.line)+n > 1 {
				n--
			}
			full = true
		}
		if !full {
			m.line = append(m.line, s[:n]...)
			return
		}
		piece := s[:n]
		if len(m.line) > 0 {
			m.line = append(m.line, piece...)
			piece = string(m.line)
			m.line = m.line[:0]
		}
		s = s[n:]
		m.piece(piece)
		m.offset += len(piece)
		m.lineStart = strings.HasSuffix(piece, "\n")
		m.bareLF = m.lineStart && !strings.HasSuffix(piece, "\r\n")
	}
}

func (m *Multipart) fail(text string) {
	m.flags.Error = true
	if m.err == "" {
		m.err = text
	}
}

// piece handles one line with its end, or 4096 bytes of a longer one.
func (m *Multipart) piece(s string) {
	if m.lineStart {
		if m.boundaryLine(s) || m.err != "" {
			return
		}
	}
	switch {
	case m.part == nil:
		m.flags.DataBefore = true
	case m.inData:
		m.data(s)
	case len(s) >= lineBuffer || s[len(s)-1] != '\n':
		m.fail(fmt.Sprintf("Multipart: Part header line over %d bytes long", lineBuffer))
	default:
		m.header(s)
	}
}

// boundaryLine reports whether s was a boundary. Lines that resemble one raise a flag or an error.
func (m *Multipart) boundaryLine(s string) bool {
	if len(s) <= 3 || s[:2] != "--" {
		if strings.Contains(s, m.dashed) {
			m.flags.UnmatchedBoundary = 1
		}
		return false
	}
	rest, found := strings.CutPrefix(s[2:], m.boundary)
	if !found {
		m.almostBoundary(s)
		return false
	}
	if !m.boundaryHere() {
		return false
	}
	rest, final := strings.CutPrefix(rest, "--")
	switch rest {
	case "\r\n":
		m.flags.CRLFLine = true
	case "\n":
		m.flags.LFLine = true
	default:
		m.fail("Multipart: Invalid boundary: " + escapeLog(s))
		return false
	}
	m.endPart(final)
	if m.count++; m.count > maxParts {
		m.fail("Multipart: Too many parts.")
	}
	return true
}

// boundaryHere is asked at the boundary's text. The line end before a boundary is part of it, so there is none before the
// first line of data: both versions of ModSecurity take such a line as data (or as a header) and flag the part. Back ends
// differ; the value shows all that they may find.
func (m *Multipart) boundaryHere() bool {
	if m.bareLF {
		m.flags.LFLine = true
	}
	if m.count > 0 && !m.dataRead {
		m.flags.InvalidPart = true
		return false
	}
	return true
}

func (m *Multipart) almostBoundary(s string) {
	if m.flags.BoundaryQuoted && strings.HasPrefix(s[2:], `"`+m.boundary) {
		m.fail("Multipart: Invalid boundary (quotes).")
		return
	}
	if trimmed := strings.TrimLeft(s[2:], " \t\n\v\f\r"); len(trimmed) < len(s)-2 && strings.HasPrefix(trimmed, m.boundary) {
		m.fail("Multipart: Invalid boundary (whitespace).")
		return
	}
	m.flags.UnmatchedBoundary = 1
}

// endPart finishes the part before a boundary and opens the next one.
func (m *Multipart) endPart(final bool) {
	m.closePart()
	if final {
		m.complete = true
		return
	}
	m.part = &part{}
	m.inData, m.dataRead, m.reserve = false, false, ""
}

func (m *Multipart) closePart() {
	p := m.part
	if p == nil {
		return
	}
	m.part = nil
	for _, l := range p.lines {
		m.r.PartHeaders = append(m.r.PartHeaders, Arg{Name: p.name, Value: l, Offset: -1})
	}
	switch {
	case !p.named:
		m.flags.InvalidPart = true
		return
	case p.isFile:
		f, err := m.store.finish(p.file)
		if err != nil {
			m.fail("Multipart: " + err.Error())
		}
		f.Field, f.Name, f.Offset = p.name, p.filename, p.offset
		f.ContentType, f.ExtendedName = p.header("content-type"), p.star
		m.r.Files = append(m.r.Files, f)
		// Back ends disagree whether filename="" makes a file or a field. It is
		// looked at as both, as long as it is small enough to be a field.
		if p.filename != "" || f.Path != "" {
			return
		}
		p.value = []byte(f.Content)
	}
	if len(m.r.Args) >= m.c.ArgumentsLimit {
		m.r.TooManyArgs = true
		return
	}
	m.r.Args = append(m.r.Args, Arg{Name: p.name, Value: string(p.value), Offset: p.offset})
}

// data adds a line to the value of the part, holding back its end.
func (m *Multipart) data(s string) {
	p := m.part
	m.dataRead = true
	if p.offset == 0 {
		p.offset = m.offset
	}
	held := m.reserve
	m.reserve = ""
	switch {
	case strings.HasSuffix(s, "\r\n"):
		s, m.reserve = s[:len(s)-2], "\r\n"
	case strings.HasSuffix(s, "\n"):
		s, m.reserve = s[:len(s)-1], "\n"
	}
	if !p.isFile {
		m.noFiles += int64(len(held) + len(s))
		p.value = append(append(p.value, held...), s...)
		return
	}
	if p.file == nil {
		p.file = m.store.open()
	}
	for _, piece := range [...]string{held, s} {
		if err := m.store.write(p.file, piece); err != nil {
			m.fail("Multipart: " + err.Error())
			return
		}
	}
}

// Result ends the body and returns what was found. It is called once.
func (m *Multipart) Result() *Result {
	if m.err == "" && m.seen && !m.complete {
		last := string(m.line)
		switch {
		case m.cut:
			m.unfinished(last)
		case m.count == 0:
			m.err = "Multipart: No boundaries found in payload."
			m.flags.Error = true
		case m.lineStart && last == m.dashed+"--":
			m.boundaryHere()
			m.endPart(true)
		default:
			m.err = "Multipart: Final boundary missing."
			m.flags.Error = true
			m.unfinished(last)
		}
	} else if m.err != "" {
		m.unfinished("")
	}
	r := m.r
	switch {
	case m.err == "":
	case m.noType:
		r.Error = m.err // mod_security2 writes these without a prefix
	default:
		r.Error = "Multipart parsing error: " + m.err
	}
	if r.TooManyArgs && r.Error == "" {
		r.Error = tooManyText
	}
	m.flags.FileLimitExceeded = m.store.limited
	r.Multipart = m.flags
	r.MultipartName, r.MultipartFilename = m.lastName, m.lastFilename
	r.NoFilesLength = m.noFiles
	if r.Error == "" && m.c.NoFilesLimit > 0 && m.noFiles > m.c.NoFilesLimit {
		r.Error = noFilesText
	}
	if m.c.Fake {
		r.Fake = []byte{}
		for i, a := range r.Args {
			if i > 0 {
				r.Fake = append(r.Fake, '&')
			}
			r.Fake = append(appendForm(r.Fake, a.Name), '=')
			r.Fake = appendForm(r.Fake, a.Value)
		}
	}
	return r
}

// unfinished keeps the part that the error or the limit cut, so that rules can
// look at it: a back end may take it.
func (m *Multipart) unfinished(rest string) {
	if m.part == nil || !m.part.named {
		m.part = nil
		return
	}
	// The beginning of the next boundary is no data; where the cut fell into it the line end before it is none either.
	if m.inData && rest != "" && (!m.lineStart || !strings.HasPrefix(m.dashed+"--\r\n", rest)) {
		m.data(rest)
	}
	m.closePart()
}

// escapeLog writes control characters and bytes that are not ASCII as ModSecurity's log does.
func escapeLog(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= ' ' && c < 0x7f && c != '\\':
			b = append(b, c)
		case c == '\\':
			b = append(b, `\\`...)
		case c >= '\b' && c <= '\r':
			b = append(b, '\\', "btnvfr"[c-'\b'])
		default:
			b = fmt.Appendf(b, `\x%02x`, c)
		}
	}
	return string(b)
}
