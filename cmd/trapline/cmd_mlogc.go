package main

import (
	"github.com/trapline/trapline/app"
)

type mlogcCmd struct {
	Conf  string `arg:"" help:"mlogc's own configuration file." type:"path"`
	Drain bool   `short:"f" help:"At the end of input send everything before leaving, as mlogc -f does."`
}

// Run reads index lines from standard input until it ends.
func (c *mlogcCmd) Run(w *world) error {
	return app.Mlogc(w.ctx, w.in, c.Conf, c.Drain, w.log)
}
