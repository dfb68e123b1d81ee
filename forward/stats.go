package forward

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/spool"
)

// Stats is what a Forwarder has done since New.
type Stats struct {
	Destination string
	// Sent entries were stored by the console; Known of them it had before (batches only).
	Sent, Known int64
	// SetAside entries were refused for good; they lie in the spool's set-aside directory.
	SetAside int64
	// Requests, and how many of them failed; Bytes of bodies sent.
	Requests, Failures, Bytes int64
	// PutOff entries were tried and wait for another try.
	PutOff int
	// ReaderStats is what the spool holds for this destination, and what it gave up of it.
	spool.ReaderStats
	// Waiting is the end of the pause after a failure, zero when there is none.
	Waiting time.Time
	// LastError is the last failure's reason, LastSent when something was last stored.
	LastError             string
	LastErrorAt, LastSent time.Time
}

type counters struct {
	sent, known, setAside, requests, failures, bytes atomic.Int64

	mu          sync.Mutex
	lastError   string    // mu
	lastErrorAt time.Time // mu
	lastSent    time.Time // mu
}

func (c *counters) request(o outcome, entries []spool.Entry) {
	c.requests.Add(1)
	c.bytes.Add(int64(o.bytes))
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.verdict == stored {
		c.sent.Add(int64(len(entries) - len(o.refused)))
		c.lastSent = time.Now()
		return
	}
	c.failures.Add(1)
	c.lastError, c.lastErrorAt = o.reason, time.Now()
}

// Stats returns the counters and the state of now.
func (f *Forwarder) Stats() Stats {
	s := Stats{
		Destination: f.d.Name,
		Sent:        f.count.sent.Load(), Known: f.count.known.Load(), SetAside: f.count.setAside.Load(),
		Requests: f.count.requests.Load(), Failures: f.count.failures.Load(), Bytes: f.count.bytes.Load(),
		PutOff: f.q.len(), Waiting: f.gate.waiting(),
	}
	s.ReaderStats = f.cfg.Reader.Stats()
	f.count.mu.Lock()
	defer f.count.mu.Unlock()
	s.LastError, s.LastErrorAt, s.LastSent = f.count.lastError, f.count.lastErrorAt, f.count.lastSent
	return s
}

// pause waits d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
