package seclang

import (
	"errors"
	"fmt"
	"strings"
)

// maxDirective is the longest logical line we take; Apache refuses lines above 8 KiB to 16 MiB, by version.
const maxDirective = 1 << 20

// Directive is one logical line of configuration text (Apache syntax: continuation lines, quotes, comments).
type Directive struct {
	// Name is the first word as written: "SecRule", "<VirtualHost", "</VirtualHost".
	Name string
	// Args are the words after it, unquoted as Apache's ap_getword_conf does.
	Args []string
	// Raw is everything after the name as written, continuation lines joined.
	Raw  string
	File string
	Line int // of the first physical line, from 1
	Last int // of the last one: mod_security2 names it in its messages
}

// Pos returns "file:line".
func (d Directive) Pos() string { return fmt.Sprintf("%s:%d", d.File, d.Line) }

// Lex cuts text into directives. Errors are joined *Error values; the directives around them are returned all the same.
func Lex(file string, text []byte) ([]Directive, error) {
	var out []Directive
	var errs []error
	src := strings.TrimPrefix(string(text), "\ufeff")
	for line := 1; src != ""; {
		start := line
		var logical string
		logical, src, line = logicalLine(src, line)
		logical = strings.TrimLeft(logical, " \t\r\f\v")
		if logical == "" || logical[0] == '#' {
			continue
		}
		if len(logical) > maxDirective {
			errs = append(errs, &Error{file, start, fmt.Sprintf("line of %d bytes, expected at most %d", len(logical), maxDirective)})
			continue
		}
		d, err := lexDirective(logical)
		d.File, d.Line, d.Last = file, start, line-1
		if err != nil {
			errs = append(errs, &Error{file, start, err.Error()})
			continue
		}
		out = append(out, d)
	}
	return out, errors.Join(errs...)
}

// logicalLine takes one line from src, joined with the lines that follow a trailing backslash.
func logicalLine(src string, line int) (logical, rest string, next int) {
	var joined strings.Builder
	for {
		var l string
		l, src, _ = strings.Cut(src, "\n")
		line++
		// Blanks after the backslash are an old trap: Apache then ends the directive there. Nobody means that.
		if t, ok := strings.CutSuffix(strings.TrimRight(l, " \t\r"), `\`); ok {
			joined.WriteString(t)
			if src != "" {
				continue
			}
			return joined.String(), src, line
		}
		joined.WriteString(strings.TrimSuffix(l, "\r"))
		return joined.String(), src, line
	}
}

func lexDirective(s string) (Directive, error) {
	s = strings.TrimRight(s, " \t\r\n\f\v")
	if s[0] == '<' {
		return lexSection(s)
	}
	name := s
	if i := strings.IndexAny(s, " \t\"'"); i >= 0 {
		name = s[:i]
	}
	if name == "" {
		return Directive{}, fmt.Errorf("expected the name of a directive, found %q", clip(s, 60))
	}
	d := Directive{Name: name, Raw: strings.TrimLeft(s[len(name):], " \t")}
	var err error
	d.Args, err = words(d.Raw)
	return d, err
}

func lexSection(s string) (Directive, error) {
	body, closed := strings.CutSuffix(s, ">")
	if !closed {
		return Directive{}, fmt.Errorf("section %q has no closing >", clip(s, 60))
	}
	name := body
	if i := strings.IndexAny(body, " \t"); i >= 0 {
		name = body[:i]
	}
	if name == "<" || name == "</" {
		return Directive{}, errors.New("section without a name")
	}
	d := Directive{Name: name, Raw: strings.TrimSpace(body[len(name):])}
	var err error
	d.Args, err = words(d.Raw)
	return d, err
}

// words splits s as Apache's ap_getword_conf does: quotes may be ' or ", and inside a quoted word a backslash
// quotes that quote; two backslashes become one.
func words(s string) ([]string, error) {
	var out []string
	for {
		s = strings.TrimLeft(s, " \t\r\n\f\v")
		if s == "" {
			return out, nil
		}
		// `SecRule X "y" \"id:1..."` is what remains of a continuation line when the line break was lost
		// in publishing, as in the article's own listing.
		if strings.HasPrefix(s, `\"`) && strings.HasSuffix(s, `"`) && len(s) > 3 {
			s = s[1:]
		}
		q := s[0]
		if q != '"' && q != '\'' {
			n := strings.IndexAny(s, " \t\r\n\f\v")
			if n < 0 {
				n = len(s)
			}
			out = append(out, unquote(s[:n], 0))
			s = s[n:]
			continue
		}
		end := 1
		for end < len(s) && s[end] != q {
			if s[end] == '\\' && end+1 < len(s) && (s[end+1] == '\\' || s[end+1] == q) {
				end++
			}
			end++
		}
		if end >= len(s) {
			// Apache takes the rest of the line, so rules that lost their last quote run everywhere.
			return append(out, unquote(s[1:], q)), nil
		}
		out = append(out, unquote(s[1:end], q))
		s = s[end+1:]
	}
}

func unquote(s string, q byte) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '\\' || q != 0 && s[i+1] == q) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
