package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/trapline/trapline/app"
)

type runCmd struct {
	Config string `short:"c" help:"Configuration file (Apache-style). Without one: traps on 8000, 8080, 8888, a built-in site on 8081, the console on 127.0.0.1:8090." placeholder:"FILE" type:"path"`
	Data   string `help:"Directory for everything that must last; default: TrapData of the configuration, else ${data}." placeholder:"DIR" env:"TRAPLINE_DATA"`
}

// Run serves until SIGTERM or SIGINT, then drains; a second signal ends at once.
func (c *runCmd) Run(w *world) error {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	context.AfterFunc(w.ctx, func() {
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		<-again
		os.Exit(1)
	})
	reload := make(chan struct{}, 1)
	go func() {
		for range w.reload {
			select {
			case reload <- struct{}{}:
			default: // one is waiting already
			}
		}
	}()
	return app.Run(ctx, app.Options{
		Config: c.Config, Data: c.Data, DefaultData: defaultData(), Version: version, Out: w.out, Logger: w.log,
		Env: os.LookupEnv, Reload: reload, Notify: notifier(os.Getenv("NOTIFY_SOCKET")),
	})
}
