package seclang_test

import (
	"errors"
	"flag"
	"fmt"
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
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
)

var update = flag.Bool("update", false, "rewrite the wanted output of the case files")

// TestCases runs testdata/cases: each file holds rules, one or more requests with their answers, and what comes out.
// A request section may begin with lines "> key=value": client, port, after (seconds on the clock), article.
// Every case runs twice, once traced, which tries every rule on every value: the shortcuts of the untraced run must
// not change anything.
func TestCases(t *testing.T) {
	files, _ := filepath.Glob("testdata/cases/*.txtar")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got, quick := runCase(t, ar, true), runCase(t, ar, false)
			if d := cmp.Diff(withoutSteps(got), withoutSteps(quick)); d != "" {
				t.Errorf("traced and untraced runs differ (-traced +untraced):\n%s", d)
			}
			want := &ar.Files[len(ar.Files)-1]
			if want.Name != "want" {
				t.Fatal("the last section is not want")
			}
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(f, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(want.Data), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func withoutSteps(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if !strings.HasPrefix(l, "    ") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

func runCase(t *testing.T, ar *txtar.Archive, traced bool) string {
	var out strings.Builder
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	st, err := collection.Open(collection.Config{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cfg := seclang.Config{Collections: st, Now: clock, ReadFile: caseFile(ar), Fetch: caseRemote(ar)}
	cfg.Defaults.Article = strings.Contains(string(ar.Comment), "article")
	cfg.Honeytrap = strings.Contains(string(ar.Comment), "honeytrap")
	var errs error
	for _, f := range ar.Files {
		if !strings.HasSuffix(f.Name, ".conf") {
			continue
		}
		ds, err := seclang.Lex(f.Name, f.Data)
		if err != nil {
			errs = err
		}
		cfg.Directives = append(cfg.Directives, ds...)
	}
	e, err := seclang.Compile(cfg)
	if err == nil {
		err = errs
	}
	if err != nil {
		return "error " + strings.ReplaceAll(err.Error(), "\n", "\nerror ") + "\n"
	}
	for _, w := range e.Warnings() {
		fmt.Fprintf(&out, "warning %s\n", w)
	}
	for _, a := range e.Assumptions() {
		fmt.Fprintf(&out, "assumption %s\n", a)
	}
	for i, f := range ar.Files {
		if !strings.HasPrefix(f.Name, "request") {
			continue
		}
		var answer []byte
		if i+1 < len(ar.Files) && strings.HasPrefix(ar.Files[i+1].Name, "response") {
			answer = ar.Files[i+1].Data
		}
		c, after, head, body := parseRequest(t, string(f.Data))
		now = now.Add(after)
		fmt.Fprintf(&out, "%s: ", f.Name)
		runRequest(&out, e, c, head, body, string(answer), traced)
	}
	return out.String()
}

func caseFile(ar *txtar.Archive) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		for _, f := range ar.Files {
			if f.Name == filepath.Base(name) {
				return f.Data, nil
			}
		}
		return nil, os.ErrNotExist
	}
}

// caseRemote answers SecRemoteRules from the sections named *.rules.
func caseRemote(ar *txtar.Archive) func(seclang.Remote) ([]byte, error) {
	return func(r seclang.Remote) ([]byte, error) {
		if r.Key != "some-key" {
			return nil, errors.New("403 Forbidden")
		}
		for _, f := range ar.Files {
			if strings.HasSuffix(f.Name, ".rules") && strings.HasSuffix(r.URL, "/"+f.Name) {
				return f.Data, nil
			}
		}
		return nil, errors.New("404 Not Found")
	}
}

func parseRequest(t *testing.T, s string) (c seclang.Conn, after time.Duration, head, body string) {
	client, port := "192.0.2.1", "80"
	for strings.HasPrefix(s, "> ") {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		for _, kv := range strings.Fields(line[2:]) {
			k, v, _ := strings.Cut(kv, "=")
			switch k {
			case "client":
				client = v
			case "port":
				port = v
			case "after":
				n, _ := strconv.Atoi(v)
				after = time.Duration(n) * time.Second
			default:
				t.Fatalf("unknown key %q", k)
			}
		}
	}
	p, _ := strconv.Atoi(port)
	c = conn(client, uint16(p))
	c.ID = "case"
	c.Peer = netip.AddrPortFrom(netip.MustParseAddr(client), 40000)
	head, body, _ = strings.Cut(s, "\n\n")
	crlf := strings.HasSuffix(strings.SplitN(head, "\n", 2)[0], "CRLF")
	head = strings.Replace(head, " CRLF", "", 1)
	if crlf {
		body = strings.ReplaceAll(body, "\n", "\r\n")
	} else {
		body = strings.TrimSuffix(body, "\n")
	}
	return c, after, strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n", body
}

func runRequest(out *strings.Builder, e *seclang.Engine, c seclang.Conn, head, body, answer string, traced bool) {
	tx := e.NewTransaction(c)
	defer tx.Close()
	var steps strings.Builder
	if traced {
		tx.Trace(func(s seclang.Step) {
			if s.Text == "" || s.Rule == nil {
				return
			}
			fmt.Fprintf(&steps, "    %d phase %d %s", s.Rule.ID, s.Phase, s.Variable)
			for _, x := range s.Set {
				fmt.Fprintf(&steps, " %s=%q", x.Name, x.Value)
			}
			steps.WriteByte('\n')
		})
	}
	it := phases(tx, head, body, answer)
	tx.Logging()
	tx.Commit()
	r := &audit.Record{RequestHead: []byte(head), RequestBody: []byte(body)}
	tx.Fill(r)
	if it == nil {
		fmt.Fprintln(out, "pass")
	} else {
		fmt.Fprintf(out, "%s %d %s phase %d rule %d pause %v\n", it.Action, it.Status, it.URL, it.Phase, it.RuleID, it.Pause)
	}
	for _, m := range r.Matches {
		fmt.Fprintf(out, "  match %d phase %d disruptive %v %s%s", m.ID, m.Phase, m.Disruptive, m.Operator, m.Text)
		for _, x := range [][2]string{{"msg", m.Message}, {"data", m.Data}, {"severity", m.Severity}, {"ver", m.Version}, {"rev", m.Revision}} {
			if x[1] != "" {
				fmt.Fprintf(out, " [%s %q]", x[0], x[1])
			}
		}
		fmt.Fprintf(out, " %v %v\n", m.Tags, m.Variables)
	}
	if r.Parts != "ABCFHZ" {
		fmt.Fprintf(out, "  parts %s\n", r.Parts)
	}
	if tx.AuditWanted(200) {
		fmt.Fprintln(out, "  audit wanted")
	}
	for _, f := range tx.Env() {
		fmt.Fprintf(out, "  env %s=%s\n", f.Name, f.Value)
	}
	if string(r.RequestHead) != head || string(r.RequestBody) != body {
		fmt.Fprintf(out, "  masked %q %q\n", r.RequestHead, r.RequestBody)
	}
	if b, changed := tx.BodyToSend(); changed {
		fmt.Fprintf(out, "  sends %q\n", b)
	}
	if b, changed := tx.RequestBodyToSend(); changed {
		fmt.Fprintf(out, "  forwards %q\n", b)
	}
	out.WriteString(steps.String())
}

func phases(tx *seclang.Transaction, head, body, answer string) *seclang.Interruption {
	tx.RequestHead([]byte(head))
	if it := tx.RequestHeaders(); it != nil {
		return it
	}
	// In pieces: what a body means may not depend on how it arrives.
	for b := []byte(body); len(b) > 0; {
		n := min(7, len(b))
		if _, it := tx.WriteRequestBody(b[:n]); it != nil {
			return it
		}
		b = b[n:]
	}
	if it := tx.RequestBody(); it != nil {
		return it
	}
	status, headers, page := 200, "Content-Type: text/html", ""
	if answer != "" {
		line, rest, _ := strings.Cut(answer, "\n")
		status, _ = strconv.Atoi(line)
		headers, page, _ = strings.Cut(rest, "\n\n")
	}
	tx.ResponseLine(status, "HTTP/1.1")
	for _, h := range strings.Split(headers, "\n") {
		if n, v, ok := strings.Cut(h, ": "); ok {
			tx.AddResponseHeader(n, v)
		}
	}
	if it := tx.ResponseHeaders(); it != nil {
		return it
	}
	if tx.WantsResponseBody() {
		if _, it := tx.WriteResponseBody([]byte(page)); it != nil {
			return it
		}
	}
	return tx.ResponseBody()
}
