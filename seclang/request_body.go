package seclang

import (
	"strconv"
	"strings"

	"github.com/trapline/trapline/seclang/body"
)

// requestBody is the body of the request and what its processor made of it.
type requestBody struct {
	body      []byte // what is inspected as bytes: all of it, or of multipart what fits SecRequestBodyInMemoryLimit
	text      string // body as one string, made when it is asked for
	size      int64  // bytes received
	inspected int64  // bytes given to the processor
	unread    int64  // bytes that count for a limit that the text sets, although nobody looks at them
	limited   bool   // SecRequestBodyLimit cut it
	tooLarge  bool   // over SecRequestBodyNoFilesLimit
	args      []field
	parsed    *body.Result
	parts     *body.Multipart // while a multipart body arrives
	err       string
	urlError  bool
	done      bool

	stream    string // STREAM_INPUT_BODY after @rsub
	rewritten bool
}

func (b *requestBody) reuse(old *requestBody) {
	if cap(old.body) <= 1<<17 {
		b.body = old.body[:0]
	}
	b.args = emptied(old.args)
}

func (b *requestBody) close() error {
	if b.parts != nil && b.parsed == nil {
		b.parsed = b.parts.Result() // an upload that was cut off: its files go
	}
	if b.parsed == nil {
		return nil
	}
	return b.parsed.Close()
}

// chooseProcessor picks the processor by the Content-Type; ctl:requestBodyProcessor may change it in phase 1.
func (tx *Transaction) chooseProcessor() {
	// Only the beginning counts, as in mod_security2: PHP takes "application/x-www-form-urlencoded, x" for a form too.
	switch mime := lower(strings.TrimSpace(tx.request.contentType())); {
	case strings.HasPrefix(mime, "application/x-www-form-urlencoded"):
		tx.ctl.processor = "URLENCODED"
	case strings.HasPrefix(mime, "multipart/form-data"):
		tx.ctl.processor = "MULTIPART"
	}
}

// contentType joins all Content-Type headers, as httpd does: with two of them back ends take the first or the last, and a
// joined one is read by neither as it is read here.
func (q *request) contentType() string {
	found, out := false, ""
	for i := range q.headers {
		if strings.EqualFold(q.headers[i].name, "Content-Type") {
			if found {
				out += ", "
			}
			found = true
			out += q.headers[i].value
		}
	}
	return out
}

// WriteRequestBody takes bytes of the body, after removal of chunked coding. kept is how many of p are inspected:
// fewer when SecRequestBodyLimit is reached, and then SecRequestBodyLimitAction decides.
func (tx *Transaction) WriteRequestBody(p []byte) (kept int, it *Interruption) {
	q := &tx.request
	q.size += int64(len(p))
	if tx.interruption != nil || tx.mode == ModeOff || q.done || !tx.ctl.requestBodyAccess && !tx.e.bodyLimitSet {
		return 0, tx.interruption
	}
	room := max(tx.ctl.requestBodyLimit-q.inspected-q.unread, 0)
	if int64(len(p)) > room {
		q.limited = true
		if tx.e.rejectsBody && tx.mode == ModeOn {
			tx.noteText("Request body is larger than the configured limit (" + strconv.FormatInt(tx.ctl.requestBodyLimit, 10) + ").")
			tx.interruption = &Interruption{Action: "deny", Status: statusBodyLimit, Phase: max(tx.phase, 1)}
			return 0, tx.interruption
		}
		p = p[:room]
	}
	if !tx.ctl.requestBodyAccess {
		q.unread += int64(len(p))
		return 0, nil
	}
	q.inspected += int64(len(p))
	if tx.ctl.processor == "MULTIPART" {
		if q.parts == nil {
			q.parts = body.NewMultipart(tx.bodyConfig())
		}
		_, _ = q.parts.Write(p) // never fails
		room := tx.e.settings.RequestBodyInMemoryLimit - int64(len(q.body))
		q.body = append(q.body, p[:max(0, min(room, int64(len(p))))]...)
		return len(p), nil
	}
	q.body = append(q.body, p...)
	return len(p), nil
}

