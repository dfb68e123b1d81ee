package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// chunkLine bounds a chunk-size line with its extensions, and one trailer line.
const chunkLine = 4096

// trailerBytes bounds all trailer lines together.
const trailerBytes = 16 << 10

// BodyReader reads the body of one request: by Content-Length, by chunks, or
// what happens to be there when the head does not tell. It goes on past faults
// as far as the bytes can be understood. It is used by one goroutine.
type BodyReader struct {
	r       *bufio.Reader
	f       Framing
	left    int64 // of the Content-Length or of the current chunk
	started bool  // a chunk has been opened
	raw     bool  // framing is lost: only what is buffered comes out
	err     error
	size    int64
	faults  []Fault
	trailer []byte
}

// NewBodyReader returns a reader of the body that follows a head in r.
func NewBodyReader(r *bufio.Reader, f Framing) *BodyReader {
	b := &BodyReader{r: r, f: f, left: max(f.ContentLength, 0)}
	switch {
	case f.Unknown:
		b.lose(FaultBodyUnframed)
	case f.Chunked:
		b.left = 0
	case b.left == 0:
		b.err = io.EOF
	}
	return b
}

// Read reads decoded body bytes. It returns io.EOF at the end of the body,
// malformed or not; io.ErrUnexpectedEOF when the connection ended inside it;
// or the error of the connection (a timeout).
func (b *BodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, b.err
	}
	for b.err == nil {
		if b.raw {
			return b.readRaw(p)
		}
		if b.left == 0 {
			b.nextChunk()
			continue
		}
		n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		b.size += int64(n)
		if err != nil {
			b.fail(err)
		} else if b.left == 0 && !b.f.Chunked {
			b.err = io.EOF
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// ReadAll reads the body to its end. It returns the first keep bytes, counts
// the rest in Size, and stops, with FaultBodyLong, after most bytes (0: no
// bound). The error is nil when the body came to its end or to that bound.
func (b *BodyReader) ReadAll(keep, most int64) ([]byte, error) {
	var kept []byte
	buf := make([]byte, 4096)
	for {
		n, err := b.Read(buf)
		if room := keep - int64(len(kept)); room > 0 {
			kept = append(kept, buf[:min(int64(n), room)]...)
		}
		switch {
		case errors.Is(err, io.EOF):
			return kept, nil
		case err != nil:
			return kept, err
		case most > 0 && b.size >= most:
			if !b.f.Chunked && b.left == 0 {
				return kept, nil
			}
			b.fault(FaultBodyLong)
			b.err = io.EOF
			return kept, nil
		}
	}
}

// Size is the number of body bytes read so far, after removal of the chunked coding.
func (b *BodyReader) Size() int64 { return b.size }

// Faults is what was malformed so far. After any fault the connection must not carry another request.
func (b *BodyReader) Faults() []Fault { return b.faults }

// Trailer is the trailer lines after the last chunk as they came, without the empty line.
func (b *BodyReader) Trailer() []byte { return b.trailer }

// nextChunk reads the line end after a chunk, the next size line, and after the last chunk the trailer.
func (b *BodyReader) nextChunk() {
	if b.started && !b.chunkEnd() {
		return
	}
	line, ok := b.line()
	if !ok {
		return
	}
	digits, _, _ := bytes.Cut(line, []byte(";"))
	n, ok := parseHex(bytes.TrimRight(digits, " \t"))
	if !ok {
		b.lose(FaultChunkSize)
		return
	}
	_, _ = b.r.Discard(b.lineLen(line))
	b.left, b.started = n, true
	if n == 0 {
		b.readTrailer()
	}
}

// chunkEnd consumes the CRLF after chunk data; a bare LF is a fault that can be read past.
func (b *BodyReader) chunkEnd() bool {
	end, err := b.r.Peek(2)
	switch {
	case len(end) == 2 && end[0] == '\r' && end[1] == '\n':
		_, _ = b.r.Discard(2)
	case len(end) > 0 && end[0] == '\n':
		b.fault(FaultChunkLF)
		_, _ = b.r.Discard(1)
	case err != nil:
		b.fail(err)
		return false
	default:
		b.lose(FaultChunkEnd)
		return false
	}
	return true
}

// line peeks at one line, without its end; lineLen is what to discard for it.
func (b *BodyReader) line() ([]byte, bool) {
	most := min(chunkLine, b.r.Size())
	for n := 1; n <= most; {
		p, err := b.r.Peek(n)
		if err == nil {
			p, _ = b.r.Peek(min(b.r.Buffered(), most))
		}
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			if i > 0 && p[i-1] == '\r' {
				return p[:i-1], true
			}
			b.fault(FaultChunkLF)
			return p[:i], true
		}
		if err != nil {
			b.fail(err)
			return nil, false
		}
		n = len(p) + 1
	}
	b.lose(FaultChunkLine)
	return nil, false
}

// lineLen is the length of the peeked line with its end, which is still in the buffer.
func (b *BodyReader) lineLen(line []byte) int {
	p, _ := b.r.Peek(len(line) + 1)
	if p[len(line)] == '\n' {
		return len(line) + 1
	}
	return len(line) + 2
}

func (b *BodyReader) readTrailer() {
	for {
		line, ok := b.line()
		if !ok {
			return
		}
		n := b.lineLen(line)
		if len(line) == 0 {
			_, _ = b.r.Discard(n)
			b.trailer = trimLineEnd(b.trailer)
			b.err = io.EOF
			return
		}
		if len(b.trailer)+n > trailerBytes {
			b.lose(FaultTrailer)
			return
		}
		if bytes.IndexByte(line, ':') < 0 {
			b.fault(FaultTrailer)
		}
		full, _ := b.r.Peek(n)
		b.trailer = append(b.trailer, full...)
		_, _ = b.r.Discard(n)
	}
}

// readRaw hands out what is buffered and ends: nobody knows how much more to wait for.
func (b *BodyReader) readRaw(p []byte) (int, error) {
	n := min(len(p), b.r.Buffered())
	if n == 0 {
		b.err = io.EOF
		return 0, b.err
	}
	n, err := b.r.Read(p[:n])
	b.size += int64(n)
	if err != nil {
		b.err = err
	}
	return n, nil
}

func (b *BodyReader) lose(f Fault) {
	b.fault(f)
	b.raw = true
}

func (b *BodyReader) fail(err error) {
	if errors.Is(err, io.EOF) {
		b.fault(FaultBodyShort)
		err = io.ErrUnexpectedEOF
	}
	b.err = err
}

func (b *BodyReader) fault(f Fault) {
	for _, have := range b.faults {
		if have == f {
			return
		}
	}
	b.faults = append(b.faults, f)
}

// parseHex parses a chunk size of at most 15 digits, so that it fits an int64. One
// zero before them is read past, as net/http takes 16.
func parseHex(s []byte) (int64, bool) {
	if len(s) == 16 && s[0] == '0' {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range s {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, true
}
