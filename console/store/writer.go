package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/trapline/trapline/internal/dbfile"
)

// writer is the one connection that writes, with its statements. It belongs to whoever holds Store.turn.
type writer struct {
	db      *sql.DB
	conn    *sql.Conn
	sensors map[string]int64
	stmts   []*sql.Stmt

	event, entry, rule, text, hour, sensor *sql.Stmt
}

func openWriter(path string) (*writer, error) {
	db, err := sql.Open(dbfile.Driver, dsn(path, "cache_size(-65536)", "wal_autocheckpoint(4000)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	w := &writer{db: db, sensors: map[string]int64{}}
	ctx := context.Background()
	if w.conn, err = db.Conn(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) prepare(ctx context.Context) error {
	if err := schema().Migrate(ctx, w.conn); err != nil {
		return err
	}
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&w.event, `INSERT INTO events (time, received, sensor, id, client, client_port, port, kind, honeytrap, method, uri, host,
			status, action, severity, rules, message, agent, ja4, hash, size)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (sensor, id) DO NOTHING`},
		{&w.entry, `INSERT INTO entries (seq, entry) VALUES (?,?)`},
		{&w.rule, `INSERT OR IGNORE INTO matched (rule, time, seq) VALUES (?,?,?)`},
		{&w.text, `INSERT INTO events_text (rowid, uri, agent, host, message) VALUES (?,?,?,?,?)`},
		{&w.hour, `INSERT INTO hours (hour, sensor, port, kind, events) VALUES (?,?,?,?,?)
			ON CONFLICT DO UPDATE SET events = events + excluded.events`},
		{&w.sensor, `INSERT INTO sensors (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING n`},
	} {
		stmt, err := w.conn.PrepareContext(ctx, p.text) //nolint:sqlclosecheck // they live as long as the connection; close closes them
		if err != nil {
			return err
		}
		*p.stmt = stmt
		w.stmts = append(w.stmts, stmt)
	}
	return nil
}

func (w *writer) close() error {
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

// transact runs fn inside a transaction that is on disk when transact returns nil.
func (w *writer) transact(ctx context.Context, fn func() error) error {
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		if _, err = w.conn.ExecContext(ctx, "COMMIT"); err == nil {
			return nil
		}
	}
	// Some errors (disk full) end the transaction by themselves; then ROLLBACK fails and that is fine.
	_, _ = w.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	// Numbers given inside the transaction are gone with it.
	clear(w.sensors)
	return err
}

// sensorNumber returns the number of a sensor, giving it one at its first event.
func (w *writer) sensorNumber(ctx context.Context, name string) (int64, error) {
	if n, ok := w.sensors[name]; ok {
		return n, nil
	}
	var n int64
	if err := w.sensor.QueryRowContext(ctx, name).Scan(&n); err != nil {
		return 0, fmt.Errorf("number sensor %q: %w", name, err)
	}
	w.sensors[name] = n
	return n, nil
}

// hourKey is a row of the table hours.
type hourKey struct {
	hour, sensor int64
	port         uint16
	kind         uint8
}

// insert stores one event inside a transaction. It reports false, and changes nothing, when the event is known.
func (w *writer) insert(ctx context.Context, row *row, hours map[hourKey]int64) (bool, error) {
	s := &row.summary
	sensor, err := w.sensorNumber(ctx, s.Sensor)
	if err != nil {
		return false, err
	}
	at := s.Time.UnixMicro()
	res, err := w.event.ExecContext(ctx, at, s.Received.UnixMicro(), sensor, s.ID, addr16(s.Client.Addr()), s.Client.Port(),
		s.Port, uint8(s.Kind), s.Honeytrap, s.Method, s.URI, s.Host, s.Status, s.Action, s.Severity,
		ruleList(s.Rules), s.Message, s.UserAgent, s.JA4, int64(s.Hash), s.Size)
	if err != nil {
		return false, fmt.Errorf("insert event: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	if s.Seq, err = res.LastInsertId(); err != nil {
		return false, err
	}
	if _, err := w.entry.ExecContext(ctx, s.Seq, row.entry); err != nil {
		return false, fmt.Errorf("insert entry: %w", err)
	}
	for _, id := range s.Rules {
		if _, err := w.rule.ExecContext(ctx, id, at, s.Seq); err != nil {
			return false, fmt.Errorf("insert rule: %w", err)
		}
	}
	if _, err := w.text.ExecContext(ctx, s.Seq, searchable(s.URI), s.UserAgent, s.Host, s.Message); err != nil {
		return false, fmt.Errorf("insert text: %w", err)
	}
	hours[hourKey{hourOf(s.Time), sensor, s.Port, uint8(s.Kind)}]++
	return true, nil
}

// hourOf numbers hours since 1970.
func hourOf(t time.Time) int64 {
	const hour = 3600
	u := t.Unix()
	if u < 0 {
		u -= hour - 1
	}
	return u / hour
}
