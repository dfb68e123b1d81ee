package app

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	first, err := openSecret(dir)
	if err != nil || len(first) < secretSize {
		t.Fatal(first, err)
	}
	if again, err := openSecret(dir); err != nil || string(again) != string(first) {
		t.Errorf("%q after a restart, %q before: %v", again, first, err)
	}
	if other, err := openSecret(t.TempDir()); err != nil || string(other) == string(first) {
		t.Errorf("two directories have the same secret: %v", err)
	}
	path := filepath.Join(dir, "secret")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// A file that a crash left empty is no secret.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := openSecret(dir); err != nil || len(again) < secretSize {
		t.Errorf("%q %v", again, err)
	}
}
