package hash

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
)

// charsets knows how the page is encoded. It finds out when the first link that is not ASCII asks.
type charsets struct {
	page        []byte
	contentType string
	known       bool
	other       encoding.Encoding // nil: UTF-8
}

// encode takes a link apart that is not ASCII: a browser sends its path in UTF-8 and its query in the page's encoding. ok is false when the
// link's bytes are none of that encoding; what a browser would ask for is not certain then.
func (c *charsets) encode(value string, raw []byte, from start) (link, bool) {
	if !c.known {
		c.known = true
		if e, name, _ := charset.DetermineEncoding(c.page[:min(len(c.page), 1024)], c.contentType); name != "utf-8" {
			c.other = e
		}
	}
	if c.other == nil {
		if !utf8.ValidString(value) {
			return link{}, false
		}
		return parse(value, from)
	}
	text, err := c.other.NewDecoder().Bytes(raw)
	if err != nil || strings.ContainsRune(string(text), utf8.RuneError) {
		return link{}, false
	}
	l, ok := parse(unescape(text), from)
	if !ok {
		return l, false
	}
	if l.query, err = c.other.NewEncoder().String(l.query); err != nil {
		return l, false
	}
	return l, true
}
