package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
)

// Event is one record as a sensor sent it.
type Event struct {
	// Sensor is the authenticated name of the sender.
	Sensor string
	// Received is when the console took it; Insert sets it when it is zero.
	Received time.Time
	// Entry is the native audit entry; it is kept byte for byte.
	Entry []byte
	// Record is Entry parsed. Insert needs it; its ID and Time must be set.
	Record *audit.Record
}

// Summary is what a list shows of an event. Its strings are the attacker's
// bytes, cut to the lengths below, and may hold anything, NUL and invalid UTF-8 too.
type Summary struct {
	// Seq is the order of arrival in this store, from 1.
	Seq      int64
	Time     time.Time
	Received time.Time
	Sensor   string
	ID       string
	// Client is the address that the rules saw, and its port. Zero when unknown.
	Client netip.AddrPort
	// Port is the port that was touched, 0 when unknown.
	Port      uint16
	Kind      audit.Kind
	Honeytrap bool
	Method    string
	// URI is the request target as sent; for KindBytes the first bytes that came.
	URI string
	// Host is the Host header, or the name in the TLS hello when there is none.
	Host string
	// Status is the HTTP status sent, 0 for none.
	Status int
	// Action is the disruptive action taken ("deny", "drop" ...), "" for none.
	Action string
	// Severity is the worst of the matched rules: 0 (EMERGENCY) to 7 (DEBUG), NoSeverity when none says.
	Severity int
	// Rules are the ids of matched rules in the order they ran, without repeats, at most 32.
	Rules []int
	// Message is the msg of the most severe rule. Of equals it is the first that
	// did not intercept: the rule that does ("score exceeded", "fake port") says least about what was tried.
	Message   string
	UserAgent string
	JA4       string
	// Hash is the same for requests of the same bytes but for the Host header: one tool, many targets.
	Hash uint64
	// Size is the length of the native entry in bytes.
	Size int
}

// NoSeverity is Summary.Severity when no matched rule has one.
const NoSeverity = 255

// Lengths in bytes to which a summary's strings are cut.
const (
	maxMethod  = 32
	maxURI     = 2048
	maxHost    = 255
	maxAgent   = 512
	maxMessage = 512
	maxRules   = 32
	maxBytes   = 160 // shown of a touch that is not HTTP
)

// Summarize makes the list view of an event; Seq stays 0.
func Summarize(e *Event) Summary {
	r := e.Record
	s := Summary{
		Time: r.Time, Received: e.Received, Sensor: e.Sensor, ID: r.ID, Kind: r.Kind, Honeytrap: r.Honeytrap,
		Client: r.Client, Port: r.Server.Port(), Status: r.Status, Severity: NoSeverity, Size: len(e.Entry),
	}
	if !s.Client.IsValid() {
		s.Client = r.Peer
	}
	if r.TLS != nil {
		s.JA4, s.Host = cut(r.TLS.JA4, 64), cut(r.TLS.Server, maxHost)
	}
	if r.Action != nil {
		s.Action = cut(r.Action.Kind, maxMethod)
	}
	h := sha256.New()
	if r.Kind == audit.KindHTTP {
		line, rest, _ := bytes.Cut(r.RequestHead, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		s.Method, s.URI = requestLine(string(line))
		h.Write(line)
		for len(rest) > 0 {
			var header []byte
			header, rest, _ = bytes.Cut(rest, []byte("\n"))
			name, value, _ := bytes.Cut(header, []byte(":"))
			switch {
			case asciiEqualFold(name, "host"):
				s.Host = cut(string(bytes.TrimSpace(value)), maxHost)
				continue
			case asciiEqualFold(name, "user-agent") && s.UserAgent == "":
				s.UserAgent = cut(string(bytes.TrimSpace(value)), maxAgent)
			}
			h.Write([]byte{'\n'})
			h.Write(bytes.TrimSuffix(header, []byte("\r")))
		}
	} else {
		s.URI = cut(string(r.RequestHead), maxBytes)
		h.Write([]byte{byte(r.Kind)})
		h.Write(r.RequestHead)
	}
	h.Write([]byte("\n\n"))
	h.Write(r.RequestBody)
	s.Hash = binary.BigEndian.Uint64(h.Sum(nil))
	s.matches(r)
	switch f := r.Folded; {
	case f == nil:
	case !s.Client.IsValid():
		s.Message = fmt.Sprintf("%d records from %s to %s UTC are missing: the sensor's spool was full, and this console had not taken them",
			f.Records, f.First.UTC().Format(time.DateTime), f.Last.UTC().Format(time.DateTime))
	default:
		s.Message = fmt.Sprintf("%d records of this client from %s to %s UTC: it is over its limit, they were counted only; the last one is shown",
			f.Records, f.First.UTC().Format(time.TimeOnly), f.Last.UTC().Format(time.TimeOnly))
	}
	return s
}

// matches fills what comes from the matched rules.
func (s *Summary) matches(r *audit.Record) {
	seen := make(map[int]bool, len(r.Matches))
	best := 1 << 10
	for i := range r.Matches {
		m := &r.Matches[i]
		if m.ID != 0 && !seen[m.ID] && len(s.Rules) < maxRules {
			seen[m.ID] = true
			s.Rules = append(s.Rules, m.ID)
		}
		level := severity(m.Severity)
		s.Severity = min(s.Severity, level)
		rank := 2 * level
		if m.Disruptive {
			rank++
		}
		text := m.Message
		if text == "" && m.ID == 0 {
			text = m.Text
		}
		if text != "" && rank < best {
			s.Message, best = cut(text, maxMessage), rank
		}
	}
}

// requestLine splits at the first and the last space, so that spaces inside a URI stay visible.
func requestLine(line string) (method, uri string) {
	method, uri, found := strings.Cut(line, " ")
	if !found {
		return "", cut(line, maxURI)
	}
	if i := strings.LastIndexByte(uri, ' '); i >= 0 && strings.HasPrefix(uri[i+1:], "HTTP/") {
		uri = uri[:i]
	}
	return cut(method, maxMethod), cut(uri, maxURI)
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func asciiEqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// severity is the number of a ModSecurity severity, given as word or number.
func severity(word string) int {
	switch strings.ToUpper(word) {
	case "EMERGENCY":
		return 0
	case "ALERT":
		return 1
	case "CRITICAL":
		return 2
	case "ERROR":
		return 3
	case "WARNING":
		return 4
	case "NOTICE":
		return 5
	case "INFO":
		return 6
	case "DEBUG":
		return 7
	}
	if n, err := strconv.Atoi(word); err == nil && n >= 0 && n <= 7 {
		return n
	}
	return NoSeverity
}

// ruleList and ruleIDs code the column rules.
func ruleList(ids []int) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}

func ruleIDs(list string) []int {
	var ids []int
	for f := range strings.FieldsSeq(list) {
		if n, err := strconv.Atoi(f); err == nil {
			ids = append(ids, n)
		}
	}
	return ids
}

// addr16 is an address as the column client holds it: 16 bytes, so that one
// range covers a prefix of either family; none when unknown.
func addr16(a netip.Addr) []byte {
	if !a.IsValid() {
		return []byte{}
	}
	b := a.As16()
	return b[:]
}
