package seclang_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trapline/trapline/seclang"
)

// acceptCases are configurations that people write, sound and not, by name.
func acceptCases(t *testing.T) []txtar.File {
	t.Helper()
	ar, err := txtar.ParseFile("testdata/accept/cases.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range ar.Files {
		s := strings.ReplaceAll(string(f.Data), "{{long}}", strings.Repeat("longword", 1250))
		s = strings.ReplaceAll(s, "{{targets}}", strings.Repeat("|!ARGS:abcdef", 800))
		s = strings.TrimSuffix(s, "{{eof}}\n") // no line end
		ar.Files[i].Data = []byte(s)
	}
	return ar.Files
}

// accepted is whether mod_security2 2.9.7 takes each case, as TestAcceptance (tag oracle) measures.
func accepted(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("testdata/accept/modsecurity2.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]bool{}
	for l := range strings.Lines(string(text)) {
		name, answer, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "\t")
		m[name] = answer == "yes"
	}
	return m
}

// differences are the cases in which we answer in another way, with the reason: lines "reason: name; name".
func differences(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/accept/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{}
	reason := ""
	for l := range strings.Lines(string(text)) {
		switch l = strings.TrimRight(l, "\n"); {
		case l == "" || l[0] == '#':
		case l[0] == '\t':
			m[l[1:]] = reason
		default:
			reason = l
		}
	}
	return m
}

// TestAccept compiles each case: what mod_security2 takes we take, and what it
// refuses we refuse, with words of our own; but for the listed differences.
func TestAccept(t *testing.T) {
	theirs, differ := accepted(t), differences(t)
	var got strings.Builder
	for _, f := range acceptCases(t) {
		var warnings []seclang.Warning
		ds, err := seclang.Lex("a.conf", f.Data)
		if err == nil {
			var e *seclang.Engine
			if e, err = seclang.Compile(seclang.Config{Directives: ds, ReadFile: nothing}); err == nil {
				warnings = e.Warnings()
			}
		}
		fmt.Fprintf(&got, "%s\n", f.Name)
		if strings.Contains(f.Name, "@validateDTD") || strings.Contains(f.Name, "@validateSchema") {
			warnings = nil // they depend on the build tag libxml2
		}
		if err != nil {
			fmt.Fprintf(&got, "\terror %s\n", strings.ReplaceAll(clip(err.Error()), "\n", "\n\terror "))
		}
		for _, w := range warnings {
			fmt.Fprintf(&got, "\twarning %s\n", clip(w.String()))
		}
		want, known := theirs[f.Name]
		switch {
		case !known:
			t.Errorf("%s: not measured: run TestAcceptance with -tags oracle -update", f.Name)
		case (err == nil) == want:
			if differ[f.Name] != "" {
				t.Errorf("%s: no difference any more: remove it from differences.txt", f.Name)
			}
		case differ[f.Name] == "":
			t.Errorf("%s: mod_security2 takes it: %v, we say %v\n%s", f.Name, want, err, clip(string(f.Data)))
		}
	}
	const golden = "testdata/accept/ours.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); d != "" {
		t.Errorf("testdata/accept/ours.txt (-want +got):\n%s", d)
	}
}

// nothing has no files.
func nothing(string) ([]byte, error) { return nil, errors.New("no such file") }

func clip(s string) string {
	if len(s) > 400 {
		return s[:400] + "..."
	}
	return s
}
