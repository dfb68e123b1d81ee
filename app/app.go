// Package app wires the rooms into the program that runs: configuration in,
// listeners out, and between them the line of an event (line.go). It owns every
// lifecycle: what starts, what a reload swaps, in which order things end. It
// keeps no data of its own; after a crash each room reopens what it promised.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/decision"
	"github.com/trapline/trapline/gate"
	"github.com/trapline/trapline/internal/durable"
	"github.com/trapline/trapline/seclang/connlimit"
	"github.com/trapline/trapline/trap"
)

// drainTime is how long a stop waits for requests under way.
const drainTime = 15 * time.Second

// ownSensor is the name under which this process's own records stand in its own console.
const ownSensor = "local"

// Options say what to run. Config is the path of the configuration, "" for the embedded default.
type Options struct {
	Config string
	// Data overrides TrapData; DefaultData is where data lies when neither says so.
	Data, DefaultData string
	Version           string
	Out               io.Writer // what the user should read; logs go to Logger
	Logger            *slog.Logger
	Env               func(name string) (string, bool)
	Reload            <-chan struct{}
	// Notify tells the service manager about states, as sd_notify does.
	Notify func(state string)
}

// Sensor is the running program.
type Sensor struct {
	opt         Options
	log         *slog.Logger
	data        string
	held        io.Closer    // the data directory's lock
	secret      []byte       // what random keys are made of
	errorLog    *errorLog    // nil when the log is not a file of ErrorLog
	lostLines   atomic.Int64 // of debug logs and of rules in the error log
	settings    atomic.Pointer[settings]
	collections *collection.Store
	decisions   *decision.Log
	console     *console // nil when there is no own console
	disk        *disk
	routes      *routes
	folds       *folds
	trap        *trap.Trap
	gate        *gate.Gate
	connections *connlimit.Counter // of sites and traps together, as mod_security2 counts
	listeners   listeners
	lastTrap    atomic.Pointer[trap.Host] // the one that answered last
	now         func() time.Time

	alive      context.Context // ends after the listeners have drained; everything in the background runs under it
	end        context.CancelFunc
	background sync.WaitGroup
	fatal      chan error // the first background task that ended in an error
}

// Run serves until ctx ends, then drains and returns nil. An error before that
// says what could not start or what failed so badly that promises could not be kept.
func Run(ctx context.Context, opt Options) error {
	s, err := open(ctx, opt)
	if err != nil {
		return err
	}
	err = s.serve(ctx)
	return errors.Join(err, s.close())
}

// open loads the configuration and opens every room, listening to nothing yet.
func open(ctx context.Context, opt Options) (*Sensor, error) {
	conf, warnings, err := load(ctx, opt)
	if err != nil {
		return nil, err
	}
	s := &Sensor{opt: opt, now: time.Now, fatal: make(chan error, 1)}
	if s.log, s.errorLog, err = openErrorLog(conf.Main, opt.Logger); err != nil {
		return nil, err
	}
	s.alive, s.end = context.WithCancel(context.Background())
	s.data = cmp.Or(opt.Data, conf.Trap.Data, opt.DefaultData)
	if err := s.openRooms(ctx, conf, warnings); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Sensor) openRooms(ctx context.Context, conf *config.Config, warnings []config.Warning) error {
	s.disk = &disk{log: s.log, now: s.now}
	if err := s.holdData(); err != nil {
		return err
	}
	var err error
	s.secret = openSecret(s.data, s.disk)
	if s.collections, err = collection.Open(collection.Config{
		Dir: filepath.Join(s.data, "collections"), Detached: true, Logger: s.log, Except: s.allowed,
	}); err != nil {
		return err
	}
	s.disk.add("tags", filepath.Join(s.data, "collections"), s.collections.Attach, nil)
	s.spawn("collections", s.collections.Run)
	if s.decisions, err = decision.Open(decision.Config{Dir: filepath.Join(s.data, "decisions"), Detached: true, Logger: s.log}); err != nil {
		return err
	}
	s.disk.add("decisions", filepath.Join(s.data, "decisions"), s.decisions.Attach, nil)
	s.spawn("decisions", s.decisions.Run)
	if conf.Trap.Console != "" {
		s.openConsole(conf.Trap.Store)
	}
	s.routes = &routes{dir: filepath.Join(s.data, "spool"), console: s.console, disk: s.disk, log: s.log, spawn: s.spawn, open: map[string]*route{}}
	s.folds = newFolds(s.log, s.now, s.summarize)
	s.limit(conf)
	set, err := s.build(ctx, conf, warnings)
	if err != nil {
		return err
	}
	s.settings.Store(set)
	s.connections = connlimit.New(s.log, nil)
	s.connections.SetLimits(set.connections)
	s.routes.finish()
	if s.trap, err = trap.New(trap.Config{Host: s.trapHost, Limits: trapLimits(conf.Trap.Limits), Logger: s.log, Connections: s.connections}); err != nil {
		return err
	}
	if s.gate, err = gate.New(gate.Config{Sites: set.sites(), Logger: s.log, Connections: s.connections}); err != nil {
		return err
	}
	s.spawn("records of the real site", s.gate.Run)
	s.spawn("summaries of floods", s.folds.run)
	s.spawn("data disk", s.disk.run)
	return nil
}

