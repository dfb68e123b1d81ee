package operator

import "strings"

// maxShown is how much of a pattern or phrase a sentence shows.
const maxShown = 252

// cut shortens what a sentence shows, as mod_security2 does.
func cut(s string) string {
	if len(s) > maxShown {
		return s[:maxShown] + " ..."
	}
	return s
}

// shown is cut(escape(s)) without escaping what is cut.
func shown(s string) string { return cut(escape(s[:min(len(s), maxShown+1)])) }

// escape makes s safe for a log between quotes, as log_escape does.
func escape(s string) string { return escaper{quotes: true}.escape(s) }

// escapeText makes s safe for a log outside of quotes, as log_escape_nq does.
func escapeText(s string) string { return escaper{}.escape(s) }

// EscapeName makes the part of a variable's name that a client chose safe for
// messages, as mod_security2 does when it makes the variable.
func EscapeName(s string) string { return escapeText(s) }

// escapeRegexp is log_escape_re: what mod_security2 does to a pattern after its
// macros were expanded, so that what a client sent is not read as syntax.
func escapeRegexp(s string) string { return escaper{quotes: true, regexp: true}.escape(s) }

type escaper struct{ quotes, regexp bool }

func (e escaper) escape(s string) string {
	i := 0
	for i < len(s) && e.plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	const digits = "0123456789abcdef"
	var b strings.Builder
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		c := s[i]
		if e.plain(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('\\')
		switch c {
		case '\b':
			b.WriteByte('b')
		case '\n':
			b.WriteByte('n')
		case '\r':
			b.WriteByte('r')
		case '\t':
			b.WriteByte('t')
		case '\v':
			b.WriteByte('v')
		default:
			if c > 0x1f && c < 0x7f {
				b.WriteByte(c)
				continue
			}
			b.WriteByte('x')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// plain reports whether c needs no backslash.
func (e escaper) plain(c byte) bool {
	switch {
	case c <= 0x1f || c >= 0x7f || c == '\\':
		return false
	case c == '"':
		return !e.quotes
	case strings.IndexByte(":+.][()?/", c) >= 0:
		return !e.regexp
	}
	return true
}
