package store

import (
	"context"
	"fmt"
	"time"
)

// Stats says how full the store is.
type Stats struct {
	Events int64
	// Oldest is the time of the oldest event, zero when there is none.
	Oldest time.Time
	// Bytes is the size of the database without pages that are free for reuse.
	Bytes int64
	// DroppedSubscribers counts subscribers that were too slow, since Open.
	DroppedSubscribers uint64
}

// Stats reads the present figures; cheap, as events are counted by hour.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	var oldest *int64
	err := s.readers.QueryRowContext(ctx, `SELECT (SELECT coalesce(sum(events), 0) FROM hours), (SELECT min(time) FROM events),
		(SELECT (p.page_count - f.freelist_count) * z.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size z)`).
		Scan(&st.Events, &oldest, &st.Bytes)
	if err != nil {
		return st, fmt.Errorf("read store figures: %w", explain(s.path, err))
	}
	if oldest != nil {
		st.Oldest = time.UnixMicro(*oldest).UTC()
	}
	s.live.mu.Lock()
	st.DroppedSubscribers = s.live.dropped
	s.live.mu.Unlock()
	return st, nil
}
