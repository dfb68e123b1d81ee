package seclang

import "strings"

// parseCookiesV1 reads a Cookie header of RFC 2109 (SecCookieFormat 1): values may stand in quotes, which may hold separators;
// commas separate, too; an attribute such as $Path is named after the cookie before it, "$name_Path".
func parseCookiesV1(dst []field, s string) []field {
	previous := ""
	for len(dst) < maxCookies {
		s = strings.TrimLeft(s, " \t\r\n\v\f,;")
		if s == "" {
			return dst
		}
		name, value := "", ""
		end := strings.IndexAny(s, "=;,")
		switch {
		case end < 0:
			name, s = s, ""
		case s[end] != '=':
			name, s = s[:end], s[end+1:]
		default:
			name = s[:end]
			value, s = cookieValueV1(strings.TrimLeft(s[end+1:], " \t\r\n\v\f"))
		}
		name = trimControls(name)
		switch {
		case name == "" && value == "":
			continue
		case !strings.HasPrefix(name, "$"):
			previous = name
		case previous != "":
			name = "$" + previous + "_" + name[1:]
		}
		dst = append(dst, field{name, trimControls(value)})
	}
	return dst
}

// cookieValueV1 takes one value from the front of s.
func cookieValueV1(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		if i := strings.IndexAny(s, ",;"); i >= 0 {
			return s[:i], s[i+1:]
		}
		return s, ""
	}
	value, rest, _ = strings.Cut(s[1:], `"`)
	return value, rest
}
