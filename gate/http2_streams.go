package gate

import (
	"encoding/binary"

	"golang.org/x/net/http2"

	"github.com/trapline/trapline/seclang/connlimit"
)

// maxStreams bounds the streams that are followed. The server has 250 at a time, and resets what is beyond.
const maxStreams = 1024

// h2Streams knows what the streams of an HTTP/2 connection do. The connection counts once, however many they are: as a
// browser's six connections become one, a limit for its connections must not become one for its requests. It reads
// while a request or frame is incomplete, it writes while an answer is, and else it is idle.
type h2Streams struct {
	place            *connlimit.Conn // nil: nothing is counted
	open             map[uint32]connlimit.State
	last             uint32 // highest stream seen
	reading, writing int    // streams of open
	ends             uint32 // stream whose last DATA frame is coming, 0 for none
	endsHead         uint32 // stream whose header block is coming and is all there is of the request, 0 for none
	out              frameHeads
}

// arrived takes the header of a frame of the client.
func (s *h2Streams) arrived(f h2Frame) {
	if s.place == nil {
		return
	}
	switch f.kind {
	case http2.FrameHeaders:
		if f.stream > s.last && len(s.open) < maxStreams {
			s.last = f.stream
			s.set(f.stream, connlimit.Reading|connlimit.Writing)
		}
		if f.flags.Has(http2.FlagHeadersEndStream) {
			s.endsHead = f.stream
		}
	case http2.FrameData:
		switch {
		case !f.flags.Has(http2.FlagDataEndStream):
		case f.length == 0:
			s.set(f.stream, s.open[f.stream]&^connlimit.Reading)
		default:
			s.ends = f.stream
		}
	case http2.FrameRSTStream:
		s.set(f.stream, connlimit.Idle)
	}
}

// headEnded says that a header block is complete, dataEnded that a frame is that the tracker passes over.
func (s *h2Streams) headEnded() { s.complete(&s.endsHead) }

func (s *h2Streams) dataEnded() { s.complete(&s.ends) }

func (s *h2Streams) complete(id *uint32) {
	if *id != 0 {
		s.set(*id, s.open[*id]&^connlimit.Reading)
		*id = 0
	}
}

// sent takes bytes that the server has sent.
func (s *h2Streams) sent(p []byte) {
	s.out.feed(p, func(f h2Frame) {
		switch {
		case f.kind == http2.FrameRSTStream:
			s.set(f.stream, connlimit.Idle)
		case (f.kind == http2.FrameHeaders || f.kind == http2.FrameData) && f.flags.Has(http2.FlagDataEndStream):
			s.set(f.stream, s.open[f.stream]&^connlimit.Writing)
		}
	})
}

func (s *h2Streams) set(id uint32, now connlimit.State) {
	was := s.open[id]
	s.reading += int(now&connlimit.Reading) - int(was&connlimit.Reading)
	s.writing += int(now&connlimit.Writing/connlimit.Writing) - int(was&connlimit.Writing/connlimit.Writing)
	if now == connlimit.Idle {
		delete(s.open, id)
		return
	}
	if s.open == nil {
		s.open = map[uint32]connlimit.State{}
	}
	s.open[id] = now
}

// settle counts what the connection does; partial says that a frame or header block is incomplete. It is false when the
// client has too many connections.
func (s *h2Streams) settle(partial bool) bool {
	if s.place == nil {
		return true
	}
	now := connlimit.Idle
	if partial || s.reading > 0 {
		now |= connlimit.Reading
	}
	if s.writing > 0 {
		now |= connlimit.Writing
	}
	if now != connlimit.Idle && !s.place.Begin() {
		return false
	}
	s.place.Set(now)
	return true
}

// frameHeads finds the headers of frames in a stream of bytes.
type frameHeads struct {
	head [9]byte
	have int // bytes of head
	skip int // of a payload
}

func (h *frameHeads) feed(p []byte, frame func(h2Frame)) {
	for len(p) > 0 {
		if h.skip > 0 {
			n := min(h.skip, len(p))
			h.skip -= n
			p = p[n:]
			continue
		}
		n := copy(h.head[h.have:], p)
		h.have += n
		p = p[n:]
		if h.have < len(h.head) {
			return
		}
		h.have = 0
		f := parseFrameHead(h.head[:])
		h.skip = f.length
		frame(f)
	}
}

// parseFrameHead reads the nine bytes of RFC 9113, section 4.1.
func parseFrameHead(b []byte) h2Frame {
	return h2Frame{
		length: int(binary.BigEndian.Uint32(b) >> 8), kind: http2.FrameType(b[3]), flags: http2.Flags(b[4]),
		stream: binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1),
	}
}
