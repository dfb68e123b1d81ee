package seclang_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"github.com/trapline/trapline/seclang"
)

// crs4 compiles CRS 4 with the given setup lines before its rules.
func crs4(t testing.TB, before string) *seclang.Engine {
	t.Helper()
	e, err := seclang.Compile(crs4Config(t, before))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func crs4Config(t testing.TB, before string) seclang.Config {
	t.Helper()
	ds := lex(t, "@before.conf", before)
	rules, err := seclang.LoadFS(coreruleset.FS, "@coraza.conf-recommended", "@crs-setup.conf.example")
	if err != nil {
		t.Fatal(err)
	}
	more, err := seclang.LoadFS(coreruleset.FS, "@owasp_crs/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	ds = append(append(rules, ds...), more...)
	return seclang.Config{
		Directives: ds,
		ReadFile:   func(name string) ([]byte, error) { return fs.ReadFile(coreruleset.FS, name) },
	}
}

const setup4 = `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=PL,setvar:tx.detection_paranoia_level=PL"
`

func TestCompileCRS4(t *testing.T) {
	start := time.Now()
	e := crs4(t, strings.ReplaceAll(setup4, "PL", "4"))
	t.Logf("%d rules in %v", len(e.Rules()), time.Since(start))
	for _, w := range e.Warnings() {
		t.Log(w)
	}
}

func TestLoadInstalledFiles(t *testing.T) {
	for _, paths := range [][]string{
		{"/etc/modsecurity/modsecurity.conf-recommended"},
		{"/usr/share/nginx/docs/modsecurity/modsecurity.conf"}, // the recommended configuration of version 3
		{"/etc/modsecurity/modsecurity.conf-recommended", "/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf"},
	} {
		if _, err := os.Stat(paths[0]); err != nil {
			t.Logf("SKIP LOUDLY: %s is not installed (libapache2-mod-security2, modsecurity-crs, libnginx-mod-http-modsecurity)", paths[0])
			continue
		}
		ds, err := seclang.Load(paths...)
		if err != nil {
			t.Fatal(err)
		}
		e, err := seclang.Compile(seclang.Config{Directives: ds})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: %d rules", paths, len(e.Rules()))
		for _, w := range e.Warnings() {
			t.Log(w)
		}
	}
}
