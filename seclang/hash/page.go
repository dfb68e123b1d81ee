package hash

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // as in hash.go
	"encoding/hex"
	gohash "hash"
	"strings"

	"golang.org/x/net/html"
)

// maxWork bounds what one answer may cost beyond its own size: the bytes of all addresses that are looked at. A client chooses
// the length of the page's own path, and every relative link begins with it.
const maxWork = 16 << 20

// Signer signs the links of one answer.
type Signer struct {
	// Key with what SessionID or RemoteIP adds to it.
	Key []byte
	// Param is the parameter's name.
	Param string
	// Page is the path and query of the request, where relative links start.
	Page string
	// Named says which kinds have methods at all; others cost nothing.
	Named [5]bool
	// Wants says whether a method names this link. It is shown as mod_security2 shows it: from the root or with
	// scheme and host, decoded and normalised.
	Wants func(k Kind, link string) bool

	mac  gohash.Hash
	work int
	text charsets
}

// HTML signs the links of a page. page is not changed; what comes back is page itself when no link was signed.
// contentType is that of the answer.
func (s *Signer) HTML(page []byte, contentType string) (out []byte, signed int) {
	s.text = charsets{page: page, contentType: contentType}
	from := startAt(s.Page)
	based := false
	z := html.NewTokenizer(bytes.NewReader(page))
	copied := 0
	for at, next := 0, 0; ; at = next {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		// The raw bytes of the tokens partition the page, but reading a tag's name changes the tokenizer's copy of them.
		next = at + len(z.Raw())
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		name, hasAttr := z.TagName()
		if string(name) == "noscript" {
			z.NextIsNotRawText() // a browser without scripts follows the links in it
		}
		if !hasAttr {
			continue
		}
		if string(name) == "base" {
			if v, _, ok := s.value(z, page, at, next, "href"); ok && !based {
				from, based = s.base(v, from), true
			}
			continue
		}
		for _, w := range s.wanted(name) {
			v, where, ok := s.value(z, page, at, next, w.attr)
			if !ok || w.kind == FormAction && where.option {
				continue
			}
			signedLink, ok := s.sign(w.kind, v, page[where.from:where.to], from)
			if !ok {
				continue
			}
			if out == nil {
				out = make([]byte, 0, len(page)+len(page)/8+256)
			}
			out = append(append(out, page[copied:where.from]...), signedLink...)
			copied = where.to
			signed++
			break
		}
	}
	if signed == 0 {
		return page, 0
	}
	return append(out, page[copied:]...), signed
}

// Header signs the value of a Location header.
func (s *Signer) Header(value string) (string, bool) {
	if !s.Named[Location] || !ascii(value) {
		return value, false
	}
	l, ok := parse(value, startAt(s.Page))
	if !ok || l.signed(s.Param) {
		return value, false
	}
	if l.hashed = l.canonical(); !s.Wants(Location, value) && !s.Wants(Location, l.shown()) {
		return value, false
	}
	return string(s.append(nil, &l)), true
}

// attribute is a kind of link and the attribute that holds it.
type attribute struct {
	kind Kind
	attr string
}

// wanted are the attributes to look at in a tag, in the order of the tag's likely use.
func (s *Signer) wanted(tag []byte) []attribute {
	var a [2]attribute
	n := 0
	add := func(k Kind, attr string) {
		if s.Named[k] {
			a[n] = attribute{k, attr}
			n++
		}
	}
	switch string(tag) {
	case "form":
		add(FormAction, "action")
	case "iframe":
		add(IframeSrc, "src")
	case "frame":
		add(FrameSrc, "src")
	}
	add(Href, "href")
	return a[:n]
}

// value is the first attribute of that name, without entities, and where it stands in the page.
func (s *Signer) value(z *html.Tokenizer, page []byte, at, next int, name string) (string, span, bool) {
	where, ok := find(page[at:next], name)
	if !ok {
		return "", where, false
	}
	where.from, where.to = where.from+at, where.to+at
	raw := page[where.from:where.to]
	for more := escaped(raw); more; {
		var key, val []byte
		if key, val, more = z.TagAttr(); string(key) == name {
			return string(val), where, true
		}
	}
	return unescape(raw), where, true
}

// base is where relative links start below <base href>.
func (s *Signer) base(href string, page start) start {
	l, ok := parse(href, page)
	if ok {
		return start{path: l.path, query: l.query, hasQuery: l.hasQuery}
	}
	if l.written == "" {
		return page
	}
	if rest := withoutOrigin(l.written); rest == "/" || strings.HasPrefix(rest, "//") && !strings.Contains(rest[2:], "/") {
		return start{path: "/", query: l.query, hasQuery: l.hasQuery} // a host without a path
	}
	return start{nowhere: true}
}

// sign is the attribute's new value, ready for the page.
func (s *Signer) sign(k Kind, value string, raw []byte, from start) ([]byte, bool) {
	if !s.fits(len(value) + len(from.path)) {
		return nil, false
	}
	l, ok := parse(value, from)
	if !ok || l.signed(s.Param) {
		return nil, false
	}
	if !ascii(value) {
		if l, ok = s.text.encode(value, raw, from); !ok {
			return nil, false
		}
	}
	l.hashed = l.canonical()
	if !s.Wants(k, l.shown()) {
		return nil, false
	}
	return escapeAttr(s.append(make([]byte, 0, len(l.written)+len(l.query)+len(l.fragment)+len(s.Param)+64), &l)), true
}

// fits counts the work that a link of n bytes makes.
func (s *Signer) fits(n int) bool {
	s.work += n + 64
	return s.work <= maxWork+8*len(s.text.page)
}

// signed says that the link carries the parameter already.
func (l *link) signed(param string) bool {
	q := l.query
	for {
		i := strings.Index(q, param)
		if i < 0 {
			return false
		}
		rest := q[i+len(param):]
		if (i == 0 || q[i-1] == '&' || q[i-1] == ';') && (rest == "" || rest[0] == '=') {
			return true
		}
		q = rest
	}
}

// shown is the link as methods see it.
func (l *link) shown() string {
	return l.origin + "/" + l.hashed + l.fragment
}

func (l *link) canonical() string {
	path := strings.TrimPrefix(normalise(escaping(l.path, inPath)), "/")
	if l.hasQuery {
		return path + "?" + escaping(l.query, inQuery)
	}
	return path
}

// append writes the signed link: as it was written, with the parameter before the fragment, which no browser sends.
func (s *Signer) append(dst []byte, l *link) []byte {
	if s.mac == nil {
		s.mac = hmac.New(sha1.New, s.Key)
	}
	s.mac.Reset()
	s.mac.Write([]byte(l.hashed))
	var d [sha1.Size]byte
	dst = escape(dst, l.written, inPath)
	sep := byte('?')
	if l.hasQuery {
		dst = escape(append(dst, '?'), l.query, inQuery)
		sep = '&'
	}
	dst = append(append(append(dst, sep), s.Param...), '=')
	dst = hex.AppendEncode(dst, s.mac.Sum(d[:0]))
	return escape(dst, l.fragment, inQuery)
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
