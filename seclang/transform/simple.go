package transform

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"math/bits"
	"strconv"
	"strings"
)

// nbsp is the byte that ModSecurity counts as white space beside isspace.
const nbsp = 0xa0

func lowercase(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := begin(s, len(s))
			for ; i < len(b); i++ {
				b[i] = lower(b[i])
			}
			return finish(s, b)
		}
	}
	return s, false
}

func uppercase(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'a' && c <= 'z' {
			b := begin(s, len(s))
			for ; i < len(b); i++ {
				if b[i] >= 'a' && b[i] <= 'z' {
					b[i] -= 'a' - 'A'
				}
			}
			return finish(s, b)
		}
	}
	return s, false
}

func trimLeft(s string) (string, bool) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return s[i:], i > 0
}

func trimRight(s string) (string, bool) {
	n := len(s)
	for n > 0 && isSpace(s[n-1]) {
		n--
	}
	return s[:n], n < len(s)
}

func trim(s string) (string, bool) {
	l, c1 := trimLeft(s)
	r, c2 := trimRight(l)
	return r, c1 || c2
}

func removeNulls(s string) (string, bool) {
	i := strings.IndexByte(s, 0)
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for ; i < len(s); i++ {
		if s[i] != 0 {
			b = append(b, s[i])
		}
	}
	return finish(s, b)
}

func replaceNulls(s string) (string, bool) {
	i := strings.IndexByte(s, 0)
	if i < 0 {
		return s, false
	}
	b := begin(s, len(s))
	for ; i < len(b); i++ {
		if b[i] == 0 {
			b[i] = ' '
		}
	}
	return finish(s, b)
}

func removeWhitespace(s string) (string, bool) {
	i := 0
	for i < len(s) && !isSpace(s[i]) && s[i] != nbsp {
		i++
	}
	if i == len(s) {
		return s, false
	}
	b := begin(s, i)
	for ; i < len(s); i++ {
		if c := s[i]; !isSpace(c) && c != nbsp {
			b = append(b, c)
		}
	}
	return finish(s, b)
}

// compressWhitespace makes one blank of every run of white space, a single tab included.
func compressWhitespace(s string) (string, bool) {
	i, blank := 0, false
	for ; i < len(s); i++ {
		c := s[i]
		if c == ' ' && !blank {
			blank = true
			continue
		}
		if isSpace(c) || c == nbsp {
			break
		}
		blank = false
	}
	if i == len(s) {
		return s, false
	}
	b := begin(s, i)
	for ; i < len(s); i++ {
		c := s[i]
		if !isSpace(c) && c != nbsp {
			b = append(b, c)
			blank = false
			continue
		}
		if !blank {
			b = append(b, ' ')
		}
		blank = true
	}
	return finish(s, b)
}

func parityEven(s string) (string, bool) {
	return mapBytes(s, func(c byte) byte {
		if bits.OnesCount8(c)&1 == 1 {
			return c | 0x80
		}
		return c & 0x7f
	})
}

func parityOdd(s string) (string, bool) {
	return mapBytes(s, func(c byte) byte {
		if bits.OnesCount8(c)&1 == 1 {
			return c & 0x7f
		}
		return c | 0x80
	})
}

func parityZero(s string) (string, bool) {
	return mapBytes(s, func(c byte) byte { return c & 0x7f })
}

func mapBytes(s string, f func(byte) byte) (string, bool) {
	for i := 0; i < len(s); i++ {
		if f(s[i]) == s[i] {
			continue
		}
		b := begin(s, len(s))
		for ; i < len(b); i++ {
			b[i] = f(b[i])
		}
		return finish(s, b)
	}
	return s, false
}

func length(s string) (string, bool) {
	n := strconv.Itoa(len(s))
	return n, n != s
}

// md5Sum yields the 16 raw bytes; rules write them with t:hexEncode.
func md5Sum(s string) (string, bool) {
	h := md5.Sum([]byte(s))
	return finish(s, h[:])
}

// sha1Sum yields the 20 raw bytes.
func sha1Sum(s string) (string, bool) {
	h := sha1.Sum([]byte(s))
	return finish(s, h[:])
}

func hexEncode(s string) (string, bool) {
	return finish(s, hex.AppendEncode(nil, []byte(s)))
}

// hexDecode takes two bytes at a time whether they are digits or not, and
// drops an odd one at the end.
func hexDecode(s string) (string, bool) {
	b := make([]byte, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		b = append(b, unhex2(s[i], s[i+1]))
	}
	return finish(s, b)
}

// sqlHexDecode decodes 0x414243 as SQL does, anywhere in the value. The byte
// behind a number is text, as in mod_security2: 0x410x42 is one
// word to SQL, not two numbers.
func sqlHexDecode(s string) (string, bool) {
	i := strings.IndexByte(s, '0')
	if i < 0 {
		return s, false
	}
	b := begin(s, i)
	for i < len(s) {
		if i+3 < len(s) && s[i] == '0' && lower(s[i+1]) == 'x' && isHex(s[i+2]) && isHex(s[i+3]) {
			for i += 2; i+1 < len(s) && isHex(s[i]) && isHex(s[i+1]); i += 2 {
				b = append(b, unhex2(s[i], s[i+1]))
			}
			if i == len(s) {
				break
			}
		}
		b = append(b, s[i])
		i++
	}
	return finish(s, b)
}
