package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
)

const summaryColumns = `e.seq, e.time, e.received, (SELECT name FROM sensors WHERE n = e.sensor), e.id, e.client, e.client_port,
	e.port, e.kind, e.honeytrap, e.method, e.uri, e.host, e.status, e.action, e.severity, e.rules, e.message, e.agent, e.ja4, e.hash, e.size`

// Events lists events that match f, newest first. older is where the list goes
// on, "" at its end. Order is by time of the event; with f.Text it is by order
// of arrival, which lets the text index stop early. When page.Newer is set the
// events are those just before that place, still newest first.
func (s *Store) Events(ctx context.Context, f Filter, page Page) (events []Summary, older Cursor, err error) {
	limit := page.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	query, args, err := s.listQuery(ctx, f, page, limit+1)
	if err != nil {
		return nil, "", err
	}
	if query == "" {
		return nil, "", nil
	}
	events, err = s.summaries(ctx, query, args)
	if err != nil {
		return nil, "", fmt.Errorf("list events: %w", explain(s.path, err))
	}
	more := len(events) > limit
	if more {
		events = events[:limit]
	}
	if page.Newer != "" {
		// Read in ascending order: the page's last event is the first one read, and what is older is known to exist.
		slices.Reverse(events)
		more = true
	}
	if more && len(events) > 0 {
		last := &events[len(events)-1]
		older = makeCursor(last.Time, last.Seq)
	}
	return events, older, nil
}

// Newer is the cursor with which Page.Newer reads the events before e.
func (e *Summary) Newer() Cursor { return makeCursor(e.Time, e.Seq) }

// Since lists events that match f and arrived after seq, the latest limit of them, newest arrival first.
func (s *Store) Since(ctx context.Context, f Filter, seq int64, limit int) ([]Summary, error) {
	var w where
	f.where(&w)
	f.whereTime(&w, "e.time")
	w.add("e.seq > ?", seq)
	if f.Rule != 0 {
		w.add("EXISTS (SELECT 1 FROM matched m WHERE m.rule = ? AND m.time = e.time AND m.seq = e.seq)", f.Rule)
	}
	if f.Text != "" {
		match := matchText(f.Text)
		if match == "" {
			return nil, nil
		}
		w.add("e.seq IN (SELECT rowid FROM events_text WHERE events_text MATCH ? AND rowid > ?)", match, seq)
	}
	query := "SELECT " + summaryColumns + " FROM events e NOT INDEXED" + w.String() + " ORDER BY e.seq DESC LIMIT ?"
	events, err := s.summaries(ctx, query, append(w.args, limit))
	if err != nil {
		return nil, fmt.Errorf("list new events: %w", explain(s.path, err))
	}
	return events, nil
}

// listQuery builds the statement of a page. The path it forces:
//
//	text    events_text in rowid order, each row looked up
//	rule    matched (rule, time, seq), each row looked up
//	else    the index that finds the fewest events (narrowest), in order of time
//	class   of statuses that are many: the newest of each status, put together
//
// The query is "" when no event can match.
func (s *Store) listQuery(ctx context.Context, f Filter, page Page, limit int) (query string, args []any, err error) {
	var w where
	from, order, place := "events e", "e.time %[1]s, e.seq %[1]s", "(e.time, e.seq)"
	switch {
	case f.Text != "":
		match := matchText(f.Text)
		if match == "" {
			return "", nil, nil
		}
		from, order, place = "events_text t CROSS JOIN events e ON e.seq = t.rowid", "t.rowid %[1]s", "t.rowid"
		w.add("events_text MATCH ?", match)
		f.whereTime(&w, "e.time")
		if f.Rule != 0 {
			w.add("EXISTS (SELECT 1 FROM matched m WHERE m.rule = ? AND m.time = e.time AND m.seq = e.seq)", f.Rule)
		}
	case f.Rule != 0:
		from, order, place = "matched m CROSS JOIN events e ON e.seq = m.seq", "m.time %[1]s, m.seq %[1]s", "(m.time, m.seq)"
		w.add("m.rule = ?", f.Rule)
		f.whereTime(&w, "m.time")
	default:
		best, err := s.narrowest(ctx, &f)
		if err != nil {
			return "", nil, explain(s.path, err)
		}
		if best != nil {
			from += " INDEXED BY " + best.index
		} else if f.StatusFrom != f.StatusTo {
			return s.classQuery(ctx, f, page, limit)
		}
		f.whereTime(&w, "e.time")
	}
	f.where(&w)
	direction, err := page.after(&w, place, f.Text != "")
	if err != nil {
		return "", nil, err
	}
	query = "SELECT " + summaryColumns + " FROM " + from + w.String() +
		" ORDER BY " + fmt.Sprintf(order, direction) + " LIMIT ?"
	return query, append(w.args, limit), nil
}

