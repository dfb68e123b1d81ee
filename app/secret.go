package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/trapline/trapline/internal/durable"
)

// secretSize is the least that a secret may have.
const secretSize = 32

// openSecret reads what random keys (SecHashKey rand) are made of, or makes it: pages that are out keep their links over a reload
// and a restart. On a disk that cannot be read or written it is a new one, until the next start.
func openSecret(dir string, d *disk) []byte {
	path := filepath.Join(dir, "secret")
	secret, err := readSecret(path)
	if err == nil {
		return secret
	}
	secret = []byte(rand.Text() + rand.Text() + "\n")
	d.add("secret of random keys", path, func() error {
		_, err := readSecret(path)
		if errors.Is(err, fs.ErrNotExist) { // one that is there and cannot be read is not replaced
			err = durable.WriteFile(path, secret, 0o600)
		}
		if err != nil {
			return fmt.Errorf("secret of random keys: %w", err)
		}
		return nil
	}, nil)
	return secret
}

// readSecret takes a file that is too short for none.
func readSecret(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if err == nil && len(secret) < secretSize {
		err = fs.ErrNotExist
	}
	return secret, err
}
