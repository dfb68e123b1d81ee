//go:build peers && unix

package seclang_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// unlike are cases that a real mod_security2 does not run, or runs in another way, each with the reason.
func unlike() map[string]string {
	return map[string]string{
		"article":            "needs what ModSecurity does not assume",
		"article_watchlist":  "needs what ModSecurity does not assume",
		"listing":            "needs what ModSecurity does not assume",
		"errors":             "does not load, on purpose",
		"bodies_unsaid":      "without SecRequestBodyAccess no body is inspected there",
		"errors_all":         "does not load, on purpose",
		"refused":            "does not load, on purpose",
		"version3":           "does not load there",
		"warnings":           "does not load there",
		"lua_broken":         "does not load, on purpose",
		"connections":        "0, no limit here, is an error there",
		"connections_errors": "does not load, on purpose",
		"remote":             "what is fetched is compared in app",
		"remote_errors":      "does not load, on purpose",
		"remote_warn":        "what is fetched is compared in app",
		"response":           "the answer is the case's own",
		"limits_partial":     "the answer is the case's own",
		"injection":          "the answer is the case's own",
		"stream":             "the answer is the case's own",
		"hash_page":          "the answer is the case's own; gate compares pages",
		"hash_location":      "the answer is the case's own; gate compares redirects",
		"hash_ctl":           "macros in ctl:hashEngine are refused there",
		"hash_errors":        "does not load, on purpose",
		"default_per_phase":  "there is one SecDefaultAction for all phases there",
		"no_initcol":         "as in version 3, the transaction sees what it set",
		"pcre_errors":        "does not load, on purpose",
		"pcre_limits":        "a pattern that an automaton can run never exceeds here; TestPatternLimitsAgainstModSecurity compares",
		"updates":            "updates before their rules are refused there",

		"audit/request both":         "the message of a rule with nolog lacks its Warning there",
		"cookie_edges/request comma": "a comma is part of a cookie's value, RFC 6265",
		"cookie_edges/request name":  "a cookie without a name is inspected all the same",

		"ctl_more/request plain":    "as in version 3, any body is REQUEST_BODY",
		"rule_fields/request odd":   "C strings end at a NUL",
		"rule_fields/request long":  "a message is cut at 1,023 bytes",
		"transform_chain/request 5": "base64DecodeExt reads - and _ of the alphabet for URLs; there it skips them",

		"hash_validate/request hidden": "the byte before the parameter's name may be any there, so that a link's arguments can be changed",

		"files/request two": "the content of uploads is kept there only with SecTmpSaveUploadedFiles",

		"after_rules/request": "an update of the first rule of a chain forgets the chain there",

		"bodies/request json":     "values of JSON are no ARGS_POST there; as in version 3 they are",
		"bodies/request bad json": "httpd answers 500 before phase 2",
		"ctl/request ttag":        "2.9.7 knows no expressions in targets of ctl",
		"disruptive/request drop": "the event module of httpd cannot drop connections",
		"limits/request large":    "httpd answers 413; as in version 3 it is 403",
		"macros/request":          "as in version 3, a colon will do in a macro",
		"lua_exit":                "there a script can end the server",
		"uri/request plain":       "phase 1 sees the path before httpd has decoded it",
		"uri/request fragment":    "httpd refuses it before ModSecurity",
		"uri/request star":        "httpd answers OPTIONS * itself",
	}
}

// TestAgainstModSecurity2 sends the requests of the case files to Apache with mod_security2 and the same rules: the same
// rules must match, on the same variables, with the same words, and take the same action.
func TestAgainstModSecurity2(t *testing.T) {
	files, _ := filepath.Glob("testdata/cases/*.txtar")
	skip := unlike()
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txtar")
		t.Run(name, func(t *testing.T) {
			if why := skip[name]; why != "" {
				t.Skip("not comparable: " + why)
			}
			ar, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			against(t, name, ar, skip)
		})
	}
}

