package seclang

import (
	"errors"
	"strconv"
	"strings"
)

// field is a name and a value in order of arrival.
type field struct{ name, value string }

// request is what came from the client.
type request struct {
	head     string // as it came; every other string may be a part of it
	hasHead  bool
	line     string
	method   string
	uriRaw   string
	uri      string // without scheme and host
	proto    string
	filename string // path without the query
	query    string
	hasQuery bool
	headers  []field
	cookies  []field
	argsGet  []field
	getError bool // %zz in the query string
	cut      bool // there were more headers than we look at

	requestBody
}

// Limits on what a head may hold beyond what servers let through already: more than fit into 64 KiB. What is left out
// without a sign hides an attack behind padding.
const (
	maxHeaders = 1 << 14
	maxCookies = 1 << 15
)

var errHeaders = errors.New("more than 1000 request headers: the rest is not inspected")

func (q *request) reuse(old *request) {
	q.headers, q.cookies, q.argsGet = emptied(old.headers), emptied(old.cookies), emptied(old.argsGet)
	q.requestBody.reuse(&old.requestBody)
}

// emptied returns the room of fs without what it held: an idle transaction must not keep a client's bytes alive.
func emptied(fs []field) []field {
	clear(fs)
	return fs[:0]
}

// RequestHead takes the request line and header lines as they came, with or without the empty line at the end. It
// never fails: of a malformed head it sets what can be set.
func (tx *Transaction) RequestHead(head []byte) {
	q := &tx.request
	q.head, q.hasHead = string(head), true
	rest := strings.TrimLeft(q.head, "\r\n") // empty lines before the request line are allowed, RFC 9112 2.2
	line, rest := cutLine(rest)
	tx.requestLine(line)
	for rest != "" && !q.cut {
		line, rest = cutLine(rest)
		if line == "" {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if n := len(q.headers); n > 0 { // obsolete folding
				q.headers[n-1].value += " " + strings.Trim(line, " \t")
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		tx.AddRequestHeader(strings.TrimRight(name, " \t"), strings.Trim(value, " \t"))
	}
}

func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return strings.TrimSuffix(s, "\r"), ""
	}
	return strings.TrimSuffix(s[:i], "\r"), s[i+1:]
}

func (tx *Transaction) requestLine(line string) {
	method, rest, _ := strings.Cut(line, " ")
	rest = strings.Trim(rest, " ")
	uri, proto := rest, ""
	if i := strings.LastIndexByte(rest, ' '); i >= 0 && len(rest) > i+5 && strings.EqualFold(rest[i+1:i+6], "HTTP/") {
		uri, proto = rest[:i], rest[i+1:]
	}
	if proto == "" && uri != "" {
		proto = "HTTP/0.9" // a simple request; Apache calls it so
	}
	tx.setRequestLine(line, method, strings.TrimRight(uri, " "), proto)
}

// RequestLine sets the request line for servers that have no raw bytes. proto is as "HTTP/1.1".
func (tx *Transaction) RequestLine(method, uri, proto string) {
	line := method + " " + uri
	if proto != "" {
		line += " " + proto
	}
	tx.setRequestLine(line, method, uri, proto)
}

func (tx *Transaction) setRequestLine(line, method, uri, proto string) {
	q := &tx.request
	q.line, q.method, q.uriRaw, q.proto = line, method, uri, proto
	q.uri = withoutHost(uri)
	if i := strings.IndexByte(q.uri, '#'); i >= 0 {
		q.uri = q.uri[:i]
	}
	q.filename, q.query, q.hasQuery = strings.Cut(q.uri, "?")
	q.filename = decodePath(q.filename)
	if q.hasQuery {
		q.argsGet, q.getError = tx.parseQuery(q.argsGet[:0], q.query)
	}
	tx.changed(vArgs, vArgsGet, vArgsNames, vArgsGetNames)
}

// decodePath undoes the percent escapes of a path, as Apache has done when mod_security2 looks at REQUEST_FILENAME.
// It comes after the cut at the question mark: %3f does not begin a query. Malformed escapes stay.
func decodePath(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:i]...)
	for ; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// authority is that of an absolute request target, without user and password; "" when there is none.
func authority(uri string) string {
	i := strings.Index(uri, "://")
	if i <= 0 || strings.ContainsAny(uri[:i], "/?#") {
		return ""
	}
	host := uri[i+3:]
	if j := strings.IndexAny(host, "/?#"); j >= 0 {
		host = host[:j]
	}
	return host[strings.LastIndexByte(host, '@')+1:]
}

// withoutHost takes scheme and authority from an absolute request target.
func withoutHost(uri string) string {
	i := strings.Index(uri, "://")
	if i <= 0 || strings.ContainsAny(uri[:i], "/?#") {
		return uri
	}
	rest := uri[i+3:]
	j := strings.IndexAny(rest, "/?#")
	if j < 0 {
		return "/"
	}
	if rest[j] != '/' {
		return "/" + rest[j:]
	}
	return rest[j:]
}

// AddRequestHeader adds one header line.
func (tx *Transaction) AddRequestHeader(name, value string) {
	q := &tx.request
	if len(q.headers) >= maxHeaders {
		if !q.cut {
			q.cut = true
			tx.operatorNote(errHeaders)
		}
		return
	}
	q.headers = append(q.headers, field{name, value})
	tx.changed(vRequestHeaders, vRequestHeadersNames)
	if strings.EqualFold(name, "cookie") {
		q.cookies = parseCookies(q.cookies, value, &tx.e.settings)
		tx.changed(vRequestCookies, vRequestCookiesNames)
	}
}

func parseCookies(dst []field, s string, set *Settings) []field {
	if set.CookieFormat == 1 {
		return parseCookiesV1(dst, s)
	}
	sep := set.CookieV0Separator
	for s != "" && len(dst) < maxCookies {
		var one string
		if i := strings.IndexByte(s, sep); i >= 0 {
			one, s = s[:i], s[i+1:]
		} else {
			one, s = s, ""
		}
		one = trimControls(one)
		if one == "" {
			continue
		}
		name, value, _ := strings.Cut(one, "=")
		dst = append(dst, field{trimControls(name), trimControls(value)})
	}
	return dst
}

// trimControls takes blanks and control characters from both ends of a cookie's name or value. Back ends take away
// more than blanks: what is "a\v" to the rules must not be "a" to them (GHSA-g4qm-m288-5cp9).
func trimControls(s string) string {
	for s != "" && (s[0] <= ' ' || s[0] == 0x7f) {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] <= ' ' || s[len(s)-1] == 0x7f) {
		s = s[:len(s)-1]
	}
	return s
}

// header returns the value of the first header of that name.
func (q *request) header(name string) string {
	for i := range q.headers {
		if strings.EqualFold(q.headers[i].name, name) {
			return q.headers[i].value
		}
	}
	return ""
}

// changed tells that what the variables hold is no longer what it was.
func (tx *Transaction) changed(vs ...varID) {
	for _, v := range vs {
		tx.ver[v]++
	}
}

// RequestHeaders runs phase 1.
func (tx *Transaction) RequestHeaders() *Interruption {
	tx.chooseProcessor()
	return tx.runPhase(1)
}
