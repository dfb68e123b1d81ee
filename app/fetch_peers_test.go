//go:build peers

package app

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// TestRemoteRulesAgainstApache has mod_security2 and this program fetch the same texts from one server: both send the
// same headers, take the same texts, plain and encrypted, and refuse the same.
func TestRemoteRulesAgainstApache(t *testing.T) {
	bin := peertest.Program(t, "apache2", "/usr/sbin/apache2")
	if os.Geteuid() != 0 {
		t.Skip("PEER MISSING: a private certificate store for Apache needs root (unshare)")
	}
	var mu sync.Mutex
	var seen http.Header
	texts := map[string][]byte{
		"/good": []byte("SecRule ARGS \"@rx a\" \"id:1,phase:1,deny\"\nSecMarker X\nSecRuleRemoveById 7\n"), "/bad": []byte("SecRule ARGS \"@rx a\" \"id:1,phase:1,nosuch\"\n"),
		"/unknown": []byte("SecFoo 1\n"), "/include": []byte("Include /etc/passwd\n"), "/section": []byte("<Location />\n"),
		"/crypto": sealed(t, "some-key", "SecRule ARGS \"@rx a\" \"id:1,phase:1,deny\"\n"), "/other": sealed(t, "other-key", "SecAction \"id:1,phase:1,pass\"\n"),
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = r.Header.Clone()
		mu.Unlock()
		if text, ok := texts[r.URL.Path]; ok {
			_, _ = w.Write(text)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, ca, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	address := server.URL
	for _, c := range []struct {
		lines string
		takes bool
	}{
		{"SecRemoteRules some-key URL/good", true}, {"SecRemoteRules some-key URL/bad", false}, {"SecRemoteRules some-key URL/unknown", false},
		{"SecRemoteRules some-key URL/include", false}, {"SecRemoteRules some-key URL/section", false}, {"SecRemoteRules crypto some-key URL/crypto", true},
		{"SecRemoteRules crypto some-key URL/other", false}, {"SecRemoteRules some-key URL/none", false},
		{"SecRemoteRulesFailAction Warn\nSecRemoteRules some-key URL/none", true}, {"SecRemoteRules some-key URL/none\nSecRemoteRulesFailAction Warn", false},
		{"SecRemoteRulesFailAction Warn\nSecRemoteRules some-key URL/bad", false}, {"SecRemoteRulesFailAction Warn\nSecRemoteRules crypto some-key URL/other", false},
	} {
		lines := strings.ReplaceAll(c.lines, "URL", address)
		theirs, out := apacheTakes(t, bin, dir, file, lines)
		mu.Lock()
		fromApache := seen
		mu.Unlock()
		ours := compiles(t, lines)
		mu.Lock()
		fromUs := seen
		mu.Unlock()
		if theirs != c.takes || (ours == nil) != c.takes {
			t.Errorf("%s\nmod_security2 takes it: %v %s\ntrapline: %v", c.lines, theirs, out, ours)
		}
		sameHeaders(t, fromApache, fromUs)
	}
}

func sameHeaders(t *testing.T, apache, ours http.Header) {
	t.Helper()
	names := func(h http.Header) []string {
		var out []string
		for n := range h {
			if n != "Accept-Encoding" && n != "User-Agent" { // Go's client decompresses by itself; each program says its name
				out = append(out, n)
			}
		}
		slices.Sort(out)
		return out
	}
	if a, b := fmt.Sprint(names(apache)), fmt.Sprint(names(ours)); a != b {
		t.Errorf("headers of mod_security2 %s, ours %s", a, b)
	}
	if apache.Get("ModSec-key") != ours.Get("ModSec-key") {
		t.Errorf("keys %q and %q", apache.Get("ModSec-key"), ours.Get("ModSec-key"))
	}
	a, b := strings.Split(apache.Get("ModSec-status"), ","), strings.Split(ours.Get("ModSec-status"), ",")
	if len(a) != len(b) || a[0] != b[0] || a[len(a)-1] != apache.Get("ModSec-unique-id") || b[len(b)-1] != ours.Get("ModSec-unique-id") {
		t.Errorf("ModSec-status %q and %q: the same number of parts, version and id expected", a, b)
	}
}

// apacheTakes has Apache check the lines with a certificate store that knows our server.
func apacheTakes(t *testing.T, bin, dir, ca, lines string) (bool, string) {
	t.Helper()
	const modules = "/usr/lib/apache2/modules/"
	conf := filepath.Join(dir, "httpd.conf")
	text := "ServerRoot " + dir + "\nPidFile httpd.pid\nErrorLog error.log\nServerName localhost\nListen 127.0.0.1:1\nLoadModule mpm_event_module " + modules + "mod_mpm_event.so\n" +
		"LoadModule authz_core_module " + modules + "mod_authz_core.so\nLoadModule unique_id_module " + modules + "mod_unique_id.so\nLoadModule security2_module " + modules + "mod_security2.so\n" + lines + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind "$1" /etc/ssl/certs/ca-certificates.crt && exec "$2" -f "$3" -t`
	out, err := exec.Command("unshare", "-m", "sh", "-c", script, "sh", ca, bin, conf).CombinedOutput()
	return err == nil, string(out)
}

func compiles(t *testing.T, lines string) error {
	t.Helper()
	conf, warnings, err := config.Parse("a.conf", []byte("Listen 127.0.0.1:1\n"+lines+"\n"), config.Options{})
	if err != nil {
		return err
	}
	_, err = compile(context.Background(), conf, warnings, nil, nil, seclang.DebugOutput{})
	return err
}

// sealed encrypts a text as SecRemoteRules crypto expects.
func sealed(t *testing.T, key, text string) []byte {
	t.Helper()
	iv, salt := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)
	derived, err := pbkdf2.Key(sha1.New, key, salt, 4096, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	n := 16 - len(text)%16
	body := append([]byte(text), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(body, body)
	return slices.Concat(iv, salt, body)
}
