package gate

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/config"
)

// accessLog is one CustomLog: a compiled format and where its lines go.
type accessLog struct {
	sink   *sink
	fields []logField
	env    string
	envNot bool
}

// logField appends one value of a line.
type logField struct {
	append func(b []byte, x *exchange) []byte
	only   []int // statuses; nil: all
	not    bool
}

func (l *accessLog) write(x *exchange) {
	if l.env != "" {
		if _, set := x.getenv(l.env); set == l.envNot {
			return
		}
	}
	b := make([]byte, 0, 256)
	for _, f := range l.fields {
		if f.only != nil {
			listed := false
			for _, s := range f.only {
				listed = listed || s == x.status
			}
			if listed == f.not {
				b = append(b, '-')
				continue
			}
		}
		b = f.append(b, x)
	}
	l.sink.write(append(b, '\n'))
}

func newAccessLog(c config.CustomLog, s *sink) (*accessLog, error) {
	l := &accessLog{sink: s, env: c.Env, envNot: c.EnvNot}
	format := strings.NewReplacer(`\t`, "\t", `\n`, "\n", `\"`, `"`).Replace(c.Format)
	for format != "" {
		i := strings.IndexByte(format, '%')
		if i != 0 {
			if i < 0 {
				i = len(format)
			}
			l.fields = append(l.fields, literal(format[:i]))
			format = format[i:]
			continue
		}
		f, rest, err := parseField(format[1:])
		if err != nil {
			return nil, err
		}
		l.fields = append(l.fields, f)
		format = rest
	}
	return l, nil
}

func literal(s string) logField {
	return logField{append: func(b []byte, _ *exchange) []byte { return append(b, s...) }}
}

// parseField reads what follows a %: [!]statuses, < or >, {argument}, letter.
func parseField(s string) (f logField, rest string, err error) {
	arg := ""
	for s != "" {
		switch c := s[0]; {
		case c == '!' || c >= '0' && c <= '9':
			f.not = c == '!'
			list := strings.TrimPrefix(s, "!")
			n := 0
			for n < len(list) && (list[n] == ',' || list[n] >= '0' && list[n] <= '9') {
				n++
			}
			for code := range strings.SplitSeq(list[:n], ",") {
				status, err := strconv.Atoi(code)
				if err != nil {
					return f, "", fmt.Errorf("found the statuses %q, expected numbers with commas", list[:n])
				}
				f.only = append(f.only, status)
			}
			s = list[n:]
		case c == '<' || c == '>':
			s = s[1:]
		case c == '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return f, "", fmt.Errorf("found %q, expected }", s)
			}
			arg, s = s[1:end], s[end+1:]
		default:
			letter := s[:1]
			if letter == "^" && len(s) >= 3 {
				letter = s[:3]
			}
			if f.append = fieldOf(letter, arg); f.append == nil {
				return f, "", fmt.Errorf("found the format %%%s, expected one of mod_log_config's", letter)
			}
			return f, s[len(letter):], nil
		}
	}
	return f, "", fmt.Errorf("found the end of the format after %%, expected a letter")
}

// fieldOf is the table of mod_log_config and mod_logio.
func fieldOf(letter, arg string) func([]byte, *exchange) []byte { //nolint:revive // a table of 30 one-line entries
	text := func(get func(x *exchange) string) func([]byte, *exchange) []byte {
		return func(b []byte, x *exchange) []byte { return appendLog(b, get(x)) }
	}
	number := func(get func(x *exchange) int64) func([]byte, *exchange) []byte {
		return func(b []byte, x *exchange) []byte { return strconv.AppendInt(b, get(x), 10) }
	}
	switch letter {
	case "%":
		return literal("%").append
	case "h", "a":
		if arg == "c" {
			return text(func(x *exchange) string { return x.conn.peer.Addr().String() })
		}
		return text(func(x *exchange) string { return x.client.Addr().String() })
	case "A":
		return text(func(x *exchange) string { return x.conn.local.Addr().String() })
	case "b":
		return func(b []byte, x *exchange) []byte {
			if x.size == 0 {
				return append(b, '-')
			}
			return strconv.AppendInt(b, x.size, 10)
		}
	case "B":
		return number(func(x *exchange) int64 { return x.size })
	case "I":
		return number(func(x *exchange) int64 { return int64(len(x.raw)) + 4 + x.received() })
	case "O":
		return number(func(x *exchange) int64 { return int64(len(x.conn.answer)) + 4 + x.size })
	case "S":
		return number(func(x *exchange) int64 { return int64(len(x.raw)+len(x.conn.answer)) + 8 + x.received() + x.size })
	case "D":
		return number(func(x *exchange) int64 { return x.gate.now().Sub(x.began).Microseconds() })
	case "T":
		return number(func(x *exchange) int64 { return int64(x.gate.now().Sub(x.began) / durationUnit(arg)) })
	case "e":
		return text(func(x *exchange) string { v, _ := x.getenv(arg); return v })
	case "i":
		name := http.CanonicalHeaderKey(arg)
		return text(func(x *exchange) string {
			if name == "Host" {
				return x.r.Host
			}
			return strings.Join(x.r.Header[name], ", ")
		})
	case "o":
		name := http.CanonicalHeaderKey(arg)
		return text(func(x *exchange) string { return strings.Join(x.w.Header()[name], ", ") })
	case "C":
		return text(func(x *exchange) string {
			if c, err := x.r.Cookie(arg); err == nil {
				return c.Value
			}
			return ""
		})
	case "f":
		return text(func(x *exchange) string { return x.file })
	case "H":
		return text(func(x *exchange) string { return x.r.Proto })
	case "k":
		return number(func(x *exchange) int64 { return int64(max(x.conn.served-1, 0)) })
	case "l", "n", "u", "^ti", "^to":
		return text(func(*exchange) string { return "" }) // identd, notes, users and trailers: unknown here
	case "L":
		return text(func(x *exchange) string { return x.id() })
	case "m":
		return text(func(x *exchange) string { return x.r.Method })
	case "p":
		if arg == "remote" {
			return number(func(x *exchange) int64 { return int64(x.conn.peer.Port()) })
		}
		if arg == "local" {
			return number(func(x *exchange) int64 { return int64(x.conn.local.Port()) })
		}
		return number(func(x *exchange) int64 { return x.canonicalPort() })
	case "P":
		return number(func(*exchange) int64 { return 0 })
	case "q":
		return text(func(x *exchange) string {
			if q := x.query(); q != "" {
				return "?" + q
			}
			return emptyField
		})
	case "r":
		return text(func(x *exchange) string { return x.requestLine() })
	case "R":
		return text(func(x *exchange) string {
			if x.pass != nil {
				return "proxy-server"
			}
			return ""
		})
	case "s":
		return number(func(x *exchange) int64 { return int64(x.status) })
	case "t":
		return timeField(arg)
	case "U":
		return text(func(x *exchange) string {
			if x.r.RequestURI == "*" {
				return "*"
			}
			return x.path
		})
	case "v", "V":
		return text(func(x *exchange) string {
			if x.site.Host.Name == "" {
				return x.r.Host
			}
			return x.site.Host.Name
		})
	case "X":
		return text(func(x *exchange) string {
			if x.r.Close {
				return "-"
			}
			return "+"
		})
	case "x": // mod_ssl
		return text(func(x *exchange) string { return x.tlsVar(arg) })
	}
	return nil
}

