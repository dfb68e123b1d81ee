package body

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonParser walks JSON text once and emits one argument per scalar, in order.
// It is strict as yajl is, so that a body which some back end would read in
// another way (comments, trailing garbage, bad UTF-8, single quotes) is an
// error and not a guess. It keeps duplicates of a key: back ends differ in
// which one wins.
type jsonParser struct {
	s     string
	pos   int
	depth int
	limit int
	c     *Config
	r     *Result
	path  []byte // of the container being read
	names int    // bytes of names so far
}

// jsonError carries a message and the offset of the fault.
type jsonError struct {
	pos  int
	text string
}

func parseJSON(r *Result, text string, c *Config) {
	p := jsonParser{s: text, limit: min(c.JSONDepth, 100_000), c: c, r: r}
	if text == "" {
		return // an empty body is no error, as in ModSecurity; one of blanks is
	}
	p.space()
	if c.JSONNames == NamesV3 {
		p.path = append(p.path, "json"...)
	}
	err := p.value("")
	if err == nil {
		if p.space(); p.pos < len(p.s) {
			err = p.fail("trailing garbage")
		}
	}
	switch {
	case err == nil, c.Cut && p.pos >= len(p.s):
	case r.TooManyArgs:
		r.Error = "JSON parsing error: more arguments than SecArgumentsLimit"
	case err.text == depthText:
		r.Error = "JSON parsing error: " + err.text
	default:
		r.Error = fmt.Sprintf("JSON parsing error: %s at byte %d", err.text, err.pos)
	}
}

const (
	depthText = "JSON depth limit exceeded"
	// maxNames bounds the names of all arguments of one body together.
	maxNames = 8 << 20
)

func (p *jsonParser) fail(text string) *jsonError { return &jsonError{pos: p.pos, text: text} }

func (p *jsonParser) space() {
	for p.pos < len(p.s) {
		switch p.s[p.pos] {
		case ' ', '\t', '\n', '\r', '\v', '\f': // yajl takes the last two, which RFC 8259 does not have
			p.pos++
		default:
			return
		}
	}
}

// value reads one value. key is its name for version 2, where arrays repeat the name of the array.
func (p *jsonParser) value(key string) *jsonError {
	if p.pos >= len(p.s) {
		return p.fail("unexpected end of input")
	}
	start := p.pos
	switch c := p.s[p.pos]; {
	case c == '{':
		return p.object(key)
	case c == '[':
		return p.array(key)
	case c == '"':
		v, err := p.str()
		if err != nil && (!p.c.Cut || p.pos < len(p.s)) {
			return err
		}
		if e := p.emit(key, v, start+1); e != nil { // also the beginning of one that a limit cut
			return e
		}
		return err
	case c == '-' || '0' <= c && c <= '9':
		if err := p.number(); err != nil {
			return err
		}
		return p.emit(key, p.s[start:p.pos], start)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(p.s[p.pos:], word) {
			p.pos += len(word)
			if word == "null" {
				word = ""
			}
			return p.emit(key, word, start)
		}
	}
	return p.fail("invalid character in JSON text")
}

func (p *jsonParser) emit(key, value string, at int) *jsonError {
	if len(p.r.Args) >= p.c.ArgumentsLimit {
		p.r.TooManyArgs = true
		return p.fail("too many arguments")
	}
	name := string(p.path)
	if p.c.JSONNames == NamesV2 {
		if len(p.path) > 0 {
			name += "."
		}
		name += key
	}
	// Nesting repeats the path in every name: 20 KB of brackets could ask for 100 MB of names.
	if p.names += len(name); p.names > maxNames {
		return p.fail("names over the limit")
	}
	p.r.Args = append(p.r.Args, Arg{Name: name, Value: value, Offset: at})
	return nil
}

func (p *jsonParser) enter() *jsonError {
	if p.depth++; p.depth > p.limit {
		return p.fail(depthText)
	}
	p.pos++
	p.space()
	return nil
}

func (p *jsonParser) object(key string) *jsonError {
	outer := len(p.path)
	if p.c.JSONNames == NamesV2 && key != "" {
		p.push(key)
	}
	if err := p.enter(); err != nil {
		return err
	}
	base := len(p.path)
	for first := true; ; first = false {
		if p.pos < len(p.s) && p.s[p.pos] == '}' && first {
			break
		}
		if p.pos >= len(p.s) || p.s[p.pos] != '"' {
			return p.fail("object key must be a string")
		}
		name, err := p.str()
		if err != nil {
			return err
		}
		p.space()
		if p.pos >= len(p.s) || p.s[p.pos] != ':' {
			return p.fail("colon expected after object key")
		}
		p.pos++
		p.space()
		if p.c.JSONNames == NamesV3 {
			if p.path = append(p.path, '.'); name == "" {
				p.path = append(p.path, "empty-key"...) // its name in version 3
			}
			p.path = append(p.path, name...)
		}
		if err := p.value(name); err != nil {
			return err
		}
		p.path = p.path[:base]
		if more, err := p.more('}'); err != nil {
			return err
		} else if !more {
			break
		}
	}
	p.leave(outer)
	return nil
}

func (p *jsonParser) array(key string) *jsonError {
	outer := len(p.path)
	if p.c.JSONNames == NamesV2 {
		if key == "" && len(p.path) == 0 {
			key = "array"
		}
		p.push(key)
	}
	if err := p.enter(); err != nil {
		return err
	}
	base := len(p.path)
	for i := 0; ; i++ {
		if p.pos < len(p.s) && p.s[p.pos] == ']' && i == 0 {
			break
		}
		if p.c.JSONNames == NamesV3 {
			p.path = strconv.AppendInt(append(p.path, ".array_"...), int64(i), 10)
		}
		if err := p.value(key); err != nil {
			return err
		}
		p.path = p.path[:base]
		if more, err := p.more(']'); err != nil {
			return err
		} else if !more {
			break
		}
	}
	p.leave(outer)
	return nil
}

