//go:build unix

package peertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Apache is a running Apache with mod_security2.
type Apache struct {
	Dir string // its ServerRoot: logs/, data/ (SecDataDir), htdocs/, audit/
	cmd *exec.Cmd
}

const modules = "/usr/lib/apache2/modules/"

// preamble makes Debian's Apache run from one directory. The worker user must
// be able to write data/ and audit/, or mod_security2 stores nothing.
const preamble = `ServerRoot %[1]s
PidFile %[1]s/httpd.pid
ServerName localhost
%[3]s
LoadModule mpm_event_module ` + modules + `mod_mpm_event.so
LoadModule authz_core_module ` + modules + `mod_authz_core.so
LoadModule authz_host_module ` + modules + `mod_authz_host.so
LoadModule access_compat_module ` + modules + `mod_access_compat.so
LoadModule dir_module ` + modules + `mod_dir.so
LoadModule mime_module ` + modules + `mod_mime.so
LoadModule headers_module ` + modules + `mod_headers.so
LoadModule setenvif_module ` + modules + `mod_setenvif.so
LoadModule unique_id_module ` + modules + `mod_unique_id.so
LoadModule security2_module ` + modules + `mod_security2.so
TypesConfig /etc/mime.types
ErrorLog %[1]s/logs/error.log
DocumentRoot %[1]s/htdocs
StartServers 2
ThreadsPerChild 25
ServerTokens Prod
%[2]s
`

// CheckApache says whether Apache takes the configuration, and what it prints: `apache2 -t`.
func CheckApache(t testing.TB, conf string) (output string, ok bool) {
	t.Helper()
	bin := modSecurity(t)
	_, file := serverDir(t, conf)
	out, err := exec.Command(bin, "-t", "-f", file).CombinedOutput()
	return string(out), err == nil
}

// modSecurity is the path of an Apache that has mod_security2.
func modSecurity(t testing.TB) string {
	t.Helper()
	bin := Program(t, "apache2", "/usr/sbin/apache2")
	if _, err := os.Stat(modules + "mod_security2.so"); err != nil {
		t.Skip("PEER MISSING: libapache2-mod-security2 is not installed; make test installs it")
	}
	return bin
}

// serverDir makes a server's directory with its configuration file.
func serverDir(t testing.TB, conf string) (dir, file string) {
	t.Helper()
	dir = worldReadable(t)
	user := ""
	if os.Geteuid() == 0 {
		user = "User www-data\nGroup www-data"
	}
	for _, d := range []string{"logs", "data", "htdocs", "audit"} {
		path := filepath.Join(dir, d)
		if err := os.Mkdir(path, 0o777); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(path, 0o777)
	}
	if err := os.WriteFile(filepath.Join(dir, "htdocs", "index.html"), []byte("<p>the real site</p>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "httpd.conf")
	text := fmt.Sprintf(preamble, dir, strings.ReplaceAll(conf, "{{dir}}", dir), user)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// StartApache runs Apache with the configuration behind a preamble that loads
// modules. {{dir}} in the configuration is the server's directory.
func StartApache(t testing.TB, conf string, listen ...string) *Apache {
	t.Helper()
	bin := modSecurity(t)
	dir, file := serverDir(t, conf)
	a := &Apache{Dir: dir}
	a.cmd = exec.Command(bin, "-D", "FOREGROUND", "-f", file)
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := os.Create(filepath.Join(a.Dir, "logs", "out.log"))
	if err != nil {
		t.Fatal(err)
	}
	a.cmd.Stdout, a.cmd.Stderr = out, out
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	for _, address := range listen {
		Listening(t, address)
	}
	if t.Failed() {
		text, _ := os.ReadFile(filepath.Join(a.Dir, "logs", "out.log"))
		t.Logf("apache: %s", text)
	}
	return a
}

// Stop ends the whole process group: gently first, then not.
func (a *Apache) Stop() {
	if a.cmd == nil || a.cmd.Process == nil {
		return
	}
	pid := a.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = a.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-done
	}
	a.cmd = nil
}

// CPU is the user and system time that the server's processes have used so far.
func (a *Apache) CPU(t testing.TB) time.Duration { return GroupCPU(t, a.cmd.Process.Pid) }

// worldReadable is a temporary directory that the worker user can enter (t.TempDir's parents are closed to it).
func worldReadable(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "trapline-peer-")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(dir, 0o755)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
