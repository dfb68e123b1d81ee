package audit

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// IndexLimit is the length that ModSecurity 2 gives an index line, without
// the last blank, 'L' and newline; the request line is cut to fit.
const IndexLimit = 3980

// IndexLine is one line of the index of concurrent audit logging, as SecAuditLog
// gets it and mlogc reads it.
type IndexLine struct {
	// Version is the ModSecurity that writes lines of this form, 2 or 3 (nginx and Apache connectors alike). AppendIndex always writes 2.
	Version int
	Host    string // Host header or virtual host, "" when unknown
	Client  string // address, without brackets
	// RemoteUser and LocalUser are empty when unknown; version 3 has no local user.
	RemoteUser, LocalUser string
	Time                  time.Time
	Request               string // request line; may be cut, see Limited
	Status                int
	Bytes                 int64 // of the response body
	// Referer and UserAgent are always "" in lines of version 2.
	Referer, UserAgent string
	ID                 string
	Session            string // "" in lines of version 3
	File               string // relative to the storage directory with a leading slash (version 2), absolute (version 3)
	Offset, Size       int64
	MD5                string // 32 hex digits of the file's bytes, "" when the line has none
	Limited            bool   // the request line was cut
}

// Index returns the line for r, whose entry of size bytes with this MD5 (32 hex digits) lies in file. The host is the
// one that the client asked for, as Apache's r->hostname; the virtual host's name stands in when it named none.
func Index(r *Record, file string, size int64, md5 string) IndexLine {
	request, _, _ := strings.Cut(string(r.RequestHead), "\n")
	if r.Kind != KindHTTP {
		request = ""
	}
	l := IndexLine{
		Version: 2, Host: cmp.Or(r.askedHost(), r.Host), RemoteUser: r.RemoteUser, Time: r.Time, Request: strings.TrimSuffix(request, "\r"),
		Status: r.Status, Bytes: r.ResponseBodySize, ID: r.ID, Session: r.SessionID, File: file, Size: size, MD5: md5,
	}
	if a := r.Client.Addr(); a.IsValid() {
		l.Client = a.String()
	}
	return l
}

// askedHost returns the host of an absolute URI or CONNECT, or of the Host header, in lower case and without port.
func (r *Record) askedHost() string {
	if r.Kind != KindHTTP {
		return ""
	}
	first, headers, _ := strings.Cut(string(r.RequestHead), "\n")
	if words := strings.Fields(first); len(words) > 1 {
		_, after, absolute := strings.Cut(words[1], "://")
		switch {
		case words[0] == "CONNECT":
			return hostOnly(words[1])
		case absolute && words[1][0] != '/' && !strings.Contains(words[1][:len(words[1])-len(after)-3], "?"):
			end := strings.IndexAny(after, "/?#")
			if end < 0 {
				end = len(after)
			}
			return hostOnly(after[:end])
		}
	}
	for line := range strings.Lines(headers) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "host") {
			return hostOnly(strings.TrimSpace(value))
		}
	}
	return ""
}

func hostOnly(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		s = s[:i]
	}
	return strings.ToLower(s)
}

// AppendIndex appends l as ModSecurity 2.9 writes it, newline included. The line is at most
// IndexLimit bytes: of a longer one the request line is cut and " L" stands at its end.
func AppendIndex(dst []byte, l *IndexLine) []byte {
	start := len(dst)
	dst, request, end := appendCombined(dst, l)
	dst = append(dst, ' ')
	dst = appendToken(dst, l.File)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, l.Offset, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, l.Size, 10)
	dst = append(dst, " md5:"...)
	dst = append(dst, l.MD5...)
	return endLine(dst, start, request, end, l.Limited)
}

