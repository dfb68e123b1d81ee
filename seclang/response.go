package seclang

import (
	"errors"
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang/body"
)

// response is what the application answered.
type response struct {
	status  int
	proto   string
	headers []field
	body    []byte
	size    int64
	partial bool // a limit cut the body
	changed bool
	out     string // STREAM_OUTPUT_BODY after @rsub and with its links signed
	text    string // body, decoded
	decoded bool
	whole   bool // text is all of the body: it can be sent in its place

	cutDecoded bool // the body was over the limit when it was decoded

	location string // signed, "" when it stays as it came
}

// ResponseLine sets what the status line says. proto is as "HTTP/1.1".
func (tx *Transaction) ResponseLine(status int, proto string) {
	tx.response.status, tx.response.proto = status, proto
}

// AddResponseHeader adds one header line.
func (tx *Transaction) AddResponseHeader(name, value string) {
	if len(tx.response.headers) < maxHeaders {
		tx.response.headers = append(tx.response.headers, field{name, value})
	}
	tx.changed(vResponseHeaders, vResponseHeadersNames)
}

// ResponseHeaders runs phase 3.
func (tx *Transaction) ResponseHeaders() *Interruption {
	if tx.ctl.hashEngine {
		tx.signLocation()
	}
	return tx.runPhase(3)
}

func (p *response) header(name string) string {
	for i := range p.headers {
		if strings.EqualFold(p.headers[i].name, name) {
			return p.headers[i].value
		}
	}
	return ""
}

// WantsResponseBody says whether the body has to be given to WriteResponseBody before it is sent: access is on and
// the MIME type is one of SecResponseBodyMimeType, or content is injected.
func (tx *Transaction) WantsResponseBody() bool {
	if tx.mode == ModeOff || tx.interruption != nil {
		return false
	}
	if tx.e.settings.ContentInjection && (tx.append != "" || tx.prepend != "") && tx.mimeWanted() {
		return true
	}
	// Without SecResponseBodyAccess nothing asks for the body; one that is given all the same is looked at.
	return tx.ctl.responseBodyAccess && (tx.e.settings.ResponseBodyAccess || tx.ctl.askedResponse) && tx.mimeWanted()
}

func (tx *Transaction) mimeWanted() bool {
	mime, _, _ := strings.Cut(tx.response.header("Content-Type"), ";")
	mime = lower(strings.TrimSpace(mime))
	for _, t := range tx.e.settings.ResponseBodyMimeTypes {
		if t == mime || t == "(null)" && mime == "" {
			return true
		}
	}
	return false
}

// WriteResponseBody takes bytes of the body. kept is how many of p are inspected: fewer when
// SecResponseBodyLimit is reached, and then SecResponseBodyLimitAction decides.
func (tx *Transaction) WriteResponseBody(p []byte) (kept int, it *Interruption) {
	a := &tx.response
	a.size += int64(len(p))
	if tx.interruption != nil || tx.mode == ModeOff {
		return 0, tx.interruption
	}
	room := tx.ctl.responseBodyLimit - int64(len(a.body))
	if int64(len(p)) <= room {
		a.body = append(a.body, p...)
		return len(p), nil
	}
	if !a.partial && tx.e.settings.ResponseBodyLimitAction == LimitReject && (tx.e.settings.ResponseBodyAccess || tx.e.respLimitSet) {
		tx.noteText("Response body too large (over limit of " + strconv.FormatInt(tx.ctl.responseBodyLimit, 10) + ", total not specified).")
		if tx.mode == ModeOn {
			a.partial = true
			tx.interruption = &Interruption{Action: "deny", Status: statusBodyLimit, Phase: 4}
			return 0, tx.interruption
		}
		// DetectionOnly refuses nothing: what fits is inspected, as with ProcessPartial.
	}
	a.partial = true
	kept = int(max(room, 0))
	a.body = append(a.body, p[:kept]...)
	return kept, nil
}

// ResponseBody runs phase 4.
func (tx *Transaction) ResponseBody() *Interruption {
	if tx.debugLevel >= 4 && !tx.phaseDone[4] {
		tx.debugAnswer()
	}
	if tx.e.hashPages {
		tx.signPage()
	}
	return tx.runPhase(4)
}

