package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/auditlog"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/gate"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/trap"
)

// settings is everything that a reload replaces at once. It is immutable; a
// request keeps the one with which it began.
type settings struct {
	*loaded
	hosts     map[*config.Host]*host
	decisions []config.Decision
	logs      *auditLogs
	guardian  *guardian // nil: none
	debug     *debugLogs
}

// host is one virtual host as it runs.
type host struct {
	name      string
	honeytrap bool
	route     *route
	logs      []*auditlog.Writer
	engine    *seclang.Engine
	handle    func(context.Context, *audit.Record, collection.Ticket) error
	trap      *trap.Host // of honeytraps
}

// build makes the settings of a configuration, opening what they need; nothing that runs changes yet.
func (s *Sensor) build(ctx context.Context, conf *config.Config, warnings []config.Warning) (*settings, error) {
	logs := &auditLogs{root: conf.Root, log: s.log, open: map[string]*auditlog.Writer{}}
	debug := newDebugLogs(logs, s.errorLog, s.log, &s.lostLines)
	l, err := compile(ctx, conf, warnings, s.collections, s.secret, debug.output())
	if err != nil {
		return nil, errors.Join(err, debug.close())
	}
	for _, line := range l.fetched {
		s.log.Info("SecRemoteRules", "rules", line)
	}
	if len(conf.Ports()) == 0 && conf.Trap.Console == "" {
		return nil, errors.Join(errNothing, debug.close())
	}
	l.warnings = append(l.warnings, remarks(l)...)
	set := &settings{loaded: l, hosts: map[*config.Host]*host{}, decisions: conf.Trap.Decisions, logs: logs, debug: debug}
	if set.guardian, err = set.logs.openGuardian(seclang.ServerSettings(conf.Main.Sec)); err != nil {
		return nil, errors.Join(err, debug.close())
	}
	for _, c := range usedHosts(conf) {
		h, err := s.buildHost(l, c, set)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", place(c.File, c.Line), err), set.close())
		}
		set.hosts[c] = h
	}
	s.sweepTempFiles(set)
	return set, nil
}

func (s *Sensor) buildHost(l *loaded, c *config.Host, set *settings) (*host, error) {
	engine := l.engines[c]
	h := &host{name: c.Name, honeytrap: c.Honeytrap, engine: engine}
	var err error
	if h.route, err = s.routes.of(l.conf, c); err != nil {
		return nil, err
	}
	if h.logs, err = set.logs.of(engine.Settings()); err != nil {
		return nil, err
	}
	h.handle = func(ctx context.Context, r *audit.Record, tag collection.Ticket) error {
		return s.handle(ctx, h, r, tag)
	}
	if !c.Honeytrap {
		return h, nil
	}
	h.trap = &trap.Host{Name: c.Name, Engine: engine, TagConnect: c.TagConnect, Handle: h.handle, Guardian: set.guardian.write()}
	if c.DocumentRoot != "" {
		h.trap.DocumentRoot = files(c.DocumentRoot)
	}
	return h, nil
}

// files answers from the folder of a honeytrap as Apache's default handler does:
// 501 for a method it does not know, 405 for one it knows and files do not have.
func files(folder string) http.Handler {
	serve := http.FileServer(http.Dir(folder))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
			serve.ServeHTTP(w, r)
		case http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodTrace, http.MethodConnect, "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK":
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			w.WriteHeader(http.StatusNotImplemented)
		}
	})
}

// sites tells the gate which hosts it serves. Those that no port reaches have no
// engine there. A honeytrap has one: a name of its own on a port of the real site
// (a decoy) is served by the gate, which must tag and record whoever asks for it.
func (set *settings) sites() gate.Sites {
	return gate.Sites{Config: set.conf, Guardian: set.guardian.write(), Site: func(c *config.Host) gate.Site {
		h, ok := set.hosts[c]
		if !ok {
			return gate.Site{Host: c}
		}
		return gate.Site{Host: c, Engine: h.engine, Handle: h.handle}
	}}
}

// trapHost finds the honeytrap host of a connection or request. Every port of the
// trap belongs to honeytraps only, so there is always one.
func (s *Sensor) trapHost(local netip.AddrPort, name string) *trap.Host {
	set := s.settings.Load()
	if h, ok := set.hosts[set.conf.HostFor(local, name)]; ok && h.trap != nil {
		if s.lastTrap.Load() != h.trap {
			s.lastTrap.Store(h.trap)
		}
		return h.trap
	}
	// A reload took the port away while this connection was open: what it sends is still a touch of the host that it came to.
	return s.lastTrap.Load()
}

// close closes the logs.
func (set *settings) close() error {
	return errors.Join(set.logs.close(), set.guardian.close(), set.debug.close())
}

// trapLimits carries the TrapLimit lines to the room that keeps them.
func trapLimits(c config.TrapLimits) trap.Limits {
	return trap.Limits{
		Head: int(c.HeaderBytes), Body: int(c.BodyBytes), RequestTime: c.Request, ConnTime: c.Connection,
		PerClient: c.PerClient, Total: c.Connections,
	}
}
