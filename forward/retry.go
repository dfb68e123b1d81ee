package forward

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trapline/trapline/spool"
)

// verdict is what an answer means.
type verdict uint8

const (
	failed  verdict = iota // the server or the way to it: everything waits
	stored                 // 200
	refused                // this entry is not acceptable
)

// outcome is how a request ended.
type outcome struct {
	verdict    verdict
	status     int           // 0: no answer
	reason     string        // for people
	retryAfter time.Duration // 0: the server did not say
	refused    map[int]string
	bytes      int // sent
	// Of a batch, as the console counts.
	stored, known int
}

// classify turns a status into an outcome. Only 200 means stored: a proxy in between
// answers 201, 204 or 302 readily. 409 is mlogc's "never send this again".
func classify(status int, header http.Header, body string) outcome {
	o := outcome{status: status, reason: strconv.Itoa(status) + " " + http.StatusText(status)}
	if body = strings.TrimSpace(body); body != "" {
		o.reason += ": " + body
	}
	switch status {
	case http.StatusOK:
		o.verdict = stored
	case http.StatusConflict:
		o.verdict, o.refused = stored, map[int]string{0: o.reason}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		o.verdict = refused
	default:
		o.retryAfter = retryAfter(header.Get("Retry-After"), time.Now())
	}
	return o
}

// maxRetryAfter bounds how long a server may silence us.
const maxRetryAfter = time.Hour

// retryAfter reads the header of RFC 9110 10.2.3: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	d := time.Duration(0)
	if seconds, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
		d = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// backOff doubles from 1/64 of longest (at least 50 ms), and spreads by a quarter so that a thousand sensors do not return at once.
func backOff(failures int, longest time.Duration) time.Duration {
	d := max(longest/64, 50*time.Millisecond)
	for i := 1; i < failures && d < longest; i++ {
		d *= 2
	}
	d = min(d, longest)
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// gate holds all connections of a destination back while it fails. After the pause one of them tries, and the
// others follow when that went well.
type gate struct {
	longest time.Duration

	mu       sync.Mutex
	failures int           // mu; in a row
	until    time.Time     // mu; end of the pause
	probing  bool          // mu; one connection tries
	changed  chan struct{} // mu; closed when one of these changes
}

func (g *gate) init(longest time.Duration) {
	g.longest, g.changed = longest, make(chan struct{})
}

// wait returns when the caller may send. After a failure only one caller gets through: it
// must call success or failure.
func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		left := time.Until(g.until)
		if g.failures == 0 || left <= 0 && !g.probing {
			g.probing = g.failures > 0
			g.mu.Unlock()
			return ctx.Err()
		}
		changed, probing := g.changed, g.probing
		g.mu.Unlock()
		var timer <-chan time.Time
		if !probing {
			timer = time.After(left)
		}
		select {
		case <-timer:
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) success() { g.set(0, time.Time{}) }

// failure begins a pause and returns its length. Requests that were under way when it began do not make it longer,
// unless the server asks for more.
func (g *gate) failure(asked time.Duration) time.Duration {
	g.mu.Lock()
	n, left := g.failures, time.Until(g.until)
	var wait time.Duration
	if n > 0 && !g.probing && left > 0 {
		wait = max(left, asked)
	} else {
		n++
		wait = max(backOff(n, g.longest), asked)
	}
	g.mu.Unlock()
	g.set(n, time.Now().Add(wait))
	return wait
}

func (g *gate) set(failures int, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures == 0 && failures == 0 {
		return
	}
	g.failures, g.until, g.probing = failures, until, false
	close(g.changed)
	g.changed = make(chan struct{})
}

// waiting returns the end of the pause, zero when there is none.
func (g *gate) waiting() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures == 0 {
		return time.Time{}
	}
	return g.until
}

// Limits of an entry's own retries.
const (
	maxPutOff   = 256 // entries put off at once; beyond, no new ones are taken
	maxRefusals = 5   // answers 413, 422 ... until an entry is set aside
	fewRefused  = 10  // so many entries put off may well be bad; of more, the server is suspected
	maxBlame    = 12  // failures of an entry while others succeed, until it is set aside
)

// queue holds the entries that were tried and not delivered. They stay unacknowledged in the spool.
type queue struct {
	mu        sync.Mutex
	batch     int                // mu; entries in one request at most
	off       []*putOff          // mu; in order of first failure; with some that are settled
	bySeq     map[uint64]*putOff // mu; without those
	successes uint64             // mu
}

