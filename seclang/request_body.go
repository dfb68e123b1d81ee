package seclang

import (
	"strconv"
	"strings"
)

// requestBody is the body of the request and what its processor made of it.
type requestBody struct {
	body      []byte
	size      int64 // bytes received
	partial   bool
	processor string
	args      []field
	err       string
	stream    string
	rewritten bool
	urlError  bool
	inbound   bool // INBOUND_DATA_ERROR
}

func (b *requestBody) reuse(old *requestBody) {
	if cap(old.body) <= 1<<17 {
		b.body = old.body[:0]
	}
	b.args = old.args[:0]
}

func (b *requestBody) close() error { return nil }

// chooseProcessor picks the processor by the Content-Type; ctl:requestBodyProcessor may change it in phase 1.
func (tx *Transaction) chooseProcessor() {
	ct := tx.request.header("Content-Type")
	mime, _, _ := strings.Cut(ct, ";")
	switch mime = lower(strings.TrimSpace(mime)); {
	case mime == "application/x-www-form-urlencoded":
		tx.ctl.processor = "URLENCODED"
	case strings.HasPrefix(mime, "multipart/form-data"):
		tx.ctl.processor = "MULTIPART"
	}
}

// WriteRequestBody takes bytes of the body, after removal of chunked coding. kept is how many of p are inspected:
// fewer when SecRequestBodyLimit is reached, and then SecRequestBodyLimitAction decides.
func (tx *Transaction) WriteRequestBody(p []byte) (kept int, it *Interruption) {
	q := &tx.request
	q.size += int64(len(p))
	if tx.interruption != nil || tx.mode == ModeOff || !tx.ctl.requestBodyAccess {
		return 0, tx.interruption
	}
	room := tx.ctl.requestBodyLimit - int64(len(q.body))
	if int64(len(p)) <= room {
		q.body = append(q.body, p...)
		return len(p), nil
	}
	q.partial, q.inbound = true, true
	if tx.e.settings.RequestBodyLimitAction == LimitReject && tx.mode == ModeOn {
		tx.noteText("Request body (Content-Length) is larger than the configured limit (" + strconv.FormatInt(tx.ctl.requestBodyLimit, 10) + ").")
		tx.interruption = &Interruption{Action: "deny", Status: 413, Phase: 2}
		return 0, tx.interruption
	}
	kept = int(max(room, 0))
	q.body = append(q.body, p[:kept]...)
	return kept, nil
}

// RequestBody parses the body and runs phase 2. It is called for every request, also without a body.
func (tx *Transaction) RequestBody() *Interruption {
	tx.processBody()
	return tx.runPhase(2)
}

func (tx *Transaction) processBody() {
	q := &tx.request
	if len(q.body) == 0 || tx.mode == ModeOff {
		return
	}
	if tx.ctl.processor == "URLENCODED" {
		q.args, q.urlError = tx.parseQuery(q.args[:0], string(q.body))
		tx.changed(vArgs, vArgsPost, vArgsNames, vArgsPostNames)
	}
}

// parseQuery splits a query string or a form into decoded names and values.
func (tx *Transaction) parseQuery(dst []field, s string) ([]field, bool) {
	bad := false
	for s != "" && len(dst) < tx.e.settings.ArgumentsLimit {
		one, rest, _ := strings.Cut(s, string(tx.e.settings.ArgumentSeparator))
		s = rest
		if one == "" {
			continue
		}
		name, value, _ := strings.Cut(one, "=")
		dst = append(dst, field{name, value})
	}
	return dst, bad
}
