package transform

import "strings"

// removeCommentsChar removes the marks of comments: /* */ <!-- --> -- #
func removeCommentsChar(s string) (string, bool) {
	i := strings.IndexAny(s, "/*<-#")
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		switch rest := s[i:]; {
		case strings.HasPrefix(rest, "/*"), strings.HasPrefix(rest, "*/"):
			i += 2
		case strings.HasPrefix(rest, "<!--"):
			i += 4
		case strings.HasPrefix(rest, "-->"):
			i += 3
		case strings.HasPrefix(rest, "--"):
			i += 2
		case rest[0] == '#':
			i++
		default:
			b = append(b, rest[0])
			i++
		}
	}
	return finish(s, b)
}

// removeComments removes /* */ and <!-- -->, and everything from -- or # on. The
// byte after the end of a comment is taken as it is, so a comment at the very
// end leaves the NUL that ends ModSecurity's C string; an open one a blank.
func removeComments(s string) (string, bool) {
	i := strings.IndexAny(s, "/<-#")
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	inside := false
	for i < len(s) {
		rest := s[i:]
		if !inside {
			switch {
			case strings.HasPrefix(rest, "/*"):
				inside = true
				i += 2
			case strings.HasPrefix(rest, "<!--"):
				inside = true
				i += 4
			case strings.HasPrefix(rest, "--"), rest[0] == '#':
				return finish(s, b)
			default:
				b = append(b, rest[0])
				i++
			}
			continue
		}
		switch {
		case strings.HasPrefix(rest, "*/"):
			i += 2
		case strings.HasPrefix(rest, "-->"):
			i += 3
		default:
			i++
			continue
		}
		inside = false
		if i < len(s) {
			b = append(b, s[i])
		} else {
			b = append(b, 0)
		}
		i++
	}
	if inside {
		b = append(b, ' ')
	}
	return finish(s, b)
}

// replaceComments makes one blank of every /* */, also of one that stays open.
func replaceComments(s string) (string, bool) {
	i := strings.Index(s, "/*")
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	rest := s[i:]
	for {
		// rest starts with the mark.
		b = append(b, ' ')
		end := strings.Index(rest[2:], "*/")
		if end < 0 {
			break
		}
		rest = rest[2+end+2:]
		i = strings.Index(rest, "/*")
		if i < 0 {
			b = append(b, rest...)
			break
		}
		b = append(b, rest[:i]...)
		rest = rest[i:]
	}
	return finish(s, b)
}

// cmdLine undoes what shells ignore: drops \ " ' ^, makes one blank of runs of
// blank , ; tab and line ends, none of one before / or (, and lowers letters.
func cmdLine(s string) (string, bool) {
	i, blank := cmdLinePlain(s)
	if i == len(s) {
		return s, false
	}
	b := begin(s, i)
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\'', '\\', '^':
		case ' ', ',', ';', '\t', '\r', '\n':
			if !blank {
				b = append(b, ' ')
			}
			blank = true
		case '/', '(':
			if blank {
				b = b[:len(b)-1]
			}
			b = append(b, c)
			blank = false
		default:
			b = append(b, lower(c))
			blank = false
		}
	}
	return finish(s, b)
}

// cmdLinePlain is how much of the start of s cmdLine leaves alone, and whether that ends in a blank.
func cmdLinePlain(s string) (n int, blank bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			blank = false
		case c == ' ' && !blank:
			blank = true
		case c >= 'A' && c <= 'Z':
			return i, blank
		default:
			switch c {
			case '/', '(':
				if blank {
					return i, blank
				}
			case '"', '\'', '\\', '^', ' ', ',', ';', '\t', '\r', '\n':
				return i, blank
			}
			blank = false
		}
	}
	return len(s), blank
}
