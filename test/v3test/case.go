// Package v3test reads the regression cases of libmodsecurity 3 that lie beside the
// tree: rules, one transaction, and what is expected of it.
package v3test

import (
	"bufio"
	_ "embed" // testdata/files.txt
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Dir is where the cases lie, when they are there.
const Dir = "/work/shared/reference/modsecurity-v3-tests"

//go:embed testdata/files.txt
var held string

// Held says whether every case of the file has been looked at: what fails there and is not listed is a fault. Of other
// files a test counts the failures only.
func Held(file string) bool {
	return slices.Contains(strings.Fields(held), strings.TrimSuffix(filepath.Base(file), ".json"))
}

// Files returns the case files; it skips the test loudly when there are none.
func Files(t testing.TB) []string {
	t.Helper()
	files, _ := filepath.Glob(Dir + "/regression/*.json")
	if len(files) == 0 {
		t.Skip("SKIP LOUDLY: the ModSecurity 3 cases are not at " + Dir)
	}
	return files
}

// Header is a header of a case.
type Header struct{ Name, Value string }

// Headers are written as an object, whose order and repetitions matter here.
type Headers []Header

// UnmarshalJSON keeps the order of the names.
func (p *Headers) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return err
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return err
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return err
		}
		for _, one := range flatten(v) {
			*p = append(*p, Header{k.(string), one})
		}
	}
	return nil
}

func flatten(v any) []string {
	switch v := v.(type) {
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, flatten(x)...)
		}
		return out
	case string:
		return []string{v}
	}
	return []string{fmt.Sprint(v)}
}

// Lines is a body: a string or a list of lines.
type Lines string

// UnmarshalJSON joins the lines.
func (l *Lines) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*l = Lines(strings.Join(append(list, ""), "\n"))
		return nil
	}
	var one string
	_ = json.Unmarshal(b, &one) // numbers and objects stand for no body
	*l = Lines(one)
	return nil
}

// Number may be written as text.
type Number string

// UnmarshalJSON takes both.
func (n *Number) UnmarshalJSON(b []byte) error {
	*n = Number(strings.Trim(string(b), `"`))
	return nil
}

// Int is the number, 0 when it is none.
func (n Number) Int() int { i, _ := strconv.Atoi(string(n)); return i }

// Case is one of a file's cases.
type Case struct {
	Enabled  Number
	Title    string
	Resource string
	Client   struct {
		IP   string
		Port Number
	}
	Server struct {
		IP   string
		Port Number
	}
	Request struct {
		Headers Headers
		URI     string
		Method  string
		Proto   Number `json:"http_version"`
		Body    Lines
	}
	Response struct {
		Headers Headers
		Body    Lines
		Proto   Number `json:"protocol"`
	}
	Expected struct {
		HTTPCode    Number  `json:"http_code"`
		ParserError *string `json:"parser_error"`
		DebugLog    string  `json:"debug_log"`
		ErrorLog    string  `json:"error_log"`
		AuditLog    string  `json:"audit_log"`
		RedirectURL string  `json:"redirect_url"`
	}
	Rules []string
}

// Exceptions reads a list of cases that do not give what version 3 gives, with the reasons.
func Exceptions(t testing.TB, file string) map[string]string {
	out := map[string]string{}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if name, why, ok := strings.Cut(sc.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			out[name] = why
		}
	}
	return out
}

// Data copies the data files to where the cases look for them, below the folder that it returns.
func Data(t testing.TB) string {
	dir := t.TempDir()
	data := filepath.Join(dir, "test-cases", "data")
	if err := os.CopyFS(data, os.DirFS(Dir+"/data")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(data, "test-cases"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(data, filepath.Join(data, "test-cases", "data")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Cases reads a file. A case that cannot be read keeps its place and is not enabled.
func Cases(t testing.TB, file string) []Case {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	cases := make([]Case, len(raw))
	for i, one := range raw {
		if err := json.Unmarshal(one, &cases[i]); err != nil {
			t.Errorf("%s/%d: %v", filepath.Base(file), i+1, err)
			cases[i] = Case{}
		}
	}
	return cases
}

// Validates says whether the case validates XML by a DTD or schema, which needs libxml2.
func (c *Case) Validates() bool {
	return c.Resource == "libxml2" && strings.Contains(strings.Join(c.Rules, "\n"), "@validate")
}

// OldGeo says whether the case wants a GeoIP database of the old format; none lies among the data.
func (c *Case) OldGeo() bool {
	return slices.ContainsFunc(c.Rules, func(r string) bool { return strings.Contains(r, "SecGeoLookupDb") && strings.Contains(r, ".dat") })
}

// On says whether the case is enabled.
func (c *Case) On() bool { return c.Enabled == "1" || c.Enabled == "true" }
