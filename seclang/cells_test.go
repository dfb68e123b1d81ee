package seclang

import (
	"testing"

	"github.com/trapline/trapline/seclang/transform"
)

// TestActsOn checks the engine's shortcut against the functions: a byte of
// which it says that a transformation leaves it alone must be left alone.
func TestActsOn(t *testing.T) {
	for _, name := range transform.Names() {
		fn, _ := transform.Lookup(name)
		for b := range 256 {
			acts, known := actsOn(lower(name), byte(b))
			if !known || acts {
				continue
			}
			for _, s := range []string{string([]byte{byte(b)}), string([]byte{byte(b), byte(b)}), string([]byte{byte(b), byte(b), byte(b), byte(b)})} {
				if out, changed := fn(s); changed {
					t.Errorf("%s makes %q of %q", name, out, s)
				}
			}
		}
	}
}
