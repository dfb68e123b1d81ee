package hash

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// span is where the value of an attribute stands in a tag, quotes left out.
type span struct {
	from, to int
	option   bool // the tag has an attribute named option, too
}

// find looks for the first attribute of that name in a start tag, as the tokenizer of HTML reads it (WHATWG 13.2.5.32 ff.):
//
//	<name key = "value" key='value' key=value key / key>
func find(tag []byte, name string) (where span, ok bool) {
	i := 1
	for i < len(tag) && !blank(tag[i]) && tag[i] != '/' && tag[i] != '>' {
		i++
	}
	for {
		for i < len(tag) && (blank(tag[i]) || tag[i] == '/') {
			i++
		}
		if i >= len(tag) || tag[i] == '>' {
			return where, ok
		}
		key := i
		for i++; i < len(tag) && tag[i] != '=' && tag[i] != '/' && tag[i] != '>' && !blank(tag[i]); i++ {
		}
		end := i
		v := span{from: end, to: end}
		i = valueOf(tag, i, &v)
		switch {
		case !ok && v.from > end && equalFold(tag[key:end], name):
			v.option = where.option
			where, ok = v, true
		case !ok && v.from == end && equalFold(tag[key:end], name):
			return where, false // without a value, and a later one does not count
		case equalFold(tag[key:end], "option"):
			where.option = true
		}
	}
}

// valueOf reads what follows an attribute's name and returns where it ends.
func valueOf(tag []byte, i int, v *span) int {
	j := i
	for j < len(tag) && blank(tag[j]) {
		j++
	}
	if j >= len(tag) || tag[j] != '=' {
		return i
	}
	for j++; j < len(tag) && blank(tag[j]); j++ {
	}
	if j >= len(tag) || tag[j] == '>' {
		return j
	}
	if q := tag[j]; q == '"' || q == '\'' {
		n := bytes.IndexByte(tag[j+1:], q)
		if n < 0 {
			return len(tag) // the page ends within
		}
		*v = span{from: j + 1, to: j + 1 + n}
		return v.to + 1
	}
	v.from = j
	for j < len(tag) && !blank(tag[j]) && tag[j] != '>' {
		j++
	}
	v.to = j
	return j
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func equalFold(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}

// unescape undoes the entities of an attribute's value, which follow other rules than those of text: in "?a=1&copy=2" there is none.
func unescape(raw []byte) string {
	if !escaped(raw) {
		return string(raw)
	}
	raw = bytes.ReplaceAll(raw, []byte{'"'}, []byte("&quot;"))
	tag := append(append(append(make([]byte, 0, len(raw)+8), `<a x="`...), raw...), `">`...)
	z := html.NewTokenizer(bytes.NewReader(tag))
	z.Next()
	_, val, _ := z.TagAttr()
	return string(val)
}

func escaped(raw []byte) bool {
	return bytes.IndexByte(raw, '&') >= 0 || bytes.IndexByte(raw, '\r') >= 0
}

// escapeAttr makes a link fit for any kind of attribute value, quoted or not. It holds no blanks, quotation marks or angle brackets.
func escapeAttr(b []byte) []byte {
	if bytes.IndexByte(b, '&') < 0 && bytes.IndexByte(b, '\'') < 0 {
		return b
	}
	b = bytes.ReplaceAll(b, []byte{'&'}, []byte("&amp;"))
	return bytes.ReplaceAll(b, []byte{'\''}, []byte("&#39;"))
}
