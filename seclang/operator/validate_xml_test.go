//go:build libxml2 && cgo

package operator

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const xsd = `<?xml version="1.0"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="order"><xs:complexType><xs:sequence>
    <xs:element name="amount" type="xs:int"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>`

const dtd = `<!ELEMENT order (amount)><!ELEMENT amount (#PCDATA)>`

func TestValidateXML(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"o.xsd": xsd, "o.dtd": dtd, "bad.xsd": "<x", "none.xsd": "<a/>"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := Env{ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }}
	good := Document{Text: "<order><amount>5</amount></order>", Parsed: true, WellFormed: true}
	bad := Document{Text: "<order><total>5</total></order>", Parsed: true, WellFormed: true}
	word := Document{Text: "<order><amount>five</amount></order>", Parsed: true, WellFormed: true}
	entity := Document{Text: `<!DOCTYPE order [<!ENTITY x SYSTEM "/etc/passwd">]><order><amount>&x;</amount></order>`, Parsed: true, WellFormed: true}
	for _, c := range []struct {
		op, file string
		doc      Document
		want     string // the sentence, "" for no match
		err      string
	}{
		{"validateSchema", "o.xsd", good, "", ""},
		{"validateSchema", "o.xsd", bad, "XML: Schema validation failed.", "total"},
		{"validateSchema", "o.xsd", word, "XML: Schema validation failed.", "'five' is not a valid value"},
		{"validateSchema", "o.xsd", entity, "XML: Schema validation failed.", ""},
		{"validateSchema", "o.xsd", Document{}, "", "could not be found"},
		{"validateSchema", "o.xsd", Document{Parsed: true}, "XML: Schema validation failed because content is not well formed.", ""},
		{"validateSchema", "o.xsd", Document{Parsed: true, WellFormed: true, Failed: true}, "XML: Schema validation could not proceed due to previous processing errors.", ""},
		{"validateSchema", "bad.xsd", good, "XML: Failed to load Schema: bad.xsd", ""},
		{"validateSchema", "none.xsd", good, "XML: Failed to load Schema: none.xsd", ""},
		{"validateSchema", "missing.xsd", good, "XML: Failed to load Schema: missing.xsd", ""},
		{"validateDTD", "o.dtd", good, "", ""},
		{"validateDTD", "o.dtd", word, "", ""},
		{"validateDTD", "o.dtd", bad, "XML: DTD validation failed.", "total"},
		{"validateDTD", "missing.dtd", good, "XML: Failed to load DTD: missing.dtd", ""},
	} {
		warned := ""
		env.Warn = func(s string) { warned = s }
		o := must(t, c.op, c.file, env)
		m := Result{Explain: true, Document: func() Document { return c.doc }}
		if got := o.Match("", "", &m); got != (c.want != "") || m.Text != c.want {
			t.Errorf("%s %s on %q: %v %q (%v)", c.op, c.file, c.doc.Text, got, m.Text, m.Err)
		}
		if c.err != "" && (m.Err == nil || !strings.Contains(m.Err.Error(), c.err)) {
			t.Errorf("%s %s on %q: error %v, want %s", c.op, c.file, c.doc.Text, m.Err, c.err)
		}
		if (warned != "") != strings.Contains(c.want, "Failed to load") {
			t.Errorf("%s %s: warned %q", c.op, c.file, warned)
		}
	}
	// One operator serves many transactions at once.
	o := must(t, "validateDTD", "o.dtd", env)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				doc := good
				if i%2 == 1 {
					doc = bad
				}
				m := Result{Document: func() Document { return doc }}
				if o.Match("", "", &m) != (i%2 == 1) {
					t.Error("a wrong answer among many")
				}
			}
		})
	}
	wg.Wait()
}
