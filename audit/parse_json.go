package audit

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ParseJSON reads one JSON entry of ModSecurity 2 (SecAuditLogFormat JSON) or 3. As ParseNative it
// always returns a record. Heads are put together from the fields, so the reason phrase
// of the answer is lost, and ModSecurity cuts bodies at the first NUL. Version 3 writes local
// time without a zone: it is taken as UTC.
func ParseJSON(b []byte) (*Record, []Fault) {
	p := jsonEntry{nativeParser{r: &Record{}, status: -1, reqSize: -1, respSize: -1, acted: -1}}
	v, err := parseJSONValue(b)
	if err != nil {
		p.fault(0, "%v", err) // what could be read is used
	}
	t := v.get("transaction")
	switch {
	case t.get("unique_id").kind != 0 || t.get("client_ip").kind != 0:
		p.version3(t)
	case t.kind == '{':
		p.version2(v)
	default:
		p.fault(0, "not an audit log entry: no transaction")
	}
	p.parts = p.written()
	p.finish()
	return p.r, p.faults
}

// jsonEntry shares what depends on several parts with the native parser.
type jsonEntry struct{ nativeParser }

func (p *jsonEntry) version2(v jsonValue) {
	r := p.r
	t := v.get("transaction")
	var err error
	if r.Time, err = parseTime(t.get("time").str()); err != nil {
		p.fault(0, "time: %v", err)
	}
	r.ID = t.get("transaction_id").str()
	r.Client = p.endpoint(t.get("remote_address"), t.get("remote_port"))
	r.Server = p.endpoint(t.get("local_address"), t.get("local_port"))
	r.Peer = r.Client

	q := v.get("request")
	if line := q.get("request_line"); line.kind != 0 || len(q.get("headers").keys) > 0 {
		r.RequestHead = jsonHead(line.str(), q.get("headers"))
	}
	for _, chunk := range q.get("body").list() {
		r.RequestBody = append(r.RequestBody, chunk.str()...)
	}
	r.FakeBody = orNil([]byte(q.get("fake_body").str()))
	if a := v.get("response"); a.kind == '{' {
		if status := a.get("status"); status.kind != 0 {
			r.ResponseHead = jsonHead(a.get("protocol").str()+" "+status.str(), a.get("headers"))
			p.status = int(status.int())
		}
		r.ResponseBody = orNil([]byte(a.get("body").str()))
	}
	p.auditData(v.get("audit_data"))
	for _, f := range v.get("uploads", "info").list() {
		file := File{Size: f.get("file_size").int(), Name: f.get("file_name").str(), ContentType: f.get("content_type").str()}
		if strings.HasPrefix(file.ContentType, "<Unknown Content") {
			file.ContentType = ""
		}
		r.Files = append(r.Files, file)
	}
	for _, m := range v.get("matched_rules").list() {
		p.ruleText(m.get("rules").list())
	}
}

// auditData reads what stands in part H of a native entry.
func (p *jsonEntry) auditData(d jsonValue) {
	for _, m := range d.get("messages").list() {
		p.message(m.str(), false)
	}
	if a := d.get("action"); a.get("intercepted").str() == "true" {
		p.acted = int(a.get("phase").int())
	}
	for _, m := range d.get("error_messages").list() {
		p.add("Apache-Error", m.str())
	}
	if h := d.get("handler"); h.kind != 0 {
		p.add("Apache-Handler", h.str())
	}
	if w := d.get("stopwatch"); w.kind == '{' {
		text := strconv.FormatInt(p.r.Time.UnixMicro(), 10) + " 0;"
		for i, k := range w.keys {
			if i > 0 {
				text += ","
			}
			text += " " + k + "=" + w.items[i].str()
		}
		p.add("Stopwatch2", text)
	}
	if d.get("response_body_dechunked").str() == "true" {
		p.add("Response-Body-Transformed", "Dechunked")
	}
	p.add("Producer", producer(d.get("producer").list()))
	p.add("Server", d.get("server").str())
	if m := d.get("engine_mode").str(); m != "" {
		p.add("Engine-Mode", `"`+m+`"`)
	}
}

func (p *jsonEntry) add(name, value string) {
	if value != "" {
		p.r.Trailer = append(p.r.Trailer, Field{Name: name, Value: value})
	}
}

