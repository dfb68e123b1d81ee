package store

import (
	"context"
	"fmt"
	"time"
)

// pruneBatch is how many events one deletion takes: few enough that an insertion waits some milliseconds only.
const pruneBatch = 500

// Prune deletes events that are older than MaxAge, then the oldest ones while
// the database is larger than MaxBytes, and returns how many. Space goes back to the file system.
func (s *Store) Prune(ctx context.Context) (int64, error) {
	var total int64
	if s.cfg.MaxAge > 0 {
		limit := s.cfg.Now().Add(-s.cfg.MaxAge).UnixMicro()
		for {
			n, err := s.pruneOldest(ctx, limit)
			total += n
			if err != nil {
				return total, err
			}
			if n < pruneBatch {
				break
			}
		}
	}
	for s.cfg.MaxBytes > 0 {
		st, err := s.Stats(ctx)
		if err != nil {
			return total, err
		}
		if st.Bytes <= s.cfg.MaxBytes || st.Events == 0 {
			break
		}
		n, err := s.pruneOldest(ctx, 1<<62)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}

// pruneOldest deletes the oldest events before limit, at most pruneBatch of them.
func (s *Store) pruneOldest(ctx context.Context, limit int64) (int64, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-s.turn }()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return 0, ErrClosed
	}
	var n int64
	w := s.writer
	err := w.transact(ctx, func() error {
		// The batch is named once, in a table of this connection, so that all tables lose the same events.
		for _, q := range []string{
			`CREATE TEMP TABLE IF NOT EXISTS gone (seq INTEGER PRIMARY KEY, time INTEGER, sensor INTEGER, port INTEGER, kind INTEGER)`,
			`DELETE FROM gone`,
		} {
			if _, err := w.conn.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		res, err := w.conn.ExecContext(ctx, `INSERT INTO gone SELECT seq, time, sensor, port, kind FROM events WHERE time < ? ORDER BY time LIMIT ?`, limit, pruneBatch)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		for _, q := range []string{
			`UPDATE hours SET events = events - g.n FROM (SELECT CAST(floor(time / 3600000000.0) AS INTEGER) AS hour, sensor, port, kind, count(*) AS n
				FROM gone GROUP BY 1, 2, 3, 4) g
				WHERE hours.hour = g.hour AND hours.sensor = g.sensor AND hours.port = g.port AND hours.kind = g.kind`,
			`DELETE FROM hours WHERE events <= 0 AND hour <= (SELECT max(time) / 3600000000 FROM gone)`,
			`DELETE FROM matched WHERE (rule, time, seq) IN (SELECT r.value, g.time, g.seq FROM gone g JOIN events e ON e.seq = g.seq,
				json_each('[' || replace(e.rules, ' ', ',') || ']') r)`,
			`DELETE FROM events_text WHERE rowid IN (SELECT seq FROM gone)`,
			`DELETE FROM entries WHERE seq IN (SELECT seq FROM gone)`,
			`DELETE FROM events WHERE seq IN (SELECT seq FROM gone)`,
		} {
			if _, err := w.conn.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete events before %s: %w", time.UnixMicro(limit).UTC().Format(time.RFC3339), explain(s.path, err))
	}
	if n > 0 {
		if _, err := w.conn.ExecContext(ctx, "PRAGMA incremental_vacuum"); err != nil {
			return n, fmt.Errorf("return space of deleted events: %w", explain(s.path, err))
		}
	}
	return n, nil
}
