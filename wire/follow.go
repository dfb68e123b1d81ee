package wire

import (
	"bufio"
	"bytes"
	"net/http"
)

// follower walks the bytes of a connection in the steps of net/http: head,
// body, head. States:
//
//	head ──empty line──► (Content-Length) skip ──► head
//	                  ╲─► (chunked) size ──► skip ──► end ──► size … 0 ──► trailer ──► head
//
// Where net/http would refuse it is lost, and the caller stops observing.
type follower struct {
	limit   int
	state   followState
	head    []byte // of the request being read
	line    int    // start of the current line in head
	left    int64  // body or chunk bytes still to skip
	chunked bool
	small   []byte // current line of the chunked coding
	trailer int    // bytes of trailer lines
	excess  int64  // overhead of chunk lines, counted as net/http does
	post    bool   // the last request was a POST: up to 4 CR or LF may follow its body
	slack   int    // of these 4, how many are left
}

type followState uint8

const (
	stateHead followState = iota
	stateSkip
	stateSize
	stateChunkEnd
	stateTrailer
)

type followResult uint8

const (
	followMore followResult = iota // everything is consumed, or the state changed
	followHead                     // a head is complete: takeHead, then body
	followLost                     // net/http refuses here
)

func (f *follower) feed(p []byte) (int, followResult) {
	switch f.state {
	case stateHead:
		return f.feedHead(p)
	case stateSkip:
		n := int(min(int64(len(p)), f.left))
		if f.left -= int64(n); f.left == 0 {
			f.state = stateHead
			if f.chunked {
				f.state = stateChunkEnd
			}
		}
		return n, followMore
	}
	n := bytes.IndexByte(p, '\n') + 1
	if n == 0 {
		n = len(p)
	}
	if f.state == stateChunkEnd {
		n = min(n, 2-len(f.small))
	}
	f.small = append(f.small, p[:min(n, chunkLine+1)]...)
	if len(f.small) > chunkLine {
		return n, followLost
	}
	if f.state == stateChunkEnd {
		return n, f.chunkEnd()
	}
	if f.small[len(f.small)-1] != '\n' {
		return n, followMore
	}
	ok := false
	if f.state == stateSize {
		ok = f.chunkSize()
	} else {
		ok = f.trailerLine()
	}
	f.small = f.small[:0]
	if !ok {
		return n, followLost
	}
	return n, followMore
}

func (f *follower) feedHead(p []byte) (int, followResult) {
	skipped := 0
	if len(f.head) == 0 && f.post {
		for len(p) > skipped && f.slack > 0 && (p[skipped] == '\r' || p[skipped] == '\n') {
			skipped, f.slack = skipped+1, f.slack-1
		}
		if p = p[skipped:]; len(p) == 0 {
			return skipped, followMore
		}
	}
	if f.head == nil {
		f.head = make([]byte, 0, min(max(len(p), 512), f.limit)) // a head mostly comes in one piece
	}
	n := bytes.IndexByte(p, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(p)
	}
	if room := f.limit - len(f.head); n > room {
		f.head = append(f.head, p[:room]...)
		return skipped + n, followLost
	}
	f.head = append(f.head, p[:n]...)
	if !whole {
		return skipped + n, followMore
	}
	if isEmptyLine(f.head[f.line:]) && f.line > 0 {
		return skipped + n, followHead
	}
	f.line = len(f.head)
	return skipped + n, followMore
}

// takeHead hands over the head without its final empty line.
func (f *follower) takeHead() []byte {
	raw := trimLineEnd(f.head[:f.line])
	f.head, f.line = nil, 0
	return raw
}

// body decides what follows a complete head. It reports false when net/http
// will not read another request from this connection.
func (f *follower) body(raw []byte) bool {
	f.chunked, f.left = false, 0
	n, chunked, ok := framingOf(raw)
	if !ok {
		return false
	}
	f.post = bytes.HasPrefix(raw, []byte("POST "))
	f.slack = 4
	switch {
	case chunked:
		f.chunked, f.state, f.small, f.trailer, f.excess = true, stateSize, f.small[:0], 0, 0
	case n > 0:
		f.left, f.state = n, stateSkip
	default:
		f.state = stateHead
	}
	return true
}

// chunkSize follows internal/chunked.go: CRLF only, no other CR, at most 16 digits.
func (f *follower) chunkSize() bool {
	line := f.small
	if i := bytes.IndexByte(line, '\r'); i != len(line)-2 || i < 0 {
		return false
	}
	line = line[:len(line)-2]
	f.excess += int64(len(line)) + 2
	line, _, _ = bytes.Cut(bytes.TrimRight(line, " \t"), []byte(";"))
	n, ok := parseHex(line)
	if !ok {
		return false
	}
	f.excess = max(f.excess-16-2*min(n, 1<<40), 0)
	if f.excess > 16*1024 {
		return false
	}
	f.left, f.state = n, stateSkip
	if n == 0 {
		f.state = stateTrailer
	}
	return true
}

func (f *follower) chunkEnd() followResult {
	if len(f.small) < 2 && f.small[0] == '\r' {
		return followMore
	}
	ok := string(f.small) == "\r\n"
	f.small = f.small[:0]
	f.state = stateSize
	if !ok {
		return followLost
	}
	return followMore
}

func (f *follower) trailerLine() bool {
	f.trailer += len(f.small)
	if isEmptyLine(f.small) {
		// net/http takes a bare LF here only if a double CRLF comes soon after;
		// if none comes it hangs up, and what we see from here on is nobody's.
		f.state = stateHead
		return true
	}
	return f.trailer <= chunkLine
}

// framingOf returns the body length that net/http sees. Heads without framing
// headers, or with one plain Content-Length, are decided here; everything else
// is put to net/http itself, so that there is no second opinion to smuggle by.
func framingOf(raw []byte) (length int64, chunked, ok bool) {
	plain := true
	length = 0
	seen := 0
	for rest := raw; plain; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if len(rest) == 0 {
			break
		}
		switch rest[0] | 0x20 {
		case 'c', 't':
			name, value, _ := bytes.Cut(rest[:lineEnd(rest)], []byte(":"))
			switch {
			case equalFoldBytes(name, "content-length"):
				n, ok := parseLength(string(bytes.Trim(value, " \t\r")))
				length = n
				seen++
				plain = ok && seen == 1
			case equalFoldBytes(name, "transfer-encoding"):
				plain = false
			}
		}
		if rest[0] == ' ' || rest[0] == '\t' {
			plain = false // a folded line: let net/http unfold it
		}
	}
	if plain && !bytes.HasPrefix(raw, []byte("PRI ")) {
		return length, false, true
	}
	return askNetHTTP(raw)
}

func askNetHTTP(raw []byte) (length int64, chunked, ok bool) {
	text := make([]byte, 0, len(raw)+4)
	text = append(append(text, raw...), "\r\n\r\n"...)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
	if err != nil || req.ProtoMajor != 1 {
		return 0, false, false
	}
	return max(req.ContentLength, 0), len(req.TransferEncoding) > 0, true
}

func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i
	}
	return len(b)
}

func equalFoldBytes(b []byte, s string) bool {
	return len(b) == len(s) && equalFold(string(b), s)
}
