package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/ingest"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/console/web"
)

// console is what the own console keeps. Its disk may be full or read-only at the start: then it
// opens later, records wait in the spool, and pages and sensors are told so.
type console struct {
	events  store.Config
	control control.Config

	opened chan struct{} // closed once all below is set
	store  *store.Store
	users  *control.Control
	ingest *ingest.Receiver
	login  string // what the owner should know about the first login
}

func newConsole(data string, keep *config.Store, log *slog.Logger) *console {
	c := &console{
		events: store.Config{Dir: consoleDir(data), Logger: log}, control: control.Config{Dir: consoleDir(data), Logger: log}, opened: make(chan struct{}),
	}
	if keep != nil {
		c.events.MaxAge, c.events.MaxBytes = keep.MaxAge, keep.MaxBytes
	}
	return c
}

// open opens both databases, or none. It is not called again after it returned nil.
func (c *console) open() error {
	st, err := store.Open(c.events)
	if err != nil {
		return err
	}
	users, err := control.Open(c.control)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	if c.login, err = firstLogin(users); err != nil {
		return errors.Join(err, users.Close(), st.Close())
	}
	c.store, c.users = st, users
	c.ingest = ingest.New(ingest.Config{Store: st, Control: users, Logger: c.events.Logger})
	close(c.opened)
	return nil
}

func firstLogin(users *control.Control) (string, error) {
	password, first, err := users.FirstRun()
	switch {
	case err != nil:
		return "", fmt.Errorf("first login of the console: %w", err)
	case first:
		return fmt.Sprintf("admin  %s   (shown this once; only a hash is kept)", password), nil
	}
	return "admin, with the password shown at the first start; forgotten: trapline password", nil
}

func (c *console) isOpen() bool {
	select {
	case <-c.opened:
		return true
	default:
		return false
	}
}

// Close closes what is open.
func (c *console) Close() error {
	if !c.isOpen() {
		return nil
	}
	return errors.Join(c.store.Close(), c.users.Close())
}

// openConsole opens what the own console keeps, now or when its disk lets it.
func (s *Sensor) openConsole(keep *config.Store) {
	s.console = newConsole(s.data, keep, s.log)
	early := true
	s.disk.add("console", consoleDir(s.data), func() error {
		if err := s.console.open(); err != nil {
			return err
		}
		s.spawn("event store", s.console.store.Run)
		s.spawn("control data", s.console.users.Run)
		if !early { // the banner has been printed without it
			fmt.Fprintf(s.opt.Out, "  login    %s\n", s.console.login)
		}
		return nil
	}, nil)
	early = s.console.isOpen()
}

func consoleDir(data string) string { return filepath.Join(data, "console") }

// serveConsole opens the console's port: pages for people, PUTs and batches of sensors.
func (s *Sensor) serveConsole(address string) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(s.alive, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("TrapConsole %s: %w", address, err)
	}
	pages := sync.OnceValue(s.consolePages)
	s.serveHTTP("console", ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.console.isOpen() {
			// Sensors come back with what they have; so do people.
			w.Header().Set("Retry-After", "60")
			http.Error(w, "The console cannot open its databases; trapline's log says why. It tries again every minute, and records wait until then.", http.StatusServiceUnavailable)
			return
		}
		pages().ServeHTTP(w, r)
	}))
	return ln.Addr().String(), nil
}

func (s *Sensor) consolePages() http.Handler {
	conf, c := s.settings.Load().conf, s.console
	mux := http.NewServeMux()
	mux.Handle(ingest.PathPut, c.ingest)
	mux.Handle(ingest.PathBatch, c.ingest)
	mux.Handle("/", web.New(web.Config{
		Store: c.store, Control: c.users, Version: s.opt.Version, Logger: s.log, Hosts: conf.Trap.ConsoleNames, TrapPorts: trapPorts(conf),
		Decisions: s.webDecisions,
		Unban: func(ctx context.Context, address netip.Addr) error {
			if err := s.lift(ctx, address); !errors.Is(err, errNoDecision) {
				return err
			}
			return nil
		},
	}))
	return mux
}

// trapPorts are the ports that the console's empty list tells the owner to try.
func trapPorts(conf *config.Config) []uint16 {
	var ports []uint16
	for _, p := range conf.Ports() {
		if p.Honeytrap {
			ports = append(ports, p.Port)
		}
	}
	return ports
}
