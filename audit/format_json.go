package audit

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// AppendJSON appends r as one line of the JSON that ModSecurity 2 writes with SecAuditLogFormat
// JSON, newline included: same keys, same order, parts as r.Parts says. Unlike
// ModSecurity's the line is always valid JSON and bodies are not cut at NUL; a byte
// that is not UTF-8 becomes the code point of the same number.
func AppendJSON(dst []byte, r *Record) []byte {
	w := jsonWriter{dst: dst, parts: r.Parts}
	if w.parts == "" {
		w.parts = NativeParts
	}
	w.open("transaction")
	w.key("time")
	w.dst = append(w.dst, '"')
	w.dst = appendTime(w.dst, r.Time)
	w.dst = append(w.dst, '"')
	w.text("transaction_id", r.ID)
	w.endpoint("remote", r.Client)
	w.endpoint("local", r.Server)
	w.close()
	w.request(r)
	w.response(r)
	if w.wants('H') {
		w.auditData(r)
	}
	if w.wants('J') && len(r.Files) > 0 {
		w.uploads(r.Files)
	}
	if w.wants('K') && len(r.Rules) > 0 {
		w.key("matched_rules")
		w.dst = append(w.dst, '[')
		for i, rule := range r.Rules {
			w.rule(rule, i > 0)
		}
		w.dst = append(w.dst, ']')
	}
	return append(w.dst, '}', '\n')
}

// jsonWriter writes members; it puts a comma before all but the first of an object.
type jsonWriter struct {
	dst   []byte
	parts string
}

func (w *jsonWriter) wants(letter byte) bool { return strings.IndexByte(w.parts, letter) >= 0 }

// open begins an object under a key; the first one begins the entry too.
func (w *jsonWriter) open(name string) {
	if name == "transaction" {
		w.dst = append(w.dst, '{')
	}
	w.key(name)
	w.dst = append(w.dst, '{')
}

func (w *jsonWriter) close() { w.dst = append(w.dst, '}') }

func (w *jsonWriter) key(name string) {
	if last := w.dst[len(w.dst)-1]; last != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = appendJSONString(w.dst, name)
	w.dst = append(w.dst, ':')
}

func (w *jsonWriter) text(name, value string) {
	w.key(name)
	w.dst = appendJSONString(w.dst, value)
}

func (w *jsonWriter) number(name string, n int64) {
	w.key(name)
	w.dst = strconv.AppendInt(w.dst, n, 10)
}

func (w *jsonWriter) flag(name string, b bool) {
	w.key(name)
	w.dst = strconv.AppendBool(w.dst, b)
}

func (w *jsonWriter) endpoint(side string, a netip.AddrPort) {
	host := ""
	if a.Addr().IsValid() {
		host = a.Addr().String()
	}
	w.text(side+"_address", host)
	w.number(side+"_port", int64(a.Port()))
}

func (w *jsonWriter) request(r *Record) {
	w.open("request")
	if w.wants('B') {
		line, headers := splitHead(r.RequestHead, r.Kind == KindHTTP)
		w.key("request_line")
		w.dst = appendJSONString(w.dst, line)
		w.headers(headers)
	}
	if w.wants('C') && len(r.RequestBody) > 0 {
		w.key("body")
		w.dst = append(w.dst, '[')
		w.dst = appendJSONString(w.dst, r.RequestBody)
		w.dst = append(w.dst, ']')
	}
	if w.wants('I') && len(r.FakeBody) > 0 {
		w.key("fake_body")
		w.dst = appendJSONString(w.dst, r.FakeBody)
	}
	w.close()
}

func (w *jsonWriter) response(r *Record) {
	w.open("response")
	if w.wants('F') && len(r.ResponseHead) > 0 {
		line, headers := splitHead(r.ResponseHead, true)
		protocol, _, _ := bytes.Cut(line, []byte{' '})
		w.key("protocol")
		w.dst = appendJSONString(w.dst, protocol)
		w.number("status", int64(r.Status))
		w.headers(headers)
	}
	if w.wants('E') && len(r.ResponseBody) > 0 {
		w.key("body")
		w.dst = appendJSONString(w.dst, r.ResponseBody)
	}
	w.close()
}

// splitHead separates the first line; bytes that are not HTTP are one line.
func splitHead(head []byte, text bool) (line, headers []byte) {
	if !text {
		return head, nil
	}
	line, headers, _ = bytes.Cut(head, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), headers
}

