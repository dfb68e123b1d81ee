package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
)

// eventBody is the body of page_event.html.
type eventBody struct {
	store.Event
	Summary store.Summary
	Now     time.Time
	Entry   string // address of the download
	Kind    string
	Level   string
	Severe  string
	// Decoded is the URI with its percent coding taken off, "" when that changes nothing.
	Decoded   string
	Arguments []argument
	Facts     []fact
	Request   section
	Answer    section
	Rules     []matchView
	Ban       *Decision
	Client    string
	Token     string
	CanUnban  bool
}

// fact is one line of the summary. Link leads to events that share it.
type fact struct{ Name, Value, Link, Note string }

// section is a request or an answer: head and body as text and as hex, headers as a table.
type section struct {
	Head, Body []byte
	Headers    []headerView
	// BodySize is the size on the wire, Cut says that not all of it was kept.
	BodySize int64
	Cut      bool
	// BodyText says that the body reads as text; else its hex is shown first.
	BodyText bool
}

type headerView struct{ Name, Value string }

// HeadHex and BodyHex are dumps; HeadMore and BodyMore say that the page shows a part only.
func (s section) HeadHex() []hexLine { return hexDump(s.Head) }

// BodyHex is the body as hex.
func (s section) BodyHex() []hexLine { return hexDump(s.Body) }

// BodyMore says that the page shows the start of the body only.
func (s section) BodyMore() bool { return len(s.Body) > maxShown }

type argument struct{ Name, Value string }

// matchView is one matched rule with its raw text.
type matchView struct {
	audit.Match
	Raw   string
	Link  string
	Level string
	// Quiet says that the rule matched without being logged (nolog): only its text is known.
	Quiet bool
}

func (s *Site) eventPage(w http.ResponseWriter, r *http.Request, v *visitor) {
	e, ok := s.event(w, r, v)
	if !ok {
		return
	}
	body := eventBody{
		Event: e, Summary: store.Summarize(&e), Now: s.cfg.Now(), Entry: eventURL(e.Sensor, e.Record.ID) + "/entry",
		Token: formToken(v.token), CanUnban: s.cfg.Unban != nil,
	}
	rec := e.Record
	body.Kind, body.Level, body.Severe = kindName(rec.Kind), level(body.Summary.Severity), severityName(body.Summary.Severity)
	body.Facts = facts(&body)
	body.Request = makeSection(rec.RequestHead, rec.RequestBody, rec.RequestBodySize, rec.Kind == audit.KindHTTP)
	body.Answer = makeSection(rec.ResponseHead, rec.ResponseBody, rec.ResponseBodySize, true)
	if rec.Kind == audit.KindHTTP {
		body.Decoded, body.Arguments = decodeURI(body.Summary.URI)
	}
	body.Rules = matchViews(rec)
	if s.cfg.Decisions != nil && body.Summary.Client.IsValid() {
		decisions, err := s.cfg.Decisions(r.Context())
		if err != nil {
			s.cfg.Logger.Error("decisions were not read", "error", err)
		}
		body.Client = body.Summary.Client.Addr().String()
		for i := range decisions {
			if decisions[i].Value.Contains(body.Summary.Client.Addr()) && decisions[i].Until.After(body.Now) {
				body.Ban = &decisions[i]
				break
			}
		}
	}
	s.render(w, r, v, http.StatusOK, "event", "Event "+rec.ID, &body)
}

