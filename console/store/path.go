package store

import (
	"context"
	"fmt"
	"net/http"

	"github.com/trapline/trapline/audit"
)

// path is an index that finds the events of one condition.
type path struct {
	index string
	cond  string
	args  []any
	// ordered: within the condition the index is in order of time, so that a page stops early.
	ordered bool
}

// fewEvents is how many events of a condition are counted at most to compare paths: about 0.3 ms each. So many are
// also sorted for a page when the path is not ordered.
const fewEvents = 2000

// paths are the indexes that can serve f, those that mostly find the fewest events first. A partial index serves
// only who repeats its own condition.
func (f *Filter) paths() []path {
	var all []path
	add := func(index string, ordered, ok bool, cond string, args ...any) {
		if ok {
			all = append(all, path{index, cond, args, ordered})
		}
	}
	add("events_hash", true, f.Hash != 0, "e.hash = ?", int64(f.Hash))
	if f.Client.IsValid() {
		lo, hi := bounds(f.Client)
		add("events_client", true, f.Client.IsSingleIP(), "e.client = ?", lo)
		add("events_client", false, !f.Client.IsSingleIP(), "e.client BETWEEN ? AND ?", lo, hi)
	}
	add("events_ja4", true, f.JA4 != "", "e.ja4 = ? AND e.ja4 <> ''", f.JA4)
	add("events_host", true, f.Host != "", "e.host = ? AND e.host <> ''", f.Host)
	add("events_method", true, f.Method != "" && f.Method != http.MethodGet, "e.method = ? AND e.method <> '' AND e.method <> 'GET'", f.Method)
	if f.StatusFrom != 0 || f.StatusTo != 0 {
		add("events_status", true, f.StatusFrom == f.StatusTo, "e.status = ?", f.StatusFrom)
		add("events_status", false, f.StatusFrom != f.StatusTo, "e.status BETWEEN ? AND ?", f.StatusFrom, f.StatusTo)
	}
	add("events_kind", true, f.Kind != nil && *f.Kind != audit.KindHTTP, "e.kind = ? AND e.kind <> 0", kindNumber(f.Kind))
	add("events_port", true, f.Port != 0, "e.port = ?", f.Port)
	add("events_sensor", true, f.Sensor != "", "e.sensor = (SELECT n FROM sensors WHERE name = ?)", f.Sensor)
	return all
}

func kindNumber(k *audit.Kind) uint8 {
	if k == nil {
		return 0
	}
	return uint8(*k)
}

// narrowest picks the path with the fewest events; nil when the index on time
// serves best. SQLite would pick one without knowing what is rare: it reads a
// million rows to find that nobody sent PROPFIND from a host that everybody asks for.
func (s *Store) narrowest(ctx context.Context, f *Filter) (best *path, err error) {
	all := f.paths()
	least := fewEvents + 1
	for i := range all {
		p := &all[i]
		if len(all) == 1 && p.ordered {
			return p, nil
		}
		var w where
		w.add(p.cond, p.args...)
		f.whereTime(&w, "e.time")
		n := 0
		query := "SELECT count(*) FROM (SELECT 1 FROM events e INDEXED BY " + p.index + w.String() + " LIMIT ?)"
		if err := s.readers.QueryRowContext(ctx, query, append(w.args, fewEvents)...).Scan(&n); err != nil {
			return nil, fmt.Errorf("count events of %s: %w", p.index, err)
		}
		if n < least && (p.ordered || n < fewEvents) {
			best, least = p, n
		}
	}
	return best, nil
}

// maxArms bounds the statuses that one page is put together from.
const maxArms = 50

// statuses lists which statuses of a class there are, one step in the index each.
func (s *Store) statuses(ctx context.Context, f *Filter) (list []int, err error) {
	rows, err := s.readers.QueryContext(ctx, `WITH RECURSIVE found (status) AS (
		SELECT min(status) FROM events WHERE status BETWEEN ?1 AND ?2
		UNION ALL SELECT (SELECT min(status) FROM events WHERE status > found.status AND status <= ?2) FROM found WHERE found.status IS NOT NULL
	) SELECT status FROM found WHERE status IS NOT NULL LIMIT ?3`, f.StatusFrom, f.StatusTo, maxArms+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}
