// Package wire reads HTTP/1 and TLS hellos as bytes that came, well-formed or not.
//
// In come the bytes of a connection whose other end may be hostile; out go the
// head of a request exactly as it was sent, what of it can be understood, and a
// list of the faults in it. The traps read with ReadHead and BodyReader, the
// real site keeps net/http and lets a Recorder look over its shoulder. No
// function panics, none allocates more than the limits it was given, nothing
// here is written to disk.
package wire

// Verdict says what ReadHead found at the start of a connection or request.
type Verdict uint8

// The verdicts of ReadHead.
const (
	// HTTP is a complete head of HTTP/0.9 or HTTP/1, well-formed or malformed.
	HTTP Verdict = iota
	// NotHTTP is something else: a TLS hello, SSH, RDP, an HTTP/2 preface. Its bytes are still unread.
	NotHTTP
	// Short is a connection that ended, or timed out, before the head was complete.
	Short
	// TooLong is a head over Limits.Head: what came up to the limit is kept.
	TooLong
)

// String returns the name of the verdict.
func (v Verdict) String() string {
	switch v {
	case HTTP:
		return "http"
	case NotHTTP:
		return "not http"
	case Short:
		return "short"
	case TooLong:
		return "too long"
	}
	return "unknown"
}

// Fault is one thing that is malformed in a request. Faults never stop a
// reader of this package; they are for the record and for the caller to judge.
type Fault string

// The faults of a head.
const (
	FaultBareLF           Fault = "bare LF"
	FaultBareCR           Fault = "bare CR"
	FaultNUL              Fault = "NUL byte"
	FaultControl          Fault = "control character"
	FaultLeadingLine      Fault = "empty line before the request line"
	FaultRequestLine      Fault = "bad request line"
	FaultProtocol         Fault = "bad protocol"
	FaultVersion          Fault = "unsupported HTTP version"
	FaultNoProtocol       Fault = "no protocol (HTTP/0.9)"
	FaultTarget           Fault = "bad request target"
	FaultNoHost           Fault = "no Host"
	FaultHost             Fault = "bad Host"
	FaultManyHosts        Fault = "several Host headers"
	FaultNoColon          Fault = "header without colon"
	FaultName             Fault = "bad header name"
	FaultSpaceBeforeColon Fault = "space before colon"
	FaultFold             Fault = "folded header"
	FaultManyHeaders      Fault = "too many headers"
	FaultLengthTwice      Fault = "duplicate Content-Length"
	FaultLength           Fault = "bad Content-Length"
	FaultLengthAndCoding  Fault = "Content-Length and Transfer-Encoding"
	FaultCoding           Fault = "bad Transfer-Encoding"
	FaultCodingVersion    Fault = "Transfer-Encoding before HTTP/1.1"
)

// The faults of a body.
const (
	FaultChunkSize    Fault = "bad chunk size"
	FaultChunkLF      Fault = "bare LF in chunked body"
	FaultChunkEnd     Fault = "no CRLF after chunk"
	FaultChunkLine    Fault = "chunk size line too long"
	FaultTrailer      Fault = "bad trailer"
	FaultBodyShort    Fault = "body ended early"
	FaultBodyUnframed Fault = "body of unknown length"
	FaultBodyLong     Fault = "body over the limit"
)

// Limits bounds what ReadHead keeps. Zero fields mean the defaults.
type Limits struct {
	Head    int // bytes of the head, 64 KiB
	Headers int // header lines that are split into Headers, 16,384; Raw keeps the rest
}

const (
	defaultHead    = 64 << 10
	defaultHeaders = 1 << 14 // more than fit into the default of Head
	// leadingBytes is how much CR and LF is skipped before a request line.
	leadingBytes = 64
)

func (l Limits) head() int {
	if l.Head <= 0 {
		return defaultHead
	}
	return l.Head
}

func (l Limits) headers() int {
	if l.Headers <= 0 {
		return defaultHeaders
	}
	return l.Headers
}

// Header is one header line: its name as written, its value without the white
// space around it, folded lines joined by one space as Apache does.
type Header struct{ Name, Value string }

// Framing says where the body of a request ends.
type Framing struct {
	// ContentLength is the declared length in bytes, -1 when none is declared or it cannot be read.
	ContentLength int64
	// Chunked wins over ContentLength when both are there (RFC 9112, section 6.3).
	Chunked bool
	// Unknown is true when the headers contradict each other or cannot be read:
	// nobody can tell where the body ends, so the connection must not be used again.
	Unknown bool
	// Close is true when the connection ends after this request.
	Close bool
	// Expect100 is true when the client waits for "100 Continue" before it sends the body.
	Expect100 bool
	// Upgrade is true for an Upgrade header named in Connection, and for CONNECT.
	Upgrade bool
}

// HasBody reports whether body bytes may follow the head.
func (f Framing) HasBody() bool { return f.Chunked || f.Unknown || f.ContentLength > 0 }

// Head is the head of one request.
type Head struct {
	// Raw is the request line and header lines as they came, without the empty
	// line that ends them. For NotHTTP: a copy of the bytes seen so far.
	Raw []byte
	// Method, Target and Proto are the parts of the request line; what is missing is empty.
	Method, Target, Proto string
	// Headers are the header lines in the order they came.
	Headers []Header
	// Faults is what is malformed, each fault once, in the order of discovery.
	Faults []Fault
	// Framing says where the body ends.
	Framing Framing
	// Protocol is what the bytes of a NotHTTP verdict look like; see Sniff.
	Protocol string
}

// Get returns the value of the first header with that name (any case).
func (h *Head) Get(name string) (value string, ok bool) {
	for i := range h.Headers {
		if equalFold(h.Headers[i].Name, name) {
			return h.Headers[i].Value, true
		}
	}
	return "", false
}

func (h *Head) fault(f Fault) {
	for _, have := range h.Faults {
		if have == f {
			return
		}
	}
	h.Faults = append(h.Faults, f)
}
