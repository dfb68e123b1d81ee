package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// ReadHead reads one request head from r. With HTTP the head and its final
// empty line are consumed and r stands at the body. With NotHTTP nothing is
// consumed, so that a TLS or HTTP/2 server can take r over. With Short and
// TooLong the bytes that came are in Head.Raw, parsed as far as they go; err
// is what ended the reading (io.EOF, a timeout) and nil for the other verdicts.
// The Head is never nil and the caller owns it.
func ReadHead(r *bufio.Reader, limits Limits) (*Head, Verdict, error) {
	lead, err := emptyLines(r)
	if err != nil {
		raw, _ := r.Peek(lead)
		raw = bytes.Clone(raw)
		_, _ = r.Discard(lead)
		return &Head{Raw: raw, Framing: Framing{ContentLength: -1, Close: true}}, Short, err
	}
	raw, verdict, err := readLines(r, lead, limits.head())
	if verdict == NotHTTP {
		return notHTTP(r)
	}
	h := ParseHead(raw, limits)
	if verdict == HTTP {
		h.Raw = trimHeadEnd(raw)
	}
	if lead > 0 {
		h.fault(FaultLeadingLine)
	}
	if verdict != HTTP {
		h.Framing.Close = true
	}
	return h, verdict, err
}

// emptyLines counts the bytes of empty lines that RFC 9112 section 2.2 lets
// clients send before a request. It waits for the first byte that is none.
func emptyLines(r *bufio.Reader) (int, error) {
	n := 0
	for n < leadingBytes && n < r.Size()/2 {
		b, err := r.Peek(n + 1)
		if err != nil {
			return n, err
		}
		if b[n] != '\r' && b[n] != '\n' {
			break
		}
		n++
	}
	return n, nil
}

func notHTTP(r *bufio.Reader) (*Head, Verdict, error) {
	b, _ := r.Peek(r.Buffered())
	raw := bytes.Clone(b)
	return &Head{Raw: raw, Protocol: Sniff(raw), Framing: Framing{ContentLength: -1, Close: true}}, NotHTTP, nil
}

// readLines collects lines up to the empty one. The first line, after lead
// bytes of empty lines, decides whether this is HTTP at all: until it is known
// nothing is consumed, as far as the buffer of r can hold it.
func readLines(r *bufio.Reader, lead, limit int) ([]byte, Verdict, error) {
	line, err := peekLine(r, lead)
	if !looksHTTP(line) {
		return nil, NotHTTP, nil
	}
	_, _ = r.Discard(lead)
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		raw, _ := r.Peek(min(len(line), limit))
		raw = bytes.Clone(raw)
		_, _ = r.Discard(len(raw))
		return raw, Short, err
	}
	raw := make([]byte, 0, min(r.Buffered(), limit))
	start := 0 // of the current line in raw
	first := true
	for {
		part, err := r.ReadSlice('\n')
		if room := limit - len(raw); len(part) > room {
			return append(raw, part[:room]...), TooLong, nil
		}
		raw = append(raw, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return raw, Short, noEOF(err)
		}
		if isEmptyLine(raw[start:]) {
			return raw, HTTP, nil
		}
		if first && isSimpleRequest(raw) {
			return raw, HTTP, nil
		}
		first, start = false, len(raw)
	}
}

// peekLine waits for the first line after skip bytes, for the end of the
// buffer or of the input, or until the bytes cannot be HTTP. It consumes nothing.
func peekLine(r *bufio.Reader, skip int) ([]byte, error) {
	for n := skip + 1; ; {
		b, err := r.Peek(n)
		if err == nil {
			b, _ = r.Peek(r.Buffered())
		}
		b = b[min(skip, len(b)):]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			return b[:i+1], nil
		}
		if err != nil {
			return b, noEOF(err)
		}
		// What cannot become HTTP is known long before its line ends: an RDP
		// client sends 19 bytes and waits for us.
		if !looksHTTP(b) {
			return b, nil
		}
		n = skip + len(b) + 1
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// looksHTTP reports whether a line, or its beginning, is or may become a
// request line: a token, a space, anything; or anything that names HTTP/.
func looksHTTP(line []byte) bool {
	if proto := Sniff(line); proto != "" {
		return false
	}
	i := 0
	for i < len(line) && isToken(line[i]) {
		i++
	}
	switch {
	case i == len(line):
		return true // may still become one
	case i > 0 && (line[i] == ' ' || line[i] == '\t'):
		return true
	}
	return bytes.Contains(line, []byte(" HTTP/")) || (i == 0 && !hasLF(line) && (line[0] == ' ' || line[0] == '\t'))
}

func hasLF(b []byte) bool { return bytes.IndexByte(b, '\n') >= 0 }

// isSimpleRequest reports whether the request line is that of HTTP/0.9: a
// method and a target and no more. No header lines follow it.
func isSimpleRequest(line []byte) bool {
	line = bytes.TrimSpace(line)
	i := bytes.IndexAny(line, " \t")
	if i < 0 {
		return true
	}
	rest := bytes.TrimLeft(line[i:], " \t")
	return !bytes.ContainsAny(rest, " \t") && !bytes.HasPrefix(rest, []byte("HTTP/"))
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// trimHeadEnd cuts the empty line that ends a head, and the line end before it.
func trimHeadEnd(raw []byte) []byte {
	raw = trimLineEnd(raw)
	if bytes.HasSuffix(raw, []byte("\n")) {
		return trimLineEnd(raw)
	}
	return raw
}

func trimLineEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n := len(b); n > 0 && b[n-1] == '\r' {
			b = b[:n-1]
		}
	}
	return b
}
