package audit

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonValue is a JSON value read for what audit logs really hold: keys that occur twice stay twice and
// in order, and strings that are not valid UTF-8 keep their bytes. encoding/json does neither.
type jsonValue struct {
	kind  byte // '{' '[' '"' '0' (number) 't' 'f' 'n', 0 for what is absent
	text  string
	keys  []string // of an object, beside items
	items []jsonValue
}

var errJSON = errors.New("malformed JSON")

const maxJSONDepth = 32

// parseJSONValue reads one value. What follows it is ignored.
func parseJSONValue(b []byte) (jsonValue, error) {
	p := jsonParser{b: b}
	v, ok := p.value(0)
	if !ok {
		return v, errJSON
	}
	return v, nil
}

// get returns the first value of a key, or an absent one.
func (v jsonValue) get(keys ...string) jsonValue {
	for _, key := range keys {
		found := jsonValue{}
		for i, k := range v.keys {
			if k == key {
				found = v.items[i]
				break
			}
		}
		v = found
	}
	return v
}

// str returns the text of a string, number or boolean.
func (v jsonValue) str() string { return v.text }

func (v jsonValue) int() int64 {
	if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || f != f || f > 1<<53 || f < -1<<53 {
		return 0
	}
	return int64(f)
}

// list returns the items of an array, or the value itself when it is no array.
func (v jsonValue) list() []jsonValue {
	switch v.kind {
	case 0, 'n':
		return nil
	case '[':
		return v.items
	}
	return []jsonValue{v}
}

type jsonParser struct {
	b  []byte
	at int
}

func (p *jsonParser) space() {
	for p.at < len(p.b) && (p.b[p.at] == ' ' || p.b[p.at] == '\t' || p.b[p.at] == '\n' || p.b[p.at] == '\r') {
		p.at++
	}
}

// next takes c if it is the next byte that is not blank.
func (p *jsonParser) next(c byte) bool {
	p.space()
	if p.at < len(p.b) && p.b[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *jsonParser) value(depth int) (jsonValue, bool) {
	p.space()
	if p.at >= len(p.b) || depth > maxJSONDepth {
		return jsonValue{}, false
	}
	switch c := p.b[p.at]; {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, ok := p.text()
		return jsonValue{kind: '"', text: s}, ok
	case c == '-' || c >= '0' && c <= '9':
		start := p.at
		for p.at < len(p.b) && isNumberByte(p.b[p.at]) {
			p.at++
		}
		return jsonValue{kind: '0', text: string(p.b[start:p.at])}, true
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if len(p.b)-p.at >= len(word) && string(p.b[p.at:p.at+len(word)]) == word {
			p.at += len(word)
			return jsonValue{kind: word[0], text: word}, true
		}
	}
	return jsonValue{}, false
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (p *jsonParser) object(depth int) (jsonValue, bool) {
	v := jsonValue{kind: '{'}
	p.at++
	if p.next('}') {
		return v, true
	}
	for {
		p.space()
		if p.at >= len(p.b) || p.b[p.at] != '"' {
			return v, false
		}
		key, ok := p.text()
		if !ok || !p.next(':') {
			return v, false
		}
		item, ok := p.value(depth + 1)
		v.keys, v.items = append(v.keys, key), append(v.items, item)
		if !ok {
			return v, false
		}
		if p.next('}') {
			return v, true
		}
		if !p.next(',') {
			return v, false
		}
	}
}

func (p *jsonParser) array(depth int) (jsonValue, bool) {
	v := jsonValue{kind: '['}
	p.at++
	if p.next(']') {
		return v, true
	}
	for {
		item, ok := p.value(depth + 1)
		v.items = append(v.items, item)
		if !ok {
			return v, false
		}
		if p.next(']') {
			return v, true
		}
		if !p.next(',') {
			return v, false
		}
	}
}

// text reads a string; bytes that are no UTF-8 and control bytes are taken as they are.
func (p *jsonParser) text() (string, bool) {
	p.at++
	start := p.at
	for p.at < len(p.b) && p.b[p.at] != '"' && p.b[p.at] != '\\' {
		p.at++
	}
	if p.at >= len(p.b) {
		return "", false
	}
	if p.b[p.at] == '"' {
		p.at++
		return string(p.b[start : p.at-1]), true
	}
	out := append([]byte(nil), p.b[start:p.at]...)
	for p.at < len(p.b) {
		c := p.b[p.at]
		p.at++
		switch {
		case c == '"':
			return string(out), true
		case c == '\\' && p.at < len(p.b):
			out = p.escape(out)
		default:
			out = append(out, c)
		}
	}
	return string(out), false
}

func (p *jsonParser) escape(out []byte) []byte {
	c := p.b[p.at]
	p.at++
	switch c {
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'u':
		r, ok := p.hex4()
		if !ok {
			return append(out, '\\', 'u')
		}
		if utf16.IsSurrogate(r) && p.at+1 < len(p.b) && p.b[p.at] == '\\' && p.b[p.at+1] == 'u' {
			back := p.at
			p.at += 2
			if low, ok := p.hex4(); ok {
				if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
					return utf8.AppendRune(out, full)
				}
			}
			p.at = back
		}
		return utf8.AppendRune(out, r)
	}
	return append(out, c)
}

func (p *jsonParser) hex4() (rune, bool) {
	if len(p.b)-p.at < 4 {
		return 0, false
	}
	var r rune
	for _, c := range p.b[p.at : p.at+4] {
		h := hexValue(c)
		if h < 0 {
			return 0, false
		}
		r = r<<4 | rune(h)
	}
	p.at += 4
	return r, true
}

// appendJSONString appends s in quotes. JSON has no bytes: one that is not UTF-8 becomes the code
// point of the same number, so that a line is always valid JSON (ModSecurity's own is not).
func appendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < 0x80:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n <= 1 {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
				break
			}
			dst = append(dst, s[i:i+n]...)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
