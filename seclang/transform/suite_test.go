package transform

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// suiteCase is one case of the secrules-language-tests; own cases in testdata
// have the same form, so that they can be given to other engines.
type suiteCase struct {
	Name   string `json:"name"`
	Input  string `json:"input"`
	Output string `json:"output"`
}

const suiteDir = "/work/shared/reference/secrules-language-tests/transformations"

// TestCases runs our own cases.
func TestCases(t *testing.T) {
	n, failed := runCases(t, "testdata/cases", unescapeOwn, nil)
	if n == 0 || failed > 0 {
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
	n, failed := runCases(t, suiteDir, unescape, exceptions)
	t.Logf("%d cases, %d failed as listed in testdata/exceptions.txt", n, failed)
	for id := range exceptions {
		t.Errorf("testdata/exceptions.txt: %s passes now: remove it", id)
	}
}

// runCases runs every file of dir. Cases named in exceptions must fail, and are removed from it.
func runCases(t *testing.T, dir string, unescape func(string) string, exceptions map[string]string) (n, failed int) {
	files, err := filepath.Glob(dir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no case files (%v)", dir, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var cases []suiteCase
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for i, c := range cases {
			n++
			id := fmt.Sprintf("%s:%d", filepath.Base(f), i)
			fn, ok := Lookup(c.Name)
			if !ok {
				t.Errorf("%s: no transformation %q", id, c.Name)
				failed++
				continue
			}
			in, want := unescape(c.Input), unescape(c.Output)
			got, changed := fn(in)
			if changed != (got != in) {
				t.Errorf("%s: changed is %v for %q -> %q", id, changed, in, got)
			}
			if got == want {
				continue
			}
			failed++
			if exceptions[id] != "" {
				delete(exceptions, id)
				continue
			}
			t.Errorf("%s: %s(%q)\n got %q\nwant %q", id, c.Name, in, got, want)
		}
	}
	return n, failed
}

// readExceptions reads lines "file.json:index reason".
func readExceptions(name string) (map[string]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for l := range strings.Lines(string(text)) {
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

// unescapeOwn reads \\xHH, once and nothing else, so that a case can hold any text.
func unescapeOwn(s string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, func(m string) string {
		return string([]byte{unhex2(m[2], m[3])})
	})
}

// unescape reads \xHH and \uHHHH as the suite's own runner does: any two (four)
// letters or digits are taken, of those the leading hexadecimal ones count,
// and when there are none the value before stays.
func unescape(s string) string {
	var value byte
	for _, rx := range []*regexp.Regexp{regexp.MustCompile(`\\x([a-z0-9A-Z]{2})`), regexp.MustCompile(`\\u([a-z0-9A-Z]{4})`)} {
		s = rx.ReplaceAllStringFunc(s, func(m string) string {
			var v uint32
			if n, _ := fmt.Sscanf(m[2:], "%x", &v); n == 1 {
				value = byte(v)
			}
			return string([]byte{value})
		})
	}
	return s
}
