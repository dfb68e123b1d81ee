package store

import (
	"context"
	"fmt"
	"time"
)

// SensorCount is the number of events of one sensor.
type SensorCount struct {
	Sensor string
	Events int64
}

// Sensors lists every sensor that ever sent an event, by name, with the number of its events since from (whole hours).
func (s *Store) Sensors(ctx context.Context, from time.Time) ([]SensorCount, error) {
	rows, err := s.readers.QueryContext(ctx, `SELECT n.name, coalesce(sum(h.events), 0) FROM sensors n
		LEFT JOIN hours h ON h.sensor = n.n AND h.hour >= ? GROUP BY n.n ORDER BY n.name`, hourOf(from))
	if err != nil {
		return nil, fmt.Errorf("count events by sensor: %w", explain(s.path, err))
	}
	defer rows.Close()
	var out []SensorCount
	for rows.Next() {
		var c SensorCount
		if err := rows.Scan(&c.Sensor, &c.Events); err != nil {
			return nil, fmt.Errorf("count events by sensor: %w", explain(s.path, err))
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
