package config

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

var update = flag.Bool("update", false, "rewrite the wanted output in testdata/cases")

// testCase is a comment and files, each after a line "-- name --".
type testCase struct {
	comment string
	files   []caseFile
}

type caseFile struct{ name, text string }

func readCase(path string) (*testCase, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &testCase{}
	for line := range strings.Lines(string(text)) {
		name, ok := strings.CutPrefix(line, "-- ")
		if name, ends := strings.CutSuffix(strings.TrimSpace(name), " --"); ok && ends {
			c.files = append(c.files, caseFile{name: name})
		} else if n := len(c.files); n > 0 {
			c.files[n-1].text += line
		} else {
			c.comment += line
		}
	}
	return c, nil
}

func (c *testCase) String() string {
	out := c.comment
	for _, f := range c.files {
		out += "-- " + f.name + " --\n" + f.text
	}
	return out
}

// memory answers for the disk with the files of one case, which lie in /conf.
func memory(files map[string]string) Options {
	return Options{
		Root: "/conf",
		Env: func(name string) (string, bool) {
			return "from the environment", name == "CASE_ENV"
		},
		ReadFile: func(p string) ([]byte, error) {
			text, ok := files[strings.TrimPrefix(p, "/conf/")]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
		Glob: func(pattern string) ([]string, error) {
			var out []string
			for name := range files {
				full := "/conf/" + name
				ok, err := path.Match(pattern, full)
				if err != nil {
					return nil, err
				}
				if ok || strings.HasPrefix(full, pattern+"/") {
					out = append(out, full)
				}
			}
			slices.Sort(out)
			return out, nil
		},
	}
}

// TestCases runs each testdata/cases/*.txt: trapline.conf and further files, and in "want" the errors, the warnings and the dump.
func TestCases(t *testing.T) {
	names, err := filepath.Glob("testdata/cases/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			archive, err := readCase(name)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, f := range archive.files {
				files[f.name] = f.text
			}
			var got bytes.Buffer
			cfg, warnings, err := Parse("trapline.conf", []byte(files["trapline.conf"]), memory(files))
			if err != nil {
				fmt.Fprintf(&got, "ERRORS\n%v\n", err)
			}
			for _, w := range warnings {
				fmt.Fprintf(&got, "warning %v\n", w)
			}
			if cfg != nil {
				cfg.Dump(&got)
				if strings.Contains(archive.comment, "show sec") {
					for _, h := range append([]*Host{cfg.Main}, cfg.Hosts...) {
						fmt.Fprintf(&got, "sec of %s\n", h.label(cfg))
						for _, d := range h.Sec {
							fmt.Fprintf(&got, "  %s %s %q\n", d.Pos(), d.Name, d.Args)
						}
					}
				}
			}
			want := files["want"]
			if got.String() == want {
				return
			}
			if !*update {
				t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
				return
			}
			archive.files = slices.DeleteFunc(archive.files, func(f caseFile) bool { return f.name == "want" })
			archive.files = append(archive.files, caseFile{"want", got.String()})
			if err := os.WriteFile(name, []byte(archive.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDefaultLoads(t *testing.T) {
	cfg, warnings, err := Parse("trapline.conf", []byte(Default()), Options{Root: "/srv"})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 0 || len(cfg.Assumptions) != 0 {
		t.Errorf("the default should leave nothing open: %v %v", warnings, cfg.Assumptions)
	}
	want := map[uint16]bool{8000: true, 8080: true, 8888: true, 8081: false}
	for _, p := range cfg.Ports() {
		trap, ok := want[p.Port]
		if !ok || trap != p.Honeytrap {
			t.Errorf("port %d: honeytrap %t", p.Port, p.Honeytrap)
		}
		delete(want, p.Port)
	}
	if len(want) != 0 {
		t.Errorf("ports missing: %v", want)
	}
	site := cfg.HostFor(netip.MustParseAddrPort("127.0.0.1:8081"), "localhost:8081")
	if site.Honeytrap || !site.Builtin {
		t.Errorf("8081 is served by %+v", site)
	}
	if cfg.Trap.Data != "" || cfg.Trap.Console != "127.0.0.1:8090" {
		t.Errorf("trap settings %+v", cfg.Trap)
	}
}

// TestDefaultRulesCompile: the rules of the default leave nothing to assume either.
func TestDefaultRulesCompile(t *testing.T) {
	cfg, _, err := Parse("trapline.conf", []byte(Default()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range append([]*Host{cfg.Main}, cfg.Hosts...) {
		e, err := seclang.Compile(seclang.Config{Directives: h.Sec, Defaults: seclang.Defaults{Article: true}, Honeytrap: h.Honeytrap})
		if err != nil {
			t.Fatal(err)
		}
		// Where tags are kept is not for the file to say: --data or TrapData decides.
		open := slices.DeleteFunc(e.Assumptions(), func(a Assumption) bool { return strings.HasPrefix(a.Directive, "SecDataDir") })
		if len(e.Warnings())+len(open) > 0 {
			t.Errorf("%s: %v %v", h.label(cfg), e.Warnings(), open)
		}
	}
}

// TestScopedRulesCompile: what sections are turned into is in the language.
func TestScopedRulesCompile(t *testing.T) {
	text := `
DocumentRoot /srv
<Location /api>
  SecRuleEngine DetectionOnly
  SecRuleRemoveById 1 2-3
  SecRuleRemoveByTag "attack-.*"
  SecRuleUpdateTargetById 9 !ARGS:q
  SecRule ARGS "@rx x" "id:77,phase:2,deny"
  SecRule ARGS "@rx y" "id:78,phase:2,deny,chain"
    SecRule ARGS "@rx z"
</Location>
<FilesMatch "\.(php|cgi)$">
  SecAuditEngine On
  SecRequestBodyLimit 100
</FilesMatch>
<Directory /srv/a>
  SecAction "id:79,phase:1,nolog,pass"
</Directory>
SecRule REQUEST_URI "@contains /" "id:9,phase:2,pass"
`
	cfg, _, err := Parse("x.conf", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: cfg.Main.Sec})
	if err != nil {
		t.Fatal(err)
	}
	if w := e.Warnings(); len(w) > 0 {
		t.Error(w)
	}
}

// TestArticleFile loads the published honeypot file byte for byte.
func TestArticleFile(t *testing.T) {
	text, err := os.ReadFile("testdata/modsecurity_crs_10_honeypot.conf")
	if err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := Parse("modsecurity_crs_10_honeypot.conf", text, Options{})
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	if len(cfg.Hosts) != 1 || len(cfg.Listen) != 3 {
		t.Fatalf("%d hosts, %d listeners", len(cfg.Hosts), len(cfg.Listen))
	}
	h := cfg.Hosts[0]
	if !h.Honeytrap || len(h.Pipes) != 1 || !h.Pipes[0].Mlogc || h.Pipes[0].Conf != "/usr/local/apache/conf/mlogc-honeypot-sensor.conf" {
		t.Errorf("host %+v", h)
	}
	if h.DocumentRoot != "/usr/local/apache/honeypot-htdocs" || h.Name != "www.example1.com" {
		t.Errorf("%s %s", h.DocumentRoot, h.Name)
	}
	if len(cfg.Assumptions) != 1 {
		t.Errorf("assumptions %v", cfg.Assumptions)
	}
}

func TestArticleFileIsTheReference(t *testing.T) {
	ours, err := os.ReadFile("testdata/modsecurity_crs_10_honeypot.conf")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../../shared/reference/article/modsecurity_crs_10_honeypot.conf")
	if err != nil {
		t.Skip("SKIPPED: the reference folder is not beside this checkout")
	}
	if !bytes.Equal(ours, theirs) {
		t.Error("the copy in testdata differs from the published file")
	}
}

func TestHostFor(t *testing.T) {
	text := `
Listen 80
Listen 443
ServerName main.example
<VirtualHost *:80>
ServerName first.example
</VirtualHost>
<VirtualHost *:80>
ServerName second.example
ServerAlias *.second.example other.example
</VirtualHost>
<VirtualHost 192.0.2.1:80>
ServerName byaddress.example
</VirtualHost>
`
	cfg, _, err := Parse("x", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ local, host, want string }{
		{"198.51.100.1:80", "first.example", "first.example"},
		{"198.51.100.1:80", "SECOND.example:80", "second.example"},
		{"198.51.100.1:80", "a.b.second.example.", "second.example"},
		{"198.51.100.1:80", "other.example", "second.example"},
		{"198.51.100.1:80", "unknown.example", "first.example"},
		{"198.51.100.1:80", "", "first.example"},
		{"[::ffff:192.0.2.1]:80", "second.example", "byaddress.example"},
		{"192.0.2.1:443", "first.example", "main.example"},
	} {
		if got := cfg.HostFor(netip.MustParseAddrPort(c.local), c.host); got.Name != c.want {
			t.Errorf("%s %q: %s, want %s", c.local, c.host, got.Name, c.want)
		}
	}
}

// TestEveryDirectiveIsDescribed keeps DESIGN.md complete.
func TestEveryDirectiveIsDescribed(t *testing.T) {
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range directives() {
		if !regexp.MustCompile(`\b` + s.name + `\b`).Match(text) {
			t.Errorf("DESIGN.md does not mention %s", s.name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Default())
	names, _ := filepath.Glob("testdata/cases/*.txt")
	for _, name := range names {
		if a, err := readCase(name); err == nil && len(a.files) > 0 {
			f.Add(a.files[0].text)
		}
	}
	f.Add("<VirtualHost\n<IfModule\n</")
	f.Add("Define A ${A}\n${A} ${A}\nInclude trapline.conf\n")
	f.Fuzz(func(t *testing.T, text string) {
		opt := memory(map[string]string{"trapline.conf": text})
		cfg, _, err := Parse("trapline.conf", []byte(text), opt)
		if (cfg == nil) != (err != nil) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
		if cfg == nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.Contains(line, ":") {
					t.Fatalf("error without place: %q", line)
				}
			}
			return
		}
		cfg.Dump(&bytes.Buffer{})
		for _, p := range cfg.Ports() {
			if len(p.Hosts) == 0 {
				t.Fatal("a port without a host")
			}
		}
		cfg.HostFor(netip.MustParseAddrPort("127.0.0.1:80"), "a:b")
	})
}
