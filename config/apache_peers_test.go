//go:build peers

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trapline/trapline/test/peertest"
)

// TestDebianApache loads the configuration that Debian ships, and each file of its modules and sites: a user starts from these.
func TestDebianApache(t *testing.T) {
	peertest.Program(t, "apache2", "/usr/sbin/apache2")
	env := map[string]string{
		"APACHE_RUN_DIR": "/var/run/apache2", "APACHE_PID_FILE": "/var/run/apache2/apache2.pid", "APACHE_RUN_USER": "www-data",
		"APACHE_RUN_GROUP": "www-data", "APACHE_LOG_DIR": "/var/log/apache2", "APACHE_LOCK_DIR": "/var/lock/apache2",
	}
	opt := Options{Root: "/etc/apache2", Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	cfg, warnings, err := Load("/etc/apache2/apache2.conf", opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Log(w)
	}
	if len(cfg.Listen) == 0 || len(cfg.Hosts) == 0 || cfg.Hosts[0].DocumentRoot != "/var/www/html" {
		t.Errorf("listen %v, hosts %v", cfg.Listen, cfg.Hosts)
	}
	names, _ := filepath.Glob("/etc/apache2/*-available/*.conf")
	if len(names) < 20 {
		t.Fatalf("only %d files found", len(names))
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Parse(name, text, opt); err != nil && !strings.Contains(err.Error(), "has no equivalent here") {
			t.Error(err)
		}
	}
}
