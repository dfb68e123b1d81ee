package app

import (
	"context"
	"errors"
	"time"
)

// reload reads the configuration again. An error changes nothing: the program
// goes on with what it had, and the log says why. Connections, tags, spools and
// the console stay as they are; requests under way finish with the rules they began with.
func (s *Sensor) reload(ctx context.Context) {
	if s.errorLog != nil {
		if err := s.errorLog.reopen(); err != nil {
			s.log.Error("the log goes on in the old file", "err", err)
		}
	}
	conf, warnings, err := load(ctx, s.opt)
	if err != nil {
		s.log.Error("reload refused, the old configuration stays", "err", err)
		return
	}
	next, err := s.build(ctx, conf, warnings)
	if err != nil {
		s.log.Error("reload refused, the old configuration stays", "err", err)
		return
	}
	if err := s.gate.SetSites(next.sites()); err != nil {
		s.log.Error("reload refused, the old configuration stays", "err", errors.Join(err, next.close()))
		return
	}
	for _, w := range next.warnings {
		s.log.Warn("configuration", "warning", w.String())
	}
	old := s.settings.Swap(next)
	s.connections.SetLimits(next.connections)
	s.limit(next.conf)
	s.relisten(old.conf.Ports(), next.conf.Ports())
	if old.conf.Trap.Console != next.conf.Trap.Console {
		s.log.Warn("TrapConsole changes with a restart only", "now", old.conf.Trap.Console, "file_says", next.conf.Trap.Console)
	}
	s.log.Info("configuration loaded", "hosts", len(next.hosts), "ports", len(next.conf.Listen))
	// Requests under way may still write to the old audit logs.
	s.background.Go(func() {
		select {
		case <-s.alive.Done():
		case <-time.After(2 * drainTime):
		}
		if err := old.close(); err != nil {
			s.log.Error("close the audit logs of the old configuration", "err", err)
		}
	})
}
