package hash

import "strings"

// link is a link taken apart, with what a browser will ask for when it is followed.
type link struct {
	written  string // path as written, scheme and host included
	origin   string // scheme and host, when the link has them
	path     string // from the root, not normalised
	query    string
	hasQuery bool
	fragment string // with its #
	hashed   string // canonical, made when it is wanted
}

// start is where relative links start: the page's own address, or what <base> says.
type start struct {
	path, query string
	hasQuery    bool
	nowhere     bool // <base> leads to another scheme
}

func startAt(uri string) start {
	uri, _, _ = strings.Cut(uri, "#")
	s := start{}
	s.path, s.query, s.hasQuery = strings.Cut(withoutOrigin(uri), "?")
	return s
}

// parse takes text apart as a browser does (WHATWG URL). ok is false for what is no request to a server: another scheme, a place in
// the same page, an address without a path, which mod_security2 leaves alone, too.
func parse(text string, from start) (l link, ok bool) {
	var marked bool
	l.written, l.fragment, marked = strings.Cut(tidy(text), "#")
	if marked {
		if l.written == "" {
			return l, false
		}
		l.fragment = "#" + l.fragment
	}
	l.written, l.query, l.hasQuery = strings.Cut(l.written, "?")
	l.written = strings.ReplaceAll(l.written, `\`, "/")
	rest := l.written
	if scheme, after, found := cutScheme(rest); found {
		if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") || !strings.HasPrefix(after, "//") {
			return l, false
		}
		rest = after
	}
	switch {
	case strings.HasPrefix(rest, "//"):
		host, _, _ := strings.Cut(rest[2:], "/")
		l.path = rest[2+len(host):]
		l.origin = l.written[:len(l.written)-len(l.path)]
		return l, host != "" && l.path != ""
	case strings.HasPrefix(rest, "/"):
		l.path = rest
	case from.nowhere:
		return l, false
	case rest != "":
		l.path = from.path[:strings.LastIndexByte(from.path, '/')+1] + rest
	default:
		l.path = from.path
		if !l.hasQuery {
			l.query, l.hasQuery = from.query, from.hasQuery
		}
	}
	return l, true
}

// tidy drops what a browser drops: blanks around, tabs and ends of lines within.
func tidy(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	if !strings.ContainsAny(s, "\t\r\n") {
		return s
	}
	return strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(s)
}

func cutScheme(s string) (scheme, rest string, ok bool) {
	i := strings.IndexByte(s, ':')
	if i <= 0 || !letter(s[0]) {
		return "", s, false
	}
	for j := 1; j < i; j++ {
		if c := s[j]; !letter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return "", s, false
		}
	}
	return s[:i], s[i+1:], true
}

func letter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }

// withoutOrigin is the part of a whole address that begins with its path.
func withoutOrigin(uri string) string {
	scheme, rest, ok := cutScheme(uri)
	if !ok || !strings.HasPrefix(rest, "//") || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return uri
	}
	if i := strings.IndexByte(rest[2:], '/'); i >= 0 {
		return rest[2+i:]
	}
	return "/"
}

// absolute is uri from the root, when it is relative to page.
func absolute(uri, page string) string {
	if _, _, ok := cutScheme(uri); ok || strings.HasPrefix(uri, "/") {
		return uri
	}
	dir, _, _ := strings.Cut(page, "?")
	return dir[:strings.LastIndexByte(dir, '/')+1] + uri
}

// canonical is the text that is hashed.
func canonical(uri string) string {
	path, query, hasQuery := strings.Cut(uri, "?")
	path = strings.TrimPrefix(normalise(path), "/")
	if hasQuery {
		return path + "?" + query
	}
	return path
}

// normalise decodes a path once and takes out doubled slashes and dot segments. The escapes of the bytes that would end
// the path, or a string in C, stay.
func normalise(path string) string {
	if !strings.ContainsRune(path, '%') && !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.HasPrefix(path, ".") {
		return path
	}
	path = decode(path)
	out := make([]byte, 0, len(path))
	for i := 0; i <= len(path); {
		end := strings.IndexByte(path[i:], '/')
		last := end < 0
		if last {
			end = len(path) - i
		}
		segment := path[i : i+end]
		i += end + 1
		switch {
		case segment == "." || segment == "" && !last && len(out) > 0:
		case segment == "..":
			out = out[:max(lastSlash(out, len(out)-1), 0)]
			if len(out) == 0 && strings.HasPrefix(path, "/") {
				out = append(out, '/')
			}
		default:
			out = append(out, segment...)
			if !last {
				out = append(out, '/')
			}
		}
	}
	return string(out)
}

// lastSlash is the length of b up to and with the last slash before end.
func lastSlash(b []byte, end int) int {
	for i := end - 1; i >= 0; i-- {
		if b[i] == '/' {
			return i + 1
		}
	}
	return 0
}

func decode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if c := hi<<4 | lo; hi < 16 && lo < 16 && c != 0 && c != '?' && c != '#' {
				out = append(out, c)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// escape makes of s what a browser sends, so that the hash is of just that: blanks, what is not ASCII and the bytes of
// also are percent-encoded.
func escape(dst []byte, s, also string) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(also, c) >= 0 {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// escaping is escape for a string, which most often stays as it is.
func escaping(s, also string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(also, c) >= 0 {
			return string(escape(make([]byte, 0, len(s)+16), s, also))
		}
	}
	return s
}

// Percent-encode sets of the WHATWG URL standard, without what stands for itself in the part at hand.
const (
	inPath  = "\"<>`{}^"
	inQuery = "\"<>'"
)
