package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
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
