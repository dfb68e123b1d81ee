package seclang

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
)

// The debug log is that of mod_security2 2.9, line for line where this engine does the same thing:
//
//	[22/Nov/2026:08:25:52.104337 +0000] [host/sid#5a1c][rid#93be][/index.php][4] Starting phase REQUEST_HEADERS.
//
// sid and rid, addresses of structures there, are numbers of the host and of the transaction here.

// Bounds of a line. mod_security2 cuts the text at the same length; it lets a long path push out text and line end, which
// we do not.
const (
	maxDebugText = 1023
	maxDebugHost = 128
	maxDebugPath = 512
	// maxDebugLines bounds one transaction: a thousand arguments under all of CRS at level 9 would be gigabytes.
	maxDebugLines = 200_000
)

// DebugOutput is where an engine writes what it is asked to say while it runs. The zero value writes nothing.
type DebugOutput struct {
	// Open opens the file of a SecDebugLog as the directive names it. It is called once for each directive in force while
	// engines are made; its writer gets one whole line per Write, from many goroutines, and must not block for long: requests
	// wait for it. An error is a fault of the directive.
	Open func(path string) (io.Writer, error)
	// Alert is given what ModSecurity says in the server's error log, messages of level 1 to 3: one line without its end, escaped. It
	// must not block.
	Alert func(client netip.AddrPort, line string)
}

// openDebugLog opens what SecDebugLog names. Without a way to open files the directive says nothing.
func (e *Engine) openDebugLog() error {
	s := &e.settings
	if s.DebugLog == "" || e.debug.Open == nil {
		e.debugTo = nil
		return nil
	}
	d := s.Origin["secdebuglog"]
	if e.debugTo != nil && e.debugOpened == d.Pos() {
		return nil // the main server's, which a virtual host inherits
	}
	w, err := e.debug.Open(s.DebugLog)
	if err != nil {
		return &Error{d.File, d.Line, fmt.Sprintf("SecDebugLog: open %s: %s", s.DebugLog, reason(err))}
	}
	e.debugTo, e.debugOpened = w, d.Pos()
	return nil
}

// reason is the cause of an error of the file system, without the path that is named already.
func reason(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

// setDebugLevel puts a level into force, that of SecDebugLogLevel or of ctl:debugLogLevel.
func (tx *Transaction) setDebugLevel(level int) {
	tx.debugLevel = 0
	if tx.e.debugTo != nil {
		tx.debugLevel = level
	}
	tx.full = tx.tracer != nil || tx.debugLevel >= 4
}

// says is whether anybody reads a line of this level: those up to 3 go to the error log, too.
func (tx *Transaction) says(level int) bool {
	return level <= tx.debugLevel || level <= 3 && tx.e.debug.Alert != nil
}

// debugf writes a line. What a client sent must be escaped in it already: text is cut and taken as it is.
func (tx *Transaction) debugf(level int, format string, args ...any) {
	if tx.says(level) {
		tx.debugLine(level, fmt.Sprintf(format, args...))
	}
}

func (tx *Transaction) debugLine(level int, text string) {
	text = text[:min(len(text), maxDebugText)]
	if tx.debugLines++; tx.debugLines == maxDebugLines {
		text = "Further lines of this transaction are left out."
	}
	if level <= tx.debugLevel && tx.debugLines <= maxDebugLines {
		_, _ = tx.e.debugTo.Write(tx.debugHead(level, text)) // the writer counts what it loses
	}
	if level <= 3 && tx.e.debug.Alert != nil {
		tx.alert(text)
	}
}

// debugHead makes the line. The time is that of the clock on the wall: a transaction's own stands still.
func (tx *Transaction) debugHead(level int, text string) []byte {
	b := make([]byte, 0, 160+len(text))
	b = append(b, '[')
	b = tx.e.now().AppendFormat(b, "02/Jan/2006:15:04:05.000000 -0700")
	b = append(b, "] ["...)
	host := tx.serverName()
	b = appendLogText(b, host[:min(len(host), maxDebugHost)], false)
	b = append(b, "/sid#"...)
	b = strconv.AppendUint(b, uint64(number(tx.conn.ServerName)), 16)
	b = append(b, "][rid#"...)
	b = strconv.AppendUint(b, uint64(number(tx.id)), 16)
	b = append(b, "]["...)
	path := tx.request.filename
	b = appendLogText(b, path[:min(len(path), maxDebugPath)], false)
	b = append(b, "]["...)
	b = strconv.AppendInt(b, int64(level), 10)
	b = append(b, "] "...)
	b = append(b, text...)
	return append(b, '\n')
}

func number(s string) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, s)
	return h.Sum32()
}

// alert gives the error log its line, with the fields that mod_security2 adds there.
func (tx *Transaction) alert(text string) {
	b := make([]byte, 0, 200+len(text))
	b = append(b, "[client "...)
	b = append(b, tx.client()...)
	b = append(b, "] ModSecurity: "...)
	b = append(b, text...)
	b = append(b, ` [hostname "`...)
	host := tx.serverName()
	b = appendLogText(b, host[:min(len(host), maxDebugHost)], true)
	b = append(b, `"] [uri "`...)
	path := tx.request.filename
	b = appendLogText(b, path[:min(len(path), maxDebugPath)], true)
	b = append(b, `"] [unique_id "`...)
	b = appendLogText(b, tx.id, true)
	b = append(b, `"]`...)
	tx.e.debug.Alert(tx.conn.Client, string(b))
}

