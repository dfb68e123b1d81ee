package audit

import (
	"bytes"
	"io"
)

// Format is the form of an entry.
type Format uint8

// The formats that a Scanner finds.
const (
	FormatNative Format = iota // versions 2 and 3, and ours
	FormatJSON                 // one line; versions 2 and 3
)

// Entry is one entry of a serial log.
type Entry struct {
	Offset int64  // of its first byte, from where the Scanner began
	Bytes  []byte // valid until the next Scan; with the empty line that follows a native entry
	Format Format
	// Doubt says why the entry may be forged: it stands inside another one that has no end. "" for nearly all.
	Doubt string
}

// Record parses the entry.
func (e *Entry) Record() (*Record, []Fault) {
	if e.Format == FormatJSON {
		return ParseJSON(e.Bytes)
	}
	return ParseNative(e.Bytes)
}

// DefaultMaxEntry is the size up to which a Scanner yields entries. ModSecurity's default body limit is 128 MiB, its logs mostly hold far less.
const DefaultMaxEntry = 32 << 20

// maxInner bounds how many complete entries inside an open one are remembered; with more the open one has surely no end.
const maxInner = 100_000

// Scanner splits a serial audit log into entries, native and JSON mixed. Bodies hold what clients sent, entries
// included: a native entry ends only at the Z marker with the boundary of its A marker, and nothing
// inside is an entry. When the end is missing (the server was killed while it wrote) or is further off
// than the limit, complete entries inside are yielded with Doubt set, and the loss is a Fault.
//
//	closed --A--> open --own Z--> yield, closed
//	                   --limit, end of input--> lost: yields the inner entries in doubt, then closed;
//	                                            in doubt until the lost entry's own Z
type Scanner struct {
	r    io.Reader
	max  int
	buf  []byte
	base int64 // offset of buf[0]
	pos  int   // start of the next line in buf
	eof  bool
	err  error

	entry   Entry
	pending []span // entries in doubt, to be yielded
	faults  []Fault
	skip    bool // in a line that is too long and belongs to nothing

	open   int    // start of the open entry in buf, -1 when none
	prefix []byte // its boundary
	inner  []span // complete entries inside it
	inside int    // start of a possible entry inside, -1
	inPref []byte
	lost   []byte // boundary of an entry whose end was not found
	lostAt int64  // and its offset
}

type span struct{ start, end int }

// NewScanner reads from r; entries over limit bytes are skipped (0: DefaultMaxEntry). It uses up to that much memory.
func NewScanner(r io.Reader, limit int) *Scanner {
	if limit <= 0 {
		limit = DefaultMaxEntry
	}
	return &Scanner{r: r, max: limit, open: -1, inside: -1}
}

// Entry returns what the last Scan found.
func (s *Scanner) Entry() *Entry { return &s.entry }

// Err returns the error of the reader, nil at its end.
func (s *Scanner) Err() error { return s.err }

// Offset returns how many bytes have been read and dealt with.
func (s *Scanner) Offset() int64 { return s.base + int64(s.pos) }

// Faults returns what was found wrong since the last call: entries without an end, too long, bytes between entries.
func (s *Scanner) Faults() []Fault {
	f := s.faults
	s.faults = nil
	return f
}

// Scan goes to the next entry; false at the end of input or after an error.
func (s *Scanner) Scan() bool {
	for {
		if len(s.pending) > 0 {
			p := s.pending[0]
			s.pending = s.pending[1:]
			s.entry = Entry{Offset: s.base + int64(p.start), Bytes: s.buf[p.start:p.end], Doubt: "it stands inside an entry that has no end"}
			return true
		}
		line, ok := s.line()
		if !ok {
			if s.fill() {
				continue
			}
			if len(s.pending) > 0 {
				continue
			}
			return false
		}
		if s.take(line) {
			return true
		}
	}
}

// line returns the next line, with its newline unless the input ends; false when more bytes are needed.
func (s *Scanner) line() ([]byte, bool) {
	rest := s.buf[s.pos:]
	i := bytes.IndexByte(rest, '\n')
	if i < 0 {
		if !s.eof || len(rest) == 0 {
			return nil, false
		}
		i = len(rest) - 1
	}
	return rest[:i+1], true
}

// take deals with one line and says whether an entry is complete.
func (s *Scanner) take(line []byte) bool {
	start := s.pos
	s.pos += len(line)
	if s.skip {
		s.skip = false
		return false
	}
	trimmed := bytes.TrimRight(line, "\r\n")
	if s.open < 0 && len(trimmed) > 0 && trimmed[0] == '{' {
		s.entry = Entry{Offset: s.base + int64(start), Bytes: trimmed, Format: FormatJSON, Doubt: s.doubt()}
		return true
	}
	prefix, letter, ok := splitMarker(trimmed)
	switch {
	case !ok:
		if s.open < 0 && s.lost == nil && len(bytes.TrimSpace(trimmed)) > 0 {
			s.fault(start, "a line that belongs to no entry")
		}
	case s.lost != nil && letter == 'Z' && bytes.Equal(prefix, s.lost):
		s.lost, s.open, s.inside = nil, -1, -1
	case s.open < 0 && letter == 'A':
		s.open, s.prefix = start, append(s.prefix[:0], prefix...)
		s.inner, s.inside = s.inner[:0], -1
	case s.open < 0:
		if s.lost == nil {
			s.fault(start, "a marker outside an entry")
		}
	case letter == 'Z' && bytes.Equal(prefix, s.prefix):
		return s.close()
	case letter == 'A' && s.inside < 0:
		s.inside, s.inPref = start, append(s.inPref[:0], prefix...)
	case letter == 'Z' && s.inside >= 0 && bytes.Equal(prefix, s.inPref):
		s.inner = append(s.inner, span{s.inside, s.pos})
		s.inside = -1
		if len(s.inner) == maxInner {
			s.lose("it holds too many others")
		}
	}
	return false
}

