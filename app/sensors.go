package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/trapline/trapline/console/control"
)

// ListSensors prints the console's sensors.
func ListSensors(_ context.Context, out io.Writer, data string) error {
	// A misspelt directory shall not become an empty console.
	if _, err := os.Stat(consoleDir(data)); err != nil {
		return noConsole(data, err)
	}
	return withControl(data, func(c *control.Control) error {
		w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintf(w, "NAME\tENROLLED\tLAST SEEN (%s)\tFROM\n", time.Now().Format("MST"))
		for _, s := range c.Sensors() {
			seen, from := "never", "-"
			if !s.Seen.IsZero() {
				seen = s.Seen.Local().Format(time.DateTime)
			}
			if s.Address != "" {
				from = s.Address
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", visible(s.Name), s.Created.Local().Format(time.DateTime), seen, from)
		}
		return w.Flush()
	})
}

// AddSensor enrols a sensor and prints what to paste there. With a password the sensor keeps the one it has.
func AddSensor(ctx context.Context, out io.Writer, data, name, password string) error {
	return withControl(data, func(c *control.Control) error {
		if password != "" {
			if err := c.SetSensor(ctx, name, password); err != nil {
				return fmt.Errorf("sensor %s: %w", visible(name), err)
			}
			_, err := fmt.Fprintf(out, "sensor %s enrolled with the given password\n", name)
			return err
		}
		secret, err := c.AddSensor(ctx, name)
		if errors.Is(err, control.ErrSensorExists) {
			return fmt.Errorf("sensor %s is enrolled already; trapline sensors renew %[1]s gives it a new secret", name)
		}
		if err != nil {
			return fmt.Errorf("sensor %q: %w", name, err)
		}
		return pasteSensor(out, "enrolled", name, secret)
	})
}

// RenewSensor gives a sensor a new secret and prints what to paste there; the old one ends at once.
func RenewSensor(ctx context.Context, out io.Writer, data, name string) error {
	return withControl(data, func(c *control.Control) error {
		secret, err := c.RenewSensor(ctx, name)
		if err != nil {
			return fmt.Errorf("sensor %q: %w", name, err)
		}
		return pasteSensor(out, "renewed", name, secret)
	})
}

// RemoveSensor ends a sensor's right to report; its events stay.
func RemoveSensor(ctx context.Context, out io.Writer, data, name string) error {
	return withControl(data, func(c *control.Control) error {
		if err := c.RemoveSensor(ctx, name); err != nil {
			return fmt.Errorf("sensor %q: %w", name, err)
		}
		_, err := fmt.Fprintf(out, "sensor %s removed; its events stay\n", name)
		return err
	})
}

func pasteSensor(out io.Writer, done, name, secret string) error {
	_, err := fmt.Fprintf(out, `sensor %s %s; its secret is shown this once:

in its trapline.conf:
  TrapReport https://THIS-CONSOLE/ user=%[1]s password=%[3]s

or in its mlogc.conf:
  ConsoleURI     "https://THIS-CONSOLE/rpc/auditLogReceiver"
  SensorUsername "%[1]s"
  SensorPassword "%[3]s"

THIS-CONSOLE is the address under which the sensor reaches TrapConsole.
`, name, done, secret)
	return err
}

// withControl runs f on the console's sensors and users, beside the program that may be running on them.
func withControl(data string, f func(*control.Control) error) (err error) {
	c, err := openControl(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return f(c)
}

func noConsole(data string, err error) error {
	return fmt.Errorf("no console has kept data in %s (choose its data directory with --data): %w", data, err)
}
