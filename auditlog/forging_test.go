package auditlog

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// forgery is what a client would like to have in the log: the end of its own entry, and a whole one about somebody else.
const forgery = "x\r\n--deadbeef-Z--\r\n\r\n--deadbeef-A--\n[22/Nov/2026:08:25:52 +0000] FORGED 198.18.0.9 1 198.51.100.1 80\n--deadbeef-B--\nGET /forged HTTP/1.1\n\n--deadbeef-H--\nMessage: Forged\nAction: Intercepted (phase 2)\n\n--deadbeef-Z--\n"

// attacked runs a request whose every field is the forgery through rules that quote it, and returns the record.
func attacked(t *testing.T, text string) *audit.Record {
	t.Helper()
	ds, err := seclang.Lex("a.conf", []byte(`SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecAuditEngine On
SecAuditLogParts ABCEFHIJKZ
SecRule ARGS|FILES|REQUEST_HEADERS|RESPONSE_BODY "@contains FORGED" "id:1,phase:4,pass,log,auditlog,msg:'seen %{MATCHED_VAR}',logdata:'%{MATCHED_VAR_NAME} %{MATCHED_VAR}',tag:'%{MATCHED_VAR}'"
`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds})
	if err != nil {
		t.Fatal(err)
	}
	tx := e.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort("192.0.2.1:40000"), Server: netip.MustParseAddrPort("198.51.100.1:80"), ID: "forging"})
	defer tx.Close()
	// No parser of heads lets a line end into a value, but an embedding server might.
	tx.RequestLine("GET", "/?q="+url.QueryEscape(text)+text, "HTTP/1.1")
	tx.AddRequestHeader("User-Agent", text)
	tx.AddRequestHeader(text, "name")
	tx.AddRequestHeader("Content-Type", "multipart/form-data; boundary=B")
	tx.RequestHeaders()
	_, _ = tx.WriteRequestBody([]byte("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + text + "\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"FORGED\\\"\"\r\n\r\n" + text + "\r\n--B--\r\n"))
	tx.RequestBody()
	tx.ResponseLine(200, "HTTP/1.1")
	tx.AddResponseHeader("Content-Type", "text/html")
	tx.AddResponseHeader("X-Echo", text)
	tx.ResponseHeaders()
	_, _ = tx.WriteResponseBody([]byte(text))
	tx.ResponseBody()
	tx.Logging()
	r := &audit.Record{}
	tx.Fill(r)
	if len(r.Matches) == 0 || !strings.Contains(r.Matches[0].Data, "FORGED") {
		t.Fatalf("the rule did not quote the request: %+v", r.Matches)
	}
	return r
}

// TestForging is GHSA-prpw-wwv7-xjjr: no byte of a request or of an answer ends an entry, begins another or adds a line
// to the part where the engine's own words stand.
func TestForging(t *testing.T) {
	probe := audit.AppendNative(nil, attacked(t, forgery))
	own := regexp.MustCompile(`^--([0-9a-f]{8})-A--`).FindSubmatch(probe)
	if own == nil {
		t.Fatalf("%.100q", probe)
	}
	for name, text := range map[string]string{
		"another boundary": forgery,
		// The boundary comes from the id, which a client may know.
		"our own boundary": strings.ReplaceAll(forgery, "deadbeef", string(own[1])),
	} {
		for _, concurrent := range []bool{false, true} {
			r := attacked(t, text)
			r.Parts = "ABCEFHIJKZ"
			dir := t.TempDir()
			cfg := Config{Log: filepath.Join(dir, "log")}
			if concurrent {
				cfg.Type, cfg.StorageDir = "Concurrent", filepath.Join(dir, "entries")
				if err := os.Mkdir(cfg.StorageDir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			w, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Write(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			ids, errs := collect(t, cfg.Log)
			if len(ids) != 1 || ids[0] != r.ID || len(errs) != 0 {
				t.Errorf("%s, concurrent %v: entries %q, faults %v", name, concurrent, ids, errs)
			}
			b, err := os.ReadFile(cfg.Log)
			if err != nil {
				t.Fatal(err)
			}
			if concurrent {
				if lines := strings.Count(string(b), "\n"); lines != 1 {
					t.Errorf("%s: %d lines in the index", name, lines)
				}
				continue
			}
			ownLines(t, name, string(b))
		}
	}
}

// ownLines checks the parts A and H of the only entry of a serial log.
func ownLines(t *testing.T, name, text string) {
	t.Helper()
	boundary, _, _ := strings.Cut(text, "-A--")
	for _, part := range []string{"A", "H"} {
		_, rest, found := strings.Cut(text, boundary+"-"+part+"--\n")
		if !found {
			t.Fatalf("%s: no part %s", name, part)
		}
		if i := strings.Index(rest, "\n"+boundary); i >= 0 {
			rest = rest[:i]
		}
		for l := range strings.Lines(rest) {
			if strings.HasPrefix(l, "Message: Forged") || strings.HasPrefix(l, "Action: ") || strings.HasPrefix(l, "--") || strings.Contains(l, "FORGED 198.18.0.9") && strings.HasPrefix(l, "[") {
				t.Errorf("%s: part %s has a line of the client's: %q", name, part, l)
			}
		}
	}
}
