//go:build peers

package crs

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/wire"
)

// settings are the overrides under which the rule set's own tests run: all
// paranoia levels, nothing blocked, every match logged.
const settings = `
SecRuleEngine On
SecAuditEngine Off
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecDefaultAction "phase:3,log,auditlog,pass"
SecDefaultAction "phase:4,log,auditlog,pass"
SecDefaultAction "phase:5,log,auditlog,pass"
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
`

// blocking is the rule set as it comes: it blocks.
const blocking = `
SecRuleEngine On
SecAuditEngine Off
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
`

// allSettings adds the map of mod_security2's package, where it is installed.
func allSettings(settings string) string {
	const file = "/etc/modsecurity/unicode.mapping"
	if _, err := os.Stat(file); err != nil {
		return settings
	}
	return "SecUnicodeMapFile " + file + " 20127\n" + settings
}

func engine(t testing.TB, settings string) *seclang.Engine {
	t.Helper()
	e, err := seclang.Compile(seclang.Config{Directives: directives(t, settings), ReadFile: readData})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// readData finds the data files of the rule set.
func readData(name string) ([]byte, error) {
	if path.IsAbs(name) {
		return os.ReadFile(name)
	}
	return fs.ReadFile(coreruleset.FS, path.Clean(name))
}

// directives is the rule set behind its settings.
func directives(t testing.TB, settings string) []seclang.Directive {
	t.Helper()
	files := []string{"@coraza.conf-recommended", "", "@crs-setup.conf.example"}
	rules, err := fs.Glob(coreruleset.FS, "@owasp_crs/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rules)
	var all []seclang.Directive
	for _, name := range append(files, rules...) {
		text := []byte(allSettings(settings))
		if name != "" {
			if text, err = fs.ReadFile(coreruleset.FS, name); err != nil {
				t.Fatal(err)
			}
		}
		ds, err := seclang.Lex(name, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ds...)
	}
	return all
}

// outcome is what the engine saw in one connection.
type outcome struct {
	ids      []int
	log      string
	messages []string // as ModSecurity's audit log has them
}

// server answers with the engine's verdict over plain TCP. It reads requests
// with package wire, so the rules see what no HTTP server would let through.
type server struct {
	e  *seclang.Engine
	ln net.Listener

	mu   sync.Mutex
	done map[string]chan outcome // by the client's address
}

func serve(t testing.TB, e *seclang.Engine) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{e: e, ln: ln, done: map[string]chan outcome{}}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.conn(c)
		}
	}()
	return s
}

func (s *server) result(client string) chan outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.done[client]
	if ch == nil {
		ch = make(chan outcome, 1)
		s.done[client] = ch
	}
	return ch
}

func (s *server) conn(c net.Conn) {
	var out outcome
	defer func() { s.result(c.RemoteAddr().String()) <- out; c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	r := bufio.NewReader(c)
	for {
		h, verdict, _ := wire.ReadHead(r, wire.Limits{Head: 128 << 10})
		if verdict == wire.Short && len(h.Raw) == 0 {
			return
		}
		if !s.request(c, r, h, verdict, &out) || h.Framing.Close {
			return
		}
	}
}

// request runs one request through all phases and answers it.
func (s *server) request(c net.Conn, r *bufio.Reader, h *wire.Head, verdict wire.Verdict, out *outcome) bool {
	tx := s.e.NewTransaction(seclang.Conn{
		Peer: netip.MustParseAddrPort(c.RemoteAddr().String()), Server: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 80), ServerName: "localhost", Time: time.Now(),
	})
	defer tx.Close()
	tx.RequestHead(h.Raw)
	it := tx.RequestHeaders()
	body := wire.NewBodyReader(r, h.Framing)
	var kept []byte
	if it == nil && verdict == wire.HTTP {
		kept, _ = body.ReadAll(1<<20, 1<<24)
		_, it = tx.WriteRequestBody(kept)
	}
	if it == nil {
		it = tx.RequestBody()
	}
	status, headers, answer := backend(h, kept)
	if refused(h, verdict) {
		status, headers, answer = 400, nil, []byte("Bad Request")
	}
	if it != nil {
		status, headers, answer = it.Status, nil, nil
	}
	tx.ResponseLine(status, "HTTP/1.1")
	for _, kv := range headers {
		tx.AddResponseHeader(kv.name, kv.value)
	}
	if it == nil {
		if it = tx.ResponseHeaders(); it == nil && tx.WantsResponseBody() {
			_, it = tx.WriteResponseBody(answer)
		}
		if it == nil {
			it = tx.ResponseBody()
		}
	}
	if it != nil {
		status, answer = it.Status, nil
	}
	tx.Logging()
	tx.Commit()
	record(tx, out)
	fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n", status, len(answer))
	if h.Method != "HEAD" {
		_, _ = c.Write(answer)
	}
	return it == nil && verdict == wire.HTTP && len(body.Faults()) == 0
}

// refused is what Apache answers with 400 whatever the rules say.
func refused(h *wire.Head, verdict wire.Verdict) bool {
	if verdict != wire.HTTP {
		return true
	}
	for _, f := range h.Faults {
		switch f {
		case wire.FaultNoHost, wire.FaultRequestLine, wire.FaultProtocol, wire.FaultNoProtocol, wire.FaultNUL, wire.FaultControl, wire.FaultName, wire.FaultNoColon,
			wire.FaultLength, wire.FaultManyHosts, wire.FaultHost, wire.FaultTarget, wire.FaultBareCR:
			return true
		}
	}
	return h.Framing.Unknown || strings.HasPrefix(h.Proto, "HTTP/0.")
}

func record(tx *seclang.Transaction, out *outcome) {
	var r audit.Record
	tx.Fill(&r)
	var b strings.Builder
	for i := range r.Matches {
		m := &r.Matches[i]
		out.messages = append(out.messages, normal(string(audit.AppendMessage(nil, m, r.Action))))
		if m.ID != 0 {
			out.ids = append(out.ids, m.ID)
		}
		fmt.Fprintf(&b, "%s%s [id \"%d\"] [msg %q] [data %s] %q\n", m.Text, m.Operator, m.ID, m.Message, quote(m.Data), m.Tags)
	}
	out.log += b.String()
}

// quote escapes what would break a line of the error log, and quotes.
func quote(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`, `"`, `\"`).Replace(s) + `"`
}

// backend answers as the one of the rule set's own tests: POST /reflect asks for the answer it wants.
func backend(h *wire.Head, body []byte) (status int, headers []header, answer []byte) {
	headers = []header{{"Content-Type", "text/plain"}}
	target, _, _ := strings.Cut(h.Target, "?")
	if h.Method != "POST" || strings.TrimSuffix(target, "/") != "/reflect" {
		return 200, headers, nil
	}
	var want struct {
		Status            int
		Headers           map[string]string
		Body, EncodedBody string
		LogMessage        string
	}
	if json.Unmarshal(body, &want) != nil {
		return 400, headers, nil
	}
	for name, value := range want.Headers {
		if strings.EqualFold(name, "Content-Type") {
			headers = headers[1:]
		}
		headers = append(headers, header{name, value})
	}
	answer = []byte(want.Body)
	if len(answer) == 0 {
		answer, _ = base64.StdEncoding.DecodeString(want.EncodedBody)
	}
	if want.Status == 0 {
		want.Status = 200
	}
	return want.Status, headers, answer
}

// status reads the status line of an answer.
func status(r io.Reader) (int, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return 0, err
	}
	var code int
	_, err = fmt.Sscanf(line, "HTTP/1.1 %d", &code)
	return code, err
}
