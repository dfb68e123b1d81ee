package store

import "strings"

// searchable is what the text index holds of a URI: its bytes, and where they are
// percent-encoded also what they stand for. Attackers encode, people type what
// they mean: "union select" finds %20UNION%20SELECT%20, encoded once or twice.
func searchable(uri string) string {
	once := unescape(uri)
	if once == uri {
		return uri
	}
	return uri + " " + unescape(once)
}

// unescape decodes %XX and leaves what is none. Control characters become spaces: they separate words.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			if high, low := unhex(s[i+1]), unhex(s[i+2]); high >= 0 && low >= 0 {
				c, i = byte(high<<4|low), i+2
			}
		}
		if c < ' ' {
			c = ' '
		}
		out = append(out, c)
	}
	return string(out)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
