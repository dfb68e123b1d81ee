package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/trapline/trapline/auditlog"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/forward"
)

// replayBatch is how many records one commit (or one request) takes.
const replayBatch = 256

// ReplayOptions say what to import and where.
type ReplayOptions struct {
	Paths []string
	// Data is the data directory of a console on this machine; Console is the address of one elsewhere and goes first.
	Data, Console    string
	Sensor, Password string
	Out, Progress    io.Writer // Progress nil: no bar
	Logger           *slog.Logger
}

// replay is one import under way.
type replay struct {
	opt                    ReplayOptions
	send                   func(context.Context, []auditlog.Entry) (stored, known, refused int, err error)
	batch                  []auditlog.Entry
	stored, known, refused int
	unreadable             int
	read, total            int64
	lastBar                time.Time
}

// Replay imports audit logs of ModSecurity 2 and 3 into a console. Every record
// is recognised by sensor and id, so an import that broke off is simply repeated.
func Replay(ctx context.Context, opt ReplayOptions) (err error) {
	r := &replay{opt: opt}
	if opt.Console != "" {
		r.send = sendTo(opt)
	} else {
		st, err := store.Open(store.Config{Dir: consoleDir(opt.Data), Logger: opt.Logger})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Close()) }()
		r.send = insertInto(st, opt.Sensor)
	}
	if r.total, err = auditlog.Size(opt.Paths...); err != nil {
		return err
	}
	for entry, err := range auditlog.Entries(ctx, opt.Paths...) {
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.refuse(err)
			continue
		}
		r.read = entry.Progress
		r.batch = append(r.batch, entry)
		if len(r.batch) == replayBatch {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(ctx.Err(), r.flush(ctx)); err != nil {
		return err
	}
	r.bar(true)
	_, err = fmt.Fprintf(opt.Out, "%d records imported, %d were known, %d refused by the console, %d unreadable (console %s, sensor %s)\n",
		r.stored, r.known, r.refused, r.unreadable, cmp.Or(opt.Console, opt.Data), opt.Sensor)
	return err
}

// shownFaults is how many unreadable entries are worth a line each: a file of
// another kind has thousands.
const shownFaults = 5

func (r *replay) refuse(err error) {
	r.unreadable++
	level := slog.LevelWarn
	if r.unreadable > shownFaults {
		level = slog.LevelDebug
	}
	r.opt.Logger.Log(context.Background(), level, "not imported", "err", err)
	if r.unreadable == shownFaults {
		r.opt.Logger.Warn("further ones are counted only; --log-level=debug shows each")
	}
}

func (r *replay) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	stored, known, refused, err := r.send(ctx, r.batch)
	if err != nil {
		return err
	}
	r.stored, r.known, r.refused = r.stored+stored, r.known+known, r.refused+refused
	r.batch = r.batch[:0]
	r.bar(false)
	return nil
}

// bar draws the progress, ten times a second at most.
func (r *replay) bar(last bool) {
	if r.opt.Progress == nil || !last && time.Since(r.lastBar) < 100*time.Millisecond {
		return
	}
	r.lastBar = time.Now()
	const width = 40
	done := width
	if r.total > 0 && !last {
		done = int(min(r.read*width/r.total, width))
	}
	fmt.Fprintf(r.opt.Progress, "\r[%s%s] %3d%%  %d records", strings.Repeat("=", done), strings.Repeat(" ", width-done), done*100/width, r.stored+r.known)
	if last {
		fmt.Fprintln(r.opt.Progress)
	}
}

// insertInto writes into the database of a console on this machine.
func insertInto(st *store.Store, sensor string) func(context.Context, []auditlog.Entry) (int, int, int, error) {
	return func(ctx context.Context, batch []auditlog.Entry) (stored, known, refused int, err error) {
		events := make([]store.Event, len(batch))
		for i, e := range batch {
			events[i] = store.Event{Sensor: sensor, Received: time.Now(), Entry: e.Native, Record: e.Record}
		}
		res, err := st.Insert(ctx, events)
		return res.Stored, res.Known, 0, err
	}
}

// sendTo sends to a console elsewhere with the protocol that sensors use.
func sendTo(opt ReplayOptions) func(context.Context, []auditlog.Entry) (int, int, int, error) {
	d := forward.Destination{Name: opt.Console, URL: opt.Console, User: opt.Sensor, Password: opt.Password, Protocol: "batch"}
	return func(ctx context.Context, batch []auditlog.Entry) (int, int, int, error) {
		entries := make([][]byte, len(batch))
		for i, e := range batch {
			entries[i] = e.Native
		}
		// Without a word a console that is down and one that is slow look the same.
		late := time.AfterFunc(3*time.Second, func() {
			opt.Logger.Warn("the console has not taken the records yet; it is tried again until interrupted", "console", opt.Console)
		})
		defer late.Stop()
		return forward.SendBatch(ctx, nil, d, entries)
	}
}
