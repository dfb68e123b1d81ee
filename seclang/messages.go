package seclang

import (
	"fmt"
	"strings"

	"github.com/trapline/trapline/audit"
)

// note keeps a match for the audit record, and tells the logs. Macros are expanded now, because later rules change what
// they name.
func (tx *Transaction) note(r *rule, x ref, text string, acted, keep bool) {
	s := r.starter
	m := audit.Match{
		ID: s.id, File: s.file, Line: s.last, Phase: tx.phase, Disruptive: acted, Operator: text,
		Revision: s.rev, Version: s.ver, Maturity: s.maturity, Accuracy: s.accuracy,
		Variables: []string{x.name()},
	}
	m.Message, m.Data = r.message(tx), limitData(r.data(tx))
	if s.severity >= 0 && s.severity < len(severities) {
		m.Severity = severities[s.severity]
	}
	if len(s.tags) > 0 {
		m.Tags = make([]string, 0, len(s.tags))
		for _, t := range s.tags {
			m.Tags = append(m.Tags, t.expand(tx))
		}
	}
	if keep && (r.sanMatched || s.sanMatched) {
		tx.sanitiseValue(r, x)
	}
	if keep {
		tx.matches = append(tx.matches, m)
	}
	if tx.says(1) {
		tx.debugMatch(s, &m)
	}
}

// message is msg with its macros expanded: a chain has that of its first rule that says one.
func (r *rule) message(tx *Transaction) string { return r.starter.msg.expand(tx) }

// data is logdata, as message is msg.
func (r *rule) data(tx *Transaction) string { return r.starter.logdata.expand(tx) }

// maxData is how much of logdata a message shows, counted as ModSecurity escapes it.
const maxData = 509

// limitData cuts logdata as mod_security2 does: a rule that shows MATCHED_VAR would copy a whole body into every message.
func limitData(s string) string {
	n, cut := 0, len(s)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			n += 4
		} else {
			n++
		}
		if n > maxData && cut == len(s) {
			cut = i
		}
		if n > maxData+2 {
			return s[:cut] + "..."
		}
	}
	return s
}

// noteText keeps a message that is not of a rule.
func (tx *Transaction) noteText(text string) {
	if len(tx.matches) < maxMatches {
		tx.matches = append(tx.matches, audit.Match{Phase: tx.phase, Text: text})
		tx.relevant = true
	}
	tx.debugf(1, "%s", plainText(text))
}

// noteFault keeps what is wrong with a body: the fault by itself does not make the transaction relevant.
func (tx *Transaction) noteFault(text string) {
	if len(tx.matches) < maxMatches {
		tx.matches = append(tx.matches, audit.Match{Phase: 2, Text: text})
	}
	tx.debugf(2, "%s", plainText(text))
}

// operatorError keeps what an operator could not do.
func (tx *Transaction) operatorError(err error) {
	tx.debugFault(tx.rule, err)
	if tx.patternError(err) {
		return // mod_security2 calls a limit no failure of the rule, and so a look-up that has no answer
	}
	tx.operatorNote(err)
	if r := tx.rule; r != nil && !lookUp(r.opName) {
		tx.failed = true
		tx.noteText(fmt.Sprintf("Rule processing failed (id=%d, msg=%s).", r.id, plainText(r.starter.msg.expand(tx))))
	}
}

// lookUp is whether the operator asks a database or the network: without an answer it does not match, and that is all.
func lookUp(operator string) bool {
	return strings.EqualFold(operator, "geoLookup") || strings.EqualFold(operator, "rbl") || strings.EqualFold(operator, "gsbLookup")
}

// ruleFailed is whether the rule that has just run could not be evaluated and SecInterceptOnError is On: mod_security2 then
// runs no further rule of the phase, and in spite of the name intercepts nothing.
func (tx *Transaction) ruleFailed() bool {
	failed := tx.failed
	tx.failed = false
	return failed && tx.e.settings.InterceptOnErr
}

func (tx *Transaction) operatorNote(err error) {
	if len(tx.notes) < 20 {
		tx.notes = append(tx.notes, err.Error())
	}
}

// Logging runs phase 5. On honeytrap hosts the connection rules that an interruption kept from running are run
// here, so that their match is in the record.
func (tx *Transaction) Logging() {
	if tx.e.honeytrap && !tx.phaseDone[5] {
		tx.missedConnectionRules()
	}
	tx.runPhase(5)
}

