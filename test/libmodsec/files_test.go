//go:build libmodsecurity

package libmodsec

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite what the case files say differs; the reasons stay")

// TestCases runs testdata/*.txtar through both engines. A section "rules NAME" begins a case, with its steps unless the
// rules begin with the comment "values differ"; sections "request" and
// "response" follow, and other sections up to the next rules are files that the rules name. A request is method and
// target, headers, an empty line, the body; lines "> client=192.0.2.9" may stand before it. A response is the status,
// headers, an empty line, the body. Where the engines may differ, a section "differs" ends the case: its first line is
// the reason, the rest what differs, and the test fails when either changes.
func TestCases(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var kept []txtar.File
			for _, c := range split(t, ar) {
				t.Run(c.name, func(t *testing.T) { c.compare(t) })
				kept = append(kept, c.sections...)
			}
			if *update {
				ar.Files = kept
				if err := os.WriteFile(f, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// shared stands in rules for where data lie that are not ours.
const shared = "SHARED/"

// fileCase is one case of a file.
type fileCase struct {
	Case
	name, reason, differs string
	sections              []txtar.File
	files                 []txtar.File
}

func split(t *testing.T, ar *txtar.Archive) []*fileCase {
	var out []*fileCase
	var c *fileCase
	for _, f := range ar.Files {
		kind, name, _ := strings.Cut(f.Name, " ")
		if kind == "rules" {
			c = &fileCase{name: name, Case: Case{Rules: string(f.Data), Steps: !strings.HasPrefix(string(f.Data), "# values differ")}}
			out = append(out, c)
		}
		if c == nil {
			t.Fatalf("section %q before the first rules", f.Name)
		}
		switch kind {
		case "rules":
		case "request":
			c.Requests = append(c.Requests, readRequest(t, string(f.Data)))
		case "response":
			readResponse(&c.Requests[len(c.Requests)-1], string(f.Data))
		case "differs":
			c.reason, c.differs, _ = strings.Cut(string(f.Data), "\n")
		default:
			c.files = append(c.files, f)
		}
		c.sections = append(c.sections, f)
	}
	return out
}

func (c *fileCase) compare(t *testing.T) {
	c.Dir = t.TempDir()
	for _, f := range c.files {
		if err := os.WriteFile(filepath.Join(c.Dir, f.Name), f.Data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(c.Rules, shared) {
		if _, err := os.Stat("/work/shared/reference"); err != nil {
			t.Skip("SKIP LOUDLY: the data of libmodsecurity's own cases are not at /work/shared/reference")
		}
	}
	c.Rules = strings.NewReplacer("DIR/", c.Dir+"/", shared, "/work/shared/reference/").Replace(c.Rules)
	theirs, ours := outlines(t, &c.Case)
	got := strings.ReplaceAll(unlike(theirs, ours), c.Dir+"/", "DIR/")
	if *update {
		if n := len(c.sections) - 1; strings.HasPrefix(c.sections[n].Name, "differs") {
			c.sections = c.sections[:n]
		}
		if got != "" {
			c.sections = append(c.sections, txtar.File{Name: "differs", Data: []byte(c.reason + "\n" + got)})
		}
	}
	switch {
	case got != "" && c.reason == "":
		t.Errorf("-libmodsecurity +ours, and no reason:\n%s\n%s", c.Rules, got)
	case *update:
	case got != c.differs:
		t.Errorf("differs in another way than the file says (-want +got):\n%s", cmp.Diff(c.differs, got))
	}
}

func outlines(t *testing.T, c *Case) (theirs, ours []string) {
	t.Helper()
	a, err := Theirs(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Ours(c)
	if err != nil {
		t.Fatal(err)
	}
	if a.Load != "" && b.Load == "" || a.Load == "" && b.Load != "" {
		t.Log(a.Load + b.Load)
	}
	return a.Outline(), b.Outline()
}

func readRequest(t *testing.T, s string) (q Request) {
	for strings.HasPrefix(s, "> ") {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		for _, kv := range strings.Fields(line[2:]) {
			k, v, _ := strings.Cut(kv, "=")
			switch k {
			case "client":
				q.Client = v
			case "server":
				q.Server = v
			case "port":
				q.ServerPort, _ = strconv.Atoi(v)
			case "proto":
				q.Proto = v
			default:
				t.Fatalf("unknown key %q", k)
			}
		}
	}
	head, body, has := strings.Cut(s, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	q.Method, q.URI, _ = strings.Cut(lines[0], " ")
	crlf := strings.HasSuffix(q.URI, " CRLF")
	q.URI = strings.TrimSuffix(q.URI, " CRLF")
	for _, h := range lines[1:] {
		k, v, _ := strings.Cut(h, ": ")
		q.Headers = append(q.Headers, [2]string{k, v})
	}
	if body = strings.TrimSuffix(body, "\n"); has {
		if crlf {
			body = strings.ReplaceAll(body, "\n", "\r\n")
		}
		q.Body = []string{body}
		q.Headers = append(q.Headers, [2]string{"Content-Length", strconv.Itoa(len(body))})
	}
	return q
}

func readResponse(q *Request, s string) {
	head, body, _ := strings.Cut(s, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	q.Status, _ = strconv.Atoi(lines[0])
	for _, h := range lines[1:] {
		k, v, _ := strings.Cut(h, ": ")
		q.ResponseHeaders = append(q.ResponseHeaders, [2]string{k, v})
	}
	q.ResponseBody = body
}
