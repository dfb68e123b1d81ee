package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// Reader delivers the queue to one destination. Its methods may be called from
// any goroutine; several may wait in Next, each gets other entries.
type Reader struct {
	s    *Spool
	name string
	more chan struct{} // a token when there may be something to read
	gone chan struct{} // closed by Close and Forget

	mu      sync.Mutex
	stopped bool            // mu
	start   uint64          // mu; every entry below is acknowledged, as read from disk
	skip    ranges          // mu; acknowledged above start, as read from disk
	cursor  *durable.Cursor // mu; nil until the first Next
	window  []slot          // mu; delivered entries from the oldest that is not acknowledged, in order
	again   []uint64        // mu; released, to be delivered once more
	next    uint64          // mu; sequence number after the last that was read
	acks    int             // mu; since the last save
	open    int64           // mu; bytes of delivered entries that are not acknowledged
	waiting int             // mu; number of delivered entries that are not acknowledged

	late   map[uint64]struct{} // mu; given up while they were out for delivery
	gaps   []Gap               // mu; what was given up, in order
	said   time.Time           // mu; of the last line in the log about it
	unsaid int64               // mu; given up since
	text   atomic.Pointer[string]

	asideMu     sync.Mutex
	asides      int  // asideMu; files in set-aside/, at least
	asidesKnown bool // asideMu
}

// slot is one delivered entry.
type slot struct {
	seq   uint64
	pos   durable.Pos
	size  int32
	acked bool
}

// Reader returns the reader called name, with the place in the queue that it
// had; a new one starts at the oldest entry there is. From then on nothing is
// deleted that it has not acknowledged, also while it is not open, until
// Forget. A name is 1 to 64 of letters, digits, '.', '_' and '-', and does not begin with '.'.
func (s *Spool) Reader(name string) (*Reader, error) {
	if !validName(name) {
		return nil, fmt.Errorf("reader %q: not a name", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	r := s.readers[name]
	if r == nil {
		r = newReader(s, name)
		r.start = s.log.FirstSeq()
		// On disk at once: a reader that is known holds its entries back also after a crash.
		if err := r.write(); err != nil {
			if !s.cfg.Detached {
				return nil, fmt.Errorf("reader %s: %w", name, err)
			}
			r.acks++ // the next save tries again
		}
		s.readers[name] = r
	}
	r.begin()
	s.publish()
	return r, nil
}

// publish tells Append which readers there are. mu is held.
func (s *Spool) publish() {
	var live []*Reader
	for _, r := range s.readers {
		live = append(live, r)
	}
	s.live.Store(&live)
}

// Forget ends the reader called name and what it holds back. A name that is not known is no error.
func (s *Spool) Forget(name string) error {
	s.mu.Lock()
	r := s.readers[name]
	delete(s.readers, name)
	s.publish()
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.stop()
	err := errors.Join(r.closeFile(), durable.Remove(r.path()))
	return errors.Join(err, s.trim())
}

// Readers returns the names of all readers, in order.
func (s *Spool) Readers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.readers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func newReader(s *Spool, name string) *Reader {
	return &Reader{s: s, name: name, more: make(chan struct{}, 1), gone: make(chan struct{})}
}

func validName(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return false
		}
	}
	return true
}

func (r *Reader) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cursor == nil {
		r.next = r.start
		r.cursor = r.s.log.Cursor(r.start)
	}
}

func (r *Reader) signal() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// Next waits for the next entry and returns it. It stays with the reader until
// Ack, SetAside or Release; after a crash it comes again.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	for {
		e, ok, err := r.poll()
		if err != nil {
			return Entry{}, fmt.Errorf("read spool: %w", err)
		}
		if ok {
			r.signal() // there may be one more, for another that waits
			return e, nil
		}
		select {
		case <-r.more:
		case <-r.gone:
			return Entry{}, ErrClosed
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}

// Poll returns the next entry if one is there, without waiting; it is Next for
// those who fill a batch. An error shows as nothing there: Next will return it.
func (r *Reader) Poll() (Entry, bool) {
	e, ok, err := r.poll()
	if err != nil {
		r.signal()
		return Entry{}, false
	}
	return e, ok
}