// BodyToSend returns the body to send after phase 4; changed is false when it is the one that was written. A changed body
// has no content coding: Content-Encoding has to go, with all that was said of the body's bytes.
func (tx *Transaction) BodyToSend() (body []byte, changed bool) {
	a := &tx.response
	body = a.body
	if a.changed {
		body, changed = []byte(a.out), true
	}
	if tx.e.settings.ContentInjection && tx.mode == ModeOn && (tx.prepend != "" || tx.append != "") {
		if !changed {
			text, whole := tx.decodedBody()
			if !whole {
				return body, false
			}
			body = []byte(text)
		}
		out := make([]byte, 0, len(body)+len(tx.prepend)+len(tx.append))
		out = append(append(out, tx.prepend...), body...)
		if !a.partial {
			out = append(out, tx.append...)
		}
		return out, true
	}
	return body, changed
}

// ReceivedBody is the body without its content coding, as phase 4 saw it in RESPONSE_BODY: what mod_security2 logs as part E, whatever was
// made of it.
func (tx *Transaction) ReceivedBody() []byte {
	text, _ := tx.decodedBody()
	return []byte(text)
}

// AppendToSend returns what append puts behind an answer of which BodyToSend gave the beginning, as far as SecResponseBodyLimit
// lets rules see it.
func (tx *Transaction) AppendToSend() string {
	if !tx.response.partial || !tx.e.settings.ContentInjection || tx.mode != ModeOn {
		return ""
	}
	if _, whole := tx.decodedBody(); !whole {
		return ""
	}
	return tx.append
}

// RequestBodyToSend returns the request body for the application; changed is false when it is the one that came.
func (tx *Transaction) RequestBodyToSend() (body []byte, changed bool) {
	if tx.request.rewritten {
		return []byte(tx.request.stream), true
	}
	return tx.request.body, false
}

// replaceStream is @rsub: it changes what is sent, when the rule looks at STREAM_INPUT_BODY or STREAM_OUTPUT_BODY.
func (tx *Transaction) replaceStream(x *ref, out string) {
	switch x.v {
	case vStreamInputBody:
		tx.request.stream, tx.request.rewritten = out, true
	case vStreamOutputBody:
		if _, whole := tx.decodedBody(); !whole {
			return // what a client makes of the coding would not be what stands here
		}
		tx.response.out, tx.response.changed = out, true
	}
}

// responseText is RESPONSE_BODY and STREAM_OUTPUT_BODY.
func (tx *Transaction) responseText(v varID) (string, bool) {
	a := &tx.response
	if v == vStreamOutputBody {
		if !tx.e.settings.StreamOutBody || tx.phase < 4 {
			return "", false
		}
		if a.changed {
			return a.out, true
		}
	}
	if tx.phase < 4 || !tx.ctl.responseBodyAccess || tx.e.mimeListed && !tx.mimeWanted() {
		return "", false
	}
	if len(a.body) == 0 { // an empty answer has an empty body, in both versions, when bodies are wanted at all
		return "", (tx.e.settings.ResponseBodyAccess || tx.ctl.askedResponse) && tx.mimeWanted()
	}
	text, _ := tx.decodedBody()
	return text, true
}

// decodedBody is the body without its content coding. whole is false when that is not known, or not all of it.
func (tx *Transaction) decodedBody() (text string, whole bool) {
	a := &tx.response
	if !a.decoded {
		a.decoded = true
		a.text, a.whole = tx.decodeResponse()
	}
	return a.text, a.whole
}

func (tx *Transaction) decodeResponse() (text string, whole bool) {
	a := &tx.response
	enc := a.contentEncoding()
	if enc == "" || strings.EqualFold(enc, "identity") {
		return string(a.body), true
	}
	plain, err := body.Decompress(enc, a.body, max(tx.ctl.responseBodyLimit, int64(len(a.body))))
	a.cutDecoded = errors.Is(err, body.ErrDecodedSize)
	if err == nil || len(plain) > 0 {
		return string(plain), err == nil && !a.partial
	}
	return string(a.body), false
}

// decodedTooLarge reports whether the body is over SecResponseBodyLimit only when its content coding is undone: what is
// behind the limit is not looked at, and OUTBOUND_DATA_ERROR says so.
func (tx *Transaction) decodedTooLarge() bool {
	if tx.phase < 4 || len(tx.response.body) == 0 || tx.response.header("Content-Encoding") == "" {
		return false
	}
	tx.decodedBody()
	return tx.response.cutDecoded
}

// contentEncoding joins all Content-Encoding headers: they are one list, RFC 9110 5.2.
func (p *response) contentEncoding() string {
	out := ""
	for i := range p.headers {
		if strings.EqualFold(p.headers[i].name, "Content-Encoding") {
			out += p.headers[i].value + ","
		}
	}
	return strings.TrimRight(out, ", ")
}