// Unfinished returns the end markers that are missing at the end of a serial native log, to be appended before
// the next entry: a process that was killed while it wrote leaves an entry without its end, and to a careful reader
// all that follows would be a part of it. tail is the end of the log, from the start of a line on. Markers in what a
// client sent cannot be told from real ones here, so there may be one too many; a reader steps over that.
func Unfinished(tail []byte) []byte {
	var open [][]byte
	for line := range bytes.Lines(tail) {
		prefix, letter, ok := splitMarker(bytes.TrimRight(line, "\r\n"))
		switch {
		case !ok:
		case letter == 'A' && len(open) < maxUnfinished:
			open = append(open, prefix)
		case letter == 'Z':
			for i := len(open) - 1; i >= 0; i-- {
				if bytes.Equal(open[i], prefix) {
					open = open[:i]
					break
				}
			}
		}
	}
	var ends []byte
	for i := len(open) - 1; i >= 0; i-- {
		ends = append(append(append(ends, '\n'), open[i]...), "Z--\n\n"...)
	}
	return ends
}

// maxUnfinished bounds the A markers of one client's body that Unfinished answers.
const maxUnfinished = 1000

// close yields the open entry and the empty line behind it.
func (s *Scanner) close() bool {
	for s.pos == len(s.buf) && !s.eof && s.err == nil {
		s.read()
	}
	if s.pos < len(s.buf) && s.buf[s.pos] == '\n' {
		s.pos++
	}
	s.entry = Entry{Offset: s.base + int64(s.open), Bytes: s.buf[s.open:s.pos], Doubt: s.doubt()}
	s.open = -1
	return true
}

// maxBody is ModSecurity's hard limit of a body: so far behind its start a lost entry has surely ended.
const maxBody = 1 << 30

func (s *Scanner) doubt() string {
	if s.lost != nil && s.base+int64(s.pos)-s.lostAt > maxBody {
		s.lost = nil
	}
	if s.lost == nil {
		return ""
	}
	return "it stands behind an entry that has no end"
}

// fill makes room and reads on; false at the end, when nothing is left to look at.
func (s *Scanner) fill() bool {
	if s.eof || s.err != nil {
		if s.open >= 0 {
			s.lose("the input ends before its end")
		}
		return false
	}
	keep := s.pos
	if s.open >= 0 {
		keep = s.open
	}
	if keep > 0 && keep >= len(s.buf)/2 || keep > 0 && len(s.buf) >= s.max {
		s.shift(keep)
	}
	if len(s.buf) >= s.max {
		if s.open >= 0 {
			s.lose("it is over the limit")
			return true
		}
		if !s.skip {
			s.fault(s.pos, "a line over the limit")
		}
		s.skip = true
		s.pos = len(s.buf)
		return true
	}
	s.read()
	return true
}

// lose gives up the open entry: what is complete inside it is yielded in doubt.
func (s *Scanner) lose(why string) {
	s.fault(s.open, "an entry is left out: "+why)
	s.pending = append(s.pending, s.inner...)
	if s.lost == nil {
		s.lost = append([]byte(nil), s.prefix...)
		s.lostAt = s.base + int64(s.open)
	}
	s.open, s.inner = -1, nil
	if s.inside >= 0 && !s.eof { // an entry inside that may yet be complete
		s.open, s.prefix = s.inside, append(s.prefix[:0], s.inPref...)
		s.inside = -1
	}
}

func (s *Scanner) shift(keep int) {
	n := copy(s.buf, s.buf[keep:])
	s.buf = s.buf[:n]
	s.base += int64(keep)
	s.pos -= keep
	if s.open >= 0 {
		s.open -= keep
	}
	if s.inside >= 0 {
		s.inside -= keep
	}
	for i := range s.inner {
		s.inner[i].start -= keep
		s.inner[i].end -= keep
	}
}

func (s *Scanner) read() {
	if cap(s.buf)-len(s.buf) < 4096 {
		grown := make([]byte, len(s.buf), max(64<<10, 2*cap(s.buf)))
		copy(grown, s.buf)
		s.buf = grown
	}
	n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	switch {
	case err == io.EOF:
		s.eof = true
	case err != nil:
		s.err = err
	}
}

func (s *Scanner) fault(at int, text string) {
	if len(s.faults) < maxFaults {
		s.faults = append(s.faults, Fault{Offset: s.base + int64(at), Text: text})
	}
}