// putOff is an entry that waits for its next try.
type putOff struct {
	entry    spool.Entry
	at       time.Time
	away     bool // it is being tried
	settled  bool
	tries    int
	refusals int
	blame    int    // failures after which the server took others
	seen     uint64 // queue.successes at the last failure
}

// putOff notes a failure of e. It says true when the entry is to blame: the server refused it often
// enough, or it fails again and again while others pass (an entry that makes a console crash must not block the rest for ever).
func (q *queue) putOff(e spool.Entry, o outcome, longest time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.bySeq[e.Seq]
	if p == nil {
		p = &putOff{entry: e, seen: q.successes}
		q.off = append(q.off, p)
		if q.bySeq == nil {
			q.bySeq = map[uint64]*putOff{}
		}
		q.bySeq[e.Seq] = p
	}
	p.tries++
	p.away = false
	proven := q.successes > p.seen
	p.seen = q.successes
	if proven {
		p.blame++
	}
	if o.verdict == refused {
		// 400 may as well mean a wrong address or a proxy's mood: it counts when the server takes others and refuses few.
		if o.status != http.StatusBadRequest || proven || q.successes > 0 && len(q.bySeq) <= fewRefused {
			p.refusals++
		}
	}
	p.at = time.Now().Add(backOff(p.tries, longest))
	return p.refusals >= maxRefusals || p.blame >= maxBlame
}

// due takes the entries whose time has come, at most limit: together those that are under no
// suspicion, alone one that is. full says that no new ones should be taken before next.
func (q *queue) due(limit int) (entries []spool.Entry, full bool, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, p := range q.off {
		if p.away || p.settled {
			continue
		}
		if p.at.After(now) {
			if next.IsZero() || p.at.Before(next) {
				next = p.at
			}
			continue
		}
		suspect := p.blame > 0 || p.refusals > 0
		if suspect && len(entries) > 0 {
			continue
		}
		p.away = true
		entries = append(entries, p.entry)
		if suspect || len(entries) >= limit {
			break
		}
	}
	return entries, len(q.bySeq) >= maxPutOff, next
}

// succeeded lets entries that failed with the server, not by themselves, go at once and in order.
func (q *queue) succeeded() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.successes++
	for _, p := range q.off {
		if p.blame == 0 && p.refusals == 0 {
			p.at = time.Time{}
		}
	}
}

func (q *queue) forget(seq uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.bySeq[seq]
	if p == nil {
		return
	}
	p.settled, p.entry.Bytes = true, nil
	delete(q.bySeq, seq)
	if len(q.off) > 2*len(q.bySeq)+16 || len(q.bySeq) == 0 {
		q.off = slices.DeleteFunc(q.off, func(p *putOff) bool { return p.settled })
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.bySeq)
}

// limit returns how many entries a request may have.
func (q *queue) limit() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.batch
}

func (q *queue) setLimit(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batch = n
}

// releaseAll gives the entries back to the reader.
func (q *queue) releaseAll(r *spool.Reader) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.off {
		if !p.settled {
			_ = r.Release(p.entry.Seq) // a reader that is closed delivers them again anyway
		}
	}
	q.off, q.bySeq = nil, nil
}

// take returns the next entries to send: one that was put off, or new ones.
func (f *Forwarder) take(ctx context.Context) ([]spool.Entry, error) {
	for {
		entries, full, next := f.q.due(f.q.limit())
		if len(entries) > 0 {
			return entries, nil
		}
		wait := ctx
		cancel := func() {}
		if !next.IsZero() {
			wait, cancel = context.WithDeadline(ctx, next)
		}
		if full {
			<-wait.Done()
			cancel()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			continue
		}
		e, err := f.cfg.Reader.Next(wait)
		cancel()
		if err == nil {
			return f.fillBatch(e), nil
		}
		if ctx.Err() != nil || wait.Err() == nil {
			return nil, err
		}
	}
}

// fillBatch adds what else is there without waiting.
func (f *Forwarder) fillBatch(first spool.Entry) []spool.Entry {
	limit := f.q.limit()
	entries := []spool.Entry{first}
	if limit == 1 {
		return entries
	}
	bytes := len(first.Bytes)
	for len(entries) < limit && bytes < maxBatchBytes {
		e, ok := f.cfg.Reader.Poll()
		if !ok {
			break
		}
		entries = append(entries, e)
		bytes += len(e.Bytes)
	}
	return entries
}
