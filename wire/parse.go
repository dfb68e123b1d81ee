package wire

import (
	"net/http"
	"strings"
)

// ParseHead parses a head as it came: request line and header lines, with or
// without the final empty line. It keeps raw (without that line) in the Head.
func ParseHead(raw []byte, limits Limits) *Head {
	h := &Head{Raw: raw}
	text := string(raw)
	if strings.IndexByte(text, 0) >= 0 {
		h.fault(FaultNUL)
	}
	line, rest, more := h.cutLine(text)
	h.requestLine(line)
	limit := limits.headers()
	h.Headers = make([]Header, 0, min(strings.Count(rest, "\n")+1, 64, limit))
	for more {
		line, rest, more = h.cutLine(rest)
		if line == "" {
			break
		}
		for more && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
			var next string
			next, rest, more = h.cutLine(rest)
			line = trimSpace(line) + " " + trimSpace(next)
			h.fault(FaultFold)
		}
		if len(h.Headers) == limit {
			h.fault(FaultManyHeaders)
			break
		}
		h.headerLine(line)
	}
	h.judgeHost()
	h.judgeFraming()
	return h
}

// cutLine cuts the first line off text and notes what is odd about its end.
func (h *Head) cutLine(text string) (line, rest string, more bool) {
	line, rest, more = strings.Cut(text, "\n")
	switch {
	case strings.HasSuffix(line, "\r"):
		line = line[:len(line)-1]
	case more:
		h.fault(FaultBareLF)
	}
	if strings.IndexByte(line, '\r') >= 0 {
		h.fault(FaultBareCR)
	}
	return line, rest, more
}

func (h *Head) requestLine(line string) {
	for i := range len(line) {
		if c := line[i]; c < ' ' && c != 0 || c == 0x7f {
			h.fault(FaultControl)
			break
		}
	}
	if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
		h.fault(FaultRequestLine)
	}
	line = trimSpace(line)
	method, rest, found := cutSpace(line)
	h.Method = method
	if !isTokenString(method) {
		h.fault(FaultRequestLine)
	}
	if !found {
		h.fault(FaultRequestLine)
		return
	}
	h.Target = trimSpace(rest)
	if i := strings.LastIndexAny(h.Target, " \t"); i >= 0 {
		h.Proto = h.Target[i+1:]
		h.Target = trimSpace(h.Target[:i])
	} else if strings.HasPrefix(h.Target, "HTTP/") {
		// "GET HTTP/1.1": the target is missing, not the protocol.
		h.Proto, h.Target = h.Target, ""
		h.fault(FaultRequestLine)
	}
	if line != h.Method+" "+h.Target+" "+h.Proto && h.Proto != "" || strings.ContainsAny(h.Target, " \t") {
		h.fault(FaultRequestLine)
	}
	h.judgeTarget()
	h.judgeProto()
}

// judgeTarget checks the form of the target: a path, an absolute URI, "*", or
// host and port of CONNECT. A fragment has no place in any of them.
func (h *Head) judgeTarget() {
	t := h.Target
	scheme, _, absolute := strings.Cut(t, "://")
	switch {
	case strings.IndexByte(t, '#') >= 0:
	case h.Method == http.MethodConnect:
		host, port, ok := cutLast(t, ':')
		if _, number := parseLength(port); ok && number && host != "" {
			return
		}
	case strings.HasPrefix(t, "/"), t == "*", absolute && isTokenString(scheme):
		return
	}
	h.fault(FaultTarget)
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func (h *Head) judgeProto() {
	switch p := h.Proto; {
	case p == "HTTP/1.1", p == "HTTP/1.0":
	case p == "":
		h.fault(FaultNoProtocol)
		if h.Method != http.MethodGet {
			h.fault(FaultRequestLine)
		}
	case len(p) == 8 && p[:5] == "HTTP/" && isDigit(p[5]) && p[6] == '.' && isDigit(p[7]):
		h.fault(FaultVersion)
	default:
		h.fault(FaultProtocol)
	}
}

func (h *Head) headerLine(line string) {
	name, value, found := strings.Cut(line, ":")
	if !found {
		h.fault(FaultNoColon)
		return
	}
	if t := strings.TrimRight(name, " \t"); t != name {
		name = t
		h.fault(FaultSpaceBeforeColon)
	}
	if !isTokenString(name) {
		h.fault(FaultName)
	}
	value = trimSpace(value)
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' && c != 0 || c == 0x7f {
			h.fault(FaultControl)
			break
		}
	}
	h.Headers = append(h.Headers, Header{Name: name, Value: value})
}

