package gate

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
)

// TestDocumentVariables: rules read what answers a request, and in later phases what the server says about it.
func TestDocumentVariables(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"index.html", "file.txt"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	b := start(t, "DocumentRoot "+root+"\nLogLevel info\nProxyPass /dead/ http://127.0.0.1:1/\n<Location /no>\nRequire all denied\n</Location>\n"+
		`SecRuleEngine On
SecAuditEngine On
SecRule SCRIPT_BASENAME|SCRIPT_MODE|PATH_INFO "@unconditionalMatch" "id:1,phase:1,pass,log,msg:'1'"
SecRule SCRIPT_BASENAME|SCRIPT_MODE|PATH_INFO "@unconditionalMatch" "id:2,phase:2,pass,log,msg:'%{MATCHED_VAR}'"
SecRule SCRIPT_BASENAME|SCRIPT_MODE|PATH_INFO "@unconditionalMatch" "id:3,phase:3,pass,log,msg:'%{MATCHED_VAR}'"
SecRule WEBSERVER_ERROR_LOG "(AH\d+: .*)" "id:5,phase:5,pass,log,capture,msg:'%{TX.1}'"
`, nil)
	file := func(name string) string { return filepath.Join(root, name) }
	for i, c := range []struct{ path, want, said string }{
		{"/file.txt", "2: file.txt 0640  3: file.txt 0640 ", ""},
		{"/", "2:  DIR  3: index.html 0640", ""},
		{"/file.txt/more", "2: file.txt 0640 /more 3: file.txt 0640 /more", "AH00130: File does not exist: " + file("file.txt/more")},
		{"/none/x/y", "2: none DIR /x/y 3: none DIR /x/y", "AH00128: File does not exist: " + file("none/x/y")},
		{"/dead/x", "2: x 0000 3: x 0000", "AH01114: HTTP: failed to make connection to backend: 127.0.0.1"},
		{"/empty/", "2:  DIR  3:  DIR ", "AH01276: Cannot serve directory " + file("empty") + "/: No matching DirectoryIndex (index.html) found, and server-generated directory index forbidden by Options directive"},
		{"/no", "2: no DIR  3: no DIR ", "AH01630: client denied by server configuration: " + file("no")},
	} {
		b.get(c.path)
		r := b.record(i)
		if got := documentLine(r); strings.ReplaceAll(strings.ReplaceAll(got, "0700", "DIR"), "0755", "DIR") != c.want {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
		said := ""
		for _, f := range r.Trailer {
			if f.Name == "Apache-Error" {
				_, said, _ = strings.Cut(f.Value, "] AH")
				said = "AH" + said
			}
		}
		if last := &r.Matches[len(r.Matches)-1]; said != c.said || said != "" && (last.ID != 5 || last.Message != said) {
			t.Errorf("%s: the server says %q, rule %d sees %q, want %q", c.path, said, last.ID, last.Message, c.said)
		}
	}
}

// documentLine is what rules 2 and 3 have read; rule 1 reads the permissions of nothing.
func documentLine(r *audit.Record) string {
	out, id := "", 0
	for i := range r.Matches {
		m := &r.Matches[i]
		switch {
		case m.ID == 1 && m.Variables[0] != "SCRIPT_MODE":
			return "phase 1 reads " + m.Variables[0]
		case m.ID == 2 || m.ID == 3:
			if m.ID != id {
				id = m.ID
				out += strings.Repeat(" ", min(1, len(out))) + string(rune('0'+id)) + ":"
			}
			out += " " + m.Message
		}
	}
	return out
}

// TestDocumentIsAskedForOnce: the disk is looked at when a rule reads such a variable, once, and not at all without.
func TestDocumentIsAskedForOnce(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x := &exchange{gate: &Gate{}, site: &site{}, path: "/a", file: filepath.Join(root, "a"), r: &http.Request{}}
	first := x.document()
	if err := os.Remove(x.file); err != nil {
		t.Fatal(err)
	}
	if again := x.document(); first != again || again.Mode.Perm() != 0o644 {
		t.Errorf("%+v, then %+v", first, again)
	}
	x.file = filepath.Join(root, "b") // the index of a folder, say
	if d := x.document(); filepath.Base(d.Filename) != "b" {
		t.Errorf("another file: %+v", d)
	}
}
