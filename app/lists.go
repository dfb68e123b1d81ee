package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
)

// openStore opens the event database of a data directory, beside the program
// that may be running on it: SQLite lets several processes read and write.
func openStore(data string) (*store.Store, error) {
	if _, err := os.Stat(consoleDir(data)); err != nil {
		return nil, noConsole(data, err)
	}
	return store.Open(store.Config{Dir: consoleDir(data)})
}

// ListEvents prints the newest events, oldest of them last.
func ListEvents(ctx context.Context, out io.Writer, data string, count int) (err error) {
	st, err := openStore(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var page store.Page
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "TIME (%s)\tSENSOR\tCLIENT\tPORT\tSTATUS\tID\tREQUEST\n", time.Now().Format("MST"))
	for count > 0 {
		page.Limit = min(count, 500)
		events, older, err := st.Events(ctx, store.Filter{}, page)
		if err != nil {
			return err
		}
		for _, e := range events {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", e.Time.Local().Format(time.DateTime), visible(e.Sensor),
				clientText(e), e.Port, e.Status, visible(e.ID), visible(requestText(e)))
		}
		count -= len(events)
		if len(events) < page.Limit {
			break
		}
		page.Older = older
	}
	return w.Flush()
}

// clientText is the client's address and port; a record of a sensor itself has none.
func clientText(e store.Summary) string {
	if !e.Client.IsValid() {
		return "-"
	}
	return e.Client.String()
}

// requestText is the request in one line, or what came instead of one.
func requestText(e store.Summary) string {
	if !e.Client.IsValid() && e.Message != "" {
		return "(" + e.Message + ")"
	}
	if e.Method == "" && e.URI == "" {
		return "(" + e.Kind.String() + ")"
	}
	return e.Method + " " + e.URI
}

// visible makes control characters of hostile text visible: a terminal would obey them.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ShowEvent prints one record as ModSecurity writes it. Only when out is not a
// terminal are its bytes printed as they came.
func ShowEvent(ctx context.Context, out io.Writer, data, id string) (err error) {
	st, err := openStore(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	e, err := st.Event(ctx, "", id)
	if err != nil {
		return fmt.Errorf("event %s in %s: %w", visible(id), data, err)
	}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			for _, line := range strings.SplitAfter(string(e.Entry), "\n") {
				text, newline := strings.CutSuffix(line, "\n")
				if fmt.Fprint(out, visible(text)); newline {
					fmt.Fprintln(out)
				}
			}
			return nil
		}
	}
	_, err = out.Write(e.Entry)
	return err
}

func openControl(data string) (*control.Control, error) {
	return control.Open(control.Config{Dir: consoleDir(data)})
}

// ResetPassword gives a console user a new password and prints it; every session
// of the user ends. A name that is new becomes a user.
func ResetPassword(ctx context.Context, out io.Writer, data, user string) (err error) {
	c, err := openControl(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	known, err := c.HasUser(ctx, user)
	if err != nil {
		return err
	}
	password, err := c.ResetPassword(ctx, user)
	if err != nil {
		return err
	}
	if !known {
		fmt.Fprintf(out, "there was no user %s in %s: made one\n", user, data)
	}
	_, err = fmt.Fprintf(out, "new password of %s: %s   (shown this once; open sessions have ended)\n", user, password)
	return err
}
