package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/ingest"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/console/web"
)

// openConsole opens what the own console keeps.
func (s *Sensor) openConsole(keep *config.Store) error {
	events := store.Config{Dir: consoleDir(s.data), Logger: s.log}
	if keep != nil {
		events.MaxAge, events.MaxBytes = keep.MaxAge, keep.MaxBytes
	}
	var err error
	if s.store, err = store.Open(events); err != nil {
		return err
	}
	s.spawn("event store", s.store.Run)
	if s.control, err = control.Open(control.Config{Dir: consoleDir(s.data), Logger: s.log}); err != nil {
		return err
	}
	s.spawn("control data", s.control.Run)
	return nil
}

func consoleDir(data string) string { return filepath.Join(data, "console") }

// serveConsole opens the console's port: pages for people, PUTs and batches of sensors.
func (s *Sensor) serveConsole(address string) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(s.alive, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("TrapConsole %s: %w", address, err)
	}
	s.ingest = ingest.New(ingest.Config{Store: s.store, Control: s.control, Logger: s.log})
	mux := http.NewServeMux()
	mux.Handle(ingest.PathPut, s.ingest)
	mux.Handle(ingest.PathBatch, s.ingest)
	mux.Handle("/", web.New(web.Config{
		Store: s.store, Control: s.control, Version: s.opt.Version, Logger: s.log, Hosts: s.settings.Load().conf.Trap.ConsoleNames, TrapPorts: trapPorts(s.settings.Load().conf),
		Decisions: s.webDecisions,
		Unban: func(ctx context.Context, address netip.Addr) error {
			if err := s.lift(ctx, address); !errors.Is(err, errNoDecision) {
				return err
			}
			return nil
		},
	}))
	s.serveHTTP("console", ln, mux)
	return ln.Addr().String(), nil
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