func producer(list []jsonValue) string {
	var names []string
	for _, v := range list {
		if s := strings.TrimSuffix(v.str(), `"`); s != "" {
			names = append(names, s)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, "; ") + "."
}

// ruleText joins a chain as part K shows it: members that did not match begin with '#'.
func (p *jsonEntry) ruleText(chain []jsonValue) {
	var raw []string
	id := 0
	for _, rule := range chain {
		text := strings.ReplaceAll(strings.Trim(rule.get("unparsed").str(), "\n"), "\n\n", "\n")
		if rule.get("is_matched").str() == "false" {
			text = "#" + text
		}
		raw = append(raw, text)
		if id == 0 {
			id = int(rule.get("actionset", "id").int())
		}
	}
	if len(raw) > 0 {
		p.r.Rules = append(p.r.Rules, RuleText{ID: id, Raw: strings.Join(raw, "\n")})
	}
}

func (p *jsonEntry) version3(t jsonValue) {
	r := p.r
	var err error
	if r.Time, err = time.Parse("Mon Jan _2 15:04:05 2006", t.get("time_stamp").str()); err != nil {
		p.fault(0, "time: %v", err)
	}
	r.ID = t.get("unique_id").str()
	r.Client = p.endpoint(t.get("client_ip"), t.get("client_port"))
	r.Server = p.endpoint(t.get("host_ip"), t.get("host_port"))
	r.Peer = r.Client
	if q := t.get("request"); q.kind == '{' {
		line := q.get("method").str() + " " + q.get("uri").str()
		if version := q.get("http_version").str(); version != "" {
			line += " HTTP/" + version
		}
		r.RequestHead = jsonHead(line, q.get("headers"))
		r.RequestBody = orNil([]byte(q.get("body").str()))
	}
	if a := t.get("response"); a.kind == '{' {
		r.ResponseHead = jsonHead("HTTP/1.1 "+a.get("http_code").str(), a.get("headers"))
		r.ResponseBody = orNil([]byte(a.get("body").str()))
	}
	for _, m := range t.get("messages").list() {
		p.message3(m)
	}
	p.add("Server-Id", t.get("server_id").str())
	d := t.get("producer")
	p.add("Producer", producer(append([]jsonValue{d.get("modsecurity"), d.get("connector")}, d.get("components").list()...)))
	switch mode := d.get("secrules_engine").str(); mode {
	case "Enabled", "On":
		p.add("Engine-Mode", `"ENABLED"`)
	case "DetectionOnly":
		p.add("Engine-Mode", `"DETECTION_ONLY"`)
	default:
		p.add("Engine-Mode", mode)
	}
}

func (p *jsonEntry) message3(v jsonValue) {
	d := v.get("details")
	m := Match{
		ID: int(d.get("ruleId").int()), File: d.get("file").str(), Line: int(d.get("lineNumber").int()),
		Operator: d.get("match").str(), Message: v.get("message").str(), Data: d.get("data").str(),
		Severity: severityName(d.get("severity").str()), Revision: d.get("rev").str(), Version: d.get("ver").str(),
		Maturity: int(d.get("maturity").int()), Accuracy: int(d.get("accuracy").int()),
	}
	for _, tag := range d.get("tags").list() {
		m.Tags = append(m.Tags, tag.str())
	}
	if ref := d.get("reference").str(); ref != "" {
		m.Fields = []Field{{Name: "ref", Value: ref}}
	}
	// The text of a message is one line in a native entry; bytes of a client in it are not escaped here.
	m.Operator = string(appendLine(nil, m.Operator))
	if v := variableOf(m.Operator); v != "" {
		m.Variables = []string{v}
	}
	p.r.Matches = append(p.r.Matches, m)
}

func (p *jsonEntry) endpoint(host, port jsonValue) netip.AddrPort {
	return p.addrPort(host.str(), port.str(), 0)
}

// jsonHead puts a head together. A repeated header stands once for each time: a newline in
// a value would have been another header.
func jsonHead(line string, headers jsonValue) []byte {
	var b []byte
	b = append(appendLine(b, line), '\n')
	for i, name := range headers.keys {
		for _, v := range headers.items[i].list() {
			b = append(append(appendLine(b, name), ':', ' '), appendLine(nil, v.str())...)
			b = append(b, '\n')
		}
	}
	return b
}

// written names the parts that the record has something for.
func (p *jsonEntry) written() []byte {
	r := p.r
	parts := []byte{'A'}
	for _, part := range [...]struct {
		letter byte
		some   bool
	}{
		{'B', r.RequestHead != nil},
		{'C', r.RequestBody != nil},
		{'I', r.FakeBody != nil},
		{'F', r.ResponseHead != nil},
		{'E', r.ResponseBody != nil},
		{'H', true},
		{'J', r.Files != nil},
		{'K', r.Rules != nil},
	} {
		if part.some {
			parts = append(parts, part.letter)
		}
	}
	return append(parts, 'Z')
}
