package body

import (
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/charmap"
)

// What encoding/xml takes and libxml2, which both versions of ModSecurity use, does not; and what the two read in
// another way. A body that one parser takes and another refuses is one that a back end may read as it likes.

// normalXML makes of a document what encoding/xml takes: UTF-8 without a byte order mark, of version 1.0.
func normalXML(text string) (string, error) {
	wide := false
	switch {
	case strings.HasPrefix(text, "\xef\xbb\xbf"):
		text = text[3:]
	case strings.HasPrefix(text, "\xff\xfe"):
		text, wide = fromUTF16(text[2:], binary.LittleEndian), true
	case strings.HasPrefix(text, "<\x00"):
		text, wide = fromUTF16(text, binary.LittleEndian), true
	case strings.HasPrefix(text, "\xfe\xff"):
		text, wide = fromUTF16(text[2:], binary.BigEndian), true
	case strings.HasPrefix(text, "\x00<"):
		text, wide = fromUTF16(text, binary.BigEndian), true
	}
	if m := xmlVersion.FindStringSubmatchIndex(text[:min(len(text), 64)]); m != nil {
		// Later versions only allow more characters; encoding/xml would refuse them unseen.
		text = text[:m[2]] + "1.0" + text[m[3]:]
	}
	label := declaredEncoding(text)
	if wide || label == "" {
		return text, nil
	}
	return decodeXML(label, text)
}

// declaredEncoding is what the XML declaration says, "" for UTF-8.
func declaredEncoding(text string) string {
	if !strings.HasPrefix(text, "<?xml") {
		return ""
	}
	end := strings.Index(text, "?>")
	if end < 0 {
		return ""
	}
	_, rest, found := strings.Cut(text[:end], "encoding")
	rest = strings.TrimLeft(rest, " \t\r\n=")
	if !found || rest == "" {
		return ""
	}
	label, _, _ := strings.Cut(rest[1:], rest[:1])
	if label = lowerASCII(label); label == "utf-8" {
		return ""
	}
	return label
}

func decodeXML(label, text string) (string, error) {
	switch label {
	case "iso-8859-1", "latin1", "iso_8859-1":
		// The table for browsers makes windows-1252 of it; libxml2 does not.
		return charmap.ISO8859_1.NewDecoder().String(text)
	}
	if label == "us-ascii" || label == "ascii" {
		if strings.ContainsFunc(text, func(c rune) bool { return c > 0x7f }) {
			return "", errors.New("bytes over 127 in US-ASCII")
		}
		return text, nil
	}
	r, err := charset.NewReaderLabel(label, strings.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("unsupported encoding %q", label)
	}
	out, err := io.ReadAll(r)
	return string(out), err
}

func fromUTF16(s string, order binary.ByteOrder) string {
	units := make([]uint16, 0, len(s)/2)
	for ; len(s) >= 2; s = s[2:] {
		units = append(units, order.Uint16([]byte(s[:2])))
	}
	return string(utf16.Decode(units))
}

var errXMLReference = errors.New("reference to a character that XML does not have")

// strictAttributes turns the line ends and tabs of values into blanks (XML 1.0, 3.3.3), but for those written as
// references. raw is the tag as it came.
func strictAttributes(raw string, attrs []xml.Attr) error {
	if !goodReferences(raw) {
		return errXMLReference
	}
	if !strings.ContainsAny(raw, "\t\r\n") {
		return nil
	}
	for i := range attrs {
		at := strings.IndexAny(raw, `"'`)
		if at < 0 {
			return nil
		}
		value, rest, found := strings.Cut(raw[at+1:], raw[at:at+1])
		if !found {
			return nil
		}
		raw = rest
		if !strings.Contains(value, "&#") {
			attrs[i].Value = blanks().Replace(attrs[i].Value)
		}
	}
	return nil
}

func blanks() *strings.Replacer { return strings.NewReplacer("\t", " ", "\n", " ", "\r", " ") }

// strictText refuses references to half a surrogate pair.
func strictText(raw string) error {
	if !strings.HasPrefix(raw, "<![CDATA[") && !goodReferences(raw) {
		return errXMLReference
	}
	return nil
}

// goodReferences reports whether all numeric references are to characters; encoding/xml puts U+FFFD for halves of pairs.
func goodReferences(raw string) bool {
	for {
		_, rest, found := strings.Cut(raw, "&#")
		if !found {
			return true
		}
		raw = rest
		if n, _, ok := reference(rest); ok && n >= 0xd800 && n < 0xe000 {
			return false
		}
	}
}

var (
	xmlDeclaration = regexp.MustCompile(`^version\s*=\s*("[\w.:-]+"|'[\w.:-]+')(\s+encoding\s*=\s*("[A-Za-z][\w.-]*"|'[A-Za-z][\w.-]*'))?(\s+standalone\s*=\s*("(yes|no)"|'(yes|no)'))?\s*$`)
	xmlVersion     = regexp.MustCompile(`^<\?xml\s+version\s*=\s*["'](1\.[0-9]{0,3})["']`)
	xmlParameter   = regexp.MustCompile(`%[\w.-]+;`)
	xmlReference   = regexp.MustCompile(`&[\pL_][\pL\w.-]*;`)
)

func strictInstruction(t xml.ProcInst, raw string, first bool) error {
	behind := strings.TrimPrefix(raw, "<?"+t.Target)
	switch {
	case t.Target == "xml" && !first:
		return errors.New("XML declaration is not at the start of the document")
	case t.Target == "xml" && !xmlDeclaration.Match(t.Inst):
		return errors.New("malformed XML declaration")
	case !xmlName(t.Target) || behind == "" || !isSpace(behind[0]) && behind[0] != '?':
		return errors.New("malformed processing instruction")
	}
	return nil
}

// strictDoctype reports whether a directive is a document type declaration with a name.
func strictDoctype(directive string) bool {
	rest, found := strings.CutPrefix(directive, "DOCTYPE")
	name := strings.TrimLeft(rest, " \t\r\n")
	if end := strings.IndexAny(name, " \t\r\n["); end >= 0 {
		name = name[:end]
	}
	return found && xmlName(name) && utf8.ValidString(directive)
}

// xmlName reports whether s is a Name of XML; beyond ASCII any character will do.
func xmlName(s string) bool {
	for i, c := range s {
		switch {
		case c == '_', c == ':', 'a' <= c|0x20 && c|0x20 <= 'z', c >= 0x80 && c != utf8.RuneError:
		case i > 0 && (c == '-' || c == '.' || '0' <= c && c <= '9'):
		default:
			return false
		}
	}
	return s != ""
}

// undeclaredAllowed reports whether entities may be declared where nobody reads them: outside of the document, or by a
// parameter entity. A reference to an unknown one is then no error and stands for nothing, as in libxml2.
func undeclaredAllowed(doctype string) bool {
	head, subset, _ := strings.Cut(doctype, "[")
	return strings.Contains(head, " SYSTEM") || strings.Contains(head, " PUBLIC") || xmlParameter.MatchString(subset)
}

// declareReferences makes the references in text that nobody declared stand for nothing.
func declareReferences(text string, known map[string]string) {
	for _, name := range xmlReference.FindAllString(text, maxXMLDeclared) {
		name = name[1 : len(name)-1]
		if _, found := known[name]; !found && !predefined(name) {
			known[name] = ""
		}
	}
}

func predefined(name string) bool {
	switch name {
	case "amp", "lt", "gt", "quot", "apos":
		return true
	}
	return false
}
