// Package dbfile opens the database files of the console as SQLite files of ours.
//
// In come the path of a file, its schema as steps from an empty file to the
// present, and advice for its owner; out come data source names, a file that
// nobody else on the machine may read, and errors that say what to do. A
// migration is one transaction: after a crash the file has the old schema or
// the new one.
package dbfile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Driver is the name under which database/sql knows the engine.
const Driver = "sqlite"

// Make makes the folder and the file at path when they are missing, for this user
// only. The engine gives its -wal and -shm files the mode of the file.
func Make(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Source is the data source name of the database at path, with pragmas in the
// order in which each connection is to run them. Transactions begin as writers.
func Source(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// Schema is what a file of ours holds.
type Schema struct {
	// Name is what the file is called in errors, such as "event store"; Article goes before it.
	Article, Name string
	// Application is the application_id of its files, so that another program's database is not taken for one.
	Application int
	// Elsewhere says what to do with a file that is not ours.
	Elsewhere string
	// Steps lead from an empty file to the present schema; entry i leads to user_version i+1. An entry never changes once released.
	Steps []string
}

// Migrate brings the database on conn to the present schema in one transaction,
// within which the version is read: of two processes that open a new file at once one makes the tables.
func (s *Schema) Migrate(ctx context.Context, conn *sql.Conn) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	var app, version, tables int
	if err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&app, &version, &tables); err != nil {
		return err
	}
	if app != s.Application && tables > 0 {
		return fmt.Errorf("not %s %s of Trapline (application id %#x); %s", s.Article, s.Name, app, s.Elsewhere)
	}
	if version > len(s.Steps) {
		return fmt.Errorf("%s has schema %d, this program knows up to %d: it was written by a newer Trapline; run that version", s.Name, version, len(s.Steps))
	}
	for v := version; v < len(s.Steps); v++ {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("%s; PRAGMA application_id=%d; PRAGMA user_version=%d", s.Steps[v], s.Application, v+1)); err != nil {
			return fmt.Errorf("upgrade %s to schema %d: %w", s.Name, v+1, err)
		}
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// Advice is what the owner of a file can do about errors of the engine.
type Advice struct {
	// Damaged is the error that says so, for callers that test for it.
	Damaged error
	// Repair and Full say what to do about a damaged file and a full disk; Full may be "".
	Repair func(path string) string
	Full   string
}

// Explain adds the advice to an error of the engine; other errors stay as they are.
func (a *Advice) Explain(path string, err error) error {
	var e *sqlite.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s: %w; %s", a.Damaged, path, err, a.Repair(path))
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: the disk of %s is full%s", err, path, a.Full)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: %s and its folder must be writable by the console's user", err, path)
	}
	return err
}
