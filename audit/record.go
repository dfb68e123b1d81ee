// Package audit holds Record, the one currency of the program, and its formats.
//
// A trap or a gate fills a Record for every transaction; the formats in this
// package turn it into the bytes that ModSecurity writes and reads: version 2
// native (also the form in which a record is spooled, forwarded and stored),
// JSON of versions 2 and 3, concurrent index lines. Parsers take bytes that an
// attacker wrote: they return a value and a list of faults and never panic.
// Nothing here touches a disk or a network, so there is nothing to lose in a crash.
package audit

import (
	"net/netip"
	"time"
)

// Kind says what arrived on the connection.
type Kind uint8

// The kinds of touch. KindHTTP is the zero value: records of other programs are always HTTP.
const (
	KindHTTP    Kind = iota // an HTTP/1.x or HTTP/2 request, well-formed or not
	KindTLS                 // a TLS ClientHello that led to no request
	KindBytes               // bytes that are not HTTP: SSH, RDP, SMB, SOCKS ...
	KindConnect             // a completed TCP handshake and not one byte
)

// Record is one transaction: what came, what was answered, which rules matched.
// It is owned by the goroutine that handles the transaction until the spool
// has taken its bytes; after that nobody changes it. Byte fields hold exactly
// what was on the wire, NUL and invalid UTF-8 included.
type Record struct {
	// ID is the transaction's unique id, as ModSecurity's UNIQUE_ID: letters,
	// digits, '@', '-' and '_' (versions 2 and 3), or digits with a dot (version 3).
	ID string
	// Time is when the request line (or the connection, if no request came) was accepted; µs resolution.
	Time time.Time
	// Duration is the time until the verdict was final.
	Duration time.Duration
	// Kind says what arrived.
	Kind Kind
	// Host is the configured name of the virtual host that handled it (ServerName).
	Host string
	// Honeytrap is true for virtual hosts that have no legitimate visitor. Only these are forwarded by default.
	Honeytrap bool

	// Peer is the other end of the TCP connection, Client the address that the
	// rules see as REMOTE_ADDR: the same, unless a trusted proxy named another.
	Peer, Client netip.AddrPort
	// Server is our end of the TCP connection.
	Server netip.AddrPort
	// TLS is nil when the connection was in the clear.
	TLS *TLS

	// RemoteUser and SessionID are empty when unknown.
	RemoteUser, SessionID string

	// RequestHead is request line and header lines as they came, without the
	// empty line that ends them (part B). For KindBytes: the bytes that came.
	RequestHead []byte
	// RequestBody is what was kept of the body, after removal of chunked coding (part C).
	RequestBody []byte
	// RequestBodySize is the size in bytes of the whole body as received; larger than len(RequestBody) when a limit cut it.
	RequestBodySize int64
	// FakeBody replaces part C for multipart requests when part I was asked for: names and values without the files.
	FakeBody []byte
	// Files are the uploaded files (part J).
	Files []File

	// Status is the HTTP status sent, 0 when no answer was sent.
	Status int
	// ResponseHead is status line and header lines as sent, without the final empty line (part F).
	ResponseHead []byte
	// ResponseBody is what was kept of the answer (part E).
	ResponseBody []byte
	// ResponseBodySize is the number of body bytes sent.
	ResponseBodySize int64

	// Relevant is true when SecAuditEngine and the rules want the transaction in
	// the audit log that SecAuditLog names. Records of honeytraps are kept either way.
	Relevant bool
	// Parts is the value of SecAuditLogParts in force, such as "ABCDEFHIJKZ".
	// Writers emit only these parts; parsers set it to the parts they saw.
	Parts string

	// Action is the disruptive action, nil when nothing intercepted the transaction.
	Action *Action
	// Matches are the rules that matched and were logged, in the order they ran.
	Matches []Match
	// Rules is the raw text of all rules that matched, logged or not (part K), in order, chains joined by newline + "  ".
	Rules []RuleText
	// Folded, when set, makes the record a summary: it stands for further records of the client that were not kept.
	Folded *Folded
	// Trailer holds further lines of part H in order (Stopwatch2, Producer, Server, Engine-Mode, Apache-Error ...).
	Trailer []Field
	// Unknown keeps parts of a parsed entry that this package has no field for, so that writing it again loses nothing.
	Unknown []Part
}

// TLS is what the ClientHello showed.
type TLS struct {
	Version string // "1.3", of the connection; highest offered when no handshake ended
	Server  string // SNI
	ALPN    []string
	JA4     string
}

// Folded says how many records a summary stands for, beside the one whose request it shows.
type Folded struct {
	Records     int64
	First, Last time.Time
}

// File is one uploaded file of part J.
type File struct {
	Size        int64
	Name        string // as the client wrote it
	Field       string // name of the form field, "" when unknown
	ContentType string
}

// Action is the interception of a transaction.
type Action struct {
	Phase  int // 1 to 5
	Status int
	Kind   string // "deny", "drop", "redirect", "proxy", "allow"
	URL    string // of redirect and proxy
}

// Match is one rule that matched.
type Match struct {
	ID         int
	File       string
	Line       int
	Phase      int
	Disruptive bool   // this match took the disruptive action
	Operator   string // text of the match, such as `Pattern match "^(8000)$" at SERVER_PORT.`
	Message    string // msg, macros expanded
	Data       string // logdata, macros expanded
	Severity   string // "CRITICAL", "" when none
	Revision   string
	Version    string
	Maturity   int
	Accuracy   int
	Tags       []string
	// Variables are the names of the targets that matched, such as "ARGS:page".
	Variables []string
	// Text is the head of a message that is not of a rule ("Multipart parsing error: ..."); ID is then 0.
	Text string
	// Fields are further bracketed fields of the message ([hostname "..."] [uri "..."] ...), in order.
	Fields []Field
}

// RuleText is one paragraph of part K.
type RuleText struct {
	ID  int
	Raw string
}

// Field is a name and a value.
type Field struct{ Name, Value string }

// Part is a part of an entry kept as it came.
type Part struct {
	Letter byte
	Bytes  []byte
}

// Fault is something that a parser found wrong and went on from.
type Fault struct {
	Offset int64 // in bytes from the start of the input
	Text   string
}