// AuditWanted says whether the audit log wants this transaction, given the status that was sent.
func (tx *Transaction) AuditWanted(status int) bool {
	wanted := tx.auditWanted(status)
	if tx.debugLevel >= 4 {
		tx.debugAudit(wanted)
	}
	return wanted
}

func (tx *Transaction) auditWanted(status int) bool {
	switch tx.auditMode {
	case ModeOn:
		return true
	case ModeRelevantOnly:
		if tx.relevant {
			return true
		}
		re := tx.e.settings.AuditLogRelevantStatus
		return re != nil && re.MatchString(formatInt(int64(status)))
	}
	return false
}

// Fill puts into r what the transaction knows: id, time, duration, matches, rules, action, parts and trailer. What
// sanitise actions name is masked in r's bytes. Bytes that the server owns (heads, bodies) are the caller's business,
// except those that only the engine has: files and the fake body.
func (tx *Transaction) Fill(r *audit.Record) {
	r.ID, r.Time = tx.id, tx.began
	r.Duration = tx.e.now().Sub(tx.began)
	r.Honeytrap = r.Honeytrap || tx.e.honeytrap
	if r.Host == "" {
		r.Host = tx.conn.ServerName
	}
	if !r.Peer.IsValid() {
		r.Peer = tx.conn.Peer
	}
	if !r.Client.IsValid() {
		r.Client = tx.conn.Client
	}
	if !r.Server.IsValid() {
		r.Server = tx.conn.Server
	}
	if r.TLS == nil {
		r.TLS = tx.conn.TLS
	}
	if r.RemoteUser == "" {
		r.RemoteUser = tx.remoteUser()
	}
	r.SessionID = tx.sessionID
	r.Parts = tx.auditParts
	r.Matches = append(r.Matches, tx.matches...)
	for _, f := range tx.fired {
		if f.starter == f && f.next == nil || f.next == nil && f.starter != f {
			r.Rules = append(r.Rules, audit.RuleText{ID: f.id, Raw: f.starter.whole})
		}
	}
	if it := tx.interruption; it != nil {
		r.Action = &audit.Action{Phase: it.Phase, Status: it.Status, Kind: it.Action, URL: it.URL}
	}
	tx.fillTrailer(r)
	tx.fillBody(r)
	tx.mask(r)
}

func (tx *Transaction) fillTrailer(r *audit.Record) {
	for _, n := range tx.notes {
		r.Trailer = append(r.Trailer, audit.Field{Name: "Engine-Note", Value: oneLine(n)})
	}
	tx.fillServerErrors(r)
	if tx.watch.on {
		r.Trailer = append(r.Trailer, audit.Field{Name: "Stopwatch2", Value: tx.stopwatch2(r.Duration)})
	}
	producer := "Trapline"
	if len(tx.e.settings.ComponentSignatures) > 0 {
		producer += "; " + strings.Join(tx.e.settings.ComponentSignatures, "; ")
	}
	r.Trailer = append(r.Trailer, audit.Field{Name: "Producer", Value: producer + "."})
	if s := tx.e.settings.ServerSignature; s != "" {
		r.Trailer = append(r.Trailer, audit.Field{Name: "Server", Value: s})
	}
	if tx.webAppID != "" && tx.webAppID != "default" {
		r.Trailer = append(r.Trailer, audit.Field{Name: "WebApp-Info", Value: `"` + tx.webAppID + `" "` + orDash(tx.sessionID) + `" "` + orDash(tx.userID) + `"`})
	}
	if s := tx.e.settings.SensorID; s != "" {
		r.Trailer = append(r.Trailer, audit.Field{Name: "Sensor-Id", Value: `"` + oneLine(s) + `"`})
	}
	mode := [...]string{"DISABLED", "ENABLED", "DETECTION_ONLY"}[tx.mode]
	r.Trailer = append(r.Trailer, audit.Field{Name: "Engine-Mode", Value: `"` + mode + `"`})
	if slow := tx.watch.slowRules(); slow != "" {
		r.Trailer = append(r.Trailer, audit.Field{Name: "Rules-Performance-Info", Value: slow})
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return oneLine(s)
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// fillBody adds what only the body's processor knows: the uploaded files and the form that stands for part C.
func (tx *Transaction) fillBody(r *audit.Record) {
	p := tx.request.parsed
	if p == nil {
		return
	}
	if p.Fake != nil && strings.Contains(r.Parts, "I") {
		r.FakeBody = p.Fake
	}
	for i := range p.Files {
		r.Files = append(r.Files, audit.File{Size: p.Files[i].Size, Name: p.Files[i].Name, Field: p.Files[i].Field, ContentType: p.Files[i].ContentType})
	}
}
