package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/auditlog"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/gate"
	"github.com/trapline/trapline/seclang"
)

// guardian is SecGuardianLog: one for the whole server, sites and traps alike.
type guardian struct {
	log *auditlog.Guardian
	env string // only requests that have this variable, "" for all
	not bool   // only those that have it not
}

// openGuardian opens what the main server's SecGuardianLog names; nil: it names nothing.
func (a *auditLogs) openGuardian(s seclang.Settings) (*guardian, error) {
	if s.GuardianLog == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	log, err := auditlog.OpenGuardian(a.path(s.GuardianLog), a.log)
	if err != nil {
		d := s.Origin["secguardianlog"]
		return nil, fmt.Errorf("%s: SecGuardianLog: %w", place(d.File, d.Line), err)
	}
	g := &guardian{log: log}
	g.env, g.not = strings.CutPrefix(s.GuardianIf, "!")
	return g, nil
}

// write is the function that gate and trap call, nil without a log.
func (g *guardian) write() gate.Guardian {
	if g == nil {
		return nil
	}
	return func(l *audit.IndexLine, took time.Duration, env func(string) (string, bool)) {
		if g.env != "" {
			if _, set := env(g.env); set == g.not {
				return
			}
		}
		g.log.Write(l, took)
	}
}

func (g *guardian) close() error {
	if g == nil {
		return nil
	}
	return g.log.Close()
}

// guardianStats are the counters of a guardian log.
type guardianStats struct{ Dropped, Restarts int64 }

// checkGuardian refuses SecGuardianLog in a <VirtualHost>, as mod_security2 does: there is one for the server.
func checkGuardian(conf *config.Config) error {
	var errs []error
	for _, h := range conf.Hosts {
		own, inherits := ownDirectives(conf.Main.Sec, h.Sec)
		if !inherits {
			own = h.Sec
		}
		for _, d := range own {
			if strings.EqualFold(d.Name, "SecGuardianLog") {
				errs = append(errs, &seclang.Error{File: d.File, Line: d.Line, Text: "found SecGuardianLog in a <VirtualHost>, expected it outside: there is one for the server"})
			}
		}
	}
	return errors.Join(errs...)
}
