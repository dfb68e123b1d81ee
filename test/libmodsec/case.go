// Package libmodsec runs rules and requests through libmodsecurity 3 and through the rule engine, so that a test is a
// comparison of two results.
//
// In comes a Case: the text of rules and the requests that meet them, with their answers. Out comes a Result of the
// same shape from Theirs (cgo, build tag libmodsecurity, Debian's libmodsecurity-dev) and from Ours: what the loader
// said, the intervention, the rules that logged, and every value that an operator looked at. Nothing here is part of
// the program; each Case has collections and files of its own and leaves nothing behind.
package libmodsec

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
)

// Case is rules and the requests that they are to see, in order, with persistent collections in common.
type Case struct {
	Rules string
	// Dir is where relative names in the rules are looked for; "" for a directory that does not exist.
	Dir string
	// Steps asks for Answer.Steps.
	Steps    bool
	Requests []Request
}

// Request is one request and the answer to it. Zero fields are those of GET / HTTP/1.1 and of an answer without a body.
type Request struct {
	Client, Server         string // 192.0.2.7, 198.51.100.1
	ClientPort, ServerPort int    // 40000, 80

	Method, URI, Proto string // GET, /, 1.1
	Headers            [][2]string
	Body               []string // the pieces it arrives in

	Status          int    // 200
	ResponseProto   string // HTTP/1.1
	ResponseHeaders [][2]string
	ResponseBody    string
}

// Result is what an engine made of a case.
type Result struct {
	// Load is the loader's error; then there are no answers.
	Load    string
	Answers []Answer
}

// Answer is what an engine made of one request.
type Answer struct {
	Status  int    // 200 without intervention
	URL     string // of a redirect
	Matches []Match
	Steps   []Step // in the order they ran
	// Log is what the engine logged, in its own words. It is for people and never compared.
	Log string
}

// Match is a rule that logged.
type Match struct {
	ID                            int
	Msg, Data, Severity, Ver, Rev string
	Tags                          []string
}

// Step is one value under an operator, after transformations. Value is what libmodsecurity writes of it: other than
// printable bytes as \xhh, and then 80 bytes.
type Step struct {
	Rule     int
	Variable string
	Value    string
}

func (s Step) String() string { return fmt.Sprintf("%d %s=%q", s.Rule, s.Variable, s.Value) }

func (r *Request) complete() Request {
	q := *r
	text := func(p *string, otherwise string) {
		if *p == "" {
			*p = otherwise
		}
	}
	number := func(p *int, otherwise int) {
		if *p == 0 {
			*p = otherwise
		}
	}
	text(&q.Client, "192.0.2.7")
	text(&q.Server, "198.51.100.1")
	number(&q.ClientPort, 40000)
	number(&q.ServerPort, 80)
	text(&q.Method, "GET")
	text(&q.URI, "/")
	text(&q.Proto, "1.1")
	number(&q.Status, 200)
	text(&q.ResponseProto, "HTTP/1.1")
	return q
}

// Ours runs the case through the rule engine.
func Ours(c *Case) (Result, error) {
	var out Result
	dir := c.Dir
	if dir == "" {
		made, err := os.MkdirTemp("", "libmodsec-")
		if err != nil {
			return out, err
		}
		defer os.RemoveAll(made)
		dir = made
	}
	file := filepath.Join(dir, "case.conf")
	if err := os.WriteFile(file, []byte(c.Rules), 0o600); err != nil {
		return out, err
	}
	ds, err := seclang.Load(file)
	if err != nil {
		out.Load = err.Error()
		return out, nil
	}
	st, err := collection.Open(collection.Config{})
	if err != nil {
		return out, err
	}
	defer st.Close()
	e, err := seclang.Compile(seclang.Config{Directives: ds, Collections: st})
	if err != nil {
		out.Load = err.Error()
		return out, nil
	}
	for i := range c.Requests {
		out.Answers = append(out.Answers, ours(e, c.Requests[i].complete(), c.Steps))
	}
	return out, nil
}

func ours(e *seclang.Engine, q Request, steps bool) (a Answer) {
	addr := func(ip string, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port))
	}
	tx := e.NewTransaction(seclang.Conn{Peer: addr(q.Client, q.ClientPort), Server: addr(q.Server, q.ServerPort)})
	defer tx.Close()
	if steps {
		tx.Trace(func(s seclang.Step) {
			if s.Rule != nil && s.Text == "" {
				a.Steps = append(a.Steps, Step{s.Rule.ID, s.Variable, clip(logged(s.Value))})
			}
		})
	}
	a.Status = 200
	if it := phases(tx, &q); it != nil {
		a.Status, a.URL = it.Status, it.URL
	}
	tx.Logging()
	tx.Commit()
	var r audit.Record
	tx.Fill(&r)
	var log strings.Builder
	for i := range r.Matches {
		m := &r.Matches[i]
		fmt.Fprintf(&log, "%d %s%s\n", m.ID, m.Operator, m.Text)
		if m.ID == 0 {
			continue // a fault of a body, which libmodsecurity keeps in variables only
		}
		a.Matches = append(a.Matches, Match{ID: m.ID, Msg: m.Message, Data: m.Data, Severity: m.Severity, Ver: m.Version, Rev: m.Revision, Tags: m.Tags})
	}
	a.Log = log.String()
	return a
}

// phases walks the phases as connectors of libmodsecurity do, up to the first intervention.
func phases(tx *seclang.Transaction, q *Request) *seclang.Interruption {
	tx.RequestLine(q.Method, q.URI, "HTTP/"+q.Proto)
	for _, h := range q.Headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	if it := tx.RequestHeaders(); it != nil {
		return it
	}
	for _, b := range q.Body {
		if _, it := tx.WriteRequestBody([]byte(b)); it != nil {
			return it
		}
	}
	if it := tx.RequestBody(); it != nil {
		return it
	}
	tx.ResponseLine(q.Status, q.ResponseProto)
	for _, h := range q.ResponseHeaders {
		tx.AddResponseHeader(h[0], h[1])
	}
	if it := tx.ResponseHeaders(); it != nil {
		return it
	}
	if q.ResponseBody != "" {
		if _, it := tx.WriteResponseBody([]byte(q.ResponseBody)); it != nil {
			return it
		}
	}
	return tx.ResponseBody()
}

// logged is the form of a message and of a value in libmodsecurity's logs.
func logged(s string) string { return hex(s, "") }

// escaped is the form of logdata and tags, where quotes and backslashes are \x22 and \x5c as well.
func escaped(s string) string {
	if strings.Contains(s, `\x`) {
		return s // has been
	}
	return hex(s, `"\`)
}

func hex(s, also string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 32 || c > 126 || strings.IndexByte(also, c) >= 0 {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return fmt.Sprintf("%s (%d characters omitted)", s[:80], len(s)-80)
}
