package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/trapline/trapline/internal/dbfile"
)

// ErrCorrupt says that the database file is damaged; the error's text says what to do.
var ErrCorrupt = errors.New("event database is damaged")

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("event store is closed")

// ErrNotFound says that no event has this sensor and id.
var ErrNotFound = errors.New("no such event")

// explain adds to an error of the engine what the owner can do about it.
func explain(path string, err error) error {
	return (&dbfile.Advice{
		Damaged: ErrCorrupt,
		Repair: func(path string) string {
			return fmt.Sprintf("stop the console, then either recover what is readable "+
				"(sqlite3 %[1]s .recover | sqlite3 %[1]s.new, then rename), or move %[1]s, %[1]s-wal and %[1]s-shm away "+
				"and start with an empty store: sensors keep what was not acknowledged and `trapline replay` imports audit logs again", path)
		},
		Full: "; free space or set a smaller age or size in TrapStore",
	}).Explain(path, err)
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
