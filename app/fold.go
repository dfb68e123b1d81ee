package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/trapline/trapline/audit"
)

// The limit of records per client and host, when TrapLimit client-records says nothing else. A scan of nikto or
// a word list of 10,000 names is kept whole; what goes on for longer is kept at a pace that a disk bears for days.
const (
	defaultClientRecords = 1200    // a minute, in the long run
	burstMinutes         = 10      // so much of it may come at once
	tokenBytes           = 4 << 10 // a record of more costs more tokens: large bodies fill disks as well as many requests
	foldWindow           = time.Minute
	foldedHead           = 4 << 10 // bytes kept of the request that a summary shows
	maxFoldClients       = 1 << 17 // beyond, records of further clients are all kept
	foldSweep            = time.Second
)

// folds keeps one client from filling the disk. Each has a bucket of tokens, a
// record costs one or more. When it is empty, the next record opens a window of a minute: it is
// kept, with a note, and those after it are counted only. One summary says at the
// end of the window how many there were. So after kill -9 the record that opened
// the window still says that there were more.
type folds struct {
	log *slog.Logger
	now func() time.Time
	// keep takes a summary and returns when it is durable.
	keep func(context.Context, *host, *audit.Record) error

	mu        sync.Mutex
	perMinute float64           // mu; 0: no limit
	by        map[foldKey]*fold // mu
	open      map[foldKey]*fold // mu; those whose window is open
	swept     time.Time         // mu
	count     foldStats         // mu
}

// foldKey is a client as connections are counted: an IPv4 address or an IPv6 /64.
type foldKey struct {
	host   *host
	client netip.Addr
}

type fold struct {
	tokens float64
	at     time.Time     // of tokens
	until  time.Time     // end of the window
	last   audit.Record  // what the summary shows of the last record that was folded; its bytes are its own
	sum    *audit.Folded // nil while nothing was folded in this window
}

// foldStats is what the limit of records per client did, for trapline status.
type foldStats struct {
	Folded, Summaries, Lost int64 // records that were counted only; summaries of them; records in summaries that could not be kept
	Clients, Unlimited      int64 // clients that are known now; records of clients that were too many to know
}

func newFolds(log *slog.Logger, now func() time.Time, keep func(context.Context, *host, *audit.Record) error) *folds {
	return &folds{log: log, now: now, keep: keep, by: map[foldKey]*fold{}, open: map[foldKey]*fold{}}
}

// limit sets the records of a client per minute; 0 is the default, less than 0 no limit.
func (f *folds) limit(perMinute int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case perMinute == 0:
		perMinute = defaultClientRecords
	case perMinute < 0:
		perMinute = 0
	}
	f.perMinute = float64(perMinute)
}

// take returns the record to keep: r itself, or a copy of it with the note that
// it opens a window, or nil when it was counted only.
func (f *folds) take(h *host, r *audit.Record) *audit.Record {
	client := r.Client.Addr().Unmap().WithZone("")
	if client.Is6() {
		client = netip.PrefixFrom(client, 64).Masked().Addr()
	}
	cost := max(1, float64(len(r.RequestHead)+len(r.RequestBody)+len(r.ResponseHead)+len(r.ResponseBody))/tokenBytes)
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.perMinute == 0 || r.Kind == audit.KindConnect { // the trap sums those up itself
		return r
	}
	key := foldKey{h, client}
	a := f.by[key]
	if a == nil {
		if len(f.by) >= maxFoldClients {
			f.count.Unlimited++
			return r
		}
		a = &fold{tokens: f.perMinute * burstMinutes, at: now}
		f.by[key] = a
	}
	f.refill(a, now)
	if a.tokens >= 1 {
		a.tokens -= cost
		return r
	}
	if _, open := f.open[key]; !open {
		a.until = now.Add(foldWindow)
		f.open[key] = a
		return f.opening(r)
	}
	f.count.Folded++
	if a.sum == nil {
		a.sum = &audit.Folded{First: r.Time}
	}
	a.sum.Records++
	a.sum.Last = r.Time
	a.remember(r)
	return nil
}

func (f *folds) refill(a *fold, now time.Time) {
	if d := now.Sub(a.at); d > 0 {
		a.tokens = min(a.tokens+d.Minutes()*f.perMinute, f.perMinute*burstMinutes)
		a.at = now
	}
}

// opening is the record with the note that the client's next ones are counted.
func (f *folds) opening(r *audit.Record) *audit.Record {
	noted := *r
	noted.Trailer = append(slices.Clip(r.Trailer), audit.Field{Name: "Trap-Note", Value: fmt.Sprintf(
		"limit: more than %.0f records a minute; what this client sends in the next minute is counted in a summary", f.perMinute)})
	return &noted
}

// remember copies what a summary shows of a record; the record's bytes are used again by whoever made it.
func (a *fold) remember(r *audit.Record) {
	head := append(a.last.RequestHead[:0], r.RequestHead[:min(len(r.RequestHead), foldedHead)]...)
	a.last = audit.Record{
		Host: r.Host, Honeytrap: r.Honeytrap, Kind: r.Kind, Peer: r.Peer, Client: r.Client, Server: r.Server,
		RequestHead: head, Status: r.Status, Parts: "ABFHZ",
	}
}

// run writes the summaries of windows that are over, until ctx ends. Who stops the program calls flush when nothing more can come.
func (f *folds) run(ctx context.Context) error {
	every(ctx, foldSweep, func() { f.flush(ctx, false) })
	return nil
}

// flush writes the summaries that are due, or all of them, and forgets clients whose bucket is full again.
func (f *folds) flush(ctx context.Context, all bool) {
	now := f.now()
	due := map[*host][]*audit.Record{}
	f.mu.Lock()
	for key, a := range f.open {
		if !all && now.Before(a.until) {
			continue
		}
		delete(f.open, key)
		if a.sum != nil {
			due[key.host] = append(due[key.host], a.summary())
		}
	}
	if now.Sub(f.swept) >= foldWindow {
		f.swept = now
		for key, a := range f.by {
			_, open := f.open[key]
			if f.refill(a, now); !open && a.tokens >= f.perMinute*burstMinutes {
				delete(f.by, key)
			}
		}
	}
	f.mu.Unlock()
	for h, records := range due {
		for _, r := range records {
			n := r.Folded.Records
			err := f.keep(ctx, h, r)
			f.mu.Lock()
			if f.count.Summaries++; err != nil {
				f.count.Lost += n
			}
			f.mu.Unlock()
			if err != nil {
				f.log.ErrorContext(ctx, "summary of folded records cannot be kept", "client", r.Client, "records", n, "err", err)
			}
		}
	}
}

// summary is the record that stands for what was folded. It takes over the account's bytes.
func (a *fold) summary() *audit.Record {
	r := a.last
	r.ID, r.Time, r.Folded = audit.NewID(), a.sum.First, a.sum
	a.last, a.sum = audit.Record{}, nil
	return &r
}

// stats returns the counters.
func (f *folds) stats() foldStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.count
	st.Clients = int64(len(f.by))
	return st
}
