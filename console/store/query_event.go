package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/trapline/trapline/audit"
)

// Event reads one event whole: its native entry as the sensor sent it, and the record parsed from it. Sensor "" is any
// sensor, the one whose event came first. ErrNotFound when there is none.
func (s *Store) Event(ctx context.Context, sensor, id string) (Event, error) {
	var packed []byte
	var received int64
	// CROSS JOIN fixes the order: few sensors, then one look into the index of ids for each.
	err := s.readers.QueryRowContext(ctx, `SELECT s.name, e.received, n.entry FROM sensors s CROSS JOIN events e ON e.sensor = s.n CROSS JOIN entries n ON n.seq = e.seq
		WHERE (?1 = '' OR s.name = ?1) AND e.id = ?2 ORDER BY e.seq LIMIT 1`, sensor, id).Scan(&sensor, &received, &packed)
	if errors.Is(err, sql.ErrNoRows) {
		return Event{}, ErrNotFound
	}
	if err != nil {
		return Event{}, fmt.Errorf("read event %s of %s: %w", id, sensor, explain(s.path, err))
	}
	entry, err := s.unpack(packed)
	if err != nil {
		return Event{}, fmt.Errorf("read event %s of %s: %w: %w", id, sensor, ErrCorrupt, err)
	}
	record, _ := audit.ParseNative(entry)
	if record == nil {
		record = &audit.Record{ID: id}
	}
	return Event{Sensor: sensor, Received: time.UnixMicro(received).UTC(), Entry: entry, Record: record}, nil
}
