package audit

import (
	"strconv"
	"time"
)

// The lines of part H that are ours. Each is written only when the record says something that
// the other lines do not: a record parsed from ModSecurity's log mostly needs none.
const (
	extKind      = "Trapline-Kind"          // tls, bytes, connect
	extHost      = "Trapline-Host"          // name of the virtual host
	extHoneytrap = "Trapline-Honeytrap"     // On
	extPeer      = "Trapline-Peer"          // address and port of the TCP peer, when it is not the client
	extTLS       = "Trapline-TLS"           // "version" "server name" "JA4" "protocol"...
	extUser      = "Trapline-User"          // remote user
	extSession   = "Trapline-Session"       // session id
	extReqSize   = "Trapline-Body-Size"     // bytes of the whole request body
	extRespSize  = "Trapline-Response-Size" // bytes of the whole response body
	extCRLF      = "Trapline-Crlf"          // letters of the parts whose lines ended in CR LF
	extStatus    = "Trapline-Status"        // status, when part F does not say it
	extAction    = "Trapline-Action"        // "kind" phase status "url"
	extMatch     = "Trapline-Match"         // index of the message, phase, "variable"...
	extFile      = "Trapline-File"          // index of the file, "field"
	extRule      = "Trapline-Rule"          // index of the paragraph of part K, id
	extFolded    = "Trapline-Folded"        // records that this one stands for, time of the first and of the last
	extParts     = "Trapline-Parts"         // SecAuditLogParts in force
)

// trailer writes part H: ModSecurity's lines in its order, then ours.
func (w *nativeWriter) trailer(r *Record, files, rules bool) {
	actionShown := false
	for i := range r.Matches {
		m := &r.Matches[i]
		w.dst = append(w.dst, "Message: "...)
		w.dst = AppendMessage(w.dst, m, r.Action)
		w.dst = append(w.dst, '\n')
		actionShown = actionShown || m.Disruptive && m.Text == ""
	}
	stopwatch := true
	for _, f := range r.Trailer {
		if f.Name == "Apache-Error" {
			w.field(f)
		}
		stopwatch = stopwatch && f.Name != "Stopwatch"
	}
	if a := r.Action; a != nil && intercepts(a.Kind) {
		w.dst = append(w.dst, "Action: Intercepted"...)
		w.dst = appendPhase(w.dst, a.Phase)
		w.dst = append(w.dst, '\n')
	}
	if stopwatch {
		w.dst = append(w.dst, "Stopwatch: "...)
		w.dst = appendStopwatch(w.dst, r)
		w.dst = append(w.dst, '\n')
	}
	for _, f := range r.Trailer {
		if f.Name != "Apache-Error" {
			w.field(f)
		}
	}
	w.extensions(r, actionShown)
	w.matchExtensions(r)
	if files {
		w.fileExtensions(r.Files)
	}
	if rules {
		w.ruleExtensions(r.Rules)
	}
	w.partsExtension(r, files, rules)
}

func (w *nativeWriter) field(f Field) {
	if f.Name != "" {
		w.dst = appendLine(w.dst, f.Name)
		w.dst = append(w.dst, ':', ' ')
	}
	w.dst = appendLine(w.dst, f.Value)
	w.dst = append(w.dst, '\n')
}

// intercepts says whether ModSecurity calls an action of this kind an interception.
func intercepts(kind string) bool {
	return kind != "allow" && kind != "allow:phase" && kind != "allow:request"
}

// appendStopwatch appends what ModSecurity's old stopwatch says: start in µs since 1970, duration in µs, three dead counters.
func appendStopwatch(dst []byte, r *Record) []byte {
	dst = strconv.AppendInt(dst, r.Time.UnixMicro(), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, r.Duration.Microseconds(), 10)
	return append(dst, " (- - -)"...)
}

func (w *nativeWriter) name(name string) {
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, ':', ' ')
}

func (w *nativeWriter) text(name, value string) {
	w.name(name)
	w.dst = appendEscapedNoQuote(w.dst, value)
	w.dst = append(w.dst, '\n')
}

func (w *nativeWriter) number(name string, n int64) {
	w.name(name)
	w.dst = strconv.AppendInt(w.dst, n, 10)
	w.dst = append(w.dst, '\n')
}

