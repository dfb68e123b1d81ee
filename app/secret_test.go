package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
)

func TestSecret(t *testing.T) {
	d := &disk{log: slog.New(slog.DiscardHandler), now: time.Now}
	dir := t.TempDir()
	first := openSecret(dir, d)
	if len(first) < secretSize {
		t.Fatal(first)
	}
	if again := openSecret(dir, d); string(again) != string(first) {
		t.Errorf("%q after a restart, %q before", again, first)
	}
	if other := openSecret(t.TempDir(), d); string(other) == string(first) {
		t.Error("two directories have the same secret")
	}
	path := filepath.Join(dir, "secret")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// A file that a crash left empty is no secret.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if again := openSecret(dir, d); len(again) < secretSize || len(d.failing()) > 0 {
		t.Errorf("%q, %v", again, d.failing())
	}
}

// A directory that is not there yet (the disk is full, or not mounted) gets the secret when it is.
func TestSecretWaitsForTheDisk(t *testing.T) {
	now := time.Now()
	d := &disk{log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	dir := filepath.Join(t.TempDir(), "later")
	secret := openSecret(dir, d)
	if len(secret) < secretSize || len(d.failing()) != 1 {
		t.Fatalf("%q, %v", secret, d.failing())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	now = now.Add(firstDiskPause)
	d.again()
	if again := openSecret(dir, d); string(again) != string(secret) || len(d.failing()) != 0 {
		t.Errorf("%q, %v", again, d.failing())
	}
}

// Pauses double up to a minute, and the log is reminded once an hour.
func TestDiskBacksOff(t *testing.T) {
	now := time.Now()
	d := &disk{log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	tries := 0
	d.add("x", "/x", func() error { tries++; return os.ErrPermission }, nil)
	for range 3600 {
		now = now.Add(time.Second)
		d.again()
	}
	if tries < 60 || tries > 70 {
		t.Errorf("%d tries in an hour", tries)
	}
	if d.failing()["x"] == "" {
		t.Error("not said")
	}
}

// TestRandomKeysLast: a link that was signed before a reload and a restart is good after it.
func TestRandomKeysLast(t *testing.T) {
	file, data := filepath.Join(t.TempDir(), "trapline.conf"), t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	text := "Listen " + ln.Addr().String() + "\nTrapConsole Off\nSecRuleEngine On\nSecHashEngine On\nSecHashKey rand KeyOnly\nSecHashMethodRx HashLocation .\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	location := func(s *Sensor) string {
		var engine *seclang.Engine
		for _, h := range s.settings.Load().hosts {
			engine = h.engine
		}
		tx := engine.NewTransaction(seclang.Conn{})
		defer tx.Close()
		tx.RequestLine("GET", "/", "HTTP/1.1")
		tx.ResponseLine(302, "HTTP/1.1")
		tx.AddResponseHeader("Location", "/x")
		tx.ResponseHeaders()
		l, _ := tx.LocationToSend()
		return l
	}
	var seen []string
	for range 2 {
		s, err := open(context.Background(), Options{Config: file, Data: data, Logger: slog.New(slog.DiscardHandler), Env: os.LookupEnv})
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, location(s))
		s.reload(context.Background())
		seen = append(seen, location(s))
		if err := errors.Join(s.drain(), s.close()); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 1 || !strings.HasPrefix(seen[0], "/x?crypt=") {
		t.Errorf("%q", seen)
	}
}