// eventEntry is the native entry, byte for byte, as a file: a browser must never show it as a page.
func (s *Site) eventEntry(w http.ResponseWriter, r *http.Request, v *visitor) {
	e, ok := s.event(w, r, v)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+fileName(e.Record.ID)+`.audit"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(e.Entry)))
	_, _ = w.Write(e.Entry) // the browser went away: nothing to do
}

func fileName(id string) string {
	return strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' {
			return c
		}
		return '_'
	}, id)
}

func (s *Site) event(w http.ResponseWriter, r *http.Request, v *visitor) (store.Event, bool) {
	e, err := s.cfg.Store.Event(r.Context(), r.PathValue("sensor"), r.PathValue("id"))
	if errors.Is(err, store.ErrNotFound) {
		s.fail(w, r, v, http.StatusNotFound, "There is no such event. It may have been deleted because of its age.", nil)
		return e, false
	}
	if err != nil {
		s.fail(w, r, v, http.StatusInternalServerError, "The console cannot read this event.", err)
		return e, false
	}
	return e, true
}

func facts(b *eventBody) []fact {
	rec, sum := b.Record, &b.Summary
	link := func(name, value string) string { return listURL(url.Values{name: {value}}) }
	out := []fact{{"Time", stamp(rec.Time), "", since(rec.Time, b.Now)}}
	if sum.Client.IsValid() {
		out = append(out, fact{"Client", sum.Client.Addr().String(), link("client", sum.Client.Addr().String()), portNote(sum.Client.Port())})
	}
	if rec.Peer.IsValid() && rec.Peer != rec.Client && rec.Client.IsValid() {
		out = append(out, fact{"Connection from", rec.Peer.String(), "", "a trusted proxy"})
	}
	if rec.Server.IsValid() {
		out = append(out, fact{"Trap", rec.Server.String(), link("port", strconv.Itoa(int(rec.Server.Port()))), rec.Host})
	}
	out = append(out, fact{"Sensor", b.Sensor, link("sensor", b.Sensor), ""}, fact{"Kind", b.Kind, link("kind", b.Kind), ""})
	if f := rec.Folded; f != nil {
		out = append(out, fact{"Stands for", fmt.Sprintf("%d records", f.Records), "", "from " + stamp(f.First) + " to " + stamp(f.Last)})
	}
	if rec.Status != 0 {
		out = append(out, fact{"Answer", strconv.Itoa(rec.Status), link("status", strconv.Itoa(rec.Status)), http.StatusText(rec.Status)})
	}
	if a := rec.Action; a != nil {
		out = append(out, fact{"Action", a.Kind, "", strings.TrimSpace(fmt.Sprintf("phase %d %s", a.Phase, a.URL))})
	}
	if b.Severe != "" {
		out = append(out, fact{"Severity", b.Severe, "", ""})
	}
	if sum.UserAgent != "" {
		out = append(out, fact{"User-Agent", sum.UserAgent, "", ""})
	}
	if t := rec.TLS; t != nil {
		out = append(out, fact{"TLS", t.Version, "", strings.Join(t.ALPN, " ")})
		if t.Server != "" {
			out = append(out, fact{"Server name (SNI)", t.Server, "", ""})
		}
		if t.JA4 != "" {
			out = append(out, fact{"JA4", t.JA4, link("ja4", t.JA4), "events with this fingerprint"})
		}
	}
	if rec.RemoteUser != "" {
		out = append(out, fact{"User", rec.RemoteUser, "", ""})
	}
	if rec.SessionID != "" {
		out = append(out, fact{"Session", rec.SessionID, "", ""})
	}
	return append(out,
		fact{"Same request", hashText(sum.Hash), link("request", hashText(sum.Hash)), "events with these bytes, whatever the Host"},
		fact{"Unique id", rec.ID, "", ""},
		fact{"Received", stamp(b.Received), "", delay(rec.Time, b.Received)})
}

func portNote(port uint16) string {
	if port == 0 {
		return ""
	}
	return "port " + strconv.Itoa(int(port))
}

func delay(sent, received time.Time) string {
	if d := received.Sub(sent); d >= time.Second {
		return span(d) + " later"
	}
	return ""
}

func makeSection(head, body []byte, bodySize int64, http bool) section {
	s := section{Head: head, Body: body, BodySize: max(bodySize, int64(len(body)))}
	s.Cut = s.BodySize > int64(len(body))
	s.BodyText = readable(body)
	if http {
		s.Headers = headers(head)
	}
	return s
}

// headers are the header lines of a head; a line that continues the one before is part of it.
func headers(head []byte) []headerView {
	_, rest, _ := bytes.Cut(head, []byte("\n"))
	var out []headerView
	for len(rest) > 0 && len(out) < 200 {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\n"))
		text = bytes.TrimSuffix(text, []byte("\r"))
		if len(text) == 0 {
			continue
		}
		if (text[0] == ' ' || text[0] == '\t') && len(out) > 0 {
			out[len(out)-1].Value += "\n" + string(text)
			continue
		}
		name, value, found := bytes.Cut(text, []byte(":"))
		if !found {
			out = append(out, headerView{"", string(text)})
			continue
		}
		out = append(out, headerView{string(name), strings.TrimPrefix(string(value), " ")})
	}
	return out
}

// readable says that nine of ten bytes are text.
func readable(b []byte) bool {
	b = b[:min(len(b), maxShown)]
	other := 0
	for _, c := range b {
		if c < 0x20 && c != '\r' && c != '\n' && c != '\t' || c == 0x7f {
			other++
		}
	}
	return other*10 <= len(b)
}

// decodeURI takes percent coding off once, the way a server does, and lists the arguments of the query.
func decodeURI(uri string) (decoded string, args []argument) {
	path, query, _ := strings.Cut(uri, "?")
	decoded = unescape(path, false)
	if query != "" {
		decoded += "?" + unescape(query, true)
		for part := range strings.SplitSeq(query, "&") {
			if len(args) == 100 {
				break
			}
			name, value, _ := strings.Cut(part, "=")
			args = append(args, argument{unescape(name, true), unescape(value, true)})
		}
	}
	if decoded == uri {
		decoded = ""
	}
	return decoded, args
}

// unescape decodes %XX, and "+" in a query; what is no coding stays as it is.
func unescape(s string, query bool) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%' && i+2 < len(s):
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
			b.WriteByte('%')
		case s[i] == '+' && query:
			b.WriteByte(' ')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// matchViews joins matched rules with their raw text of part K.
func matchViews(rec *audit.Record) []matchView {
	raw := map[int]string{}
	for _, t := range rec.Rules {
		if t.ID != 0 && raw[t.ID] == "" {
			raw[t.ID] = t.Raw
		}
	}
	var out []matchView
	shown := map[int]bool{}
	for i := range rec.Matches {
		m := rec.Matches[i]
		view := matchView{Match: m, Raw: raw[m.ID], Level: level(severityNumber(m.Severity))}
		if m.ID != 0 {
			view.Link = listURL(url.Values{"rule": {strconv.Itoa(m.ID)}})
			shown[m.ID] = true
		}
		out = append(out, view)
	}
	// Rules that matched without being logged have raw text only.
	for _, t := range rec.Rules {
		if !shown[t.ID] || t.ID == 0 {
			out = append(out, matchView{Match: audit.Match{ID: t.ID}, Raw: t.Raw, Level: "none", Quiet: true})
		}
	}
	return out
}

func severityNumber(word string) int {
	for n := range 8 {
		if strings.EqualFold(word, severityName(n)) {
			return n
		}
	}
	return store.NoSeverity
}

func severityName(n int) string {
	names := []string{"EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"}
	if n < 0 || n >= len(names) {
		return ""
	}
	return names[n]
}
