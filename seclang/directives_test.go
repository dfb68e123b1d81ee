package seclang_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/seclang"
)

// directiveLines are the lines of testdata/directives.txt: a directive, and under it what comes of it.
func directiveLines(t *testing.T) (lines []string, want string) {
	t.Helper()
	b, err := os.ReadFile("testdata/directives.txt")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if l = strings.TrimSuffix(l, "\n"); l != "" && l[0] != ' ' && l[0] != '#' {
			lines = append(lines, l)
		}
	}
	return lines, string(b)
}

// comesOf is what compiling one directive comes to: "takes effect", a warning, or an error.
func comesOf(line string) string {
	ds, err := seclang.Lex("a.conf", []byte(line))
	if err != nil {
		return "error: " + err.Error()
	}
	cfg := seclang.Config{Directives: ds, ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }}
	cfg.Debug.Open = func(string) (io.Writer, error) { return io.Discard, nil }
	e, err := seclang.Compile(cfg)
	if err != nil {
		return "error: " + strings.ReplaceAll(err.Error(), "a.conf:1: ", "")
	}
	var out []string
	for _, w := range e.Warnings() {
		out = append(out, "warning: "+strings.TrimPrefix(w.String(), "a.conf:1: "))
	}
	if len(out) == 0 {
		return "takes effect"
	}
	return strings.Join(out, "; ")
}

// TestDirectives states for every directive, and for values that are wrong, what comes of it.
func TestDirectives(t *testing.T) {
	lines, want := directiveLines(t)
	var got strings.Builder
	for l := range strings.Lines(want) {
		if l = strings.TrimSuffix(l, "\n"); l == "" || l[0] == '#' {
			got.WriteString(l + "\n")
		} else if l[0] != ' ' {
			got.WriteString(l + "\n  " + comesOf(l) + "\n")
		}
	}
	if *update {
		if err := os.WriteFile("testdata/directives.txt", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	named := map[string]bool{}
	for _, l := range lines {
		name, _, _ := strings.Cut(l, " ")
		named[strings.ToLower(name)] = true
	}
	for _, name := range seclang.DirectiveNames() {
		if !named[strings.ToLower(name)] {
			t.Errorf("%s is not in testdata/directives.txt", name)
		}
	}
}
