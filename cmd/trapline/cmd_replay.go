package main

import (
	"os"

	"github.com/trapline/trapline/app"
)

type replayCmd struct {
	Paths    []string `arg:"" help:"Serial, concurrent or JSON audit logs of ModSecurity 2 or 3, index files, directories, .gz." type:"path"`
	Data     string   `help:"Import into the console of this data directory." default:"${data}" placeholder:"DIR" env:"TRAPLINE_DATA"`
	Console  string   `help:"Import into a console over the network instead." placeholder:"URL"`
	Sensor   string   `help:"Name of the sensor that the records belong to." default:"replay"`
	Password string   `help:"The sensor's secret, with --console." env:"TRAPLINE_SENSOR_SECRET"`
	Quiet    bool     `short:"q" help:"No progress bar."`
}

// Run prints a progress bar when standard error is a terminal, and the sums at the end.
func (c *replayCmd) Run(w *world) error {
	progress := w.err
	if info, err := os.Stderr.Stat(); c.Quiet || err != nil || info.Mode()&os.ModeCharDevice == 0 {
		progress = nil
	}
	return app.Replay(w.ctx, app.ReplayOptions{
		Paths: c.Paths, Data: c.Data, Console: c.Console, Sensor: c.Sensor, Password: c.Password,
		Out: w.out, Progress: progress, Logger: w.log,
	})
}
