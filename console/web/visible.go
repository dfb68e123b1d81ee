package web

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a run of text from outside as a page shows it. Class says how:
//
//	""       plain ASCII
//	"ctl"    a byte or character that has no glyph, spelled out: \x00, \r, U+202E
//	"alien"  letters beyond ASCII: visible as such, or a Cyrillic "а" passes for an "a"
type piece struct {
	Text, Class, Title string
}

// show makes every byte of s visible. What it spells out is a piece of its own,
// so that a real NUL and the four typed characters \x00 look different.
func show(s string) []piece {
	var out []piece
	plain := 0
	flush := func(end int) {
		if end > plain {
			out = append(out, piece{Text: s[plain:end]})
		}
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f {
			i++
			continue
		}
		flush(i)
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, piece{fmt.Sprintf(`\x%02x`, c), "ctl", "a byte that is not UTF-8"})
		case r < 0x80:
			out = append(out, piece{controlText(c), "ctl", controlName(c)})
		case hasGlyph(r):
			end := i + n
			title := fmt.Sprintf("U+%04X", r)
			for end < len(s) {
				next, m := utf8.DecodeRuneInString(s[end:])
				if next < 0x80 || next == utf8.RuneError || !hasGlyph(next) {
					break
				}
				if len(title) < 60 {
					title += fmt.Sprintf(" U+%04X", next)
				}
				end += m
			}
			out = append(out, piece{s[i:end], "alien", "not ASCII: " + title})
			n = end - i
		default:
			// Marks, spaces, direction and other format characters, private and unassigned ones.
			out = append(out, piece{fmt.Sprintf("U+%04X", r), "ctl", "a character without a glyph of its own"})
		}
		i += n
		plain = i
	}
	flush(len(s))
	return out
}

// hasGlyph says that a character beyond ASCII is seen when it is drawn. Some
// letters are not: the Hangul fillers, and U+2800, a Braille cell without dots.
func hasGlyph(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsPunct(r) || unicode.IsSymbol(r)) &&
		r != 0x2800 && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// typed is s for the value of an input field: empty when it has what a field
// cannot show. A filter by such bytes comes from a link and stands as a chip.
func typed(s string) string {
	for _, p := range show(s) {
		if p.Class == "ctl" {
			return ""
		}
	}
	return s
}

func controlText(c byte) string {
	switch c {
	case '\r':
		return `\r`
	case '\n':
		return `\n`
	case '\t':
		return `\t`
	}
	return fmt.Sprintf(`\x%02x`, c)
}

func controlName(c byte) string {
	switch c {
	case 0:
		return "NUL"
	case '\r':
		return "carriage return"
	case '\n':
		return "line feed"
	case '\t':
		return "tab"
	case 0x1b:
		return "escape"
	case 0x7f:
		return "delete"
	}
	return "control character"
}

// showBrief is show for the first n bytes of s; what is cut off is told by a sign that no text from outside can have.
func showBrief(n int, s string) []piece {
	if len(s) <= n {
		return show(s)
	}
	return append(show(strings.TrimSuffix(brief(n, s), "…")), piece{"…", "more", "cut: the event's page shows more"})
}

// maxShown is how many bytes of a body a page shows; the download has all.
const maxShown = 32 << 10

func showBytes(b []byte) []piece { return show(string(b[:min(len(b), maxShown)])) }

// line is one line of a text, and how it ended.
type line struct {
	Pieces []piece
	End    string // "\r\n", "\n" spelled out; "" at the end of the text
}

// showLines shows a text line by line: line ends are visible, since a lone \n or \r in a request is a finding.
func showLines(b []byte) []line {
	b = b[:min(len(b), maxShown)]
	var out []line
	for text := string(b); text != ""; {
		i := strings.IndexByte(text, '\n')
		if i < 0 {
			return append(out, line{Pieces: show(text)})
		}
		end, body := `\n`, text[:i]
		if strings.HasSuffix(body, "\r") {
			end, body = `\r\n`, body[:i-1]
		}
		out = append(out, line{show(body), end})
		text = text[i+1:]
	}
	return out
}

// brief cuts a text for a list.
func brief(n int, s string) string {
	if len(s) <= n {
		return s
	}
	for back := 0; back < utf8.UTFMax-1 && n > 0 && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n] + "…"
}

// hexLine is sixteen bytes as hex and as text.
type hexLine struct{ Offset, Hex, Text string }

// hexDump is b as hex, at most maxShown/4 bytes of it.
func hexDump(b []byte) []hexLine {
	b = b[:min(len(b), maxShown/4)]
	var out []hexLine
	for i := 0; i < len(b); i += 16 {
		row := b[i:min(i+16, len(b))]
		var text, digits strings.Builder
		for j, c := range row {
			if j == 8 {
				digits.WriteByte(' ')
			}
			if j > 0 {
				digits.WriteByte(' ')
			}
			digits.WriteString(hex.EncodeToString([]byte{c}))
			if c < 0x20 || c >= 0x7f {
				c = '.'
			}
			text.WriteByte(c)
		}
		out = append(out, hexLine{fmt.Sprintf("%06x", i), digits.String(), text.String()})
	}
	return out
}