// more reads what follows an element: a comma and the next one, or the end.
func (p *jsonParser) more(end byte) (bool, *jsonError) {
	p.space()
	if p.pos >= len(p.s) {
		return false, p.fail("unexpected end of input")
	}
	switch p.s[p.pos] {
	case ',':
		p.pos++
		p.space()
		return true, nil
	case end:
		return false, nil
	}
	return false, p.fail("comma or end of container expected")
}

// leave consumes the closing bracket.
func (p *jsonParser) leave(path int) {
	p.pos++
	p.depth--
	p.path = p.path[:path]
}

func (p *jsonParser) push(key string) {
	if len(p.path) > 0 {
		p.path = append(p.path, '.')
	}
	p.path = append(p.path, key...)
}

func (p *jsonParser) number() *jsonError {
	if p.s[p.pos] == '-' {
		p.pos++
	}
	zero := p.pos < len(p.s) && p.s[p.pos] == '0'
	n := p.digits()
	if n == 0 || zero && n > 1 {
		return p.fail("malformed number")
	}
	if p.pos < len(p.s) && p.s[p.pos] == '.' {
		p.pos++
		if p.digits() == 0 {
			return p.fail("malformed number")
		}
	}
	if p.pos < len(p.s) && p.s[p.pos]|0x20 == 'e' {
		p.pos++
		if p.pos < len(p.s) && (p.s[p.pos] == '+' || p.s[p.pos] == '-') {
			p.pos++
		}
		if p.digits() == 0 {
			return p.fail("malformed number")
		}
	}
	return nil
}

func (p *jsonParser) digits() int {
	start := p.pos
	for p.pos < len(p.s) && '0' <= p.s[p.pos] && p.s[p.pos] <= '9' {
		p.pos++
	}
	return p.pos - start
}

// str reads a string; one without escapes is a piece of the text.
func (p *jsonParser) str() (string, *jsonError) {
	p.pos++
	start := p.pos
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; {
		case c == '"':
			v := p.s[start:p.pos]
			p.pos++
			return v, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail("control character in string")
		case c < utf8.RuneSelf:
			p.pos++
		default:
			if err := p.rune(); err != nil {
				return "", err
			}
		}
	}
	return p.s[start:p.pos], p.fail("unexpected end of input")
}

// rune checks one sequence as yajl does: by its form. Overlong ones and halves of surrogate pairs pass, as in both
// versions of ModSecurity; @validateUtf8Encoding is for rules that mind.
func (p *jsonParser) rune() *jsonError {
	c := p.s[p.pos]
	n := 0
	switch {
	case c>>5 == 0x6:
		n = 2
	case c>>4 == 0xe:
		n = 3
	case c>>3 == 0x1e:
		n = 4
	}
	if n == 0 || p.pos+n > len(p.s) {
		return p.fail("invalid bytes in UTF-8 string")
	}
	for _, c := range []byte(p.s[p.pos+1 : p.pos+n]) {
		if c>>6 != 0x2 {
			return p.fail("invalid bytes in UTF-8 string")
		}
	}
	p.pos += n
	return nil
}

func (p *jsonParser) escaped(start int) (string, *jsonError) {
	b := make([]byte, 0, p.pos-start+32)
	b = append(b, p.s[start:p.pos]...)
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; {
		case c == '"':
			p.pos++
			return string(b), nil
		case c == '\\':
			var err *jsonError
			if b, err = p.escape(b); err != nil {
				return "", err
			}
		case c < ' ':
			return "", p.fail("control character in string")
		case c < utf8.RuneSelf:
			b = append(b, c)
			p.pos++
		default:
			at := p.pos
			if err := p.rune(); err != nil {
				return "", err
			}
			b = append(b, p.s[at:p.pos]...)
		}
	}
	return string(b), p.fail("unexpected end of input")
}

func (p *jsonParser) escape(b []byte) ([]byte, *jsonError) {
	p.pos++
	if p.pos >= len(p.s) {
		return b, p.fail("unexpected end of input")
	}
	c := p.s[p.pos]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		p.pos++
		return append(b, "\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return b, p.fail("invalid escape in string")
	}
	r, ok := p.hex4(p.pos + 1)
	if !ok {
		return b, p.fail("invalid escape in string")
	}
	p.pos += 5
	if r >= 0xd800 && r < 0xdc00 && p.pos+1 < len(p.s) && p.s[p.pos] == '\\' && p.s[p.pos+1] == 'u' {
		if low, ok := p.hex4(p.pos + 2); ok && low >= 0xdc00 && low < 0xe000 {
			r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
			p.pos += 6
		}
	}
	switch {
	case r >= 0xd800 && r < 0xdc00:
		// The first half alone. yajl pairs it with whatever escape follows: the quote of \ud83d\u0027 is gone there. Here it stays.
		return append(b, '?'), nil
	case r >= 0xdc00 && r < 0xe000:
		return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f), nil // the second half alone, as yajl writes it
	}
	return utf8.AppendRune(b, r), nil
}

func (p *jsonParser) hex4(at int) (rune, bool) {
	if at+4 > len(p.s) {
		return 0, false
	}
	var r rune
	for i := at; i < at+4; i++ {
		if !isHex(p.s[i]) {
			return 0, false
		}
		r = r<<4 | rune(unhex(p.s[i]))
	}
	return r, true
}
