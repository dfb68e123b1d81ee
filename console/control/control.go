// Package control keeps who may use a console: users, their sessions, and the sensors that report to it.
//
// In come names, passwords, session tokens and sensor secrets; out go verdicts.
// Secrets are kept as hashes only: argon2id for what people choose, SHA-256 for
// what we drew from 256 random bits. The engine is SQLite, one file control.db;
// what a call changed is on disk when it returns, except the times at which
// sensors and sessions were last seen, which Run writes every few seconds.
package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/trapline/trapline/internal/dbfile"
)

// FileName is the name of the database file inside Config.Dir.
const FileName = "control.db"

// Config says where control data lie. The zero value of every field but Dir works.
type Config struct {
	// Dir is the folder of the database; it is made when missing.
	Dir string
	// SessionIdle ends a session that was not used for so long; default 12 hours.
	SessionIdle time.Duration
	// SessionMax ends every session; default 7 days.
	SessionMax time.Duration
	Logger     *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Control is the open database. It is safe for concurrent use.
type Control struct {
	cfg      Config
	path     string
	db       *sql.DB
	limits   loginLimits
	guesses  loginLimits   // of sensors' chosen secrets, by address only
	hashing  chan struct{} // one token per argon2id computation under way for people: each takes 19 MiB
	learning chan struct{} // the same for sensors, apart so that neither holds up the other
	sensors  sensorTable
	seen     struct {
		sync.Mutex
		sessions map[string]time.Time // by hash; guarded by the mutex; written by flush
	}
	decoy string // hash that is checked for unknown users, so that they take as long as known ones
}

// ErrCorrupt says that the database file is damaged; the error's text says what to do.
var ErrCorrupt = errors.New("control database is damaged")

// Open opens the database in cfg.Dir, making or upgrading it as needed. It starts no goroutine.
func Open(cfg Config) (*Control, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.SessionIdle <= 0 {
		cfg.SessionIdle = 12 * time.Hour
	}
	if cfg.SessionMax <= 0 {
		cfg.SessionMax = 7 * 24 * time.Hour
	}
	c := &Control{cfg: cfg, path: filepath.Join(cfg.Dir, FileName), hashing: make(chan struct{}, 2), learning: make(chan struct{}, 1)}
	c.limits.init()
	c.guesses.init()
	c.sensors.seen, c.sensors.refused = make(map[string]seenAt), make(map[string]seenAt)
	c.seen.sessions = make(map[string]time.Time)
	decoy, err := hashPassword(randomText(16))
	if err != nil {
		return nil, err
	}
	c.decoy = decoy
	// Password hashes lie in it: nobody else on the machine reads it.
	if err := dbfile.Make(c.path); err != nil {
		return nil, fmt.Errorf("open control database: %w", err)
	}
	if c.db, err = sql.Open(dbfile.Driver, dbfile.Source(c.path, "busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)")); err != nil {
		return nil, fmt.Errorf("open control database: %w", err)
	}
	c.db.SetMaxOpenConns(4)
	ctx := context.Background()
	if err := c.migrate(ctx); err != nil {
		return nil, errors.Join(c.explain(err), c.db.Close())
	}
	if err := c.loadSensors(ctx); err != nil {
		return nil, errors.Join(c.explain(err), c.db.Close())
	}
	return c, nil
}

func (c *Control) migrate(ctx context.Context) error {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(schema().Migrate(ctx, conn), conn.Close())
}

// Run writes last-seen times and deletes what has expired, until ctx ends.
func (c *Control) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.flush(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("last-seen times were not written", "error", err)
		}
		// A sensor that another process removed must lose its right here as well.
		if _, err := c.reloadSensors(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("sensors were not read", "error", err)
		}
	}
}

// Close writes last-seen times and closes the database.
func (c *Control) Close() error {
	return errors.Join(c.flush(context.Background()), c.db.Close())
}

// Path is the name of the database file.
func (c *Control) Path() string { return c.path }

// flush writes what is kept in memory between writes, and forgets the expired.
func (c *Control) flush(ctx context.Context) error {
	c.seen.Lock()
	sessions := c.seen.sessions
	c.seen.sessions = make(map[string]time.Time)
	c.seen.Unlock()
	sensors := c.sensors.takeSeen()
	now := c.cfg.Now()
	c.limits.forget(now)
	c.guesses.forget(now)
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return c.explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, before it the error at hand counts
	for hash, at := range sessions {
		if _, err := tx.ExecContext(ctx, "UPDATE sessions SET seen = max(seen, ?) WHERE hash = ?", at.Unix(), []byte(hash)); err != nil {
			return c.explain(err)
		}
	}
	for name, s := range sensors {
		if _, err := tx.ExecContext(ctx, "UPDATE sensors SET seen = ?, address = ? WHERE name = ?", s.at.Unix(), s.address, name); err != nil {
			return c.explain(err)
		}
	}
	for _, q := range []struct {
		text string
		at   time.Time
	}{
		{"DELETE FROM sessions WHERE expires < ?", now},
		{"DELETE FROM sessions WHERE seen < ?", now.Add(-c.cfg.SessionIdle)},
		{"DELETE FROM logins WHERE time < ?", now.Add(-loginsKept)},
	} {
		if _, err := tx.ExecContext(ctx, q.text, q.at.Unix()); err != nil {
			return c.explain(err)
		}
	}
	return c.explain(tx.Commit())
}

// explain adds to an error of the engine what the owner can do about it.
func (c *Control) explain(err error) error {
	return (&dbfile.Advice{
		Damaged: ErrCorrupt,
		Repair: func(string) string {
			return "stop the console and restore the file from a backup, or move it away: " +
				"a new first-run login is printed at the next start and sensors must be added again"
		},
	}).Explain(c.path, err)
}