// limit sets what a configuration says about room on disk.
func (s *Sensor) limit(conf *config.Config) {
	s.routes.limit(conf.Trap.SpoolBytes)
	s.folds.limit(conf.Trap.Limits.ClientRecords)
}

// holdData makes the data directory and takes it for this process. Another trapline on it,
// or another user's directory, is an error; a disk that cannot be written is not.
func (s *Sensor) holdData() error {
	take := func() (err error) {
		if err := durable.MkdirAll(s.data, 0o700); err != nil {
			return fmt.Errorf("data directory (choose another with --data or TrapData): %w", err)
		}
		s.held, err = hold(s.data)
		return err
	}
	err := take()
	if err == nil {
		return nil
	}
	if bearable, why := bearable(s.data, err); !bearable {
		return errors.Join(why, err)
	}
	s.disk.add("data directory", s.data, take, nil)
	return nil
}

// serve opens the listeners and waits for the end of ctx, a reload, or a failure.
func (s *Sensor) serve(ctx context.Context) error {
	report, err := s.listen()
	if err != nil {
		return err
	}
	s.disk.add("administration socket", filepath.Join(s.data, adminSocket), s.serveAdmin, nil)
	if err := s.banner(report); err != nil {
		return err
	}
	s.notify("READY=1")
	for {
		select {
		case <-ctx.Done():
			s.log.Info("stopping: requests under way are finished first", "limit", drainTime)
			s.notify("STOPPING=1")
			return s.drain()
		case err := <-s.fatal:
			return errors.Join(err, s.drain())
		case <-s.opt.Reload:
			s.notify("RELOADING=1")
			s.reload(ctx)
			s.notify("READY=1")
		}
	}
}

// drain closes the listeners and lets what has begun come to its end.
func (s *Sensor) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var wg sync.WaitGroup
	var errs [3]error
	wg.Go(func() { errs[0] = s.trap.Shutdown(ctx) })
	wg.Go(func() { errs[1] = s.gate.Shutdown(ctx) })
	wg.Go(func() { errs[2] = s.listeners.shutdown(ctx) })
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		s.log.Warn("some requests did not end in time and were cut", "limit", drainTime, "err", err)
	}
	return nil
}

// close ends the background work and closes the rooms, records first.
func (s *Sensor) close() error {
	s.end()
	s.background.Wait()
	if s.folds != nil {
		s.folds.flush(context.Background(), true)
	}
	var errs []error
	if set := s.settings.Load(); set != nil {
		errs = append(errs, set.close())
	}
	if s.routes != nil {
		errs = append(errs, s.routes.close())
	}
	for _, c := range []io.Closer{closer(s.gate), closer(s.decisions), closer(s.collections), closer(s.console), s.held, closer(s.errorLog)} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// closer makes a nil pointer a nil interface.
func closer[T any, P interface {
	*T
	io.Closer
}](p P) io.Closer {
	if p == nil {
		return nil
	}
	return p
}

// spawn runs a part of the program until alive ends. One that fails before that
// ends the program: it would go on without keeping what it promised.
func (s *Sensor) spawn(name string, run func(context.Context) error) {
	s.background.Go(func() {
		err := run(s.alive)
		if err == nil || s.alive.Err() != nil {
			return
		}
		select {
		case s.fatal <- fmt.Errorf("%s: %w", name, err):
		default: // one has failed already
		}
	})
}

func (s *Sensor) notify(state string) {
	if s.opt.Notify != nil {
		s.opt.Notify(state)
	}
}
