package audit

import (
	"bytes"
	"strconv"
	"strings"
)

// AppendMessage appends m as ModSecurity 2 writes it behind "Message: " and in its
// error log: what was done, the operator's text, then bracketed fields. a is the
// record's action; it is only read when m is disruptive. The text has no newline.
//
//	Warning. Pattern match "^(8000)$" at SERVER_PORT. [file "..."] [line "1"] [id "999004"] [msg "..."] [tag "..."]
func AppendMessage(dst []byte, m *Match, a *Action) []byte {
	start := len(dst)
	if m.Text != "" {
		dst = appendLine(dst, m.Text)
	} else {
		dst = appendHead(dst, m, a)
	}
	if m.ID != 0 || m.File != "" || m.Line != 0 || hasMetadata(m) || bytes.IndexByte(dst[start:], '[') >= 0 {
		// Always [file] and [line] first: the parser takes the last [file] as the start of the fields, so
		// that an argument named `x. [file "a"] [id "1"]` in the operator's text cannot pass for them.
		dst = append(dst, ` [file "`...)
		dst = appendEscaped(dst, m.File)
		dst = append(dst, `"] [line "`...)
		dst = strconv.AppendInt(dst, int64(m.Line), 10)
		dst = append(dst, `"]`...)
	}
	return appendMetadata(dst, m)
}

// ParseMessage reads a message of ModSecurity 2 or 3, without "Message: " or
// "ModSecurity: ". The action is nil unless the text says that one was taken. Text
// that has no form this package would write is kept whole in Match.Text.
func ParseMessage(line string) (Match, *Action) { return parseMessage(line, false) }

// parseMessage finds the fields, of which a client may have forged some: it chooses names of arguments, which stand in version 2's
// operator text with their quotes, and in version 3 a hundred bytes of value in front and the URI behind, quotes and all.
// So version 2's fields begin at the last [file], and version 3's at the first one that all of its eleven fields follow in order, for
// which a hundred bytes do not suffice.
func parseMessage(line string, v3 bool) (Match, *Action) {
	var m Match
	head, unquote := line, unescape
	if v3 {
		unquote = unescapeHex
		if at := fields3(line); at >= 0 && parseMetadata(&m, line[at:], unquote) {
			return m.withHead(line[:at])
		}
		m = Match{}
	}
	for at, tries := len(line), 0; tries < 16; tries++ {
		at = strings.LastIndex(line[:at], ` [file "`)
		if at < 0 {
			if at = strings.LastIndex(line, ` [id "`); at < 0 {
				break
			}
			tries = 16
		}
		if parseMetadata(&m, line[at:], unquote) {
			head = line[:at]
			break
		}
		m = Match{}
	}
	return m.withHead(head)
}

// fields3 returns where the fields of a version 3 message begin, -1 when they are not there.
func fields3(line string) int {
	at := 0
	for range 64 { // a client has room for a few; a line of nothing else must not cost its length squared
		i := strings.Index(line[at:], ` [file "`)
		if i < 0 {
			return -1
		}
		at += i
		rest := line[at:]
		for _, name := range [...]string{"file", "line", "id", "rev", "msg", "data", "severity", "ver", "maturity", "accuracy"} {
			after, ok := strings.CutPrefix(rest, " ["+name+` "`)
			end := -1
			if ok {
				end = fieldEnd(after)
			}
			if rest = ""; end >= 0 {
				rest = after[end+2:]
			}
			if end < 0 {
				at++
				break
			}
			if name == "accuracy" {
				return at
			}
		}
	}
	return -1
}

// withHead sets what stands before the fields.
func (m Match) withHead(head string) (Match, *Action) {
	action, operator := parseHead(head)
	m.Operator = operator
	if action != nil {
		m.Disruptive = true
		m.Phase = action.Phase
	}
	if v := variableOf(operator); v != "" {
		m.Variables = []string{v}
	}
	m.keepText(head, action)
	return m, action
}

// keepText sets Text when the head of the message could not be written again from the other fields.
func (m *Match) keepText(head string, a *Action) {
	m.Text = ""
	if string(appendHead(nil, m, a)) != head {
		m.Text = head
	}
}

func hasMetadata(m *Match) bool {
	return m.Revision != "" || m.Message != "" || m.Data != "" || m.Severity != "" || m.Version != "" ||
		m.Maturity != 0 || m.Accuracy != 0 || len(m.Tags) != 0 || len(m.Fields) != 0
}

