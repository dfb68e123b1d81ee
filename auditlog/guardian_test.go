package auditlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

func guardianLine(request string) *audit.IndexLine {
	return &audit.IndexLine{Host: "h", Client: "192.0.2.1", Time: time.Unix(1, 0).UTC(), Request: request, Status: 200, Bytes: 5, ID: "id1", Session: "s"}
}

func TestGuardianFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guardian.log")
	for range 2 { // the second time it is appended to
		g, err := OpenGuardian(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.Write(guardianLine("GET / HTTP/1.1"), 1234567*time.Microsecond)
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	const line = `h 192.0.2.1 - - [01/Jan/1970:00:00:01.000000 +0000] "GET / HTTP/1.1" 200 5 "-" "-" id1 "s" 1234567 1 "-" 0 ` + "\n"
	if err != nil || string(text) != line+line {
		t.Errorf("%v\n%q, want twice\n%q", err, text, line)
	}
}

func TestGuardianProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	g, err := OpenGuardian("|/bin/sh -c 'cat >>"+path+"'", nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Write(guardianLine(strings.Repeat("x", 5000)), time.Second)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	if !strings.HasSuffix(string(text), ` "-" 0 L`+"\n") || len(text) != audit.IndexLimit+3 {
		t.Errorf("%d bytes, end %q: want %d and L", len(text), text[max(0, len(text)-20):], audit.IndexLimit+3)
	}
}

// A program that does not read holds nobody up; what it does not take is counted.
func TestGuardianNeverWaits(t *testing.T) {
	g, err := OpenGuardian("|/bin/sleep 60", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	began := time.Now()
	const lines = 3000
	for range lines {
		g.Write(guardianLine(strings.Repeat("x", 3900)), time.Second)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("%d lines took %s", lines, took)
	}
	if d := g.Dropped(); d < 500 || d >= lines {
		t.Errorf("%d of %d lines dropped, want what is over the buffer", d, lines)
	}
}

func TestGuardianCannotOpen(t *testing.T) {
	for _, target := range []string{t.TempDir() + "/none/x", "|/none/program", "|"} {
		if _, err := OpenGuardian(target, nil); err == nil {
			t.Errorf("%s: no error", target)
		}
	}
}

// What a full disk does not take is lost and counted, and nothing hangs.
func TestGuardianFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("SKIPPED: no /dev/full here")
	}
	g, err := OpenGuardian("/dev/full", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		g.Write(guardianLine("GET / HTTP/1.1"), time.Second)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if g.Dropped() != 10 {
		t.Errorf("dropped %d, want 10", g.Dropped())
	}
}