func (h *Head) judgeHost() {
	n := 0
	for i := range h.Headers {
		if equalFold(h.Headers[i].Name, "host") {
			n++
			if !validHost(h.Headers[i].Value) {
				h.fault(FaultHost)
			}
		}
	}
	switch {
	case n > 1:
		h.fault(FaultManyHosts)
	case n == 0 && h.Proto != "HTTP/1.0" && h.Proto != "":
		h.fault(FaultNoHost)
	}
}

// validHost checks as Apache's strict mode does: a name of letters, digits,
// '-', '_' and '.', or an address in brackets, and a port. Empty is allowed by
// RFC 9112 only where the target names no host; no client of ours sends that.
func validHost(s string) bool {
	if s == "" {
		return false
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		addr, after, found := strings.Cut(rest, "]")
		return found && addr != "" && strings.Trim(addr, "0123456789abcdefABCDEF:.") == "" && validPort(after)
	}
	i := 0
	for i < len(s) && (isAlnum(s[i]) || s[i] == '-' || s[i] == '_' || s[i] == '.') {
		i++
	}
	return i > 0 && validPort(s[i:])
}

func validPort(s string) bool {
	if s == "" || s == ":" {
		return true
	}
	_, ok := parseLength(s[1:])
	return s[0] == ':' && ok
}

// judgeFraming follows RFC 9112 section 6.3, and says so when the headers
// leave a choice: a choice is what request smuggling lives on.
func (h *Head) judgeFraming() {
	f := &h.Framing
	f.ContentLength = -1
	f.Close = h.Proto != "HTTP/1.1"
	var codings, upgrade bool
	for i := range h.Headers {
		name, value := h.Headers[i].Name, h.Headers[i].Value
		switch {
		case equalFold(name, "content-length"):
			h.contentLength(value)
		case equalFold(name, "transfer-encoding"):
			h.transferCoding(value, codings)
			codings = true
		case equalFold(name, "connection"):
			for tok := range strings.SplitSeq(value, ",") {
				switch tok = trimSpace(tok); {
				case equalFold(tok, "close"):
					f.Close = true
				case equalFold(tok, "keep-alive") && h.Proto == "HTTP/1.0":
					f.Close = false
				case equalFold(tok, "upgrade"):
					upgrade = true
				}
			}
		case equalFold(name, "expect"):
			f.Expect100 = equalFold(value, "100-continue") && h.Proto != "HTTP/1.0"
		}
	}
	if _, ok := h.Get("upgrade"); (ok && upgrade) || h.Method == http.MethodConnect {
		f.Upgrade = true
	}
	if codings && f.ContentLength >= 0 {
		h.fault(FaultLengthAndCoding)
		f.Close = true
	}
	if codings && h.Proto != "HTTP/1.1" {
		h.fault(FaultCodingVersion)
		f.Close = true
	}
	if f.Unknown {
		f.Close, f.Chunked = true, false
	}
}

func (h *Head) contentLength(value string) {
	n, ok := parseLength(value)
	f := &h.Framing
	switch {
	case !ok:
		h.fault(FaultLength)
		f.Unknown = true
	case f.ContentLength >= 0:
		h.fault(FaultLengthTwice)
		f.Close = true
		f.Unknown = f.Unknown || n != f.ContentLength
	default:
		f.ContentLength = n
	}
}

func (h *Head) transferCoding(value string, seen bool) {
	last := value
	if i := strings.LastIndexByte(value, ','); i >= 0 {
		last = value[i+1:]
	}
	if equalFold(trimSpace(last), "chunked") {
		h.Framing.Chunked = true
	} else {
		h.Framing.Unknown = true
	}
	if seen || !equalFold(value, "chunked") {
		h.fault(FaultCoding)
		h.Framing.Close = true
	}
}

// parseLength parses digits only: no sign, no list, at most 18 digits.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func cutSpace(s string) (before, after string, found bool) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether c is a tchar of RFC 9110 section 5.6.2.
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isTokenString(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}

// equalFold compares in ASCII only: Unicode folding would let U+212A pass for k.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}
