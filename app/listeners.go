package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/trapline/trapline/config"
)

// listeners are the open sockets by address, and the servers of the console.
type listeners struct {
	mu      sync.Mutex
	open    map[string]net.Listener // guarded by mu
	servers []*http.Server
}

// listen opens every port of the settings. A busy trap port, or console port, is
// skipped with a line that says so: the rest does its work without it. A busy port of the
// real site is an error: without it the owner has nothing.
func (s *Sensor) listen() (listening, error) {
	var l listening
	s.listeners.open = map[string]net.Listener{}
	for _, p := range s.settings.Load().conf.Ports() {
		address, err := s.openPort(p)
		switch {
		case err != nil && p.Honeytrap:
			l.skipped = append(l.skipped, fmt.Sprintf("trap port %d is skipped: %v", p.Port, plainCause(err)))
		case err != nil:
			return l, fmt.Errorf("%s: Listen %s: %w", place(p.File, p.Line), p.Address(), err)
		case p.Honeytrap:
			l.traps = append(l.traps, address)
		default:
			l.secure = l.secure || len(l.sites) == 0 && p.TLS
			l.sites = append(l.sites, address)
		}
	}
	if s.console == nil {
		return l, nil
	}
	var err error
	if l.console, err = s.serveConsole(s.settings.Load().conf.Trap.Console); err != nil && len(l.sites)+len(l.traps) > 0 {
		// The site and the traps do their work without it, and every record is kept.
		l.skipped = append(l.skipped, fmt.Sprintf("the console is skipped: %v; its events are kept: trapline events", err))
		err = nil
	}
	return l, err
}

// openPort opens one port and serves it until it is closed.
func (s *Sensor) openPort(p config.Port) (address string, err error) {
	lc := net.ListenConfig{}
	if p.Honeytrap {
		lc.KeepAlive = -1 // a trap's connections live 30 s at most, and setting it up is a tenth of what a bare connect costs
	}
	ln, err := lc.Listen(s.alive, "tcp", p.Address())
	if err != nil {
		return "", err
	}
	s.listeners.mu.Lock()
	s.listeners.open[p.Address()] = ln
	s.listeners.mu.Unlock()
	s.spawn("port "+p.Address(), func(ctx context.Context) error {
		var err error
		if p.Honeytrap {
			err = s.trap.Serve(ctx, ln)
		} else {
			err = s.gate.Serve(ctx, ln)
		}
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || s.closing(p.Address()) {
			return nil
		}
		return err
	})
	return ln.Addr().String(), nil
}

// closing says whether a reload or a stop has closed the listener.
func (s *Sensor) closing(address string) bool {
	s.listeners.mu.Lock()
	defer s.listeners.mu.Unlock()
	_, open := s.listeners.open[address]
	return !open
}

// relisten opens the ports that the new settings have and the old had not, and
// closes those that went. A port that stays keeps its socket: no connection is refused meanwhile.
func (s *Sensor) relisten(old, now []config.Port) {
	wanted := map[string]config.Port{}
	for _, p := range now {
		wanted[p.Address()] = p
	}
	for _, p := range old {
		n, stays := wanted[p.Address()]
		s.listeners.mu.Lock()
		ln := s.listeners.open[p.Address()]
		// One that was busy is tried again: a reload is how the owner says that it is free now.
		stays = stays && ln != nil && n.Honeytrap == p.Honeytrap && n.TLS == p.TLS
		if !stays {
			delete(s.listeners.open, p.Address())
		}
		s.listeners.mu.Unlock()
		if stays {
			delete(wanted, p.Address())
			continue
		}
		if ln != nil {
			_ = ln.Close()
			s.log.Info("port closed", "address", p.Address())
		}
	}
	for _, p := range wanted {
		if _, err := s.openPort(p); err != nil {
			s.log.Error("port could not be opened", "directive", place(p.File, p.Line), "address", p.Address(), "err", err)
			continue
		}
		s.log.Info("port opened", "address", p.Address(), "honeytrap", p.Honeytrap)
	}
}

// serveHTTP runs an HTTP server of our own (console, administration) on a listener.
func (s *Sensor) serveHTTP(name string, ln net.Listener, h http.Handler) {
	ctx, cancel := context.WithCancel(s.alive)
	server := &http.Server{
		Handler: bodiesIn(time.Minute, h), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, // X-ForensicLog-Summary alone has 4 KB
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	server.RegisterOnShutdown(cancel) // live event streams have no end of their own
	s.listeners.mu.Lock()
	s.listeners.servers = append(s.listeners.servers, server)
	s.listeners.mu.Unlock()
	s.spawn(name, func(context.Context) error {
		defer cancel()
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// bodiesIn bounds the time in which a request's body must arrive, read by the
// handler or, when it is not, by net/http after the answer: without an end to it
// anybody could hold the process's descriptors, those of the traps and the site included.
// The server's own ReadTimeout would end live event streams as well.
func bodiesIn(limit time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limit))
		}
		h.ServeHTTP(w, r)
	})
}

// shutdown drains our own HTTP servers.
func (l *listeners) shutdown(ctx context.Context) error {
	l.mu.Lock()
	clear(l.open)
	servers := l.servers
	l.mu.Unlock()
	var errs []error
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// plainCause is the innermost text of a network error: "address already in use".
func plainCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
