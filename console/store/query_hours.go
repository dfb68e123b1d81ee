package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// HourCount is the number of events of one hour.
type HourCount struct {
	Hour   time.Time // start, UTC
	Events int64
}

// ErrNotCounted says that a filter has a field that hourly counts do not keep.
var ErrNotCounted = errors.New("events are counted by time, sensor, port and kind only")

// Hours counts events by hour from f.From to f.To, oldest first, hours without
// events left out. Counts are kept as events arrive, so this reads no event;
// only f.From, f.To (whole hours are counted), f.Sensor, f.Port and f.Kind may be set.
func (s *Store) Hours(ctx context.Context, f Filter) ([]HourCount, error) {
	if !f.Counted() {
		return nil, ErrNotCounted
	}
	var w where
	if !f.From.IsZero() {
		w.add("hour >= ?", hourOf(f.From))
	}
	if !f.To.IsZero() {
		w.add("hour <= ?", hourOf(f.To.Add(-time.Microsecond)))
	}
	if f.Sensor != "" {
		w.add("sensor = (SELECT n FROM sensors WHERE name = ?)", f.Sensor)
	}
	if f.Port != 0 {
		w.add("port = ?", f.Port)
	}
	if f.Kind != nil {
		w.add("kind = ?", uint8(*f.Kind))
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT hour, sum(events) FROM hours"+w.String()+" GROUP BY hour ORDER BY hour", w.args...)
	if err != nil {
		return nil, fmt.Errorf("count events by hour: %w", explain(s.path, err))
	}
	defer rows.Close()
	var out []HourCount
	for rows.Next() {
		var hour, n int64
		if err := rows.Scan(&hour, &n); err != nil {
			return nil, fmt.Errorf("count events by hour: %w", explain(s.path, err))
		}
		out = append(out, HourCount{time.Unix(hour*3600, 0).UTC(), n})
	}
	return out, rows.Err()
}

// Counted reports whether Hours can answer for f.
func (f *Filter) Counted() bool {
	g := *f
	g.From, g.To, g.Sensor, g.Port, g.Kind = time.Time{}, time.Time{}, "", 0, nil
	return g == Filter{}
}
