package store

import (
	"context"
	"sync"
)

// liveBuffer is how many summaries a subscriber may lag behind before it is dropped.
const liveBuffer = 1024

// live tells waiting readers what was committed.
type live struct {
	mu      sync.Mutex
	newest  int64                     // guarded by mu
	changed chan struct{}             // guarded by mu; closed and replaced at each commit
	subs    map[chan Summary]struct{} // guarded by mu
	dropped uint64                    // guarded by mu
	ended   bool                      // guarded by mu
}

func (l *live) init() {
	l.changed = make(chan struct{})
	l.subs = make(map[chan Summary]struct{})
}

// commit announces events; it never waits for a reader.
func (l *live) commit(newest int64, fresh []Summary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = max(l.newest, newest)
	close(l.changed)
	l.changed = make(chan struct{})
	for ch := range l.subs {
		for i := range fresh {
			select {
			case ch <- fresh[i]:
				continue
			default:
			}
			l.dropped++
			delete(l.subs, ch)
			close(ch)
			break
		}
	}
}

func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	close(l.changed)
	l.changed = make(chan struct{})
	for ch := range l.subs {
		delete(l.subs, ch)
		close(ch)
	}
}

// Subscribe delivers the summary of each event after its commit, in order of
// arrival. A subscriber that falls more than a thousand events behind is
// dropped: its channel is closed, and Stats counts it; it may subscribe again
// and read what it missed with Since. cancel is safe to call more than once.
func (s *Store) Subscribe() (events <-chan Summary, cancel func()) {
	ch := make(chan Summary, liveBuffer)
	l := &s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		close(ch)
		return ch, func() {}
	}
	l.subs[ch] = struct{}{}
	return ch, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, ok := l.subs[ch]; ok {
			delete(l.subs, ch)
			close(ch)
		}
	}
}

// Newest is the Seq of the newest committed event, 0 when there is none.
func (s *Store) Newest() int64 {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	return s.live.newest
}

// Wait blocks until an event with a greater Seq than after is committed and returns the newest Seq.
func (s *Store) Wait(ctx context.Context, after int64) (int64, error) {
	l := &s.live
	for {
		l.mu.Lock()
		newest, changed, ended := l.newest, l.changed, l.ended
		l.mu.Unlock()
		if newest > after {
			return newest, nil
		}
		if ended {
			return newest, ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return newest, ctx.Err()
		}
	}
}
