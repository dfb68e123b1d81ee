package audit

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseNative reads one native entry as ModSecurity 2 or 3, or AppendNative wrote
// it. It always returns a record, with what could be read, and says what it found wrong. An
// entry without an id is of no use to a store: check r.ID. Byte fields of the record alias b.
// Parts that came twice and parts nobody knows are kept in Unknown.
func ParseNative(b []byte) (*Record, []Fault) {
	p := nativeParser{r: &Record{}}
	p.split(b)
	p.finish()
	return p.r, p.faults
}

// maxFaults bounds what a hostile entry can make a parser say.
const maxFaults = 32

type nativeParser struct {
	r      *Record
	v3     bool // version 3: other message lines, bodies with \xHH
	faults []Fault
	parts  []byte

	// From part H, used when all parts are there.
	crlf      string
	partsSet  string
	status    int // -1: not said
	reqSize   int64
	respSize  int64
	stopwatch int // index in Trailer + 1
	action    *Action
	acted     int // phase of "Action: Intercepted", -1 when there was none
	matchExt  []matchExtension
	fileExt   []Field
	ruleExt   []Field
}

type matchExtension struct {
	index, phase int
	variables    []string
}

func (p *nativeParser) fault(offset int, format string, args ...any) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, Fault{Offset: int64(offset), Text: fmt.Sprintf(format, args...)})
	}
}

// split finds the parts: every marker that has the boundary of the first one.
func (p *nativeParser) split(b []byte) {
	p.status, p.reqSize, p.respSize, p.acted = -1, -1, -1, -1
	at := 0
	for at < len(b) && (b[at] == '\n' || b[at] == '\r') {
		at++
	}
	line := b[at:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	prefix, letter, ok := splitMarker(line)
	if !ok || letter != 'A' {
		p.fault(at, "not a native audit log entry: no part A")
		return
	}
	p.v3 = bytes.HasPrefix(prefix, []byte("---")) && bytes.HasSuffix(prefix, []byte("---"))
	start := at + len(line)
	for {
		end, next, nextLetter := findMarker(b, start, prefix)
		content := b[min(start+1, len(b)):max(min(start+1, len(b)), end)]
		if letter == 'Z' {
			p.parts = append(p.parts, 'Z')
			if len(bytes.TrimSpace(b[min(start, len(b)):])) > 0 {
				p.fault(start, "bytes after the end of the entry")
			}
			return
		}
		p.part(letter, content, start)
		if nextLetter == 0 {
			p.fault(len(b), "part Z is missing: the entry was cut")
			return
		}
		letter, start = nextLetter, next
	}
}

// splitMarker takes a line apart into all before the part's letter, such as "--97d60258-", and the letter.
func splitMarker(line []byte) (prefix []byte, letter byte, ok bool) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	n := len(line)
	if n < 8 || n > 100 || line[0] != '-' || line[1] != '-' || line[n-1] != '-' || line[n-2] != '-' || line[n-4] != '-' {
		return nil, 0, false
	}
	letter = line[n-3]
	if letter < 'A' || letter > 'Z' {
		return nil, 0, false
	}
	for _, c := range line[2 : n-4] {
		if c != '-' && c != '_' && c != '@' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return nil, 0, false
		}
	}
	return line[:n-3], letter, true
}

// findMarker looks for the next line that is prefix + letter + "--", from the newline at
// start on. end is where the content before it ends, next the newline that ends the marker's line.
func findMarker(b []byte, start int, prefix []byte) (end, next int, letter byte) {
	for at := start; at < len(b); {
		i := bytes.Index(b[at:], prefix)
		if i < 0 {
			break
		}
		i += at
		at = i + 1
		m := i + len(prefix)
		if b[i-1] != '\n' || m+3 > len(b) || b[m] < 'A' || b[m] > 'Z' || b[m+1] != '-' || b[m+2] != '-' {
			continue
		}
		switch {
		case m+3 == len(b), b[m+3] == '\n':
			return i - 1, m + 3, b[m]
		case b[m+3] == '\r' && (m+4 == len(b) || b[m+4] == '\n'):
			return i - 1, m + 4, b[m]
		}
	}
	return len(b), len(b), 0
}