func against(t *testing.T, name string, ar *txtar.Archive, skip map[string]string) {
	dir, err := os.MkdirTemp("", "seclang-case-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	conf := ""
	for _, s := range ar.Files {
		if s.Name == "want" || strings.HasPrefix(s.Name, "request") || strings.HasPrefix(s.Name, "response") {
			continue
		}
		// exec takes a relative path from the working directory there.
		text := strings.ReplaceAll(string(s.Data), "exec:set.lua", "exec:"+dir+"/set.lua")
		if err := os.WriteFile(filepath.Join(dir, s.Name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(s.Name, ".conf") {
			conf += "Include " + filepath.Join(dir, s.Name) + "\n"
		}
	}
	ds, err := seclang.Load(dir + "/a.conf")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := seclang.Compile(seclang.Config{Directives: ds, Collections: store(t)})
	if err != nil {
		t.Fatal(err)
	}
	port := peertest.Ports(t, 1)[0]
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	a := peertest.StartApache(t, "Listen "+address+"\nSecAuditLog {{dir}}/audit/audit.log\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\n"+
		conf+"SecAuditEngine On\nSecAuditLogParts ABHZ\n", address)
	for i, s := range ar.Files {
		if !strings.HasPrefix(s.Name, "request") {
			continue
		}
		c, after, head, body := parseRequest(t, string(s.Data))
		if why := skip[name+"/"+s.Name]; why != "" {
			t.Logf("%s is not compared: %s", s.Name, why)
			continue
		}
		if after != 0 || c.Peer.Addr().String() != "192.0.2.1" || !strings.Contains(head, "HTTP/1.") {
			continue
		}
		if body != "" {
			head = strings.TrimSuffix(head, "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
		}
		log := filepath.Join(a.Dir, "audit", "audit.log")
		before, _ := os.ReadFile(log)
		status := exchangeRaw(t, address, head, body)
		theirs := lastRecord(t, log, len(before))
		answer := ""
		if strings.HasPrefix(ar.Files[i+1].Name, "response") {
			answer = string(ar.Files[i+1].Data) // what httpd answers, too
		}
		mine, myStatus := ourRecord(ours, port, head, body, answer)
		if d := cmp.Diff(outline(theirs), outline(mine)); d != "" {
			t.Errorf("%s (-mod_security2 +ours):\n%s", s.Name, d)
		}
		if mine.Action != nil && mine.Action.Kind != "proxy" && status != myStatus {
			t.Errorf("%s: status %d there, %d here", s.Name, status, myStatus)
		}
	}
}

// exchangeRaw sends one request and returns the status; 0 when the connection was dropped.
func exchangeRaw(t *testing.T, address, head, body string) int {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	head = strings.TrimSuffix(head, "\r\n") + "Connection: close\r\n\r\n"
	if _, err := io.WriteString(c, head+body); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	f := strings.Fields(string(b[:min(len(b), 40)]))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(f[1])
	return n
}

func lastRecord(t *testing.T, log string, from int) *audit.Record {
	var b []byte
	peertest.Wait(t, "an audit entry", 10*time.Second, func() bool {
		b, _ = os.ReadFile(log)
		return len(b) > from && bytes.Contains(b[from:], []byte("-Z--"))
	})
	s := audit.NewScanner(bytes.NewReader(b[from:]), 1<<20)
	if !s.Scan() {
		t.Fatalf("no entry in %q", b[from:])
	}
	r, _ := s.Entry().Record()
	if testing.Verbose() {
		t.Logf("%s", b[from:])
	}
	return r
}

func ourRecord(e *seclang.Engine, port int, head, body, answer string) (*audit.Record, int) {
	head = strings.TrimSuffix(head, "\r\n") + "Connection: close\r\n\r\n"
	tx := e.NewTransaction(seclang.Conn{
		Peer:   netip.MustParseAddrPort("127.0.0.1:40000"),
		Server: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)),
	})
	defer tx.Close()
	it := phases(tx, head, body, answer)
	tx.Logging()
	tx.Commit()
	r := &audit.Record{}
	tx.Fill(r)
	if it == nil {
		return r, 200
	}
	return r, it.Status
}

// outline is what of a record both engines must agree on.
func outline(r *audit.Record) []string {
	var out []string
	for _, m := range r.Matches {
		if m.ID == 0 {
			continue // faults of bodies are worded in another way
		}
		out = append(out, fmt.Sprintf("%d disruptive=%v %s msg=%q data=%q severity=%q rev=%q ver=%q %v",
			m.ID, m.Disruptive, m.Operator, m.Message, m.Data, m.Severity, m.Revision, m.Version, m.Tags))
	}
	if r.Action != nil {
		out = append(out, fmt.Sprintf("intercepted in phase %d", r.Action.Phase))
	}
	return out
}
