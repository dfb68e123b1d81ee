//go:build linux

package auditlog

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDiskFull: writes that the disk stops in the middle are errors, and what is written afterwards can be read.
func TestDiskFull(t *testing.T) {
	if os.Getenv("TRAPLINE_TEST_FULL") == "" {
		// The limit is the process's: the test runs in one of its own.
		runAlone(t, "TestDiskFull", "TRAPLINE_TEST_FULL=1")
		return
	}
	path := filepath.Join(t.TempDir(), "log")
	w, err := Open(Config{Log: path})
	if err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	written := 0
	for i := range 10 {
		if w.Write(t.Context(), record(fmt.Sprint("before", i))) == nil {
			written++
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if written == 0 || written == 10 {
		t.Fatalf("%d of 10 written", written)
	}
	for i := range 5 {
		if err := w.Write(t.Context(), record(fmt.Sprint("after", i))); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	ids, errs := collect(t, path)
	if len(ids) < written+5 || len(errs) > 1 {
		t.Errorf("%d entries %v, %v", len(ids), ids, errs)
	}
	for e, err := range Entries(t.Context(), path) {
		if err == nil && e.Doubt != "" {
			t.Errorf("%s is in doubt", e.Record.ID)
		}
	}
}