func (p *nativeParser) part(letter byte, content []byte, offset int) {
	r := p.r
	seen := bytes.IndexByte(p.parts, letter) >= 0
	p.parts = append(p.parts, letter)
	if seen {
		p.fault(offset, "part %c came twice", letter)
		r.Unknown = append(r.Unknown, Part{Letter: letter, Bytes: content})
		return
	}
	switch letter {
	case 'A':
		p.head(string(content), offset)
	case 'B':
		r.RequestHead = orNil(content)
	case 'C':
		r.RequestBody = orNil(p.body(content))
	case 'E':
		r.ResponseBody = orNil(p.body(content))
		if p.v3 {
			r.ResponseBody = unescapeV3(r.ResponseBody)
		}
	case 'F':
		r.ResponseHead = orNil(content)
	case 'H':
		p.trailer(string(content))
	case 'I':
		r.FakeBody = orNil(content)
	case 'J':
		p.files(string(content), offset)
	case 'K':
		p.rules(string(content))
	default:
		r.Unknown = append(r.Unknown, Part{Letter: letter, Bytes: orNil(content)})
	}
}

func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// body drops the newline that version 3 adds to a body.
func (p *nativeParser) body(content []byte) []byte {
	if p.v3 {
		return bytes.TrimSuffix(content, []byte{'\n'})
	}
	return content
}

// unescapeV3 undoes the \xHH that version 3 writes into part E for bytes outside 32 to 126. Other escapes came from the body itself.
func unescapeV3(b []byte) []byte {
	if !bytes.Contains(b, []byte(`\x`)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if b[0] == '\\' && len(b) >= 4 && b[1] == 'x' {
			if c, ok := hexByte(string(b[2:4])); ok && (c < 32 || c > 126) {
				out = append(out, c)
				b = b[4:]
				continue
			}
		}
		out = append(out, b[0])
		b = b[1:]
	}
	return out
}

// head reads part A: [time] id client port server port.
func (p *nativeParser) head(line string, offset int) {
	r := p.r
	line = strings.TrimRight(line, "\r\n ")
	stamp, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "] ")
	if !ok {
		p.fault(offset, "part A has no time")
		return
	}
	t, err := parseTime(stamp)
	if err != nil {
		p.fault(offset, "part A: %v", err)
	}
	r.Time = t
	words := strings.Fields(rest)
	if len(words) != 5 {
		p.fault(offset, "part A has %d words behind the time, not 5", len(words))
	}
	for len(words) < 5 {
		words = append(words, "-")
	}
	r.ID = token(words[0])
	r.Client = p.addrPort(words[1], words[2], offset)
	r.Server = p.addrPort(words[3], words[4], offset)
	r.Peer = r.Client
}

