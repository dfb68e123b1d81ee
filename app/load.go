package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// defaultName stands for the embedded configuration in messages.
const defaultName = "default.conf"

// loaded is a configuration whose rules have been compiled.
type loaded struct {
	conf        *config.Config
	engines     map[*config.Host]*seclang.Engine
	warnings    []seclang.Warning
	assumptions []seclang.Assumption
	fetched     []string // what was downloaded, a line each
	connections connlimit.Limits
}

// load reads the configuration of the options, or the embedded one. The error joins every fault of it, those of its rules included.
func load(ctx context.Context, opt Options) (*config.Config, []config.Warning, error) {
	options := config.Options{Env: opt.Env}
	if opt.Config == "" {
		return config.Parse(defaultName, []byte(config.Default()), options)
	}
	return loadFile(ctx, opt.Config, options)
}

func loadFile(ctx context.Context, file string, options config.Options) (*config.Config, []config.Warning, error) {
	conf, warnings, err := config.Load(file, options)
	if err != nil {
		return nil, warnings, everyFault(ctx, err)
	}
	return conf, warnings, nil
}

// compile compiles the rules of every host, also of those that no port reaches:
// a file may hold rules alone, and a mistake is a mistake before its port is open.
// Without collections (trapline check) nothing is opened or made. What SecRemoteRules names is downloaded in any case:
// without it the rules are not known.
func compile(ctx context.Context, conf *config.Config, warnings []config.Warning, collections *collection.Store, secret []byte, debug seclang.DebugOutput) (*loaded, error) {
	remote := newFetcher()
	defer remote.client.CloseIdleConnections()
	c := &compiler{main: conf.Main.Sec, collections: collections, secret: secret, debug: debug}
	c.fetch = func(r seclang.Remote) ([]byte, error) { return remote.fetch(ctx, r) }
	l := &loaded{conf: conf, engines: map[*config.Host]*seclang.Engine{}, warnings: warnings, assumptions: conf.Assumptions}
	var errs []error
	for _, h := range everyHost(conf) {
		engine, err := c.engine(h)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l.engines[h] = engine
		l.warnings = append(l.warnings, engine.Warnings()...)
		l.assumptions = append(l.assumptions, engine.Assumptions()...)
	}
	errs = append(errs, checkGuardian(conf))
	if errors.Join(errs...) == nil { // or what is wrong with a line would be said twice
		limits, warns, err := seclang.ConnLimits(serverText(conf), nil)
		l.connections = limits
		l.warnings = append(l.warnings, warns...)
		errs = append(errs, err)
	}
	l.fetched = remote.notes()
	l.warnings, l.assumptions = unique(l.warnings), unique(l.assumptions)
	if len(conf.Trap.Decisions) > 0 || conf.Trap.Data != "" {
		// A file with our own directives is written for this program, whose data
		// directory the banner names: only files of ModSecurity's need to be told where tags go.
		l.assumptions = slices.DeleteFunc(l.assumptions, func(a seclang.Assumption) bool { return strings.HasPrefix(a.Directive, "SecDataDir") })
	}
	return l, inOrder(errors.Join(errs...))
}

// serverText is what the main server and its hosts say, each line once, in order: for directives that hold for the whole
// server wherever they stand.
func serverText(conf *config.Config) []seclang.Directive {
	all := slices.Clone(conf.Main.Sec)
	for _, h := range conf.Hosts {
		own, inherits := ownDirectives(conf.Main.Sec, h.Sec)
		if !inherits {
			own = h.Sec
		}
		all = append(all, own...)
	}
	return all
}

// usedHosts are the hosts that some port reaches, each once.
func usedHosts(conf *config.Config) []*config.Host {
	var hosts []*config.Host
	for _, p := range conf.Ports() {
		for _, h := range p.Hosts {
			if !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
	}
	return hosts
}

// everyHost are the hosts that have rules of their own to answer for: those of
// the ports first, and the main server unless <VirtualHost> sections stand for it.
func everyHost(conf *config.Config) []*config.Host {
	hosts := usedHosts(conf)
	all := conf.Hosts
	if len(all) == 0 {
		all = []*config.Host{conf.Main}
	}
	for _, h := range all {
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// compiler compiles each distinct set of rules once: hosts that change settings
// only (an audit log of their own, say) share the rules of the main server.
type compiler struct {
	main        []seclang.Directive
	base        *seclang.Engine // of main alone, once a host needs it
	collections *collection.Store
	secret      []byte
	fetch       func(seclang.Remote) ([]byte, error)
	debug       seclang.DebugOutput
}

func (c *compiler) engine(h *config.Host) (*seclang.Engine, error) {
	engine, err := c.shared(h)
	if err != nil || !h.Honeytrap {
		return engine, err
	}
	return engine.ForHoneytrap(), nil
}

func (c *compiler) shared(h *config.Host) (*seclang.Engine, error) {
	own, inherits := ownDirectives(c.main, h.Sec)
	if !inherits {
		return c.compile(h.Sec)
	}
	if !seclang.InheritsRules(own) {
		return c.compile(append(seclang.WithoutRules(c.main), own...))
	}
	if c.base == nil {
		base, err := c.compile(c.main)
		if err != nil {
			return c.compile(h.Sec) // the faults of the host's own rules are wanted, too
		}
		c.base = base
	}
	if len(own) == 0 {
		return c.base, nil
	}
	if derived, err := c.base.Derive(own); err == nil {
		return derived, nil
	}
	return c.compile(h.Sec)
}

func (c *compiler) compile(ds []seclang.Directive) (*seclang.Engine, error) {
	return seclang.Compile(seclang.Config{
		Directives: ds, Collections: c.collections, Secret: c.secret, Fetch: c.fetch, Debug: c.debug, Defaults: seclang.Defaults{Article: true},
	})
}

// ownDirectives returns what all has behind main, and whether it begins with main.
func ownDirectives(main, all []seclang.Directive) (own []seclang.Directive, inherits bool) {
	if len(all) < len(main) {
		return nil, false
	}
	for i := range main {
		if main[i].File != all[i].File || main[i].Line != all[i].Line || main[i].Raw != all[i].Raw {
			return nil, false
		}
	}
	return all[len(main):], true
}

// unique drops repetitions: hosts that share directives share what there is to say about them.
func unique[T comparable](list []T) []T {
	seen := map[T]bool{}
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool {
		was := seen[v]
		seen[v] = true
		return was
	})
}

// uniqueErrors drops repeated errors, by their text.
func uniqueErrors(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var out []error
	seen := map[string]bool{}
	for _, e := range joined.Unwrap() {
		if text := e.Error(); !seen[text] {
			seen[text] = true
			out = append(out, e)
		}
	}
	return errors.Join(out...)
}

// place writes file:line.
func place(file string, line int) string { return fmt.Sprintf("%s:%d", file, line) }
