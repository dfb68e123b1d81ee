//go:build peers

package crs

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/goccy/go-yaml"
)

// file is one file of tests, in go-ftw's format.
type file struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		ID     int `yaml:"test_id"`
		Stages []struct {
			Input  input  `yaml:"input"`
			Output output `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

type input struct {
	Headers      yaml.MapSlice                  `yaml:"headers"`
	Ordered      []struct{ Name, Value string } `yaml:"ordered_headers"`
	Method       *string                        `yaml:"method"`
	URI          *string                        `yaml:"uri"`
	Version      *string                        `yaml:"version"`
	Data         *string                        `yaml:"data"`
	Encoded      string                         `yaml:"encoded_request"`
	AutoComplete *bool                          `yaml:"autocomplete_headers"`
}

type output struct {
	Status      int  `yaml:"status"`
	ExpectError bool `yaml:"expect_error"`
	Log         struct {
		Expect   []int  `yaml:"expect_ids"`
		NoExpect []int  `yaml:"no_expect_ids"`
		Match    string `yaml:"match_regex"`
		NoMatch  string `yaml:"no_match_regex"`
	} `yaml:"log"`
}

// load reads all tests, in the order of their file names.
func load(t testing.TB) map[string]file {
	files := map[string]file{}
	err := fs.WalkDir(crstests.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text, err := fs.ReadFile(crstests.FS, path)
		if err != nil {
			return err
		}
		var f file
		if err := yaml.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		files[path] = f
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func def(s *string, d string) string {
	if s == nil {
		return d
	}
	return *s
}

type header struct{ name, value string }

func (in *input) headers() []header {
	var hs []header
	for _, h := range in.Headers {
		value := ""
		if h.Value != nil {
			value = fmt.Sprint(h.Value)
		}
		hs = append(hs, header{fmt.Sprint(h.Key), value})
	}
	for _, o := range in.Ordered {
		hs = append(hs, header{o.Name, o.Value})
	}
	return hs
}

func find(hs []header, name string) (string, bool) {
	for _, h := range hs {
		if strings.EqualFold(h.name, name) {
			return h.value, true
		}
	}
	return "", false
}

// bodyMethods get a Content-Length even without a body.
var bodyMethods = regexp.MustCompile(`^(?i:POST|PUT|PATCH|DELETE)$`)

// request builds the bytes of a request as go-ftw does.
func (in *input) request() ([]byte, error) {
	if in.Encoded != "" {
		return base64.StdEncoding.DecodeString(in.Encoded)
	}
	hs := in.headers()
	auto := in.AutoComplete == nil || *in.AutoComplete
	method := def(in.Method, "GET")
	data := []byte(def(in.Data, ""))
	if len(data) > 0 && auto {
		if _, ok := find(hs, "Content-Type"); !ok {
			hs = append(hs, header{"Content-Type", "application/x-www-form-urlencoded"})
		}
		if ct, _ := find(hs, "Content-Type"); strings.EqualFold(ct, "application/x-www-form-urlencoded") {
			data = encodeForm(data)
		}
	}
	if ct, _ := find(hs, "Content-Type"); strings.Contains(ct, "multipart/form-data;") {
		data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	}
	if auto {
		if _, ok := find(hs, "Connection"); !ok {
			hs = append(hs, header{"Connection", "close"})
		}
		if _, ok := find(hs, "Content-Length"); !ok && (len(data) > 0 || bodyMethods.MatchString(method)) {
			hs = append(hs, header{"Content-Length", strconv.Itoa(len(data))})
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", method, def(in.URI, "/"), def(in.Version, "HTTP/1.1"))
	for _, h := range hs {
		fmt.Fprintf(&b, "%s: %s\r\n", h.name, h.value)
	}
	b.WriteString("\r\n")
	b.Write(data)
	return b.Bytes(), nil
}

// encodeForm encodes a form that is not encoded yet.
func encodeForm(data []byte) []byte {
	if u, err := url.QueryUnescape(string(data)); err != nil || u != string(data) {
		return data
	}
	var out []string
	for pair := range strings.SplitSeq(string(data), "&") {
		k, v, ok := strings.Cut(pair, "=")
		k = url.QueryEscape(k)
		if ok {
			k += "=" + url.QueryEscape(v)
		}
		out = append(out, k)
	}
	return []byte(strings.Join(out, "&"))
}