func durationUnit(arg string) time.Duration {
	switch arg {
	case "ms":
		return time.Millisecond
	case "us":
		return time.Microsecond
	}
	return time.Second
}

func timeField(arg string) func([]byte, *exchange) []byte {
	at := func(x *exchange) time.Time { return x.began }
	if rest, ok := strings.CutPrefix(arg, "end:"); ok {
		arg, at = rest, func(x *exchange) time.Time { return x.gate.now() }
	} else {
		arg = strings.TrimPrefix(arg, "begin:")
	}
	switch arg {
	case "", "begin":
		return func(b []byte, x *exchange) []byte { return at(x).AppendFormat(b, "[02/Jan/2006:15:04:05 -0700]") }
	case "sec":
		return func(b []byte, x *exchange) []byte { return strconv.AppendInt(b, at(x).Unix(), 10) }
	case "msec":
		return func(b []byte, x *exchange) []byte { return strconv.AppendInt(b, at(x).UnixMilli(), 10) }
	case "usec":
		return func(b []byte, x *exchange) []byte { return strconv.AppendInt(b, at(x).UnixMicro(), 10) }
	case "msec_frac":
		return func(b []byte, x *exchange) []byte { return fmt.Appendf(b, "%03d", at(x).Nanosecond()/1e6) }
	case "usec_frac":
		return func(b []byte, x *exchange) []byte { return fmt.Appendf(b, "%06d", at(x).Nanosecond()/1e3) }
	}
	layout := strftime(arg)
	return func(b []byte, x *exchange) []byte { return at(x).AppendFormat(b, layout) }
}

// strftime turns the formats of strftime(3) that logs use into a layout of package time.
func strftime(f string) string {
	return strings.NewReplacer("%Y", "2006", "%m", "01", "%d", "02", "%H", "15", "%M", "04", "%S", "05", "%z", "-0700", "%Z", "MST", "%b", "Jan",
		"%B", "January", "%a", "Mon", "%A", "Monday", "%y", "06", "%e", "_2", "%I", "03", "%p", "PM", "%T", "15:04:05", "%F", "2006-01-02",
		"%D", "01/02/06", "%R", "15:04", "%%", "%").Replace(f)
}

// emptyField is a value that is really empty; appendLog writes "-" for unknown ones.
const emptyField = "\x00"

// appendLog escapes as Apache's ap_escape_logitem: a client must not be able to forge lines.
func appendLog(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	if s == "" {
		return append(b, '-')
	}
	if s == emptyField {
		return b
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// canonicalPort is the port that the client named, else that of the scheme.
func (x *exchange) canonicalPort() int64 {
	if _, port, err := net.SplitHostPort(x.r.Host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			return int64(n)
		}
	}
	if x.scheme() == "https" {
		return 443
	}
	return 80
}

func (x *exchange) received() int64 {
	if x.body != nil {
		_, size := x.body.take()
		return size
	}
	return max(x.r.ContentLength, 0)
}

func (x *exchange) query() string {
	_, q, _ := strings.Cut(x.r.RequestURI, "?")
	return q
}

func (x *exchange) requestLine() string {
	if x.raw != nil {
		line, _, _ := strings.Cut(string(x.raw[:min(len(x.raw), maxHeadBytes)]), "\n")
		return strings.TrimSuffix(line, "\r")
	}
	return x.r.Method + " " + x.r.RequestURI + " " + x.r.Proto
}

func (x *exchange) id() string { return x.transactionID }
