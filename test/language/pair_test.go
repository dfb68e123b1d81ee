//go:build oracle && unix

// Package language runs rules on inputs made by seeded generators in a real
// mod_security2 on Apache and in our engine, and compares what both say word by
// word. Whatever differs is in a list with its reason, or fails.
package language

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// pair is one set of rules in both engines.
type pair struct {
	address  string
	dir      string // Apache's
	rulesDir string // {{dir}} of the rules
	engine   *seclang.Engine
}

// common is in force on both sides.
const common = `SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyNoFilesLimit 100000000
SecRequestBodyInMemoryLimit 100000000
SecArgumentsLimit 5000
SecAuditEngine On
SecAuditLogType Serial
SecAuditLogParts AHZ
`

// newPair starts Apache with the rules and compiles them. {{dir}} in rules and
// in files is a directory that holds the files.
func newPair(t *testing.T, rules string, files map[string]string) *pair {
	t.Helper()
	dir, err := os.MkdirTemp("", "language-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "{{dir}}", dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rules = strings.ReplaceAll(common+rules, "{{dir}}", dir)
	ds, err := seclang.Lex(filepath.Join(dir, "rules.conf"), []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	store, err := collection.Open(collection.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds, Collections: store})
	if err != nil {
		t.Fatal(err)
	}
	port := peertest.Ports(t, 1)[0]
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	path := filepath.Join(dir, "rules.conf")
	if err := os.WriteFile(path, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, ok := peertest.CheckApache(t, "Include "+path+"\n"); !ok {
		t.Fatalf("Apache does not take the rules: %s", out)
	}
	a := peertest.StartApache(t, "Listen "+address+"\nMaxKeepAliveRequests 0\nKeepAliveTimeout 60\nErrorLog /dev/null\n"+
		"SecAuditLog {{dir}}/audit/log\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\nInclude "+path+"\n", address)
	return &pair{address, a.Dir, dir, e}
}

// said is what one rule says about one value.
type said struct {
	id         int
	text, data string
}

func (s said) String() string { return fmt.Sprintf("%d %s [%q]", s.id, s.text, s.data) }

// separator stands between the name of the variable and what a rule wants to show of it.
const separator = "|"

// ask sends the values as arguments a0, a1 ... of several requests, perRequest
// in each, and returns what each side says about every value. Rules must show
// %{MATCHED_VAR_NAME}| first in their logdata.
func (p *pair) ask(t *testing.T, values []string, perRequest int) (theirs, ours [][]said) {
	t.Helper()
	var bodies []string
	for from := 0; from < len(values); from += perRequest {
		var b strings.Builder
		for i, v := range values[from:min(from+perRequest, len(values))] {
			if i > 0 {
				b.WriteByte('&')
			}
			fmt.Fprintf(&b, "a%d=", from+i)
			const digits = "0123456789abcdef"
			for j := range len(v) {
				b.Write([]byte{'%', digits[v[j]>>4], digits[v[j]&15]})
			}
		}
		bodies = append(bodies, b.String())
	}
	theirs, ours = make([][]said, len(values)), make([][]said, len(values))
	for _, r := range p.apache(t, bodies) {
		sortOut(t, r, theirs)
	}
	for _, b := range bodies {
		sortOut(t, p.ourRecord(b), ours)
	}
	return theirs, ours
}

func sortOut(t *testing.T, r *audit.Record, into [][]said) {
	t.Helper()
	for _, m := range r.Matches {
		if m.ID == 0 {
			continue // what failed in a rule, and limits
		}
		name, data, _ := strings.Cut(m.Data, separator)
		_, name, _ = strings.Cut(name, ":a")
		i, err := strconv.Atoi(name)
		if err != nil {
			t.Fatalf("message about no argument: %+v", m)
		}
		into[i] = append(into[i], said{m.ID, strings.ReplaceAll(m.Operator, fmt.Sprintf("ARGS:a%d", i), "ARGS:a"), data})
	}
}

func head(body string) string {
	return fmt.Sprintf("POST /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", len(body))
}

// apache sends the bodies and reads the audit log.
func (p *pair) apache(t *testing.T, bodies []string) []*audit.Record {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	log := filepath.Join(p.dir, "audit", "log")
	before, _ := os.ReadFile(log)
	r := bufio.NewReader(conn)
	for _, b := range bodies {
		if _, err := io.WriteString(conn, head(b)+b); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.Close {
			conn.Close()
			if conn, err = net.Dial("tcp", p.address); err != nil {
				t.Fatal(err)
			}
			r = bufio.NewReader(conn)
		}
	}
	var text []byte
	peertest.Wait(t, "the audit log", 30*time.Second, func() bool {
		text, _ = os.ReadFile(log)
		return bytes.Count(text[len(before):], []byte("-Z--\n")) >= len(bodies)
	})
	s := audit.NewScanner(bytes.NewReader(text[len(before):]), 64<<20)
	var out []*audit.Record
	for s.Scan() {
		r, faults := s.Entry().Record()
		for _, f := range faults {
			t.Logf("audit log: %v", f)
		}
		out = append(out, r)
	}
	if len(out) != len(bodies) {
		t.Fatalf("%d entries for %d requests", len(out), len(bodies))
	}
	return out
}

func (p *pair) ourRecord(body string) *audit.Record {
	tx := p.engine.NewTransaction(seclang.Conn{
		Peer:   netip.MustParseAddrPort("127.0.0.1:40000"),
		Server: netip.MustParseAddrPort("127.0.0.1:80"),
	})
	defer tx.Close()
	tx.RequestHead([]byte(head(body)))
	if tx.RequestHeaders() == nil {
		if _, it := tx.WriteRequestBody([]byte(body)); it == nil && tx.RequestBody() == nil {
			tx.ResponseLine(404, "HTTP/1.1")
			if tx.ResponseHeaders() == nil {
				tx.ResponseBody()
			}
		}
	}
	tx.Logging()
	tx.Commit()
	r := &audit.Record{}
	tx.Fill(r)
	return r
}