// appendLogText escapes what is not printable as mod_security2's log_escape does; quotes says whether quotes are, too.
func appendLogText(b []byte, s string, quotes bool) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			b = append(b, `\\`...)
		case c == '"' && quotes:
			b = append(b, `\"`...)
		case c >= '\b' && c <= '\r' && c != '\f':
			b = append(b, '\\', "btnv_r"[c-'\b'])
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// plainText is s for a log, without escapes of quotes; quotedText is for between quotes. Both are cut before they are made
// longer by what they escape: a client may send a megabyte.
func plainText(s string) string {
	return string(appendLogText(nil, s[:min(len(s), maxDebugText)], false))
}

func quotedText(s string) string {
	return string(appendLogText(nil, s[:min(len(s), maxDebugText)], true))
}

// debugMatch writes the message of a match: an interception at level 1, a warning at 2, of a rule with nolog at 4.
func (tx *Transaction) debugMatch(s *rule, m *audit.Match) {
	level := 2
	var a *audit.Action
	if it := tx.interruption; m.Disruptive && it != nil {
		level, a = 1, &audit.Action{Phase: it.Phase, Status: it.Status, Kind: it.Action, URL: it.URL}
	} else if s.disruptive == actAllow && tx.allowed != allowNone {
		kind := "allow"
		if s.allow != "" {
			kind += ":" + s.allow
		}
		copied := *m
		copied.Disruptive = true
		level, a, m = 1, &audit.Action{Phase: tx.phase, Kind: kind}, &copied
	}
	if !s.log {
		level = 4
	}
	if !tx.says(level) {
		return
	}
	text := string(audit.AppendMessage(nil, m, a))
	if a == nil || tx.debugLevel < 4 {
		tx.debugLine(level, text)
		return
	}
	tx.verdicts = append(tx.verdicts, verdict{level, text}) // after the rule's own lines
}

// verdict is a message that waits for the end of its rule's lines.
type verdict struct {
	level int
	text  string
}

// usec is a duration as the log prints it.
func usec(d time.Duration) int64 { return max(d.Microseconds(), 0) }

// phaseName is how the log calls a phase.
func phaseName(p int) string {
	return [...]string{"", "REQUEST_HEADERS", "REQUEST_BODY", "RESPONSE_HEADERS", "RESPONSE_BODY", "LOGGING"}[p]
}

// debugPhase writes what a phase begins with, or why it does not run.
func (tx *Transaction) debugPhase(p int) {
	if p == 1 {
		tx.debugStart()
	}
	if p == 5 {
		tx.debugLine(4, "Initialising logging.")
	}
	switch {
	case tx.mode == ModeOff && p != 5: // phase 5 is begun there, and no rule of it runs
		return
	case tx.interruption != nil && p != 5:
		if p > tx.interruption.Phase {
			tx.debugf(4, "Skipping phase %d as request was already intercepted.", p)
		}
	case tx.allowSkips(p):
		tx.debugf(4, "Skipping phase %s (allow used).", phaseName(p))
	default:
		tx.debugf(4, "Starting phase %s.", phaseName(p))
		n := 0
		for _, r := range tx.e.phases[p] {
			for m := r; m != nil; m = m.next {
				n++
			}
		}
		tx.debugf(9, "This phase consists of %d rule(s).", n)
	}
}

// debugStart writes the first lines of a transaction. They come with phase 1, when the request line is known.
func (tx *Transaction) debugStart() {
	tx.debugf(4, "Initialising transaction (txid %s).", plainText(tx.id))
	tx.debugArgs("QUERY_STRING", tx.request.argsGet)
	tx.debugf(4, "Transaction context created (dcfg %x).", number(tx.conn.ServerName))
}

func (tx *Transaction) debugArgs(origin string, args []field) {
	if tx.debugLevel < 5 {
		return
	}
	for i := range args {
		tx.debugf(5, `Adding request argument (%s): name "%s", value "%s"`, origin, quotedText(args[i].name), quotedText(args[i].value))
	}
}

// debugBody writes what became of the request body before phase 2.
func (tx *Transaction) debugBody() {
	q := &tx.request
	tx.debugf(4, "Second phase starting (dcfg %x).", number(tx.conn.ServerName))
	if q.size == 0 {
		tx.debugLine(4, "Input filter: This request does not have a body.")
		return
	}
	if !tx.ctl.requestBodyAccess {
		tx.debugLine(4, "Input filter: Request body access not enabled.")
		return
	}
	tx.debugLine(4, "Input filter: Reading request body.")
	if q.parsed != nil {
		for _, f := range q.parsed.Files {
			tx.debugf(9, `Multipart: Added file part to the list: name "%s" file name "%s" (length %d)`, quotedText(f.Field), quotedText(f.Name), f.Size)
		}
	}
	tx.debugArgs("BODY", q.args)
	tx.debugf(4, "Input filter: Completed receiving request body (length %d).", q.size)
}

// debugAnswer writes what phase 4 has to look at.
func (tx *Transaction) debugAnswer() {
	a := &tx.response
	switch {
	case tx.mode == ModeOff || a.size == 0:
	case a.partial:
		tx.debugf(4, "Output filter: Completed receiving response body (buffered partial - %d bytes).", len(a.body))
	default:
		tx.debugf(4, "Output filter: Completed receiving response body (buffered full - %d bytes).", len(a.body))
	}
}

// debugAudit writes what the audit log does with the transaction.
func (tx *Transaction) debugAudit(wanted bool) {
	switch {
	case wanted:
		tx.debugLine(4, "Audit log: Logging this transaction.")
	case tx.auditMode == ModeOff:
		tx.debugLine(4, "Audit log: Not configured to run for this request.")
	default:
		tx.debugLine(4, "Audit log: Ignoring a non-relevant request.")
	}
}

// validDebugLevel reads a level of SecDebugLogLevel or ctl:debugLogLevel.
func validDebugLevel(a string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(a))
	if err != nil || n < 0 || n > 9 {
		return 0, fmt.Errorf("found %q, expected a level from 0 to 9", a)
	}
	return n, nil
}
