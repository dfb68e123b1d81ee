// Package auditlog writes records where SecAuditLog says, and reads such logs back.
//
// In come finished records, out go serial files, concurrent trees with their index, JSON of either,
// byte for byte as ModSecurity 2 writes them, or lines to a piped program. When Write
// returns nil for a file, the record is on disk: concurrent calls share one write. A piped
// program gets lines without ever being waited for; what it does not take in time is counted as lost to it.
// Entries reads all of these again, and ModSecurity 3's.
package auditlog

import (
	"context"
	"crypto/md5" //nolint:gosec // the index's checksum
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/internal/durable"
)

// Config is what SecAuditLog and its relatives say.
type Config struct {
	// Log is SecAuditLog: a path, or "|program arguments". Serial entries or index lines go there. Empty with Type Concurrent: no index.
	Log string
	// Type is SecAuditLogType: "Serial" (the default) or "Concurrent".
	Type string
	// Format is SecAuditLogFormat: "Native" (the default) or "JSON".
	Format string
	// StorageDir is SecAuditLogStorageDir, needed for Concurrent.
	StorageDir string
	// Parts is SecAuditLogParts; when empty each record's own count.
	Parts string
	// DirMode and FileMode are SecAuditLogDirMode and SecAuditLogFileMode; 0 is ModSecurity's default, 0750 and 0640.
	DirMode, FileMode fs.FileMode
	// User is the directory below StorageDir; empty: the name of the user that runs this process, as ModSecurity 2.9 does. "-" for none.
	User string
	// PipeBuffer bounds the bytes that wait for a piped program; 0: 8 MiB.
	PipeBuffer int
	Logger     *slog.Logger // nil: none
}

// Writer writes records to one audit log. Write may be called from any goroutine.
type Writer struct {
	cfg        Config
	concurrent bool
	json       bool
	out        *file
	pipe       *pipe
	written    atomic.Int64
}

// Stats counts what a Writer has done.
type Stats struct {
	Written int64 // records
	// Dropped lines did not reach a piped program: it was dead or slow for longer than its buffer lasts.
	Dropped int64
	// Restarts of a piped program.
	Restarts int64
}

// Open opens the log, and starts the program if it is a pipe.
func Open(cfg Config) (*Writer, error) {
	if cfg.DirMode == 0 {
		cfg.DirMode = 0o750
	}
	if cfg.FileMode == 0 {
		cfg.FileMode = 0o640
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Writer{cfg: cfg}
	switch strings.ToLower(cfg.Type) {
	case "", "serial":
	case "concurrent", "parallel":
		w.concurrent = true
	default:
		return nil, fmt.Errorf("audit log: type %q is not known: Serial or Concurrent expected", cfg.Type)
	}
	switch strings.ToLower(cfg.Format) {
	case "", "native":
	case "json":
		w.json = true
	default:
		return nil, fmt.Errorf("audit log: format %q is not known: Native or JSON expected", cfg.Format)
	}
	if w.concurrent {
		if err := w.openStorage(); err != nil {
			return nil, err
		}
	}
	command, isPipe := strings.CutPrefix(cfg.Log, "|")
	var err error
	switch {
	case isPipe:
		w.pipe, err = startPipe(command, cfg.PipeBuffer, cfg.Logger)
	case cfg.Log != "":
		w.out, err = openFile(cfg.Log, cfg.FileMode, !w.concurrent && !w.json)
	case !w.concurrent:
		err = errors.New("audit log: no path")
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) openStorage() error {
	if w.cfg.StorageDir == "" {
		return errors.New("audit log: Concurrent needs a storage directory")
	}
	switch w.cfg.User {
	case "":
		if u, err := user.Current(); err == nil {
			w.cfg.User = filepath.Base(u.Username)
		}
	case "-":
		w.cfg.User = ""
	}
	if err := durable.MkdirAll(w.cfg.StorageDir, w.cfg.DirMode); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// Write writes r and returns when it is on disk; for a serial log through a pipe, when the
// line waits for the program. r is not kept. When ctx ends before, its error is returned and the record may still be written.
func (w *Writer) Write(ctx context.Context, r *audit.Record) error {
	if w.cfg.Parts != "" && r.Parts != w.cfg.Parts {
		changed := *r
		changed.Parts = w.cfg.Parts
		r = &changed
	}
	var entry []byte
	if w.json {
		entry = audit.AppendJSON(make([]byte, 0, 4096), r)
	} else {
		entry = audit.AppendNative(make([]byte, 0, 4096), r)
	}
	var err error
	if w.concurrent {
		err = w.writeConcurrent(ctx, r, entry)
	} else {
		err = w.line(ctx, entry, "")
	}
	if err != nil {
		return fmt.Errorf("audit log: record %s: %w", r.ID, err)
	}
	w.written.Add(1)
	return nil
}

// line appends to the log itself. dir is a directory whose new names must be durable first, "" for none.
func (w *Writer) line(ctx context.Context, line []byte, dir string) error {
	switch {
	case w.pipe != nil:
		if dir != "" {
			if err := durable.SyncDir(dir); err != nil {
				return err
			}
		}
		w.pipe.add(line)
		return nil
	case w.out != nil:
		return w.out.append(ctx, line, dir)
	case dir != "":
		return durable.SyncDir(dir)
	}
	return nil
}

// writeConcurrent writes the entry to a file of its own, and then its index line.
func (w *Writer) writeConcurrent(ctx context.Context, r *audit.Record, entry []byte) error {
	name := w.name(r)
	path := filepath.Join(w.cfg.StorageDir, filepath.FromSlash(name))
	f, err := create(path, w.cfg.FileMode, w.cfg.DirMode)
	if err != nil {
		return err
	}
	_, err = f.Write(entry)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	sum := md5.Sum(entry) //nolint:gosec // as above
	l := audit.Index(r, name, int64(len(entry)), hex.EncodeToString(sum[:]))
	return w.line(ctx, audit.AppendIndex(make([]byte, 0, 512), &l), filepath.Dir(path))
}

// name returns the file's path below the storage directory as ModSecurity 2.9 writes it into the index:
// /user/20261122/20261122-0825/20261122-082552-ID, in local time.
func (w *Writer) name(r *audit.Record) string {
	t := r.Time.Local()
	name := t.Format("/20060102/20060102-1504/20060102-150405-") + fileID(r.ID)
	if w.cfg.User != "" {
		return "/" + w.cfg.User + name
	}
	return name
}

// fileID makes an id that somebody else chose (a proxy's UNIQUE_ID) fit for a file name.
func fileID(id string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || c == '_' || c == '@' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, id[:min(len(id), 128)])
}

// create makes the file, and its directory when a minute begins. What is written to it is on disk when Write returns.
func create(path string, mode, dirMode fs.FileMode) (*os.File, error) {
	open := func() (*os.File, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_SYNC, mode)
	}
	f, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		if err := durable.MkdirAll(filepath.Dir(path), dirMode); err != nil {
			return nil, err
		}
		return open()
	}
	return f, err
}

// Stats returns the counters.
func (w *Writer) Stats() Stats {
	s := Stats{Written: w.written.Load()}
	if w.pipe != nil {
		s.Dropped, s.Restarts = w.pipe.dropped.Load(), w.pipe.restarts.Load()
	}
	return s
}

// Close writes what waits, closes the file or ends the piped program, which gets a few seconds for what it has not read.
func (w *Writer) Close() error {
	switch {
	case w.pipe != nil:
		return w.pipe.close()
	case w.out != nil:
		return w.out.close()
	}
	return nil
}
