package store

import (
	"context"
	"errors"
	"fmt"
)

// maxCommit bounds the events of one transaction, so that a long queue neither holds
// everybody's answer back nor makes a transaction of unbounded size.
const maxCommit = 4096

// Result says what an Insert did.
type Result struct {
	// Stored is how many events are new, Known how many were there before.
	Stored, Known int
}

// insertion is one Insert call on its way through a commit.
type insertion struct {
	rows   []row
	done   chan struct{} // closed when result and err are set
	result Result
	err    error
}

// row is one event, coded for the tables.
type row struct {
	summary Summary
	entry   []byte
	fresh   bool // set inside the transaction: the event was not known
}

// Insert stores events; they are on disk when it returns nil. An event whose
// (sensor, id) is known is left as it is and counted in Known. All events of a
// call are stored, or on error none is known to be. Calls that run at the same
// time share a commit:
//
//	caller A ──┐                 ┌─ takes all pending, BEGIN, rows, COMMIT (one fsync), wakes A, B, C
//	caller B ──┼─ pending ─ turn ┤
//	caller C ──┘                 └─ whoever is first; the others wait for their result
//
// A context that ends while the commit is under way gives its error although the
// events may be stored: sending them again is safe.
func (s *Store) Insert(ctx context.Context, events []Event) (Result, error) {
	in := &insertion{done: make(chan struct{}), rows: make([]row, len(events))}
	for i := range events {
		e := &events[i]
		if e.Record == nil || e.Record.ID == "" || e.Sensor == "" {
			return Result{}, errors.New("insert event: sensor, record and id must be set")
		}
		if e.Received.IsZero() {
			e.Received = s.cfg.Now()
		}
		in.rows[i] = row{summary: Summarize(e), entry: s.pack(e.Entry)}
	}
	if len(events) == 0 {
		return Result{}, nil
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return Result{}, ErrClosed
	}
	s.pending = append(s.pending, in)
	s.mu.Unlock()
	select {
	case s.turn <- struct{}{}:
		// The commit serves other callers too: the end of this one's context must not undo it.
		s.commitUntil(context.WithoutCancel(ctx), in)
		<-s.turn
		return in.result, in.err
	case <-in.done:
		return in.result, in.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// commitUntil commits pending insertions in groups until mine is done. The caller holds turn.
func (s *Store) commitUntil(ctx context.Context, mine *insertion) {
	for {
		select {
		case <-mine.done:
			return
		default:
		}
		s.mu.Lock()
		n, rows := 0, 0
		for n < len(s.pending) && (n == 0 || rows+len(s.pending[n].rows) <= maxCommit) {
			rows += len(s.pending[n].rows)
			n++
		}
		group := s.pending[:n:n]
		s.pending = s.pending[n:]
		if len(s.pending) == 0 {
			s.pending = nil
		}
		closed := s.closed
		s.mu.Unlock()
		if len(group) == 0 {
			return
		}
		err := ErrClosed
		if !closed {
			err = s.commit(ctx, group)
		}
		for _, in := range group {
			if err != nil {
				in.result, in.err = Result{}, err
			}
			close(in.done)
		}
	}
}

// commit stores a group in one transaction and tells subscribers after it is on disk.
func (s *Store) commit(ctx context.Context, group []*insertion) error {
	hours := make(map[hourKey]int64)
	err := s.writer.transact(ctx, func() error {
		for _, in := range group {
			for i := range in.rows {
				r := &in.rows[i]
				fresh, err := s.writer.insert(ctx, r, hours)
				if err != nil {
					return err
				}
				if r.fresh = fresh; fresh {
					in.result.Stored++
				} else {
					in.result.Known++
				}
			}
		}
		for k, n := range hours {
			if _, err := s.writer.hour.ExecContext(ctx, k.hour, k.sensor, k.port, k.kind, n); err != nil {
				return fmt.Errorf("count hour: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit events: %w", explain(s.path, err))
	}
	var fresh []Summary
	for _, in := range group {
		for i := range in.rows {
			if in.rows[i].fresh {
				fresh = append(fresh, in.rows[i].summary)
			}
		}
	}
	if len(fresh) > 0 {
		s.live.commit(fresh[len(fresh)-1].Seq, fresh)
	}
	return nil
}