// after adds the condition that events come after the page's place, and returns the direction in which they are read.
func (p Page) after(w *where, place string, bySeq bool) (direction string, err error) {
	direction, compare, cursor := "DESC", "<", p.Older
	if p.Newer != "" {
		direction, compare, cursor = "ASC", ">", p.Newer
	}
	if cursor == "" {
		return direction, nil
	}
	micros, seq, err := cursor.split()
	switch {
	case err != nil:
	case bySeq:
		w.add(place+" "+compare+" ?", seq)
	default:
		w.add(place+" "+compare+" (?, ?)", micros, seq)
	}
	return direction, err
}

// classQuery lists events of a class of statuses: each status has its newest in order in the index, and the
// newest of them all are the page.
func (s *Store) classQuery(ctx context.Context, f Filter, page Page, limit int) (query string, args []any, err error) {
	list, err := s.statuses(ctx, &f)
	if err != nil {
		return "", nil, explain(s.path, err)
	}
	if len(list) == 0 {
		return "", nil, nil
	}
	var arms []string
	index, order := " INDEXED BY events_status", ""
	if len(list) > maxArms {
		list, index = []int{0}, "" // nobody has that many: the index on time will find some soon
	}
	for _, status := range list {
		var w where
		if index != "" {
			w.add("e.status = ?", status)
		}
		f.whereTime(&w, "e.time")
		f.where(&w)
		direction, err := page.after(&w, "(e.time, e.seq)", false)
		if err != nil {
			return "", nil, err
		}
		order = fmt.Sprintf(" ORDER BY e.time %[1]s, e.seq %[1]s LIMIT ?", direction)
		arms = append(arms, "SELECT * FROM (SELECT e.* FROM events e"+index+w.String()+order+")")
		args = append(append(args, w.args...), limit)
	}
	query = "SELECT " + summaryColumns + " FROM (" + strings.Join(arms, " UNION ALL ") + ") e" + order
	return query, append(args, limit), nil
}

func (f *Filter) whereTime(w *where, column string) {
	if !f.From.IsZero() {
		w.add(column+" >= ?", f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		w.add(column+" < ?", f.To.UnixMicro())
	}
}

func (s *Store) summaries(ctx context.Context, query string, args []any) ([]Summary, error) {
	rows, err := s.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Summary
	for rows.Next() {
		e, err := scanSummary(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func scanSummary(rows *sql.Rows) (Summary, error) {
	var e Summary
	var at, received, hash int64
	var client []byte
	var port uint16
	var kind uint8
	var rules string
	err := rows.Scan(&e.Seq, &at, &received, &e.Sensor, &e.ID, &client, &port, &e.Port, &kind, &e.Honeytrap, &e.Method, &e.URI,
		&e.Host, &e.Status, &e.Action, &e.Severity, &rules, &e.Message, &e.UserAgent, &e.JA4, &hash, &e.Size)
	if err != nil {
		return e, err
	}
	e.Time, e.Received = time.UnixMicro(at).UTC(), time.UnixMicro(received).UTC()
	if a, ok := netip.AddrFromSlice(client); ok {
		e.Client = netip.AddrPortFrom(a.Unmap(), port)
	}
	e.Kind, e.Hash, e.Rules = audit.Kind(kind), uint64(hash), ruleIDs(rules)
	return e, nil
}

// newestSeq is the greatest seq in the database.
func (s *Store) newestSeq(ctx context.Context) (int64, error) {
	var seq sql.NullInt64
	err := s.readers.QueryRowContext(ctx, "SELECT max(seq) FROM events").Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return seq.Int64, err
}
