package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// ErrGivenUp is returned by SetAside for an entry that was given up while it was out for delivery.
var ErrGivenUp = errors.New("entry was given up: the spool is full")

// Gap is a run of entries that a reader gave up because the spool was full and it was the furthest behind.
type Gap struct {
	From, To uint64 // sequence numbers, both included; some between may have been acknowledged before
	Entries  int64  // that the destination will never get
	// First is when the oldest of them was appended; all of them were before Before.
	First, Before time.Time
	// Reported: the destination has been told.
	Reported bool
}

// Steps of giving up, beside those of the log, for Config.Step.
const (
	stepGiveUp  durable.Step = "give-up"  // before the cursor of a reader that gives up is written
	stepGivenUp durable.Step = "given-up" // all cursors are written, the segment is still there
)

const (
	maxGaps       = 32        // a reader's; beyond, the oldest two become one
	giveUpTries   = 8         // others may take the room that was made
	giveUpWarning = time.Hour // one line of a reader in the log
)

// makeRoom frees room for an entry of n bytes, oldest segment first: the readers
// that hold it back, because they are the furthest behind, give up what they
// have not acknowledged of it. It says false when that does not help: without
// readers nothing is deleted.
//
//	cursors with the gap written ─ segment removed
//
// A crash between the two leaves entries that nobody waits for any more; the next
// trim removes them. They stand in the gap before they go.
func (s *Spool) makeRoom(n int) bool {
	if int64(n) > s.maxBytes.Load()/2 {
		return false // it would cost everything that waits
	}
	s.saved.Lock()
	defer s.saved.Unlock()
	for !s.log.HasRoom(n) {
		to, ok := s.log.OldestEnd()
		if !ok {
			_, err := s.log.BeginSegment()
			if to, ok = s.log.OldestEnd(); err != nil || !ok {
				return false
			}
		}
		if !s.giveUpBefore(to) {
			return false
		}
	}
	return true
}

// giveUpBefore ends every reader's claim on entries below to and removes them. s.saved is held.
func (s *Spool) giveUpBefore(to uint64) bool {
	s.mu.Lock()
	readers := make([]*Reader, 0, len(s.readers))
	for _, r := range s.readers {
		readers = append(readers, r)
	}
	s.mu.Unlock()
	if len(readers) == 0 {
		return false
	}
	before, ok := s.timeOf(to)
	if !ok {
		before = s.cfg.Now()
	}
	for _, r := range readers {
		lost := r.giveUp(to, before)
		s.count.givenUp.Add(lost)
		r.mu.Lock()
		moved := r.acks > 0
		r.mu.Unlock()
		// Also of those that only acknowledged: a cursor behind the first segment would take its entries for damage.
		if !moved {
			continue
		}
		_ = s.step(stepGiveUp, r.path())
		// Where not even a cursor can be written the room is needed all the more. The reader stays marked as
		// moved, and after a crash before the next save its entries count as missing instead.
		if err := r.write(); err != nil {
			s.cfg.Logger.Error("spool cursor cannot be saved", "reader", r.label(), "err", err)
		}
		r.warnGivenUp(lost)
	}
	_ = s.step(stepGivenUp, s.cfg.Dir)
	if err := s.trim(); err != nil {
		s.cfg.Logger.Error("spool segment cannot be removed", "err", err)
	}
	return true
}

func (s *Spool) step(step durable.Step, path string) error {
	if s.cfg.Step == nil {
		return nil
	}
	return s.cfg.Step(step, path)
}

// timeOf returns when the first entry at or after seq was appended.
func (s *Spool) timeOf(seq uint64) (time.Time, bool) {
	c := s.log.Cursor(seq)
	defer c.Close()
	_, payload, _, ok, err := c.Next()
	if err != nil || !ok || len(payload) < 8 {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.LittleEndian.Uint64(payload))), true
}

// giveUp forgets every entry below to that is not acknowledged, and returns how many there were.
func (r *Reader) giveUp(to uint64, before time.Time) (lost int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	low := r.low()
	if low >= to {
		return 0
	}
	first, ok := r.s.timeOf(low)
	if !ok || first.After(before) {
		first = before
	}
	unread := r.start
	if r.cursor != nil {
		unread = r.next
	}
	// Those not read yet.
	if from := max(unread, r.s.log.FirstSeq()); from < to {
		lost = int64(to-from) - r.skip.countFrom(from) + r.skip.countFrom(to)
	}
	// Those that are out: who has them may still bring them to their destination.
	n := 0
	for ; n < len(r.window) && r.window[n].seq < to; n++ {
		sl := r.window[n]
		if sl.acked {
			continue
		}
		lost++
		r.open -= int64(sl.size)
		r.waiting--
		if !slices.Contains(r.again, sl.seq) {
			if r.late == nil {
				r.late = map[uint64]struct{}{}
			}
			r.late[sl.seq] = struct{}{}
		}
	}
	r.window = r.window[n:]
	switch {
	case r.cursor == nil:
		r.start = to
	case r.next < to:
		_ = r.cursor.Close() // read only
		r.next, r.cursor = to, r.s.log.Cursor(to)
	}
	r.acks++ // the cursor file is behind
	if lost > 0 {
		r.addGap(Gap{From: low, To: to - 1, Entries: lost, First: first, Before: before})
	}
	return lost
}

