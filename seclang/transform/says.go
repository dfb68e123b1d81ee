package transform

import "strings"

// Says returns what mod_security2 says about having changed a value, for the
// transformations whose word is not the truth; nil for the others. Under the
// action multiMatch it decides how often a rule looks at a value, and so how
// often it counts: t:cmdLine always says yes, and t:base64Decode no when
// nothing is left.
func Says(name string) func(in, out string) bool {
	switch strings.ToLower(name) {
	case "cmdline", "cmd_line", "sqlhexdecode", "hexencode", "hexdecode", "length":
		return func(string, string) bool { return true }
	case "base64decode", "base64decodeext", "decodebase64ext":
		return func(_, out string) bool { return out != "" }
	case "compresswhitespace":
		return func(in, _ string) bool { return doubledSpace(in) }
	case "utf8tounicode":
		return func(in, _ string) bool { return hasSequence(in) }
	case "normalisepath", "normalizepath":
		return saysPath(false)
	case "normalisepathwin", "normalizepathwin":
		return saysPath(true)
	}
	return nil
}

// doubledSpace reports whether white space follows white space: one tab that becomes a blank goes unsaid.
func doubledSpace(s string) bool {
	before := false
	for i := 0; i < len(s); i++ {
		space := isSpace(s[i]) || s[i] == nbsp
		if space && before {
			return true
		}
		before = space
	}
	return false
}

// hasSequence reports whether utf8toUnicode writes a code point: bytes that it drops go unsaid.
func hasSequence(s string) bool {
	for i := 0; i < len(s); i++ {
		if n, _ := sequenceLength(s[i]); n > 0 {
			if _, ok := sequence(s[i:], n); ok {
				return true
			}
		}
	}
	return false
}

func saysPath(win bool) func(in, out string) bool {
	return func(in, _ string) bool {
		_, said := cleanPath(begin(in, len(in)), win)
		return said
	}
}
