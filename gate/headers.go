package gate

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/trapline/trapline/config"
)

// headerOps applies Header directives to the answer. Answers that we make ourselves, errors and redirects, get those of the
// "always" table only, as in Apache.
func (x *exchange) headerOps() {
	h := x.w.Header()
	if x.site.signature != "" && (x.pass == nil || h.Get("Server") == "") {
		h.Set("Server", headerSafe(x.site.signature))
	}
	for i := range x.merged.headers {
		op := &x.merged.headers[i]
		if !op.Always && x.failing || !x.condition(op) {
			continue
		}
		if op.Action == "echo" {
			x.echo(h, op.Regexp)
			continue
		}
		x.apply(h, op)
	}
}

// requestHeaderOps applies RequestHeader directives before an upstream sees the request.
func (x *exchange) requestHeaderOps() {
	for i := range x.merged.requestHeaders {
		op := &x.merged.requestHeaders[i]
		if !x.condition(op) {
			continue
		}
		if strings.EqualFold(op.Name, "Host") {
			if op.Action == "set" {
				x.r.Host = headerSafe(x.format(op.Value))
			}
			continue
		}
		x.apply(x.r.Header, op)
	}
}

func (x *exchange) condition(op *config.HeaderOp) bool {
	if op.Env == "" {
		return true
	}
	_, set := x.getenv(op.Env)
	return set != op.EnvNot
}

func (x *exchange) apply(h http.Header, op *config.HeaderOp) {
	name := http.CanonicalHeaderKey(op.Name)
	value := ""
	if op.Action != "unset" && op.Regexp == nil {
		value = headerSafe(x.format(op.Value))
	}
	switch op.Action {
	case "set":
		h[name] = []string{value}
	case "add":
		h[name] = append(h[name], value)
	case "append":
		h[name] = []string{joinList(h[name], value)}
	case "merge":
		if !slices.ContainsFunc(strings.Split(strings.Join(h[name], ","), ","), func(v string) bool { return strings.TrimSpace(v) == value }) {
			h[name] = []string{joinList(h[name], value)}
		}
	case "setifempty":
		if len(h[name]) == 0 {
			h[name] = []string{value}
		}
	case "unset":
		delete(h, name)
	case "edit", "edit*":
		for i, v := range h[name] {
			h[name][i] = headerSafe(x.edit(op, v))
		}
	}
}

func joinList(values []string, value string) string {
	if len(values) == 0 {
		return value
	}
	return strings.Join(values, ", ") + ", " + value
}

// edit replaces the first match (edit) or all (edit*); the replacement may use groups and format strings.
func (x *exchange) edit(op *config.HeaderOp, value string) string {
	replacement := x.format(op.Replace)
	most := 1
	if op.Action == "edit*" {
		most = -1
	}
	return op.Regexp.Replace(value, most, func(groups []string) string { return substitute(replacement, groups) })
}

// echo copies request headers whose name matches into the answer.
func (x *exchange) echo(h http.Header, names *config.Pattern) {
	for _, name := range sortedNames(x.r.Header) {
		if names.MatchString(name) {
			h[name] = append(h[name], x.r.Header[name]...)
		}
	}
}

// format expands %{NAME}e, %{NAME}s, %t, %D, %l and %% of a header value.
func (x *exchange) format(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case '%':
			b.WriteByte('%')
		case 't':
			b.WriteString("t=" + strconv.FormatInt(x.began.UnixMicro(), 10))
		case 'D':
			b.WriteString("D=" + strconv.FormatInt(x.gate.now().Sub(x.began).Microseconds(), 10))
		case 'l', 'i', 'b':
			b.WriteString("-") // load figures of Apache's scoreboard
		case '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 || i+end+1 >= len(s) {
				b.WriteString("%{")
				continue
			}
			b.WriteString(x.formatVar(s[i+1:i+end], s[i+end+1]))
			i += end + 1
		default:
			b.WriteByte('%')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (x *exchange) formatVar(name string, kind byte) string {
	switch kind {
	case 'e':
		if v, ok := x.getenv(name); ok {
			return v
		}
	case 's':
		if v := x.tlsVar(name); v != "" {
			return v
		}
	}
	return "(null)"
}

// tlsVar is a variable of mod_ssl.
func (x *exchange) tlsVar(name string) string {
	t := x.conn.tls
	if t == nil {
		return ""
	}
	switch name {
	case "HTTPS":
		return "on"
	case "SSL_PROTOCOL":
		return "TLSv" + strings.TrimSuffix(t.Version, ".0")
	case "SSL_TLS_SNI":
		return t.Server
	}
	return ""
}

// headerSafe removes what would end a header line.
func headerSafe(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, s)
}
