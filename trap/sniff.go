package trap

import "bytes"

// speech is what the first bytes of a connection say about it.
type speech uint8

const (
	speechUnknown speech = iota // more bytes are needed
	speechHTTP                  // an HTTP/0.9, 1.0 or 1.1 request, well-formed or not
	speechHTTP2                 // the connection preface of HTTP/2
	speechTLS                   // a TLS record that begins a handshake
	speechText                  // lines of text of another protocol: RTSP, SIP, SMTP, SSH
	speechBinary                // anything else: SOCKS, RDP, SMB, SSL 2
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// sniff looks at the bytes received so far. end is true when no more will come.
func sniff(b []byte, end bool) speech {
	if len(b) == 0 {
		return speechUnknown
	}
	if b[0] == 0x16 { // RFC 8446, 5.1: ContentType handshake, then a version 3.x
		if len(b) > 1 && b[1] != 3 {
			return speechBinary
		}
		if len(b) == 1 && !end {
			return speechUnknown
		}
		return speechTLS
	}
	// RFC 9112, 2.2: empty lines before a request line are to be ignored.
	b = bytes.TrimLeft(b, "\r\n")
	if len(b) == 0 {
		if end {
			return speechText
		}
		return speechUnknown
	}
	if !isToken(b[0]) {
		return textOrBinary(b)
	}
	line, _, whole := bytes.Cut(b, []byte("\n"))
	if !whole && !end {
		if n := min(len(line), 64); !isText(line[:n]) {
			return speechBinary
		}
		return speechUnknown
	}
	if len(b) >= len(preface) && string(b[:len(preface)]) == preface {
		return speechHTTP2
	}
	if whole && string(line) == "PRI * HTTP/2.0\r" && !end && bytes.HasPrefix([]byte(preface), b) {
		return speechUnknown
	}
	if isRequestLine(bytes.TrimRight(line, "\r"), whole) {
		return speechHTTP
	}
	return textOrBinary(b)
}

// isRequestLine tells an HTTP request line from a line of another protocol. It
// is generous: a wrong "yes" costs nothing, for the bytes are recorded as they are.
func isRequestLine(line []byte, whole bool) bool {
	method, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		m, _, tab := bytes.Cut(line, []byte("\t"))
		return isMethod(m) && (tab || whole)
	}
	for _, c := range method {
		if !isToken(c) {
			return false
		}
	}
	rest = bytes.TrimLeft(rest, " ")
	target := rest
	if i := bytes.LastIndexByte(rest, ' '); i >= 0 {
		proto := bytes.ToUpper(rest[i+1:])
		if bytes.HasPrefix(proto, []byte("HTTP")) {
			return true
		}
		if i := bytes.IndexByte(proto, '/'); i > 0 && whole { // RTSP/1.0, SIP/2.0
			return false
		}
		target = rest[:i]
	}
	if len(target) == 0 {
		return isMethod(method)
	}
	if target[0] == '/' || target[0] == '*' {
		return true
	}
	lower := bytes.ToLower(target[:min(len(target), 8)])
	return bytes.HasPrefix(lower, []byte("http://")) || bytes.HasPrefix(lower, []byte("https://")) || isMethod(method)
}

// isMethod knows the methods of HTTP and WebDAV that scanners send.
func isMethod(m []byte) bool {
	switch string(bytes.ToUpper(m)) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "TRACK", "DEBUG",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT":
		return true
	}
	return false
}

func textOrBinary(b []byte) speech {
	if isText(b[:min(len(b), 512)]) {
		return speechText
	}
	return speechBinary
}

// isText is true when every byte is printable ASCII or white space.
func isText(b []byte) bool {
	for _, c := range b {
		if c >= 0x7f || c < 0x20 && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// isToken is true for the characters of an HTTP token (RFC 9110, 5.6.2).
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}