func (p *nativeParser) addrPort(host, port string, offset int) netip.AddrPort {
	a, err := parseAddr(host)
	if err != nil {
		p.fault(offset, "address: %v", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil && port != "-" {
		p.fault(offset, "port: %v", err)
	}
	return netip.AddrPortFrom(a, uint16(n))
}

// parseAddr reads an address; "-" is none, brackets around IPv6 are allowed.
func parseAddr(s string) (netip.Addr, error) {
	if s == "-" || s == "" {
		return netip.Addr{}, nil
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	return netip.ParseAddr(s)
}

// statusOf returns the status code in a response head, 0 when there is none.
func statusOf(head []byte) int {
	i := bytes.IndexByte(head, ' ')
	if i < 0 || !bytes.HasPrefix(head, []byte("HTTP/")) {
		return 0
	}
	n, digits := 0, 0
	for _, c := range head[i+1:] {
		if c < '0' || c > '9' {
			break
		}
		if digits++; digits > 3 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// finish sets what depends on several parts.
func (p *nativeParser) finish() {
	r := p.r
	for _, letter := range p.crlf {
		switch letter {
		case 'B':
			r.RequestHead = toCRLF(r.RequestHead)
		case 'F':
			r.ResponseHead = toCRLF(r.ResponseHead)
		}
	}
	if r.Status = p.status; p.status < 0 {
		r.Status = statusOf(r.ResponseHead)
	}
	if r.RequestBodySize = p.reqSize; p.reqSize < 0 {
		r.RequestBodySize = int64(len(r.RequestBody))
	}
	if r.ResponseBodySize = p.respSize; p.respSize < 0 {
		r.ResponseBodySize = int64(len(r.ResponseBody))
	}
	p.finishAction()
	for _, e := range p.matchExt {
		if e.index < len(r.Matches) {
			r.Matches[e.index].Phase, r.Matches[e.index].Variables = e.phase, e.variables
		}
	}
	for _, f := range p.fileExt {
		if i, err := strconv.Atoi(f.Name); err == nil && i >= 0 && i < len(r.Files) {
			r.Files[i].Field = f.Value
		}
	}
	for _, f := range p.ruleExt {
		if i, err := strconv.Atoi(f.Name); err == nil && i >= 0 && i < len(r.Rules) {
			r.Rules[i].ID, _ = strconv.Atoi(f.Value)
		}
	}
	p.finishStopwatch()
	switch p.partsSet {
	case "":
		r.Parts = string(p.parts)
	case "-": // our record named none
		r.Parts = ""
	default:
		r.Parts = p.partsSet
	}
}

func toCRLF(head []byte) []byte {
	if len(head) == 0 {
		return nil
	}
	return bytes.ReplaceAll(head, []byte{'\n'}, []byte("\r\n"))
}

// finishAction decides which action was taken: the one that an extension line names, else what
// the last message says that intercepted, else "Action:" alone.
func (p *nativeParser) finishAction() {
	r := p.r
	switch {
	case p.action != nil:
		r.Action = p.action
	case r.Action != nil && intercepts(r.Action.Kind) && p.acted > 0:
		r.Action.Phase = p.acted
	case p.acted >= 0 && (r.Action == nil || !intercepts(r.Action.Kind)):
		r.Action = &Action{Kind: "deny", Phase: p.acted, Status: r.Status}
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		if !m.Disruptive {
			continue
		}
		m.keepText(m.Text, r.Action) // until here Text was the whole head
		if r.Action != nil && m.Text == "" {
			m.Phase = r.Action.Phase
		}
	}
}

// finishStopwatch drops the Stopwatch line when the record's own fields make it.
func (p *nativeParser) finishStopwatch() {
	if p.stopwatch == 0 {
		return
	}
	i := p.stopwatch - 1
	if string(appendStopwatch(nil, p.r)) == p.r.Trailer[i].Value {
		p.r.Trailer = append(p.r.Trailer[:i], p.r.Trailer[i+1:]...)
	}
	if len(p.r.Trailer) == 0 {
		p.r.Trailer = nil
	}
}

// files reads part J.
func (p *nativeParser) files(text string, offset int) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "Total,") {
			continue
		}
		_, rest, _ := strings.Cut(line, ",")
		size, rest, _ := strings.Cut(rest, ",")
		var f File
		var err error
		if f.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			p.fault(offset, "part J: %v", err)
			continue
		}
		f.Name, rest, _ = cutQuoted(rest)
		f.ContentType, _, _ = cutQuoted(strings.TrimPrefix(rest, ","))
		if strings.HasPrefix(f.ContentType, "<Unknown Content") {
			f.ContentType = ""
		}
		p.r.Files = append(p.r.Files, f)
	}
}

// rules reads part K: paragraphs.
func (p *nativeParser) rules(text string) {
	for text = strings.Trim(text, "\n"); text != ""; {
		raw, rest, _ := strings.Cut(text, "\n\n")
		p.r.Rules = append(p.r.Rules, RuleText{ID: ruleID(raw), Raw: raw})
		text = strings.TrimLeft(rest, "\n")
	}
}

// ruleID finds the id action in the text of a rule, 0 when it has none.
func ruleID(raw string) int {
	for at := 0; ; {
		i := strings.Index(raw[at:], "id:")
		if i < 0 {
			return 0
		}
		at += i + 3
		if before := at - 4; before >= 0 && strings.IndexByte("\",' \t", raw[before]) < 0 {
			continue
		}
		n, digits := 0, 0
		for _, c := range strings.TrimLeft(raw[at:], "'\" ") {
			if c < '0' || c > '9' || digits == 18 {
				break
			}
			n = n*10 + int(c-'0')
			digits++
		}
		if digits > 0 {
			return n
		}
	}
}
