//go:build unix

package body

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be a process that is killed in the middle of an upload.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TRAPLINE_TEST_UPLOAD"); dir != "" {
		p := NewMultipart(Config{ContentType: multipartType, TmpDir: dir, Temp: NewTempFiles(), Extract: true, ID: "victim"})
		_, _ = p.Write([]byte("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nhalf of an upload\r\nand more\r\n"))
		_, _ = os.Stdout.WriteString("writing\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// uploading starts a process that is in the middle of an upload to dir.
func uploading(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TRAPLINE_TEST_UPLOAD="+dir)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "writing\n" {
		t.Fatal(line, err)
	}
	return cmd
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, "\n")
}

// TestSweep kills processes in the middle of an upload: their files go, and nobody else's.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(elsewhere, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	living := uploading(t, dir)
	before := names(t, dir)
	if strings.Count(before, "victim-file-") != 1 {
		t.Fatal(before)
	}
	const token = "0123456789abcdef"
	foreign := []string{
		"20261122-143002-someid-file-AbC123",                      // of mod_security2
		"20261122-143002-x-file-ABCDEF.trapline-ffffffffffffffff", // its lock is not here: it may be held elsewhere
		"precious.trapline-" + token, "20261122-143002-x-file-ABCDEF.trapline-" + token + ".old", "trapline-" + token + ".lock.old", "trapline-notes",
	}
	for _, f := range foreign {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A lock that nobody holds, with names that lead elsewhere.
	if err := os.WriteFile(filepath.Join(dir, lockName(token)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"20261122-143002-x-file-LINKED.trapline-" + token, lockName("00000000000000aa")} {
		if err := os.Symlink(elsewhere, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "20261122-143002-x-file-DIRECT.trapline-"+token), 0o700); err != nil {
		t.Fatal(err)
	}
	var killed []*exec.Cmd
	for range 3 {
		killed = append(killed, uploading(t, dir))
	}
	for _, cmd := range killed {
		if err := cmd.Process.Kill(); err != nil { // SIGKILL
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	if got := strings.Count(names(t, dir), "victim-file-"); got != 4 {
		t.Fatalf("%d files before the sweep", got)
	}
	removed, err := SweepTempFiles(dir)
	if removed != 3 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	after := names(t, dir)
	for _, f := range append(foreign, strings.Fields(before)...) {
		if !strings.Contains(after, f) {
			t.Errorf("%s is gone", f)
		}
	}
	if strings.Count(after, "victim-file-") != 1 || strings.Contains(after+"\n", lockName(token)+"\n") {
		t.Errorf("left:\n%s", after)
	}
	if b, err := os.ReadFile(elsewhere); string(b) != "x" {
		t.Error(err)
	}
	_ = living.Process.Kill()
	_ = living.Wait()
	if removed, err := SweepTempFiles(dir); removed != 1 || err != nil {
		t.Errorf("after the last one: %d, %v", removed, err)
	}
	if removed, err := SweepTempFiles(filepath.Join(dir, "none")); removed != 0 || err == nil {
		t.Errorf("no directory: %d, %v", removed, err)
	}
}

// TestKeptUploads: what SecUploadKeepFiles keeps has a name that no sweep takes, in its own directory or in the temporary one.
func TestKeptUploads(t *testing.T) {
	for _, same := range []bool{false, true} {
		tmp, up := t.TempDir(), t.TempDir()
		if same {
			up = ""
		}
		temp := NewTempFiles()
		r := Parse("MULTIPART", "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nkept\r\n--B--\r\n", Config{ContentType: multipartType, TmpDir: tmp, UploadDir: up, Temp: temp, KeepFiles: true, FileMode: 0o640, ID: "id"})
		r.Keep()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		path := r.Files[0].Path
		want := up
		if same {
			want = tmp
		}
		b, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if filepath.Dir(path) != want || string(b) != "kept" || err != nil || strings.Contains(path, tempMark) || info.Mode().Perm() != 0o640 {
			t.Errorf("%s %q %v %v", path, b, err, info)
		}
		_ = temp.claims[tmp].lock.Close() // as when the process ends
		if n, err := SweepTempFiles(tmp); n != 0 || err != nil {
			t.Errorf("swept %d, %v", n, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
