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
// and a restart.
func openSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, "secret")
	secret, err := os.ReadFile(path)
	switch {
	case err == nil && len(secret) >= secretSize:
		return secret, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("secret of random keys: %w", err)
	}
	secret = []byte(rand.Text() + rand.Text() + "\n")
	if err := durable.WriteFile(path, secret, 0o600); err != nil {
		return nil, fmt.Errorf("secret of random keys: %w", err)
	}
	return secret, nil
}
