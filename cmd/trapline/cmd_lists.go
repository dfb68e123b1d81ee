package main

import (
	"github.com/trapline/trapline/app"
)

// dataFlag is shared by the commands that look into a data directory.
type dataFlag struct {
	Data string `help:"The data directory of the program that runs, or ran." default:"${data}" placeholder:"DIR" env:"TRAPLINE_DATA"`
}

type eventsCmd struct {
	dataFlag
	ID    string `arg:"" optional:"" help:"Show this record whole."`
	Count int    `short:"n" help:"How many of the newest." default:"20"`
}

// Run lists events, or prints one record as ModSecurity writes it.
func (c *eventsCmd) Run(w *world) error {
	if c.ID != "" {
		return app.ShowEvent(w.ctx, w.out, c.Data, c.ID)
	}
	return app.ListEvents(w.ctx, w.out, c.Data, c.Count)
}

type decisionsCmd struct {
	List   decisionsListCmd   `cmd:"" default:"withargs" help:"Who is banned or watched, why, until when."`
	Delete decisionsDeleteCmd `cmd:"" help:"Lift the decisions on an address and its tag."`
}

type decisionsListCmd struct{ dataFlag }

// Run asks the running program.
func (c *decisionsListCmd) Run(w *world) error { return app.ListDecisions(w.ctx, w.out, c.Data) }

type decisionsDeleteCmd struct {
	dataFlag
	Address string `arg:"" help:"Address of the client."`
}

// Run asks the running program.
func (c *decisionsDeleteCmd) Run(w *world) error {
	return app.DeleteDecision(w.ctx, w.out, c.Data, c.Address)
}

type sensorsCmd struct {
	List   sensorsListCmd   `cmd:"" default:"withargs" help:"The console's sensors."`
	Add    sensorsAddCmd    `cmd:"" help:"Enrol a sensor and print the line to paste there."`
	Renew  sensorsRenewCmd  `cmd:"" help:"Give a sensor a new secret; the old one ends at once."`
	Remove sensorsRemoveCmd `cmd:"" help:"Let a sensor report no more; its events stay."`
}

type passwordCmd struct {
	dataFlag
	User string `arg:"" optional:"" help:"The user, admin if not given." default:"admin"`
}

// Run prints the new password once.
func (c *passwordCmd) Run(w *world) error { return app.ResetPassword(w.ctx, w.out, c.Data, c.User) }

type sensorsListCmd struct{ dataFlag }

// Run lists the sensors.
func (c *sensorsListCmd) Run(w *world) error { return app.ListSensors(w.ctx, w.out, c.Data) }

type sensorsAddCmd struct {
	dataFlag
	Name     string `arg:"" help:"The sensor's name: its user name towards the console."`
	Password string `help:"Take this password instead of making one (for sensors that exist already)." env:"TRAPLINE_SENSOR_SECRET"`
}

// Run prints the secret once; only its hash is kept.
func (c *sensorsAddCmd) Run(w *world) error {
	return app.AddSensor(w.ctx, w.out, c.Data, c.Name, c.Password)
}

type sensorsRenewCmd struct {
	dataFlag
	Name string `arg:"" help:"The sensor's name."`
}

// Run prints the new secret once.
func (c *sensorsRenewCmd) Run(w *world) error { return app.RenewSensor(w.ctx, w.out, c.Data, c.Name) }

type sensorsRemoveCmd struct {
	dataFlag
	Name string `arg:"" help:"The sensor's name."`
}

// Run removes the login.
func (c *sensorsRemoveCmd) Run(w *world) error { return app.RemoveSensor(w.ctx, w.out, c.Data, c.Name) }

type statusCmd struct {
	dataFlag
	All bool `short:"a" help:"Also what is 0."`
}

// Run asks the running program.
func (c *statusCmd) Run(w *world) error { return app.Status(w.ctx, w.out, c.Data, c.All) }