// headers writes the object of header names; a name that comes twice is there twice, as in version 3.
func (w *jsonWriter) headers(lines []byte) {
	w.open("headers")
	for line := range bytes.Lines(lines) {
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte{':'})
		if len(line) == 0 {
			continue
		}
		if last := w.dst[len(w.dst)-1]; last != '{' {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendJSONString(w.dst, name)
		w.dst = append(w.dst, ':')
		w.dst = appendJSONString(w.dst, bytes.TrimLeft(value, " \t"))
	}
	w.close()
}

func (w *jsonWriter) auditData(r *Record) {
	w.open("audit_data")
	if len(r.Matches) > 0 {
		w.key("messages")
		w.dst = append(w.dst, '[')
		var line []byte
		for i := range r.Matches {
			if i > 0 {
				w.dst = append(w.dst, ',')
			}
			line = AppendMessage(line[:0], &r.Matches[i], r.Action)
			w.dst = appendJSONString(w.dst, line)
		}
		w.dst = append(w.dst, ']')
	}
	w.errorMessages(r.Trailer)
	if r.Action != nil && intercepts(r.Action.Kind) {
		w.open("action")
		w.flag("intercepted", true)
		w.number("phase", int64(r.Action.Phase))
		for _, m := range r.Matches {
			if m.Disruptive {
				w.text("message", m.Operator)
				break
			}
		}
		w.close()
	}
	for _, f := range r.Trailer {
		w.trailer(f)
	}
	w.close()
}

func (w *jsonWriter) errorMessages(trailer []Field) {
	some := false
	for _, f := range trailer {
		if f.Name != "Apache-Error" {
			continue
		}
		if some {
			w.dst = append(w.dst, ',')
		} else {
			w.key("error_messages")
			w.dst = append(w.dst, '[')
			some = true
		}
		w.dst = appendJSONString(w.dst, f.Value)
	}
	if some {
		w.dst = append(w.dst, ']')
	}
}

// trailer writes the lines of part H that version 2 has a key for.
func (w *jsonWriter) trailer(f Field) {
	switch f.Name {
	case "Apache-Handler":
		w.text("handler", f.Value)
	case "Stopwatch2":
		_, counters, _ := strings.Cut(f.Value, "; ")
		w.open("stopwatch")
		for counter := range strings.SplitSeq(counters, ", ") {
			name, value, _ := strings.Cut(counter, "=")
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && name != "combined" {
				w.number(name, n)
			}
		}
		w.close()
	case "Response-Body-Transformed":
		w.flag("response_body_dechunked", f.Value == "Dechunked")
	case "Producer":
		w.producer(strings.Split(strings.TrimSuffix(f.Value, "."), "; "))
	case "Server":
		w.text("server", f.Value)
	case "Engine-Mode":
		w.text("engine_mode", strings.Trim(f.Value, `"`))
	}
}

// producer is a string, or an array when rules added SecComponentSignature.
func (w *jsonWriter) producer(names []string) {
	if len(names) == 1 {
		w.text("producer", names[0])
		return
	}
	w.key("producer")
	w.dst = append(w.dst, '[')
	for i, name := range names {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = appendJSONString(w.dst, name)
	}
	w.dst = append(w.dst, ']')
}

func (w *jsonWriter) uploads(files []File) {
	w.open("uploads")
	w.key("info")
	w.dst = append(w.dst, '[')
	var total int64
	for i, f := range files {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, '{')
		w.number("file_size", f.Size)
		w.text("file_name", f.Name)
		if f.ContentType == "" {
			w.text("content_type", "<Unknown Content-Type>")
		} else {
			w.text("content_type", f.ContentType)
		}
		w.close()
		total += f.Size
	}
	w.dst = append(w.dst, ']')
	w.number("total", total)
	w.close()
}

// rule writes one matched rule with its chain; only text and id are known here.
func (w *jsonWriter) rule(rule RuleText, more bool) {
	if more {
		w.dst = append(w.dst, ',')
	}
	lines := strings.Split(strings.Trim(rule.Raw, "\n"), "\n")
	w.dst = append(w.dst, '{')
	w.flag("chain", len(lines) > 1)
	w.key("rules")
	w.dst = append(w.dst, '[')
	for i, line := range lines {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(w.dst, '{')
		if i == 0 && rule.ID != 0 {
			w.open("actionset")
			w.text("id", strconv.Itoa(rule.ID))
			w.flag("is_chained", len(lines) > 1)
			w.close()
		}
		text := strings.TrimPrefix(strings.TrimLeft(line, " "), "#")
		w.text("unparsed", text)
		w.flag("is_matched", !strings.HasPrefix(line, "#"))
		w.close()
	}
	w.dst = append(w.dst, ']', '}')
}