// poll returns the next entry that is there now.
func (r *Reader) poll() (Entry, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return Entry{}, false, ErrClosed
	}
	for len(r.again) > 0 {
		seq := r.again[0]
		r.again = r.again[1:]
		i, ok := r.find(seq)
		if !ok || r.window[i].acked {
			continue
		}
		if e, err := r.reread(&r.window[i]); err == nil {
			return e, true, nil
		} else if !errors.Is(err, durable.ErrGone) && !errors.Is(err, errEntry) {
			r.again = append(r.again, seq)
			return Entry{}, false, err
		}
		r.s.count.missing.Add(1)
		r.settle(i)
	}
	for {
		bytes, frames := r.cursor.Skipped, r.cursor.SkippedFrames
		seq, payload, pos, ok, err := r.cursor.Next()
		r.damage(r.cursor.Skipped-bytes, r.cursor.SkippedFrames-frames)
		if err != nil || !ok {
			return Entry{}, false, err
		}
		r.next = seq + 1
		if r.skip.has(seq) {
			continue
		}
		e, err := parseEntry(seq, payload)
		if err != nil {
			r.damage(int64(len(payload)), 1)
			continue
		}
		r.window = append(r.window, slot{seq: seq, pos: pos, size: int32(len(payload) + frameOverhead)})
		r.open += int64(len(payload) + frameOverhead)
		r.waiting++
		return e, true, nil
	}
}

func (r *Reader) reread(sl *slot) (Entry, error) {
	seq, payload, err := r.s.log.ReadAt(sl.pos)
	if err != nil {
		return Entry{}, err
	}
	if seq != sl.seq {
		return Entry{}, durable.ErrGone
	}
	return parseEntry(seq, payload)
}

// damage reports what the cursor had to step over.
func (r *Reader) damage(bytes int64, frames uint64) {
	if bytes == 0 && frames == 0 {
		return
	}
	r.s.count.damagedBytes.Add(bytes)
	r.s.count.missing.Add(int64(frames))
	r.s.cfg.Logger.Warn("spool damaged", "reader", r.name, "bytes", bytes, "entries", frames, "before", r.next)
}

// find returns the place of seq in the window.
func (r *Reader) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(r.window, seq, func(s slot, seq uint64) int {
		switch {
		case s.seq < seq:
			return -1
		case s.seq > seq:
			return 1
		}
		return 0
	})
}

// Ack says that the destination has the entry. It is durable within about a
// second, and with Close; until then a crash can deliver the entry again.
func (r *Reader) Ack(seq uint64) error {
	r.mu.Lock()
	if r.arrived(seq) {
		r.mu.Unlock()
		r.s.count.acked.Add(1)
		return nil
	}
	i, ok := r.find(seq)
	if !ok || r.window[i].acked || r.stopped {
		stopped := r.stopped
		r.mu.Unlock()
		if stopped {
			return ErrClosed
		}
		return fmt.Errorf("ack %d: %w", seq, ErrUnknown)
	}
	r.settle(i)
	due := r.acks%saveAcks == 0
	r.mu.Unlock()
	r.s.count.acked.Add(1)
	if due {
		_ = r.s.save() // the entry is acknowledged; who runs or closes the spool is told
	}
	return nil
}

const saveAcks = 1000

// settle marks a slot acknowledged and moves the window on. mu is held.
func (r *Reader) settle(i int) {
	r.window[i].acked = true
	r.open -= int64(r.window[i].size)
	r.waiting--
	r.acks++
	n := 0
	for n < len(r.window) && r.window[n].acked {
		n++
	}
	r.window = r.window[n:]
	if len(r.window) == 0 {
		r.window = nil
	}
}

// Release gives an entry back: Next will return it again, before newer ones.
func (r *Reader) Release(seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.late[seq]; ok {
		delete(r.late, seq) // it stays given up
		return nil
	}
	i, ok := r.find(seq)
	if !ok || r.window[i].acked {
		return fmt.Errorf("release %d: %w", seq, ErrUnknown)
	}
	r.again = append(r.again, seq)
	r.signal()
	return nil
}

// Backlog returns how many entries the reader has not acknowledged, delivered
// or not, and their bytes on disk. Damage not yet met counts as entries.
func (r *Reader) Backlog() (entries, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cursor == nil {
		return 0, 0
	}
	ahead := int64(r.s.log.Synced()) - int64(max(r.next, r.s.log.FirstSeq()))
	ahead -= r.skip.countFrom(r.next)
	return max(ahead, 0) + int64(r.waiting), r.cursor.Left() + r.open
}

// Name returns the reader's name.
func (r *Reader) Name() string { return r.name }

// low returns the sequence number below which everything is acknowledged. mu is held.
func (r *Reader) low() uint64 {
	if r.cursor == nil {
		return r.start
	}
	if len(r.window) > 0 {
		return r.window[0].seq
	}
	return r.next
}

func (r *Reader) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped {
		r.stopped = true
		close(r.gone)
	}
}

func (r *Reader) closeFile() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cursor == nil {
		return nil
	}
	return r.cursor.Close()
}
