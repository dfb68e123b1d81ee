package audit

import (
	"strconv"
	"strings"
	"time"
)

// trailer reads part H line by line. Text of a client stands in it only escaped, so a line is a line.
func (p *nativeParser) trailer(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			name, value = "", line
		}
		switch {
		case name == "Message":
			p.message(value, false)
		case name == "ModSecurity" && p.v3:
			p.message(value, true)
		case strings.HasPrefix(name, "Trapline-"):
			p.extension(name, value)
		case name == "Action" && strings.HasPrefix(value, "Intercepted"):
			a := Action{}
			a.takePhase(value)
			p.acted = a.Phase
		default:
			if name == "Stopwatch" {
				p.duration(value)
			}
			p.r.Trailer = append(p.r.Trailer, Field{Name: name, Value: value})
		}
	}
}

// unescapeHex undoes \xHH only: version 3 does not escape backslashes of rules.
func unescapeHex(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && s[i+1] == 'x' {
			if c, ok := hexByte(s[i+2:]); ok {
				out = append(out, c)
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func (p *nativeParser) message(line string, v3 bool) {
	m, action := parseMessage(line, v3)
	if action != nil {
		// The head is kept whole until all lines are read and the record's action is known.
		if m.Text == "" {
			m.Text = string(appendHead(nil, &m, action))
		}
		if p.r.Action == nil || intercepts(action.Kind) || !intercepts(p.r.Action.Kind) {
			p.r.Action = action
		}
	}
	p.r.Matches = append(p.r.Matches, m)
}

func (p *nativeParser) duration(value string) {
	p.stopwatch = len(p.r.Trailer) + 1
	words := strings.Fields(value)
	if len(words) < 2 {
		return
	}
	if us, err := strconv.ParseInt(words[1], 10, 64); err == nil && us >= 0 && us < int64(time.Hour/time.Microsecond)*24*365 {
		p.r.Duration = time.Duration(us) * time.Microsecond
	}
}

func (p *nativeParser) extension(name, value string) {
	r := p.r
	switch name {
	case extKind:
		r.Kind = kindOf(value)
	case extHost:
		r.Host = unescape(value)
	case extHoneytrap:
		r.Honeytrap = value == "On"
	case extPeer:
		host, port, _ := strings.Cut(value, " ")
		r.Peer = p.addrPort(host, port, 0)
	case extTLS:
		if v := quotedList(value); len(v) >= 3 {
			r.TLS = &TLS{Version: v[0], Server: v[1], JA4: v[2]}
			if len(v) > 3 {
				r.TLS.ALPN = v[3:]
			}
		}
	case extUser:
		r.RemoteUser = unescape(value)
	case extSession:
		r.SessionID = unescape(value)
	case extReqSize:
		p.reqSize = p.size(value)
	case extRespSize:
		p.respSize = p.size(value)
	case extFolded:
		p.folded(value)
	case extCRLF:
		p.crlf = value
	case extStatus:
		p.status = int(p.size(value))
	case extParts:
		p.partsSet = unescape(value)
		if value == "" {
			p.partsSet = "-"
		}
	case extAction:
		p.actionExtension(value)
	case extMatch, extFile, extRule:
		p.indexed(name, value)
	default:
		r.Trailer = append(r.Trailer, Field{Name: name, Value: value})
	}
}

func (p *nativeParser) size(value string) int64 {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		p.fault(0, "part H: bad number %q", value)
		return -1
	}
	return n
}

// folded reads "5321 2026-11-22T13:00:00.25Z 2026-11-22T13:00:59.5Z"; a sensor of another make may leave the times out.
func (p *nativeParser) folded(value string) {
	words := strings.Fields(value)
	f := &Folded{First: p.r.Time, Last: p.r.Time}
	var err [3]error
	if len(words) > 0 {
		f.Records, err[0] = strconv.ParseInt(words[0], 10, 64)
	}
	if len(words) == 3 {
		f.First, err[1] = time.Parse(time.RFC3339Nano, words[1])
		f.Last, err[2] = time.Parse(time.RFC3339Nano, words[2])
	}
	if err != [3]error{} || len(words) != 1 && len(words) != 3 || f.Records < 0 || !sane(f.First) || !sane(f.Last) {
		p.fault(0, "part H: bad %s", extFolded)
		return
	}
	p.r.Folded = f
}

// sane says whether a time can be written again as it was read: with four digits of a year.
func sane(t time.Time) bool { return t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }

func (p *nativeParser) actionExtension(value string) {
	a := &Action{}
	rest := ""
	var ok bool
	if a.Kind, rest, ok = cutQuoted(value); !ok {
		p.fault(0, "part H: bad action")
		return
	}
	words := strings.SplitN(strings.TrimPrefix(rest, " "), " ", 3)
	if len(words) < 3 {
		p.fault(0, "part H: bad action")
		return
	}
	a.Phase, _ = strconv.Atoi(words[0])
	a.Status, _ = strconv.Atoi(words[1])
	a.URL, _, _ = cutQuoted(words[2])
	p.action = a
}

// indexed reads the extensions that begin with the index of a match, a file or a rule.
func (p *nativeParser) indexed(name, value string) {
	index, rest, _ := strings.Cut(value, " ")
	switch name {
	case extMatch:
		i, err := strconv.Atoi(index)
		phase, variables, _ := strings.Cut(rest, " ")
		n, err2 := strconv.Atoi(phase)
		if err != nil || err2 != nil || i < 0 {
			p.fault(0, "part H: bad %s", name)
			return
		}
		p.matchExt = append(p.matchExt, matchExtension{index: i, phase: n, variables: quotedList(variables)})
	case extFile:
		field, _, _ := cutQuoted(rest)
		p.fileExt = append(p.fileExt, Field{Name: index, Value: field})
	default:
		p.ruleExt = append(p.ruleExt, Field{Name: index, Value: rest})
	}
}

// quotedList reads "a" "b" "c".
func quotedList(s string) []string {
	var list []string
	for s != "" {
		v, rest, ok := cutQuoted(s)
		if !ok {
			break
		}
		list = append(list, v)
		s = strings.TrimPrefix(rest, " ")
	}
	return list
}
