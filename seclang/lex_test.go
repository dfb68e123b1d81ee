package seclang_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/seclang"
)

func TestLex(t *testing.T) {
	type d = seclang.Directive
	for name, c := range map[string]struct {
		text string
		want []d
	}{
		"words":        {"SecRule A  \"b c\" 'd e'\n", []d{{Name: "SecRule", Args: []string{"A", "b c", "d e"}, Raw: `A  "b c" 'd e'`, Line: 1, Last: 1}}},
		"quotes":       {`A "x \"y\" \\ \d 'z'"`, []d{{Name: "A", Args: []string{`x "y" \ \d 'z'`}, Raw: `"x \"y\" \\ \d 'z'"`, Line: 1, Last: 1}}},
		"continuation": {"A b \\\n  c \\  \n  d\nE f", []d{{Name: "A", Args: []string{"b", "c", "d"}, Raw: "b   c   d", Line: 1, Last: 3}, {Name: "E", Args: []string{"f"}, Raw: "f", Line: 4, Last: 4}}},
		"comment":      {"# A b\n  # B \\\n still a comment\nC d # no comment", []d{{Name: "C", Args: []string{"d", "#", "no", "comment"}, Raw: "d # no comment", Line: 4, Last: 4}}},
		"section":      {"<VirtualHost *:80 \"[::1]:80\">\n</VirtualHost>", []d{{Name: "<VirtualHost", Args: []string{"*:80", "[::1]:80"}, Raw: `*:80 "[::1]:80"`, Line: 1, Last: 1}, {Name: "</VirtualHost", Line: 2, Last: 2}}},
		"dos":          {"A b\r\nC \"d\"\r\n", []d{{Name: "A", Args: []string{"b"}, Raw: "b", Line: 1, Last: 1}, {Name: "C", Args: []string{"d"}, Raw: `"d"`, Line: 2, Last: 2}}},
		"open quote":   {`A "b c`, []d{{Name: "A", Args: []string{"b c"}, Raw: `"b c`, Line: 1, Last: 1}}},
		"lost break":   {`A B "c" \"d:'1',\e:2"`, []d{{Name: "A", Args: []string{"B", "c", `d:'1',\e:2`}, Raw: `B "c" \"d:'1',\e:2"`, Line: 1, Last: 1}}},
		"no newline":   {"A", []d{{Name: "A", Line: 1, Last: 1}}},
		"byte order":   {"\ufeffA b", []d{{Name: "A", Args: []string{"b"}, Raw: "b", Line: 1, Last: 1}}},
		"empty word":   {`A "" b`, []d{{Name: "A", Args: []string{"", "b"}, Raw: `"" b`, Line: 1, Last: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := seclang.Lex("", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLexErrors(t *testing.T) {
	for text, want := range map[string]string{
		"A b\n<VirtualHost *:80": `f:2: section "<VirtualHost *:80" has no closing >`,
		`"A" b`:                  `f:1: expected the name of a directive`,
		"A\n< x>":                "f:2: section without a name",
	} {
		if _, err := seclang.Lex("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"SecRule", "SecRuleEngine", "SecAction", "REQUEST_HEADERS", "ARGS"}
	for name, want := range map[string]string{
		"secrul": "SecRule", "SecRuelEngine": "SecRuleEngine", "REQUEST_HEADER": "REQUEST_HEADERS", "ARG": "ARGS", "nonsense": "", "": "",
	} {
		if got := seclang.Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if !seclang.IsDirective("secruleengine") || seclang.IsDirective("Listen") {
		t.Error("IsDirective")
	}
}
