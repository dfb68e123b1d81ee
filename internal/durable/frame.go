package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A segment file is fileMark and then frames:
//
//	0        4        8                16       20
//	├────────┼────────┼────────────────┼────────┼───────────┤
//	│ marker │ length │    sequence    │ CRC32C │  payload  │   little endian
//	└────────┴────────┴────────────────┴────────┴───────────┘
//	          └───────── covered ─────┘          └─ covered ┘
//
// Marker and CRC depend on the salt of the segment, 64 random bits that are in
// the file's name. A client can put any bytes into a payload, also bytes that
// look like a frame; without the salt they never pass for one when the reader
// searches for the next frame after a damaged one. The salt stands in the name
// and not in a header, so that no damage to the content can take it away.
const (
	fileMark  = "TRAPLOG1"
	frameHead = 20
	firstBit  = 1 << 31
)

// salt is the secret of one segment.
type salt uint64

func (s salt) marker() uint32 { return uint32(s) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// sum is the CRC32C over the upper half of the salt, length, sequence and payload.
func (s salt) sum(table *crc32.Table, lengthAndSeq, payload []byte) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(s>>32))
	c := crc32.Update(0, table, b[:])
	c = crc32.Update(c, table, lengthAndSeq)
	return crc32.Update(c, table, payload)
}

// sealFrame fills in the head of the frame f.
func sealFrame(f []byte, s salt, table *crc32.Table, seq uint64, first bool) {
	n := uint32(len(f) - frameHead)
	if first {
		n |= firstBit
	}
	binary.LittleEndian.PutUint32(f, s.marker())
	binary.LittleEndian.PutUint32(f[4:], n)
	binary.LittleEndian.PutUint64(f[8:], seq)
	binary.LittleEndian.PutUint32(f[16:], s.sum(table, f[4:16], f[frameHead:]))
}

// scanner reads the frames of one file in order and steps over damage.
type scanner struct {
	r     io.ReaderAt
	salt  salt
	table *crc32.Table
	max   int   // largest payload that is believed
	limit int64 // do not read at or after this offset; -1 = to the end of the file

	buf   []byte // bytes of the file from offset base
	base  int64
	off   int64 // of the next frame
	fatal error
}

func newScanner(r io.ReaderAt, s salt, maxPayload int) *scanner {
	return &scanner{r: r, salt: s, table: castagnoli(), max: maxPayload, limit: -1, off: int64(len(fileMark))}
}

const scanChunk = 256 << 10

// need returns n bytes from offset off, fewer at the end of the file. The slice
// is good until the next call.
func (s *scanner) need(off int64, n int) []byte {
	if off >= s.base && off+int64(n) <= s.base+int64(len(s.buf)) {
		return s.buf[off-s.base:][:n]
	}
	want := max(n, scanChunk)
	if s.limit >= 0 {
		want = int(min(int64(want), max(s.limit-off, 0)))
	}
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf = s.buf[:want]
	m, err := s.r.ReadAt(s.buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.fatal = err
	}
	s.buf, s.base = s.buf[:m], off
	return s.buf[:min(n, m)]
}

// frame is one decoded frame.
type frame struct {
	seq     uint64
	payload []byte // good until the scanner reads on
	first   bool   // of a write
}

// frameAt decodes the frame at off. ok is false when none is there.
func (s *scanner) frameAt(off int64) (fr frame, ok bool) {
	h := s.need(off, frameHead)
	if len(h) < frameHead || binary.LittleEndian.Uint32(h) != s.salt.marker() {
		return frame{}, false
	}
	n := binary.LittleEndian.Uint32(h[4:])
	fr.first = n&firstBit != 0
	n &^= firstBit
	if int64(n) > int64(s.max) {
		return frame{}, false
	}
	f := s.need(off, frameHead+int(n))
	if len(f) < frameHead+int(n) {
		return frame{}, false
	}
	fr.payload = f[frameHead:]
	if s.salt.sum(s.table, f[4:16], fr.payload) != binary.LittleEndian.Uint32(f[16:]) {
		return frame{}, false
	}
	fr.seq = binary.LittleEndian.Uint64(f[8:])
	return fr, true
}

