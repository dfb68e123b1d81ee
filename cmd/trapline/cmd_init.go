package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/trapline/trapline/config"
)

type initCmd struct {
	File  string `arg:"" optional:"" help:"Where to write it; trapline.conf if not given." default:"trapline.conf"`
	Force bool   `help:"Overwrite a file that is there."`
}

// Run writes the embedded default, which teaches in its comments.
func (c *initCmd) Run(w *world) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(c.File, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; --force overwrites it", c.File)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(config.Default())
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", c.File, err)
	}
	fmt.Fprintf(w.out, "wrote %s; now: trapline check %s, then: trapline run -c %s\n", c.File, c.File, c.File)
	return nil
}