// appendCombined appends what index and guardian lines begin with; dst[request:end] is the request line.
func appendCombined(dst []byte, l *IndexLine) (_ []byte, request, end int) {
	dst = appendToken(dst, l.Host)
	dst = append(dst, ' ')
	dst = appendToken(dst, l.Client)
	dst = append(dst, ' ')
	dst = appendToken(dst, l.RemoteUser)
	dst = append(dst, ' ')
	dst = appendToken(dst, l.LocalUser)
	dst = append(dst, " ["...)
	dst = appendTime(dst, l.Time)
	dst = append(dst, `] "`...)
	request = len(dst)
	dst = appendEscaped(dst, l.Request)
	end = len(dst)
	dst = append(dst, `" `...)
	dst = strconv.AppendInt(dst, int64(l.Status), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, l.Bytes, 10)
	dst = append(dst, ' ')
	dst = appendQuotedOrDash(dst, l.Referer)
	dst = append(dst, ' ')
	dst = appendQuotedOrDash(dst, l.UserAgent)
	dst = append(dst, ' ')
	dst = appendToken(dst, l.ID)
	dst = append(dst, ' ')
	return appendQuotedOrDash(dst, l.Session), request, end
}

// endLine ends the line from start, and cuts its request line dst[request:end] when it is too long.
func endLine(dst []byte, start, request, end int, limited bool) []byte {
	if over := len(dst) - start - IndexLimit; over > 0 {
		cut := wholeEscapes(dst[request:end], max(0, end-request-over))
		dst = append(dst[:request+cut], dst[end:]...)
		limited = true
	}
	if limited {
		return append(dst, " L\n"...)
	}
	return append(dst, " \n"...)
}

// wholeEscapes returns the longest length up to n at which no escape is cut in two, so that
// the quote behind the text stays a quote. (ModSecurity cuts anywhere.)
func wholeEscapes(text []byte, n int) int {
	at := 0
	for at < n {
		step := 1
		if text[at] == '\\' {
			step = 2
			if at+1 < len(text) && text[at+1] == 'x' {
				step = 4
			}
		}
		if at+step > n {
			break
		}
		at += step
	}
	return at
}

func appendQuotedOrDash(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, `"-"`...)
	}
	return appendQuoted(dst, s)
}

// ErrIndexLine says that a line is not an index line of ModSecurity 2 or 3.
var ErrIndexLine = errors.New("not an index line")

// Both are read from the right as far as possible: what stands there was made by the server, while the request line,
// the referer and the user agent are the client's, and version 3 does not escape the quotes in them.
var (
	indexTail   = regexp.MustCompile(`^(.*) (\S+) (\d+) (\d+)(\.\d+)? (?:md5:)?(\S*?) ?( L)?\s*$`)
	indexHead   = regexp.MustCompile(`^(\S+) (\S+) (.*?) ?\[(\d\d?/\w{3}/\d{4}:\d\d:\d\d:\d\d(?:\.\d+)? [-+]\d{4})\] "(.*)$`)
	indexAnswer = regexp.MustCompile(`^(.*?)" (\d+) (\S+) (.*)$`)
)

// ParseIndex reads one line, with or without its newline. It never takes longer than the
// line's length squared, and lines over 64 KiB are refused: version 3 writes up to 8.4 KB.
func ParseIndex(line string) (IndexLine, error) {
	var l IndexLine
	if len(line) > 64<<10 {
		return l, fmt.Errorf("%w: %d bytes", ErrIndexLine, len(line))
	}
	line = strings.TrimRight(line, "\r\n")
	tail := indexTail.FindStringSubmatch(line)
	if tail == nil {
		return l, fmt.Errorf("%w: no file, offset, size and hash at its end", ErrIndexLine)
	}
	head := indexHead.FindStringSubmatch(tail[1])
	if head == nil {
		return l, fmt.Errorf("%w: no host, client and time at its start", ErrIndexLine)
	}
	l.File = token(tail[2])
	l.Offset, _ = strconv.ParseInt(tail[3], 10, 64)
	var err error
	if l.Size, err = strconv.ParseInt(tail[4], 10, 64); err != nil {
		return l, fmt.Errorf("%w: size %s", ErrIndexLine, tail[4])
	}
	l.Limited = tail[7] != ""
	if l.MD5 = strings.ToLower(tail[6]); l.MD5 != "" && l.MD5 != "-" && !isMD5(l.MD5) {
		return l, fmt.Errorf("%w: hash %s", ErrIndexLine, tail[6])
	}
	l.MD5 = strings.TrimPrefix(l.MD5, "-")
	l.Host, l.Client = token(head[1]), strings.Trim(token(head[2]), "[]")
	if l.Time, err = parseTime(head[4]); err != nil {
		return l, fmt.Errorf("%w: %v", ErrIndexLine, err)
	}
	middle := head[5]
	if l.Version = 2; tail[5] != "" { // version 3 writes the size as 3501.000000; all to the left of it is the client's
		l.Version = 3
		err = l.middle3(middle, head[3])
	} else {
		err = l.middle2(middle, head[3])
	}
	if err != nil {
		return l, err
	}
	if l.ID == "" {
		return l, fmt.Errorf("%w: no unique id", ErrIndexLine)
	}
	return l, nil
}

