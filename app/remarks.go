package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/gate"
	"github.com/trapline/trapline/seclang"
)

// remarks are warnings about what each directive for itself cannot know: whether
// hosts, ports and rules fit together. `check` and `run` print the same.
func remarks(l *loaded) []seclang.Warning {
	var out []seclang.Warning
	warn := func(file string, line int, directive, format string, args ...any) {
		out = append(out, seclang.Warning{File: file, Line: line, Directive: directive, Text: fmt.Sprintf(format, args...)})
	}
	used := usedHosts(l.conf)
	for _, h := range l.conf.Hosts {
		if len(l.conf.Listen) > 0 && !slices.Contains(used, h) {
			warn(h.File, h.Line, "Listen", "no Listen opens a port of this <VirtualHost>: nobody reaches it")
		}
	}
	for _, h := range used {
		if h.Honeytrap && len(l.engines[h].Rules()) == 0 {
			warn(h.File, h.Line, "SecRule", "this honeytrap has no rules: who comes is recorded, nobody is tagged or refused (trapline init writes the rules)")
		}
	}
	for _, p := range l.conf.Ports() {
		if p.Port == 443 && !p.TLS && !p.Honeytrap {
			warn(p.File, p.Line, "SSLEngine", "port 443 speaks plain HTTP: no <VirtualHost *:443> says SSLEngine On")
		}
	}
	for _, d := range l.conf.Trap.Decisions {
		if !setsVariable(used, d.Collection+"."+d.Variable) {
			warn(d.File, d.Line, "TrapDecision", "TrapDecision: no rule sets %s.%s, so this decision never comes", d.Collection, d.Variable)
		}
	}
	return unique(out)
}

// setsVariable says whether a rule of the hosts may set a collection's variable.
// Scripts may set any.
func setsVariable(hosts []*config.Host, variable string) bool {
	return slices.ContainsFunc(hosts, func(h *config.Host) bool {
		return slices.ContainsFunc(h.Sec, func(d seclang.Directive) bool {
			text := strings.ToLower(d.Raw)
			return strings.Contains(text, variable) && strings.Contains(text, "setvar") || strings.Contains(text, ".lua") ||
				strings.Contains(text, "setvar:ip.%{") || strings.Contains(text, "setvar:'ip.%{")
		})
	})
}

// hints are what only Check says: a configuration without ports or traps, which
// may be meant so, and folders that Run would answer 404 from and logs itself.
func hints(l *loaded) []seclang.Warning {
	var out []seclang.Warning
	ports := l.conf.Ports()
	trap := slices.ContainsFunc(usedHosts(l.conf), func(h *config.Host) bool { return h.Honeytrap })
	switch {
	case len(ports) == 0:
		out = append(out, seclang.Warning{File: l.conf.File, Line: 1, Text: "no Listen: these are rules alone, with which trapline run would open the console and nothing else"})
	case !trap:
		out = append(out, seclang.Warning{File: l.conf.File, Line: 1, Text: "no port is a honeytrap; TrapHost On in a <VirtualHost> makes one (trapline init shows how)"})
	}
	for _, h := range usedHosts(l.conf) {
		if h.DocumentRoot == "" {
			continue
		}
		if _, err := os.Stat(h.DocumentRoot); err != nil {
			out = append(out, seclang.Warning{
				File: h.File, Line: h.Line, Directive: "DocumentRoot", Text: fmt.Sprintf("DocumentRoot cannot be read: %v", plainPath(err)),
			})
		}
	}
	return out
}

// plainPath leaves out which system call did not like a path.
func plainPath(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return err
}

// unready says what would keep Run from starting although the text of the
// configuration is right: certificates that cannot be read, folders of logs that
// are not there, nothing to open.
func unready(l *loaded) error {
	var errs []error
	if len(l.conf.Ports()) == 0 && l.conf.Trap.Console == "" {
		errs = append(errs, errNothing)
	}
	errs = append(errs, gate.CheckTLS(l.conf))
	server := seclang.ServerSettings(l.conf.Main.Sec)
	root := auditLogs{root: l.conf.Root}
	d := server.Origin["secguardianlog"]
	errs = append(errs, folderOf(place(d.File, d.Line), "SecGuardianLog", root.path(server.GuardianLog)))
	for _, h := range usedHosts(l.conf) {
		for _, log := range h.CustomLogs {
			errs = append(errs, folderOf(place(h.File, h.Line), "CustomLog", log.Target))
		}
		s := l.engines[h].Settings()
		logs := auditLogs{root: l.conf.Root}
		for _, log := range []struct{ name, target string }{{"SecAuditLog", s.AuditLog}, {"SecAuditLog2", s.AuditLog2}, {"SecDebugLog", s.DebugLog}} {
			d := s.Origin[strings.ToLower(log.name)]
			errs = append(errs, folderOf(place(d.File, d.Line), log.name, logs.path(log.target)))
		}
		for _, p := range h.Pipes {
			if _, err := mlogcDestination(p); p.Mlogc && err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", place(p.File, p.Line), p.Directive, err))
			}
		}
	}
	return uniqueErrors(errors.Join(errs...))
}

// errNothing says that a configuration opens no port at all.
var errNothing = errors.New("nothing to run: the configuration has no Listen, and TrapConsole is Off")

// folderOf reports a missing folder of a log file. Programs ("|...") and "syslog:..." have none.
func folderOf(at, directive, file string) error {
	if !filepath.IsAbs(file) {
		return nil
	}
	folder := filepath.Dir(file)
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("%s: %s %s: its folder must exist: %w", at, directive, file, plainPath(err))
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: %s %s: %s is not a folder", at, directive, file, folder)
	}
	return nil
}