func (w *nativeWriter) extensions(r *Record, actionShown bool) {
	if r.Kind != KindHTTP {
		w.text(extKind, r.Kind.String())
	}
	if r.Host != "" {
		w.text(extHost, r.Host)
	}
	if r.Honeytrap {
		w.text(extHoneytrap, "On")
	}
	if r.Peer != r.Client {
		w.name(extPeer)
		w.dst = appendAddrPort(w.dst, r.Peer, ' ')
		w.dst = append(w.dst, '\n')
	}
	if t := r.TLS; t != nil {
		w.name(extTLS)
		w.dst = appendQuoted(w.dst, t.Version)
		w.dst = append(w.dst, ' ')
		w.dst = appendQuoted(w.dst, t.Server)
		w.dst = append(w.dst, ' ')
		w.dst = appendQuoted(w.dst, t.JA4)
		for _, p := range t.ALPN {
			w.dst = append(w.dst, ' ')
			w.dst = appendQuoted(w.dst, p)
		}
		w.dst = append(w.dst, '\n')
	}
	if r.RemoteUser != "" {
		w.text(extUser, r.RemoteUser)
	}
	if r.SessionID != "" {
		w.text(extSession, r.SessionID)
	}
	if r.RequestBodySize != w.kept('C', r.RequestBody) {
		w.number(extReqSize, r.RequestBodySize)
	}
	if r.ResponseBodySize != w.kept('E', r.ResponseBody) {
		w.number(extRespSize, r.ResponseBodySize)
	}
	if f := r.Folded; f != nil {
		w.name(extFolded)
		w.dst = strconv.AppendInt(w.dst, f.Records, 10)
		for _, at := range [...]time.Time{f.First, f.Last} {
			w.dst = append(w.dst, ' ')
			w.dst = at.UTC().AppendFormat(w.dst, time.RFC3339Nano)
		}
		w.dst = append(w.dst, '\n')
	}
	if w.ncrlf > 0 {
		w.text(extCRLF, string(w.crlf[:w.ncrlf]))
	}
	if !w.wants('F') && r.Status != 0 || w.wants('F') && statusOf(r.ResponseHead) != r.Status {
		w.number(extStatus, int64(r.Status))
	}
	if a := r.Action; a != nil && (!actionShown || !a.plain()) {
		w.name(extAction)
		w.dst = appendQuoted(w.dst, a.Kind)
		w.dst = append(w.dst, ' ')
		w.dst = strconv.AppendInt(w.dst, int64(a.Phase), 10)
		w.dst = append(w.dst, ' ')
		w.dst = strconv.AppendInt(w.dst, int64(a.Status), 10)
		w.dst = append(w.dst, ' ')
		w.dst = appendQuoted(w.dst, a.URL)
		w.dst = append(w.dst, '\n')
	}
}

// kept returns how many bytes of a body the entry holds.
func (w *nativeWriter) kept(letter byte, body []byte) int64 {
	if !w.wants(letter) {
		return 0
	}
	return int64(len(body))
}

// plain says whether the head of a message shows all there is to know of the action.
func (a *Action) plain() bool {
	switch a.Kind {
	case "deny":
		return a.URL == ""
	case "redirect":
		return a.URL != ""
	case "proxy":
		return a.URL != "" && a.Status == 0
	case "drop", "allow", "allow:phase", "allow:request":
		return a.URL == "" && a.Status == 0
	}
	return false
}

func (w *nativeWriter) matchExtensions(r *Record) {
	for i := range r.Matches {
		m := &r.Matches[i]
		phase := 0
		if m.Text != "" {
			if a, _ := parseHead(m.Text); a != nil {
				phase = a.Phase
			}
		} else if m.Disruptive && r.Action != nil {
			phase = r.Action.Phase
		}
		shown := variableOf(m.Operator)
		same := len(m.Variables) == 0 && shown == "" || len(m.Variables) == 1 && m.Variables[0] == shown && shown != ""
		if same && m.Phase == phase {
			continue
		}
		w.name(extMatch)
		w.dst = strconv.AppendInt(w.dst, int64(i), 10)
		w.dst = append(w.dst, ' ')
		w.dst = strconv.AppendInt(w.dst, int64(m.Phase), 10)
		for _, v := range m.Variables {
			w.dst = append(w.dst, ' ')
			w.dst = appendQuoted(w.dst, v)
		}
		w.dst = append(w.dst, '\n')
	}
}

func (w *nativeWriter) fileExtensions(files []File) {
	for i, f := range files {
		if f.Field == "" {
			continue
		}
		w.name(extFile)
		w.dst = strconv.AppendInt(w.dst, int64(i), 10)
		w.dst = append(w.dst, ' ')
		w.dst = appendQuoted(w.dst, f.Field)
		w.dst = append(w.dst, '\n')
	}
}

func (w *nativeWriter) ruleExtensions(rules []RuleText) {
	for i, rule := range rules {
		if rule.ID == ruleID(rule.Raw) {
			continue
		}
		w.name(extRule)
		w.dst = strconv.AppendInt(w.dst, int64(i), 10)
		w.dst = append(w.dst, ' ')
		w.dst = strconv.AppendInt(w.dst, int64(rule.ID), 10)
		w.dst = append(w.dst, '\n')
	}
}

// partsExtension keeps SecAuditLogParts where the parts written do not tell it.
func (w *nativeWriter) partsExtension(r *Record, files, rules bool) {
	written := append(append(make([]byte, 0, 24), 'A'), w.seen[:w.nseen]...)
	if files {
		written = append(written, 'J')
	}
	if rules {
		written = append(written, 'K')
	}
	for _, p := range r.Unknown {
		written = append(written, p.Letter)
	}
	if written = append(written, 'Z'); string(written) != r.Parts {
		w.text(extParts, r.Parts)
	}
}

// String returns the name of the kind: http, tls, bytes, connect.
func (k Kind) String() string {
	switch k {
	case KindTLS:
		return "tls"
	case KindBytes:
		return "bytes"
	case KindConnect:
		return "connect"
	}
	return "http"
}

func kindOf(name string) Kind {
	for _, k := range [...]Kind{KindTLS, KindBytes, KindConnect} {
		if k.String() == name {
			return k
		}
	}
	return KindHTTP
}
