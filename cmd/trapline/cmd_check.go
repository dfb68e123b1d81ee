package main

import (
	"fmt"
	"os"

	"github.com/trapline/trapline/app"
)

type checkCmd struct {
	File  string `arg:"" help:"Configuration file." type:"path"`
	Rules bool   `help:"List every rule, also where there are many."`
}

// Run exits with status 1 when the file has an error.
func (c *checkCmd) Run(w *world) error {
	if err := app.Check(w.ctx, w.out, app.CheckOptions{File: c.File, Env: os.LookupEnv, Rules: c.Rules}); err != nil {
		fmt.Fprintln(w.err, err)
		return errSaid
	}
	return nil
}
