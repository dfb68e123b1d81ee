// Package transform holds the transformation functions of the ModSecurity rule
// language (t:lowercase, t:urlDecodeUni ...). A value goes in, the transformed
// value and whether it differs comes out. The functions are pure and safe for
// concurrent use; they take any bytes and never fail, and a value that a
// function does not change comes back as the same string without allocation,
// so that the engine can share what it knows of it. There is no state, and so
// nothing to lose in a crash.
//
// Semantics are those of mod_security2 2.9 (re_tfns.c, msc_util.c). Where
// that code stops at a NUL byte because it works on C strings (cmdLine,
// sqlHexDecode, base64DecodeExt), these functions go on to the end as
// libmodsecurity 3 does: stopping there is an evasion.
package transform

import (
	"slices"
	"strings"
	"unsafe"
)

// Func transforms one value. changed is true exactly when out differs from s;
// when it is false, out is s itself.
type Func func(s string) (out string, changed bool)

// entry is one name of the rule language.
type entry struct {
	name string
	fn   Func
}

// Lookup returns the transformation of that name. Names are case-insensitive.
// "none" yields the identity: that it also clears the transformations
// inherited from SecDefaultAction is the engine's business.
func Lookup(name string) (Func, bool) {
	for _, e := range table() {
		if strings.EqualFold(e.name, name) {
			return e.fn, true
		}
	}
	return nil, false
}

// Names returns all names, aliases included, in alphabetical order.
func Names() []string {
	var names []string
	for _, e := range table() {
		names = append(names, e.name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return names
}

// table lists every name that ModSecurity 2.9 or 3.0 accepts.
func table() []entry {
	return []entry{
		{"none", identity},
		{"base64Decode", base64Decode},
		{"base64DecodeExt", base64DecodeExt},
		{"decodeBase64Ext", base64DecodeExt}, // its name before 2.7
		{"base64Encode", base64Encode},
		{"cmdLine", cmdLine},
		{"cmd_line", cmdLine}, // accepted by libmodsecurity 3
		{"compressWhitespace", compressWhitespace},
		{"cssDecode", cssDecode},
		{"escapeSeqDecode", escapeSeqDecode},
		{"hexDecode", hexDecode},
		{"hexEncode", hexEncode},
		{"htmlEntityDecode", htmlEntityDecode},
		{"jsDecode", jsDecode},
		{"length", length},
		{"lowercase", lowercase},
		{"md5", md5Sum},
		{"normalisePath", normalizePath},
		{"normalizePath", normalizePath},
		{"normalisePathWin", normalizePathWin},
		{"normalizePathWin", normalizePathWin},
		{"parityEven7bit", parityEven},
		{"parityOdd7bit", parityOdd},
		{"parityZero7bit", parityZero},
		{"phpArgsNames", phpArgsNames},
		{"removeComments", removeComments},
		{"removeCommentsChar", removeCommentsChar},
		{"removeNulls", removeNulls},
		{"removeWhitespace", removeWhitespace},
		{"replaceComments", replaceComments},
		{"replaceNulls", replaceNulls},
		{"sha1", sha1Sum},
		{"sqlHexDecode", sqlHexDecode},
		{"trim", trim},
		{"trimLeft", trimLeft},
		{"trimRight", trimRight},
		{"uppercase", uppercase},
		{"urlDecode", urlDecode},
		{"urlDecodeUni", URLDecodeUni(nil)},
		{"urlEncode", urlEncode},
		{"utf8toUnicode", utf8ToUnicode},
	}
}

func identity(s string) (string, bool) { return s, false }

// finish turns the work buffer b into the result for the value s. The buffer
// must not be used afterwards: its bytes become the string.
func finish(s string, b []byte) (string, bool) {
	if string(b) == s {
		return s, false
	}
	if len(b) == 0 {
		return "", true
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), true
}

// begin returns a work buffer that holds the first n bytes of s, with room for
// all of s.
func begin(s string, n int) []byte {
	b := make([]byte, n, len(s))
	copy(b, s)
	return b
}

// isSpace is isspace of the C locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// isHex reports whether c is a hexadecimal digit.
func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unhex is the value of one digit, computed as ModSecurity's x2c does: a byte
// that is no digit gives a value too, which hexDecode shows to the rules.
func unhex(c byte) byte {
	if c >= 'A' {
		return (c & 0xdf) - 'A' + 10
	}
	return c - '0'
}

// unhex2 is the value of two digits.
func unhex2(c1, c2 byte) byte { return unhex(c1)*16 + unhex(c2) }

// lower is tolower of the C locale.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
