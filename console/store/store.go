// Package store keeps the events of a console: what sensors sent, found again by time, client, port, rule and text.
//
// In come native audit entries with their parsed records; out go summaries for
// lists, whole entries, hourly counts and a live stream of what was committed.
// The engine is SQLite inside the process, one file events.db in WAL mode. When
// Insert returns nil its events survive kill -9 and power loss (synchronous=FULL);
// an event is known by (sensor, id), so sending it again stores it once.
// After a crash the next Open finds exactly the committed events.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trapline/trapline/internal/dbfile"
)

// FileName is the name of the database file inside Config.Dir.
const FileName = "events.db"

// Config says where events are kept and for how long. The zero value of every field but Dir works.
type Config struct {
	// Dir is the folder of the database; it is made when missing.
	Dir string
	// MaxAge is how long events are kept; 0 keeps them for ever.
	MaxAge time.Duration
	// MaxBytes is the size of the database above which the oldest events are deleted; 0 is no limit.
	MaxBytes int64
	// PruneEvery is the time between two looks at MaxAge and MaxBytes; default one minute.
	PruneEvery time.Duration
	// Readers is the number of queries that run at a time; default 4.
	Readers int
	Logger  *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	cfg     Config
	path    string
	readers *sql.DB
	writer  *writer
	live    live
	encoder *zstd.Encoder
	decoder *zstd.Decoder

	mu      sync.Mutex
	pending []*insertion // guarded by mu; taken whole by whoever holds turn
	turn    chan struct{}
	closed  bool // guarded by mu
}

// Open opens the database in cfg.Dir, making or upgrading it as needed. It
// starts no goroutine: Insert works at once, Run is needed for deletion of old
// events only. A damaged file is reported as ErrCorrupt with what to do about it.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.PruneEvery <= 0 {
		cfg.PruneEvery = time.Minute
	}
	if cfg.Readers <= 0 {
		cfg.Readers = 4
	}
	s := &Store{cfg: cfg, path: filepath.Join(cfg.Dir, FileName), turn: make(chan struct{}, 1)}
	s.live.init()
	err := dbfile.Make(s.path) // nobody else on the machine reads events
	if err != nil {
		return nil, fmt.Errorf("open event store: %w", err)
	}
	if s.encoder, s.decoder, err = newCodec(); err != nil {
		return nil, err
	}
	if s.writer, err = openWriter(s.path); err != nil {
		return nil, explain(s.path, err)
	}
	s.readers, err = sql.Open(dbfile.Driver, dsn(s.path, "query_only(1)", "cache_size(-32768)"))
	if err != nil {
		return nil, errors.Join(explain(s.path, err), s.writer.close())
	}
	s.readers.SetMaxOpenConns(cfg.Readers)
	s.readers.SetMaxIdleConns(cfg.Readers)
	last, err := s.newestSeq(context.Background())
	if err != nil {
		return nil, errors.Join(explain(s.path, err), s.readers.Close(), s.writer.close())
	}
	s.live.commit(last, nil)
	return s, nil
}

// lookEvery is how often Run looks for events that another process stored (`trapline replay` beside a running console).
const lookEvery = time.Second

// Run deletes events that are over the age or size limit, and wakes waiting readers
// when another process has stored events, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick, look := time.NewTicker(s.cfg.PruneEvery), time.NewTicker(lookEvery)
	defer tick.Stop()
	defer look.Stop()
	for {
		if n, err := s.Prune(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Error("old events were not deleted", "error", err)
		} else if n > 0 {
			s.cfg.Logger.Info("old events deleted", "events", n)
		}
		for again := true; again; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				again = false
			case <-look.C:
				if newest, err := s.newestSeq(ctx); err == nil && newest > s.Newest() {
					s.live.commit(newest, nil)
				}
			}
		}
	}
}

// Close waits for the insertion under way and closes the database. Insert fails with ErrClosed afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return nil
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.live.close()
	s.decoder.Close()
	return errors.Join(s.readers.Close(), s.writer.close(), s.encoder.Close())
}

// Path is the name of the database file.
func (s *Store) Path() string { return s.path }

// dsn is the data source name of the database at path. auto_vacuum comes
// first: it is fixed when the first page is written, and journal_mode writes it.
func dsn(path string, pragmas ...string) string {
	return dbfile.Source(path, append([]string{
		"busy_timeout(10000)", "auto_vacuum(2)", "journal_mode(WAL)", "synchronous(FULL)",
		"temp_store(2)", "journal_size_limit(67108864)",
	}, pragmas...)...)
}
