package trap

import (
	"net/netip"
	"sync"
	"time"
)

// tally decides which bare connects become a record of their own. The first
// ones of a client in a window do; what follows is counted, and one summary
// per client and window says how many there were. The tag is set in any case.
type tally struct {
	limit  int           // records per client and window
	window time.Duration // length of a window
	size   int           // clients per window; those beyond are not limited
	emit   func(summary)

	flushing sync.Mutex // held while summaries are emitted, so that the last flush waits for the one before

	mu    sync.Mutex
	by    map[netip.Addr]*summary // guarded by mu: the current window
	timer *time.Timer             // guarded by mu: ends the current window
}

// summary is what one client did in one window, beyond its own records.
type summary struct {
	last       touch // the last one counted: it lends its addresses to the record
	seen       int
	suppressed int
	from       time.Time
}

func newTally(limit int, window time.Duration, emit func(summary)) *tally {
	return &tally{limit: limit, window: window, size: 1 << 17, emit: emit, by: make(map[netip.Addr]*summary)}
}

// count returns true when the connect deserves its own record.
func (ta *tally) count(tc touch) bool {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	s := ta.summary(tc)
	if s == nil {
		return true
	}
	s.seen++
	if s.seen <= ta.limit {
		return true
	}
	s.suppressed++
	s.last = tc
	return false
}

// suppress counts a connect that gets no record of its own whatever the limit says.
func (ta *tally) suppress(tc touch) {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	if s := ta.summary(tc); s != nil {
		s.suppressed++
		s.last = tc
	}
}

// summary returns what is known of a client in this window, nil when there is
// no room for another client; ta.mu is held.
func (ta *tally) summary(tc touch) *summary {
	key := clientKey(tc.peer.Addr())
	s := ta.by[key]
	if s == nil {
		if len(ta.by) >= ta.size {
			return nil
		}
		s = &summary{from: tc.time}
		ta.by[key] = s
		if ta.timer == nil {
			ta.timer = time.AfterFunc(ta.window, ta.flush)
		}
	}
	return s
}

// flush ends the window: it emits the summaries and starts afresh.
func (ta *tally) flush() {
	ta.flushing.Lock()
	defer ta.flushing.Unlock()
	ta.mu.Lock()
	by := ta.by
	ta.by = make(map[netip.Addr]*summary)
	if ta.timer != nil {
		ta.timer.Stop()
		ta.timer = nil
	}
	ta.mu.Unlock()
	for _, s := range by {
		if s.suppressed > 0 {
			ta.emit(*s)
		}
	}
}
