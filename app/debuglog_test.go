package app

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/trapline/trapline/auditlog"
)

// stuck is a disk that takes nothing until it is let go.
type stuck struct {
	let chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	return s.Buffer.Write(p)
}

// TestDebugLogSlowDisk: nobody waits for a disk that hangs; what does not fit is counted, and the log says where it is missing.
func TestDebugLogSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int64
		var said strings.Builder
		disk := &stuck{let: make(chan struct{})}
		l := newLineLog("x", disk, nil, slog.New(slog.NewTextHandler(&said, nil)), &lost)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for range 3 * maxWaitingLog / len(line) {
			if n, err := l.Write(line); n != len(line) || err != nil {
				t.Fatal(n, err)
			}
		}
		if lost.Load() < maxWaitingLog/int64(len(line))/2 || !strings.Contains(said.String(), "lost=1 ") {
			t.Errorf("lost %d: %s", lost.Load(), said.String())
		}
		if err := l.Close(); err != nil { // after its patience
			t.Error(err)
		}
		close(disk.let)
		<-l.done
		if !bytes.Contains(disk.Bytes(), []byte(" lines lost here: the disk is slower than the requests]\n")) {
			t.Error("the log does not say that it is not whole")
		}
		if kept := int64(bytes.Count(disk.Bytes(), line)); kept+lost.Load() != 3*maxWaitingLog/int64(len(line)) {
			t.Errorf("%d kept and %d lost", kept, lost.Load())
		}
	})
}

// TestDebugLogRotated: the logs of a new configuration write to the new file after the old one was moved away.
func TestDebugLogRotated(t *testing.T) {
	dir := t.TempDir()
	var lost atomic.Int64
	generation := func() (*debugLogs, io.Writer) {
		d := newDebugLogs(&auditLogs{root: dir, open: map[string]*auditlog.Writer{}}, nil, slog.New(slog.DiscardHandler), &lost)
		w, err := d.open("debug.log")
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := d.open("debug.log"); again != w {
			t.Error("one file has two writers")
		}
		return d, w
	}
	old, w := generation()
	_, _ = io.WriteString(w, "one\n")
	if err := os.Rename(filepath.Join(dir, "debug.log"), filepath.Join(dir, "debug.log.1")); err != nil {
		t.Fatal(err)
	}
	next, w2 := generation()
	_, _ = io.WriteString(w, "of a request under way\n")
	_, _ = io.WriteString(w2, "two\n")
	if err := old.close(); err != nil {
		t.Error(err)
	}
	if err := next.close(); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"debug.log.1": "one\nof a request under way\n", "debug.log": "two\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want {
			t.Errorf("%s holds %q (%v)", name, b, err)
		}
	}
	if lost.Load() != 0 {
		t.Errorf("lost %d", lost.Load())
	}
}
