package body

import "strings"

// maxContentType is how long a Content-Type with a boundary may be.
const maxContentType = 1024

// parseBoundary takes the boundary from a Content-Type as strictly as
// ModSecurity does: back ends disagree about everything that is refused here.
func (f *Flags) parseBoundary(contentType string) (boundary, problem string) {
	const prefix, word = "multipart/form-data", "boundary"
	lower := lowerASCII(contentType)
	switch {
	case contentType == "":
		return "", "Multipart: Content-Type header not available."
	case len(contentType) > maxContentType:
		return "", "Multipart: Invalid boundary in C-T (length)."
	case !strings.HasPrefix(lower, prefix):
		return "", "Multipart: Invalid MIME type."
	case countBoundaries(lower) > 1:
		return "", "Multipart: Multiple boundary parameters in C-T."
	}
	at := strings.Index(contentType, word)
	if at < 0 {
		if countBoundaries(lower) > 0 {
			return "", "Multipart: Invalid boundary in C-T (case sensitivity)."
		}
		return "", "Multipart: Boundary not found in C-T."
	}
	semicolon := false
	for _, c := range []byte(contentType[len(prefix):max(at, len(prefix))]) {
		switch {
		case isSpace(c):
		case c == ';' && !semicolon:
			semicolon = true
		default:
			return "", "Multipart: Invalid boundary in C-T (malformed)."
		}
	}
	f.SemicolonMissing = !semicolon
	gap, value, found := strings.Cut(contentType[at+len(word):], "=")
	if !found {
		return "", "Multipart: Invalid boundary in C-T (malformed)."
	}
	for _, c := range []byte(gap) {
		if !isSpace(c) {
			return "", "Multipart: Invalid boundary in C-T (parameter name)."
		}
		f.BoundaryWhitespace = true
	}
	if value != "" && isSpace(value[0]) {
		f.BoundaryWhitespace = true
	}
	return f.boundaryValue(value)
}

func (f *Flags) boundaryValue(value string) (boundary, problem string) {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		f.BoundaryQuoted = true
		value = value[1 : len(value)-1]
	} else if value != "" && (value[0] == '"' || len(value) >= 2 && value[len(value)-1] == '"') {
		return "", "Multipart: Invalid boundary in C-T (quote)."
	} else {
		// Parameters may follow, as version 3 has it: every back end ends the boundary there. Version 2 refuses such uploads.
		value, _, _ = strings.Cut(value, ";")
	}
	switch {
	case countBoundaries(lowerASCII(value)) != 0:
		return "", "Multipart: Invalid boundary in C-T (content)."
	case !boundaryCharacters(value):
		return "", "Multipart: Invalid boundary in C-T (characters)."
	case value == "":
		return "", "Multipart: Invalid boundary in C-T (empty)."
	}
	return value, ""
}

// countBoundaries counts the word "boundary" as often as a '=' follows it somewhere.
func countBoundaries(lower string) int {
	n := 0
	for {
		i := strings.Index(lower, "boundary")
		if i < 0 {
			return n
		}
		lower = lower[i+len("boundary"):]
		if strings.IndexByte(lower, '=') >= 0 {
			n++
		}
	}
}

// boundaryCharacters checks against bchars of RFC 2046: a space may not be the last.
func boundaryCharacters(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case strings.IndexByte("'()+_,-./:=?", c) >= 0:
		case c == ' ' && i+1 < len(s):
		default:
			return false
		}
	}
	return true
}

// isSpace is isspace of the C locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] |= 0x20
				}
			}
			return string(b)
		}
	}
	return s
}
