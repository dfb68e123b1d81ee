package operator

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang/match"
)

// suiteCase is one case of the secrules-language-tests. Our own cases have the
// same form, and may name the sentence and the captures of a match.
type suiteCase struct {
	Name     string   `json:"name"`
	Param    string   `json:"param"`
	Input    string   `json:"input"`
	Ret      int      `json:"ret"`
	Text     string   `json:"text,omitempty"`
	Captures []string `json:"captures,omitempty"`
}

const suiteDir = "/work/shared/reference/secrules-language-tests/operators"

// TestCases runs our own cases.
func TestCases(t *testing.T) {
	env := Env{ReadFile: func(name string) ([]byte, error) { return os.ReadFile("testdata/" + name) }}
	n, failed := runCases(t, "testdata/cases", env, unescapeOwn, nil)
	if n < 100 || failed > 0 {
		t.Errorf("%d of %d cases failed", failed, n)
	}
}

// TestSuite runs the public suite that ModSecurity's own tests use.
func TestSuite(t *testing.T) {
	if _, err := os.Stat(suiteDir); err != nil {
		t.Skipf("SKIPPED: %s is not here; the cases of testdata/cases ran", suiteDir)
	}
	exceptions, err := readExceptions("testdata/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	env := Env{
		ReadFile: func(name string) ([]byte, error) {
			return os.ReadFile(filepath.Join(suiteDir, "op", filepath.Base(name)))
		},
		Match: match.Options{Multiline: true}, // the suite is of libmodsecurity 3
	}
	n, failed := runCases(t, suiteDir, env, unescapeSuite, exceptions)
	t.Logf("%d cases, %d failed as listed in testdata/exceptions.txt", n, failed)
	for id := range exceptions {
		t.Errorf("testdata/exceptions.txt: %s passes now: remove it", id)
	}
}

// runCases runs every file of dir. Cases named in exceptions must fail, and are removed from it.
func runCases(t *testing.T, dir string, env Env, unescape func(string) string, exceptions map[string]string) (n, failed int) {
	files, err := filepath.Glob(dir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no case files (%v)", dir, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var cases []suiteCase
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for i, c := range cases {
			n++
			id := fmt.Sprintf("%s:%d", filepath.Base(f), i)
			fault := c.run(env, unescape)
			if fault == "" {
				continue
			}
			failed++
			if exceptions[id] != "" {
				delete(exceptions, id)
				continue
			}
			t.Errorf("%s: @%s %q on %q: %s", id, c.Name, c.Param, c.Input, fault)
		}
	}
	return n, failed
}

// run says what is wrong, or "".
func (c suiteCase) run(env Env, unescape func(string) string) string {
	o, err := New(c.Name, c.Param, env)
	if err != nil {
		if c.Ret < 0 && strings.Contains(err.Error(), c.Text) {
			return ""
		}
		return err.Error()
	}
	if c.Ret < 0 {
		return "loads, but should not"
	}
	in := unescape(c.Input)
	m := Result{Target: "ARGS:a", Capture: c.Captures != nil, Explain: true}
	got := o.Match(in, "", &m)
	if got != (c.Ret == 1) {
		return fmt.Sprintf("%v (%v)", got, m.Err)
	}
	if c.Text != "" && m.Text != c.Text {
		return fmt.Sprintf("text %q, want %q", m.Text, c.Text)
	}
	if c.Captures != nil && fmt.Sprintf("%q", m.Captures) != fmt.Sprintf("%q", c.Captures) {
		return fmt.Sprintf("captures %q, want %q", m.Captures, c.Captures)
	}
	if got && m.Text == "" {
		return "matches without a word"
	}
	if l, ok := o.(Literaler); ok && got {
		b := match.NewBuilder()
		b.Add(l.Literals())
		set := b.Build()
		mask := make([]uint64, 2*set.Words())
		if set.Scan(in, mask); mask[0] != 1 {
			return fmt.Sprintf("matches, but not its literals %q", l.Literals())
		}
	}
	return ""
}

// readExceptions reads lines "file.json:index reason".
func readExceptions(name string) (map[string]string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for l := range strings.Lines(string(data)) {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		id, reason, _ := strings.Cut(l, " ")
		if reason == "" {
			return nil, fmt.Errorf("%s: %q has no reason", name, l)
		}
		m[id] = reason
	}
	return m, nil
}

// unescapeOwn reads \xHH, once and nothing else.
func unescapeOwn(s string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, hexEscape)
}

// unescapeSuite reads \xHH and \uHHHH as the suite's own runner does.
func unescapeSuite(s string) string {
	s = regexp.MustCompile(`\\x[a-z0-9A-Z]{2}`).ReplaceAllStringFunc(s, hexEscape)
	return regexp.MustCompile(`\\u[a-z0-9A-Z]{4}`).ReplaceAllStringFunc(s, hexEscape)
}

func hexEscape(m string) string {
	var v uint32
	fmt.Sscanf(m[2:], "%x", &v)
	return string([]byte{byte(v)})
}
