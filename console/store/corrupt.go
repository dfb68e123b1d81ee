package store

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrCorrupt says that the database file is damaged; the error's text says what to do.
var ErrCorrupt = errors.New("event database is damaged")

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("event store is closed")

// ErrNotFound says that no event has this sensor and id.
var ErrNotFound = errors.New("no such event")

// explain adds to an error of the engine what the owner can do about it.
func explain(path string, err error) error {
	var e *sqlite.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s: %w; stop the console, then either recover what is readable "+
			"(sqlite3 %[2]s .recover | sqlite3 %[2]s.new, then rename), or move %[2]s, %[2]s-wal and %[2]s-shm away "+
			"and start with an empty store: sensors keep what was not acknowledged and `trapline replay` imports audit logs again",
			ErrCorrupt, path, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: the disk of %s is full; free space or set a smaller age or size in TrapStore", err, path)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: %s and its folder must be writable by the console's user", err, path)
	}
	return err
}

// Check reads the whole database and reports the first damage it finds. It
// takes seconds per gigabyte; queries and insertions go on meanwhile.
func (s *Store) Check(ctx context.Context) error {
	var verdict string
	if err := s.readers.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return explain(s.path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s: %s", ErrCorrupt, s.path, verdict)
	}
	return nil
}
