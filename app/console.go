package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

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

	telling        sync.Mutex
	bannered, told bool // guarded by telling: the banner is printed up to here; the login is
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

// consolePatience is how long the start waits for the console's databases: the first start of a newer
// program may have to make an index over gigabytes.
const consolePatience = 5 * time.Second

// openConsole opens what the own console keeps, now or when its disk lets it.
func (s *Sensor) openConsole(keep *config.Store) {
	s.console = newConsole(s.data, keep, s.log)
	tried := make(chan struct{})
	s.background.Go(func() {
		defer close(tried)
		s.disk.add("console", consoleDir(s.data), func() error {
			if err := s.console.open(); err != nil {
				return err
			}
			s.spawn("event store", s.console.store.Run)
			s.spawn("control data", s.console.users.Run)
			s.console.tell(s.opt.Out, false)
			return nil
		}, nil)
	})
	timer := time.NewTimer(consolePatience)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
		s.log.Warn("the console's databases are not open yet: the site and the traps do not wait for them", "path", consoleDir(s.data))
	}
}

// tell prints the first login once: with the banner, or, when the databases opened later, after it.
func (c *console) tell(out io.Writer, banner bool) {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.bannered = c.bannered || banner
	if c.bannered && !c.told && c.isOpen() {
		c.told = true
		fmt.Fprintf(out, "  login    %s\n", c.login)
	}
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