// middle2 reads `request" status bytes "referer" "user agent" id "session"` from the right.
func (l *IndexLine) middle2(s, users string) error {
	remote, local, _ := cutLast(users, " ")
	l.RemoteUser, l.LocalUser = token(remote), token(local)
	s, l.Session = cutLastQuoted(s)
	s, id, _ := cutLast(strings.TrimRight(s, " "), " ")
	l.ID = token(id)
	s, l.UserAgent = cutLastQuoted(s)
	s, l.Referer = cutLastQuoted(strings.TrimRight(s, " "))
	s, sent, _ := cutLast(strings.TrimRight(s, " "), " ")
	s, status, ok := cutLast(s, " ")
	if !ok || !strings.HasSuffix(s, `"`) {
		return fmt.Errorf("%w: no request, status and size in its middle", ErrIndexLine)
	}
	l.Request = unescape(strings.TrimSuffix(s, `"`))
	return l.answer(status, sent)
}

// middle3 reads `request" status bytes referer "user agent" id referer`, where nothing is escaped. The
// id stands in the file's name too, which is the server's own; it shows where the user agent ends.
func (l *IndexLine) middle3(s, users string) error {
	l.RemoteUser = token(users)
	id := idOfFile(l.File)
	var before string
	var ok bool
	if id != "" {
		before, l.Referer, ok = cutLast(s, " "+id+" ")
	} else {
		before, _, _ = cutLast(s, " ")
		before, id, ok = cutLast(before, " ")
	}
	if !ok {
		return fmt.Errorf("%w: no unique id in its middle", ErrIndexLine)
	}
	l.ID = token(id)
	m := indexAnswer.FindStringSubmatch(before)
	if m == nil {
		return fmt.Errorf("%w: no request, status and size in its middle", ErrIndexLine)
	}
	l.Request = unescapeHex(m[1])
	agent, ok := strings.CutPrefix(m[4], l.Referer+` "`)
	if !ok {
		l.Referer, agent, _ = strings.Cut(m[4], ` "`)
	}
	l.UserAgent = strings.TrimSuffix(agent, `"`)
	l.Referer, l.UserAgent = noDash(l.Referer), noDash(l.UserAgent)
	return l.answer(m[2], m[3])
}

func noDash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// idOfFile returns the unique id in a file's name, yyyymmdd-hhmmss-ID.
func idOfFile(file string) string {
	name := file[strings.LastIndexByte(file, '/')+1:]
	const stamp = len("20261122-082656-")
	if len(name) <= stamp || name[8] != '-' || name[stamp-1] != '-' {
		return ""
	}
	return name[stamp:]
}

func (l *IndexLine) answer(status, sent string) error {
	var err error
	if l.Status, err = strconv.Atoi(status); err != nil {
		return fmt.Errorf("%w: status %q", ErrIndexLine, status)
	}
	if sent == "-" {
		return nil
	}
	sent, _, _ = strings.Cut(sent, ".")
	if l.Bytes, err = strconv.ParseInt(sent, 10, 64); err != nil {
		return fmt.Errorf("%w: response size %q", ErrIndexLine, sent)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// cutLastQuoted takes the last quoted value off s; "-" is the empty one.
func cutLastQuoted(s string) (before, value string) {
	s = strings.TrimSuffix(s, `"`)
	before, value, ok := cutLast(s, ` "`)
	if !ok || value == "-" {
		return before, ""
	}
	return before, unescape(value)
}

func isMD5(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if hexValue(s[i]) < 0 {
			return false
		}
	}
	return true
}