// next returns the next whole frame and how many bytes of damage lay before it.
// At the end ok is false, and skipped counts the bytes after the last frame.
func (s *scanner) next() (fr frame, skipped int64, ok bool) {
	start := s.off
	for off := s.off; ; {
		if fr, ok = s.frameAt(off); ok {
			s.off = off + frameHead + int64(len(fr.payload))
			return fr, off - start, true
		}
		var end bool
		if off, end = s.nextMarker(off + 1); end {
			s.off = start
			return frame{}, off - start, false
		}
	}
}

// onlyZeros tells whether nothing but zeros lies from off to the end of the file.
func (s *scanner) onlyZeros(off int64) bool {
	for {
		b := s.need(off, scanChunk)
		for _, c := range b {
			if c != 0 {
				return false
			}
		}
		if len(b) < scanChunk {
			return s.fatal == nil
		}
		off += int64(len(b))
	}
}

// nextMarker finds the next place at or after off where a frame may start. At
// the end of the file end is true and at is the file's size.
func (s *scanner) nextMarker(off int64) (at int64, end bool) {
	var m [4]byte
	binary.LittleEndian.PutUint32(m[:], s.salt.marker())
	for {
		b := s.need(off, scanChunk)
		if len(b) < len(m) {
			return off + int64(len(b)), true
		}
		for i := 0; i+len(m) <= len(b); i++ {
			if b[i] == m[0] && b[i+1] == m[1] && b[i+2] == m[2] && b[i+3] == m[3] {
				return off + int64(i), false
			}
		}
		off += int64(len(b) - len(m) + 1)
	}
}

// Fault is damage that opening a log found and went on from. Nothing that was
// reported durable is missing beyond what a Fault names.
type Fault struct {
	File   string // path of the file
	Offset int64  // where the damage starts
	Bytes  int64  // how much was skipped or cut
	Torn   bool   // the end of the last write before a crash: expected, nobody was told that it is durable
	Text   string
}

// Error makes a Fault usable where an error is wanted.
func (f Fault) Error() string {
	return fmt.Sprintf("%s: offset %d: %s (%d bytes)", f.File, f.Offset, f.Text, f.Bytes)
}

// contents is what reading a segment found.
type contents struct {
	faults []Fault
	end    int64 // after the last good frame
	size   int64 // of the file
	rest   bool  // bytes that are neither frames nor zeros lie after end
}

// readSegment hands every frame of the file f, called name, to fn.
func readSegment(f io.ReaderAt, name string, size int64, s salt, maxPayload int, fn func(fr frame, at int64) error) (c contents, err error) {
	c.size = size
	sc := newScanner(f, s, maxPayload)
	c.end = min(c.size, int64(len(fileMark)))
	if head := sc.need(0, len(fileMark)); string(head) != fileMark && c.size >= int64(len(fileMark)) {
		c.faults = append(c.faults, Fault{File: name, Bytes: int64(len(fileMark)), Text: "file mark damaged"})
	}
	unsure := 0 // faults from here on may be of the last write, which nobody was told is durable
	for {
		at := sc.off
		fr, skipped, ok := sc.next()
		if sc.fatal != nil {
			return c, fmt.Errorf("read %s: %w", name, sc.fatal)
		}
		if !ok {
			break
		}
		if skipped > 0 {
			c.faults = append(c.faults, Fault{File: name, Offset: at, Bytes: skipped, Text: "damaged frames skipped"})
		}
		if fr.first {
			unsure = len(c.faults)
		}
		c.end = sc.off
		if err := fn(fr, at+skipped); err != nil {
			return c, err
		}
	}
	for i := range c.faults[unsure:] {
		c.faults[unsure+i].Torn = true
	}
	c.rest = c.end < c.size && !sc.onlyZeros(c.end)
	return c, sc.fatal
}