// statusBodyLimit is what a body over SecRequestBodyLimit is answered with, as libmodsecurity does; mod_security2
// leaves it to Apache, which says 413.
const statusBodyLimit = 403

func (tx *Transaction) bodyConfig() body.Config {
	s := &tx.e.settings
	c := body.Config{
		ContentType: tx.request.contentType(), Separator: s.ArgumentSeparator, ArgumentsLimit: max(1, s.ArgumentsLimit-len(tx.request.argsGet)),
		JSONDepth: s.RequestBodyJSONDepthLimit, NoFilesLimit: s.RequestBodyNoFilesLimit,
		UploadFileLimit: s.UploadFileLimit, TmpDir: s.TmpDir, UploadDir: s.UploadDir, Temp: tx.e.temp, FileMode: s.UploadFileMode,
		KeepFiles: s.UploadKeepFiles != "Off", Extract: tx.e.extractFiles, MemoryLimit: s.RequestBodyInMemoryLimit, ID: tx.id,
		Fake: strings.ContainsAny(tx.auditParts, "I"), Cut: tx.request.limited,
	}
	switch lower(tx.ctl.parseXMLIntoArgs) {
	case "on":
		c.XMLArgs = body.XMLArgsOn
	case "onlyargs":
		c.XMLArgs = body.XMLArgsOnly
	}
	return c
}

// RequestBody parses the body and runs phase 2. It is called for every request, also without a body.
func (tx *Transaction) RequestBody() *Interruption {
	if tx.mode != ModeOff && tx.interruption == nil {
		tx.processBody()
		if tx.debugLevel >= 4 {
			tx.debugBody()
		}
	}
	return tx.runPhase(2)
}

func (tx *Transaction) processBody() {
	q := &tx.request
	if q.done {
		return
	}
	q.done = true
	if !tx.ctl.requestBodyAccess || q.inspected == 0 && tx.ctl.processor != "MULTIPART" {
		return
	}
	switch tx.ctl.processor {
	case "":
		return
	case "MULTIPART":
		if q.parts == nil {
			if q.size == 0 && tx.request.header("Content-Length") == "" && tx.request.header("Transfer-Encoding") == "" {
				return // a Content-Type without a body is no multipart error
			}
			q.parts = body.NewMultipart(tx.bodyConfig())
			_, _ = q.parts.Write(q.body)
		}
		if q.limited {
			q.parts.Cut()
		}
		q.parsed = q.parts.Result()
	default:
		q.parsed = body.Parse(tx.ctl.processor, tx.bodyText(), tx.bodyConfig())
	}
	if q.parsed.Error != "" || q.err == "" {
		q.err = q.parsed.Error // else the query string had too many arguments already
	}
	limit := tx.e.settings.RequestBodyNoFilesLimit
	q.tooLarge = limit > 0 && q.parsed.NoFilesLength > limit
	q.urlError = q.parsed.InvalidEncoding
	for i := range q.parsed.Args {
		q.args = append(q.args, field{q.parsed.Args[i].Name, q.parsed.Args[i].Value})
	}
	tx.changed(vArgs, vArgsPost, vArgsNames, vArgsPostNames, vFiles, vFilesNames, vFilesSizes, vFilesTmpNames,
		vFilesTmpContent, vMultipartName, vMultipartFilename, vMultipartPartHeaders, vXML)
	if q.err != "" && tx.ctl.processor != "URLENCODED" {
		tx.noteFault(q.err)
	}
}

// bodyText is the body as one string.
func (tx *Transaction) bodyText() string {
	q := &tx.request
	if len(q.text) != len(q.body) {
		q.text = string(q.body)
	}
	return q.text
}

// parseQuery splits a query string into decoded names and values.
func (tx *Transaction) parseQuery(dst []field, s string) ([]field, bool) {
	args, bad := body.ParseForm(s, tx.e.settings.ArgumentSeparator, 0)
	for i := range args {
		if len(dst) >= tx.e.settings.ArgumentsLimit {
			tx.request.err = "SecArgumentsLimit exceeded"
			break
		}
		dst = append(dst, field{args[i].Name, args[i].Value})
	}
	return dst, bad
}
