package main

import (
	"fmt"

	"github.com/trapline/trapline/app"
)

type checkCmd struct {
	File string `arg:"" help:"Configuration file." type:"path"`
}

// Run exits with status 1 when the file has an error.
func (c *checkCmd) Run(w *world) error {
	if err := app.Check(w.out, c.File); err != nil {
		fmt.Fprintln(w.err, err)
		return errSaid
	}
	return nil
}