// addGap adds a gap behind the others, or to the last one when nothing was acknowledged between them
// and nobody was told of it. mu is held.
func (r *Reader) addGap(g Gap) {
	if n := len(r.gaps); n > 0 && r.gaps[n-1].To+1 >= g.From && !r.gaps[n-1].Reported {
		r.gaps[n-1] = joinGaps(r.gaps[n-1], g)
		return
	}
	r.gaps = append(r.gaps, g)
	if len(r.gaps) > maxGaps {
		r.gaps[1] = joinGaps(r.gaps[0], r.gaps[1])
		r.gaps = slices.Delete(r.gaps, 0, 1)
	}
}

func joinGaps(a, b Gap) Gap {
	return Gap{From: a.From, To: b.To, Entries: a.Entries + b.Entries, First: a.First, Before: b.Before, Reported: a.Reported && b.Reported}
}

// arrived says that an entry which had been given up came to its destination all the same. mu is held.
func (r *Reader) arrived(seq uint64) bool {
	if _, ok := r.late[seq]; !ok {
		return false
	}
	delete(r.late, seq)
	for i := range r.gaps {
		if g := &r.gaps[i]; g.From <= seq && seq <= g.To {
			g.Entries--
			r.s.count.givenUp.Add(-1)
			r.acks++
			break
		}
	}
	return true
}

// warnGivenUp writes a line at most once an hour: a destination that is away for long gives up for long.
func (r *Reader) warnGivenUp(lost int64) {
	r.mu.Lock()
	r.unsaid += lost
	now, n := r.s.cfg.Now(), r.unsaid
	due := n > 0 && (r.said.IsZero() || now.Sub(r.said) >= giveUpWarning)
	if due {
		r.said, r.unsaid = now, 0
	}
	r.mu.Unlock()
	if due {
		r.s.cfg.Logger.Warn("spool is full: the oldest records of the destination that is furthest behind are given up",
			"destination", r.label(), "records", n, "max_bytes", r.s.maxBytes.Load())
	}
}

// SetMaxBytes changes Config.MaxBytes while the spool works.
func (s *Spool) SetMaxBytes(n int64) {
	n = cmp.Or(max(n, 0), defaultMaxBytes)
	s.maxBytes.Store(n)
	s.log.SetMaxBytes(n)
}

// SetLabel names the destination in the log.
func (r *Reader) SetLabel(text string) { r.text.Store(&text) }

func (r *Reader) label() string {
	if text := r.text.Load(); text != nil {
		return *text
	}
	return r.name
}

// ReaderStats is what a spool holds for one destination, and what it gave up of it.
type ReaderStats struct {
	Backlog, BacklogBytes int64
	// GivenUp records were never delivered, because the spool was full: the oldest is of GivenUpFirst, all are from before GivenUpBefore.
	GivenUp                     int64
	GivenUpFirst, GivenUpBefore time.Time
}

// Stats returns the numbers of now. GivenUp counts since the reader is known, restarts included.
func (r *Reader) Stats() ReaderStats {
	var st ReaderStats
	st.Backlog, st.BacklogBytes = r.Backlog()
	for i, g := range r.Gaps() {
		st.GivenUp += g.Entries
		if i == 0 {
			st.GivenUpFirst = g.First
		}
		st.GivenUpBefore = g.Before
	}
	return st
}

// Destinations returns the numbers of every reader, of those that nobody opened too, by label.
func (s *Spool) Destinations() map[string]ReaderStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]ReaderStats, len(s.readers))
	for _, r := range s.readers {
		all[r.label()] = r.Stats()
	}
	return all
}

// Report notes that the destination has been told of a gap, as Gaps returned it.
func (r *Reader) Report(g Gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.gaps {
		if r.gaps[i].From == g.From && r.gaps[i].To == g.To {
			r.gaps[i].Reported = true
			r.acks++ // the cursor file is behind
		}
	}
}

// Gaps lists what the reader gave up, oldest first. It survives restarts.
func (r *Reader) Gaps() []Gap {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.gaps), func(g Gap) bool { return g.Entries == 0 })
}
