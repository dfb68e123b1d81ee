package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"strings"

	"github.com/trapline/trapline/auditlog"
	"github.com/trapline/trapline/seclang"
)

// auditLogs are the audit logs of one configuration, each opened once: hosts
// that inherit the main server's SecAuditLog write to one file through one writer.
type auditLogs struct {
	root string // ServerRoot: relative paths start there
	log  *slog.Logger
	open map[string]*auditlog.Writer
}

// of opens what SecAuditLog and SecAuditLog2 name, but for mlogc programs: those are routes.
func (a *auditLogs) of(s seclang.Settings) ([]*auditlog.Writer, error) {
	var out []*auditlog.Writer
	for _, target := range []string{s.AuditLog, s.AuditLog2} {
		if target == "" || isMlogc(target) {
			continue
		}
		conf := auditlog.Config{
			Log: a.path(target), Type: s.AuditLogType, Format: s.AuditLogFormat, StorageDir: a.path(s.AuditLogStorageDir),
			DirMode: s.AuditLogDirMode, FileMode: s.AuditLogFileMode, Logger: a.log,
		}
		if strings.EqualFold(conf.Type, "https") {
			d := s.Origin["secauditlogtype"]
			return nil, fmt.Errorf("%s: SecAuditLogType HTTPS: records go to a console with TrapReport; for a log on this host expected Serial or Concurrent", place(d.File, d.Line))
		}
		key := fmt.Sprint(conf.Log, "\x00", conf.Type, conf.Format, conf.StorageDir, conf.DirMode, conf.FileMode)
		w, ok := a.open[key]
		if !ok {
			var err error
			if w, err = auditlog.Open(conf); err != nil {
				return nil, err
			}
			a.open[key] = w
		}
		out = append(out, w)
	}
	return out, nil
}

func (a *auditLogs) path(p string) string {
	if p == "" || p[0] == '|' || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(cmp.Or(a.root, "."), p)
}

func (a *auditLogs) close() error {
	var errs []error
	for _, w := range a.open {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// isMlogc says whether a SecAuditLog pipes to mlogc or to "trapline mlogc".
func isMlogc(target string) bool {
	command, piped := strings.CutPrefix(target, "|")
	words := strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(command))
	if !piped || len(words) == 0 {
		return false
	}
	program := strings.TrimSuffix(path.Base(filepath.ToSlash(words[0])), ".exe")
	return program == "mlogc" || program == "trapline" && len(words) > 1 && words[1] == "mlogc"
}
