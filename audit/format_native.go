package audit

import (
	"bytes"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// NativeParts are the parts that are written when a Record's Parts is empty: all that carry something.
const NativeParts = "ABCEFHIJKZ"

// AppendNative appends r as ModSecurity 2 writes a serial or concurrent audit log
// entry, blank last line included. ParseNative gives the same record again: what the
// format has no place for stands in lines of part H that begin with "Trapline-".
// A record whose Parts lack H loses those.
//
// The boundary is made from the id, so that the same record gives the same bytes, and is
// one that nothing in the record contains: bytes of a client cannot end a part.
func AppendNative(dst []byte, r *Record) []byte {
	start := len(dst)
	dst = slices.Grow(dst, r.estimate())
	for try := uint32(0); ; try++ {
		w := nativeWriter{dst: dst[:start], parts: r.Parts}
		if w.parts == "" {
			w.parts = NativeParts
		}
		w.setBoundary(r.ID, try)
		w.entry(r)
		dst = w.dst
		if bytes.Count(dst[start:], w.prefix[:]) == w.written {
			return dst
		}
	}
}

// estimate returns about how long the entry will be, so that it is allocated once.
func (r *Record) estimate() int {
	n := 768 + len(r.RequestHead) + len(r.RequestBody) + len(r.FakeBody) + len(r.ResponseHead) + len(r.ResponseBody)
	for i := range r.Matches {
		m := &r.Matches[i]
		n += 128 + len(m.Operator) + len(m.File) + len(m.Message) + len(m.Data) + 32*len(m.Tags)
	}
	for i := range r.Rules {
		n += len(r.Rules[i].Raw) + 2
	}
	for i := range r.Trailer {
		n += len(r.Trailer[i].Name) + len(r.Trailer[i].Value) + 3
	}
	return n
}

// nativeWriter writes one entry.
type nativeWriter struct {
	dst     []byte
	parts   string
	prefix  [11]byte // "--xxxxxxxx-"
	written int      // markers so far
	seen    [16]byte // letters of the parts written so far, in order, without A and Z
	nseen   int
	crlf    [2]byte // letters of the head parts whose lines ended in CR LF
	ncrlf   int
}

// setBoundary takes 8 hex digits from a hash of the id, as many as ModSecurity 2 has.
func (w *nativeWriter) setBoundary(id string, try uint32) {
	h := fnv.New32a()
	h.Write([]byte(id))
	h.Write([]byte{byte(try), byte(try >> 8), byte(try >> 16), byte(try >> 24)})
	sum := h.Sum32()
	sum ^= sum >> 15 // FNV alone leaves the ids of one second too close
	sum *= 0x2c1b3c6d
	sum ^= sum >> 12
	copy(w.prefix[:], "--00000000-")
	for i := range 8 {
		w.prefix[2+i] = hexDigits[sum>>(28-4*i)&15]
	}
}

// entry writes the parts in the order of ModSecurity 2, which is not that of the alphabet.
func (w *nativeWriter) entry(r *Record) {
	w.marker('A')
	w.dst = append(w.dst, '[')
	w.dst = appendTime(w.dst, r.Time)
	w.dst = append(w.dst, ']', ' ')
	w.dst = appendToken(w.dst, r.ID)
	w.dst = append(w.dst, ' ')
	w.dst = appendAddrPort(w.dst, r.Client, ' ')
	w.dst = append(w.dst, ' ')
	w.dst = appendAddrPort(w.dst, r.Server, ' ')
	if w.begin('B', true) {
		w.head('B', r.RequestHead, r.Kind != KindBytes)
	}
	if w.begin('C', len(r.RequestBody) > 0) {
		w.dst = append(w.dst, r.RequestBody...)
	}
	if w.begin('I', len(r.FakeBody) > 0) {
		w.dst = append(w.dst, r.FakeBody...)
	}
	if w.begin('F', true) {
		w.head('F', r.ResponseHead, true)
	}
	if w.begin('E', len(r.ResponseBody) > 0) {
		w.dst = append(w.dst, r.ResponseBody...)
	}
	// H comes before the parts that follow it in the file, but says which parts there are.
	files := len(r.Files) > 0 && w.wants('J')
	rules := len(r.Rules) > 0 && w.wants('K')
	if w.begin('H', true) {
		w.trailer(r, files, rules)
	}
	if w.begin('J', files) {
		w.files(r.Files)
	}
	if w.begin('K', rules) {
		w.rules(r.Rules)
	}
	for _, p := range r.Unknown {
		w.dst = append(w.dst, '\n')
		w.marker(p.Letter)
		w.dst = append(w.dst, p.Bytes...)
	}
	w.dst = append(w.dst, '\n')
	w.marker('Z')
	w.dst = append(w.dst, '\n')
}

func (w *nativeWriter) wants(letter byte) bool { return strings.IndexByte(w.parts, letter) >= 0 }

// begin writes the marker of a part if it is wanted and there is something to write.
func (w *nativeWriter) begin(letter byte, some bool) bool {
	if !some || !w.wants(letter) {
		return false
	}
	w.dst = append(w.dst, '\n')
	w.marker(letter)
	w.seen[w.nseen] = letter
	w.nseen++
	return true
}

func (w *nativeWriter) marker(letter byte) {
	w.dst = append(w.dst, w.prefix[:]...)
	w.dst = append(w.dst, letter, '-', '-', '\n')
	w.written++
}

// head writes request or status line and headers. ModSecurity 2 ends lines with LF; a head
// whose lines all end in CR LF is written so and remembered, any other stays as it came.
func (w *nativeWriter) head(letter byte, head []byte, text bool) {
	if !text || !allCRLF(head) {
		w.dst = append(w.dst, head...)
		return
	}
	w.crlf[w.ncrlf] = letter
	w.ncrlf++
	for len(head) > 0 {
		i := bytes.IndexByte(head, '\r')
		w.dst = append(w.dst, head[:i]...)
		w.dst = append(w.dst, '\n')
		head = head[i+2:]
	}
}

// allCRLF says whether every line of head ends in CR LF and CR and LF are nowhere else.
func allCRLF(head []byte) bool {
	if len(head) == 0 {
		return false
	}
	for len(head) > 0 {
		i := bytes.IndexByte(head, '\n')
		if i < 1 || head[i-1] != '\r' || bytes.IndexByte(head[:i-1], '\r') >= 0 {
			return false
		}
		head = head[i+1:]
	}
	return true
}

// files writes part J. ModSecurity numbers the parts of the body, so its first file may be number 2.
func (w *nativeWriter) files(files []File) {
	var total int64
	for i, f := range files {
		w.dst = strconv.AppendInt(w.dst, int64(i+1), 10)
		w.dst = append(w.dst, ',')
		w.dst = strconv.AppendInt(w.dst, f.Size, 10)
		w.dst = append(w.dst, ',')
		w.dst = appendQuoted(w.dst, f.Name)
		w.dst = append(w.dst, ',')
		if f.ContentType == "" {
			w.dst = append(w.dst, `"`+unknownContentType+`"`...)
		} else {
			w.dst = appendQuoted(w.dst, f.ContentType)
		}
		w.dst = append(w.dst, '\n')
		total += f.Size
	}
	w.dst = append(w.dst, "Total,"...)
	w.dst = strconv.AppendInt(w.dst, total, 10)
	w.dst = append(w.dst, '\n')
}

const unknownContentType = "<Unknown ContentType>"

// rules writes part K: a paragraph for each rule.
func (w *nativeWriter) rules(rules []RuleText) {
	for _, rule := range rules {
		raw := strings.Trim(rule.Raw, "\n")
		for raw != "" {
			line, rest, _ := strings.Cut(raw, "\n")
			w.dst = append(w.dst, line...)
			w.dst = append(w.dst, '\n')
			raw = strings.TrimLeft(rest, "\n")
		}
		w.dst = append(w.dst, '\n')
	}
}

func appendAddrPort(dst []byte, a netip.AddrPort, sep byte) []byte {
	if a.Addr().IsValid() {
		dst = a.Addr().AppendTo(dst)
	} else {
		dst = append(dst, '-')
	}
	dst = append(dst, sep)
	return strconv.AppendUint(dst, uint64(a.Port()), 10)
}
