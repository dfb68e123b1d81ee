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

	mu    sync.Mutex
	by    map[netip.Addr]*summary // guarded by mu: the current window
	timer *time.Timer             // guarded by mu: ends the current window
}

// summary is what one client did in one window, beyond its own records.
type summary struct {
	last       *touch // the last one counted: it lends its addresses to the record
	seen       int
	suppressed int
	from       time.Time
}

func newTally(limit int, window time.Duration, emit func(summary)) *tally {
	return &tally{limit: limit, window: window, size: 1 << 17, emit: emit, by: make(map[netip.Addr]*summary)}
}

// count returns true when the connect deserves its own record.
func (ta *tally) count(tc *touch) bool {
	key := clientKey(tc.peer.Addr())
	ta.mu.Lock()
	defer ta.mu.Unlock()
	s := ta.by[key]
	if s == nil {
		if len(ta.by) >= ta.size {
			return true
		}
		s = &summary{from: tc.time}
		ta.by[key] = s
		if ta.timer == nil {
			ta.timer = time.AfterFunc(ta.window, ta.flush)
		}
	}
	s.seen++
	if s.seen <= ta.limit {
		return true
	}
	s.suppressed++
	s.last = tc
	return false
}

// flush ends the window: it emits the summaries and starts afresh.
func (ta *tally) flush() {
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