// appendHead appends what ModSecurity 2 did (re.c and apache2_util.c have these texts) and the operator's text.
func appendHead(dst []byte, m *Match, a *Action) []byte {
	if !m.Disruptive || a == nil {
		dst = append(dst, "Warning. "...)
		return appendLine(dst, m.Operator)
	}
	switch a.Kind {
	case "redirect":
		dst = append(dst, "Access denied with redirection to "...)
		dst = appendToken(dst, a.URL)
		dst = append(dst, " using status "...)
		dst = strconv.AppendInt(dst, int64(a.Status), 10)
		dst = appendPhase(dst, a.Phase)
	case "proxy":
		dst = append(dst, "Access denied using proxy to"...)
		dst = appendPhase(dst, a.Phase)
		dst = append(dst, ' ')
		dst = appendToken(dst, a.URL)
	case "drop":
		dst = append(dst, "Access denied with connection close"...)
		dst = appendPhase(dst, a.Phase)
	case "allow":
		dst = append(dst, "Access allowed"...)
		dst = appendPhase(dst, a.Phase)
	case "allow:phase":
		dst = append(dst, "Access to phase allowed"...)
		dst = appendPhase(dst, a.Phase)
	case "allow:request":
		dst = append(dst, "Access to request allowed"...)
		dst = appendPhase(dst, a.Phase)
	default:
		dst = append(dst, "Access denied with code "...)
		dst = strconv.AppendInt(dst, int64(a.Status), 10)
		dst = appendPhase(dst, a.Phase)
	}
	dst = append(dst, ". "...)
	return appendLine(dst, m.Operator)
}

func appendPhase(dst []byte, phase int) []byte {
	if phase == 0 {
		return dst
	}
	dst = append(dst, " (phase "...)
	dst = strconv.AppendInt(dst, int64(phase), 10)
	return append(dst, ')')
}

func parseHead(head string) (*Action, string) {
	if operator, ok := strings.CutPrefix(head, "Warning. "); ok {
		return nil, operator
	}
	for _, form := range [...]struct{ text, kind string }{
		{"Access denied with code ", "deny"},
		{"Access denied with connection close", "drop"},
		{"Access denied with redirection to ", "redirect"},
		{"Access denied using proxy to", "proxy"},
		{"Access allowed", "allow"},
		{"Access to phase allowed", "allow:phase"},
		{"Access to request allowed", "allow:request"},
	} {
		rest, ok := strings.CutPrefix(head, form.text)
		if !ok {
			continue
		}
		a := &Action{Kind: form.kind}
		did, operator, ok := strings.Cut(rest, ". ")
		if form.kind == "redirect" { // a URL may hold ". " only as \x20, but "status 302. " is surer
			if url, after, found := strings.Cut(rest, " using status "); found {
				a.URL = token(url)
				did, operator, ok = strings.Cut(after, ". ")
			}
		}
		did = a.takePhase(did)
		switch form.kind {
		case "deny", "redirect":
			a.Status, _ = strconv.Atoi(strings.TrimSpace(did))
		case "proxy":
			a.URL = token(strings.TrimSpace(did))
		}
		if !ok {
			return a, ""
		}
		return a, operator
	}
	return nil, ""
}

// takePhase removes " (phase N)" from the text and keeps N.
func (a *Action) takePhase(text string) string {
	before, after, ok := strings.Cut(text, " (phase ")
	if !ok {
		return text
	}
	digits, rest, _ := strings.Cut(after, ")")
	a.Phase, _ = strconv.Atoi(digits)
	return before + rest
}

func appendMetadata(dst []byte, m *Match) []byte {
	if m.ID != 0 {
		dst = append(dst, ` [id "`...)
		dst = strconv.AppendInt(dst, int64(m.ID), 10)
		dst = append(dst, `"]`...)
	}
	dst = appendBracket(dst, "rev", m.Revision)
	dst = appendBracket(dst, "msg", m.Message)
	if m.Data != "" {
		dst = append(dst, ` [data "`...)
		dst = appendEscapedHex(dst, m.Data)
		dst = append(dst, `"]`...)
	}
	dst = appendBracket(dst, "severity", m.Severity)
	dst = appendBracket(dst, "ver", m.Version)
	if m.Maturity != 0 {
		dst = appendBracket(dst, "maturity", strconv.Itoa(m.Maturity))
	}
	if m.Accuracy != 0 {
		dst = appendBracket(dst, "accuracy", strconv.Itoa(m.Accuracy))
	}
	for _, tag := range m.Tags {
		dst = append(dst, ` [tag "`...)
		dst = appendEscaped(dst, tag)
		dst = append(dst, `"]`...)
	}
	for _, f := range m.Fields {
		dst = append(append(append(dst, ' ', '['), f.Name...), ' ', '"')
		dst = appendEscaped(dst, f.Value)
		dst = append(dst, `"]`...)
	}
	return dst
}

func appendBracket(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(append(append(dst, ' ', '['), name...), ' ', '"')
	dst = appendEscaped(dst, value)
	return append(dst, '"', ']')
}

// parseMetadata reads ` [name "value"]` up to the end of s; it says false when s has another form.
func parseMetadata(m *Match, s string, unquote func(string) string) bool {
	for s = strings.TrimRight(s, " "); s != ""; {
		rest, ok := strings.CutPrefix(s, " [")
		if !ok {
			return false
		}
		name, rest, ok := strings.Cut(rest, ` "`)
		if !ok || !isFieldName(name) {
			return false
		}
		end := fieldEnd(rest)
		if end < 0 {
			return false
		}
		m.setField(name, unquote(rest[:end]))
		s = rest[end+2:]
	}
	return true
}

// fieldEnd finds the `"]` that ends a value. Version 3 leaves double quotes in some values as they are, and
// version 2 cuts long data in the middle of an escape: so the end must be followed by another field or by nothing.
func fieldEnd(s string) int {
	for from := 0; ; {
		i := strings.Index(s[from:], `"]`)
		if i < 0 {
			return -1
		}
		i += from
		if after := s[i+2:]; (after == "" || strings.HasPrefix(after, " [")) && !escapedAt(s, i) {
			return i
		}
		from = i + 1
	}
}

// escapedAt says whether the byte at i stands behind an odd number of backslashes.
func escapedAt(s string, i int) bool {
	n := 0
	for i > 0 && s[i-1] == '\\' {
		n++
		i--
	}
	return n%2 == 1
}

func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (m *Match) setField(name, value string) {
	if len(m.Fields) > 0 {
		// Behind the fields of the rule stand those of the request: what looks like one of the rule's there is forged.
		m.Fields = append(m.Fields, Field{Name: name, Value: value})
		return
	}
	switch name {
	case "file":
		m.File = value
	case "line":
		m.Line, _ = strconv.Atoi(value)
	case "id":
		m.ID, _ = strconv.Atoi(value)
	case "rev":
		m.Revision = value
	case "msg":
		m.Message = value
	case "data":
		m.Data = value
	case "severity":
		m.Severity = severityName(value)
	case "ver":
		m.Version = value
	case "maturity":
		m.Maturity, _ = strconv.Atoi(value)
	case "accuracy":
		m.Accuracy, _ = strconv.Atoi(value)
	case "tag":
		m.Tags = append(m.Tags, value)
	default:
		m.Fields = append(m.Fields, Field{Name: name, Value: value})
	}
}

// severityName turns the number of version 3 into the name of version 2. Version 3 writes 0 where a rule has none.
func severityName(s string) string {
	if len(s) != 1 || s[0] < '0' || s[0] > '7' {
		return s
	}
	return [...]string{"", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"}[s[0]-'0']
}

// variableOf finds the target's name in the operator's text: `... at ARGS:page.`,
// "... against `ARGS:page' (Value: ...", `... against "ARGS:page" required.`
func variableOf(operator string) string {
	if _, after, ok := strings.Cut(operator, "against variable `"); ok {
		name, _, _ := strings.Cut(after, "'")
		return name
	}
	if before, ok := strings.CutSuffix(operator, `" required.`); ok {
		if i := strings.LastIndex(before, `against "`); i >= 0 {
			return before[i+len(`against "`):]
		}
		return ""
	}
	text, _, _ := strings.Cut(operator, `. [offset "`)
	text = strings.TrimSuffix(text, ".")
	if i := strings.LastIndex(text, " at "); i >= 0 && !strings.ContainsAny(text[i+4:], " \"") {
		return text[i+4:]
	}
	return ""
}
