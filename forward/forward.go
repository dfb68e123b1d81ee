// Package forward carries records from this host's spool to consoles.
//
// In come entries of a spool.Reader, and in the piped-log mode (Piped) index
// lines on standard input with the audit files they name. Out go HTTP requests: one
// PUT for each entry as mlogc sends them, or batches, to each destination on its own. An entry
// is acknowledged only when the console has said that it has stored it: after a crash at any
// point, of either side, it is sent again under the same id. Nothing is lost; what comes twice
// is known by its id. A console that is slow, dead or mad costs disk space and never a request.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/spool"
)

// The protocols of a Destination.
const (
	ProtocolBatch = "batch" // POST of many entries, compressed; Trapline's own
	ProtocolMlogc = "mlogc" // PUT of one entry, as mlogc 2.9
)

// Destination is a console.
type Destination struct {
	// Name is for logs.
	Name string
	// URL is the console's address for ProtocolBatch (the path is added) and the full receiver's address for ProtocolMlogc.
	URL string
	// User and Password are the sensor's; Token, when set, goes as a bearer instead.
	User, Password, Token string
	// Insecure leaves the server's certificate unchecked, as mlogc does unless told otherwise.
	Insecure bool
	// MinTLS is the lowest TLS version, such as tls.VersionTLS12; 0 is the standard library's default.
	MinTLS uint16
	// Protocol is ProtocolBatch (the default) or ProtocolMlogc.
	Protocol string
	// Connections is the number of requests under way at once; 0: 2 for batches, 10 for mlogc.
	Connections int
	// Delay is how long a connection rests between two requests (mlogc's TransactionDelay).
	Delay time.Duration
	// StartupDelay is how long Run waits before it sends anything.
	StartupDelay time.Duration
	// ErrorTimeout is the longest pause after the server failed (mlogc's ServerErrorTimeout); 0: one minute.
	// Pauses begin at a fraction of it and double, unless the server says Retry-After.
	ErrorTimeout time.Duration
	// Timeout is how long the server may take to answer, 0: 30 s. Big entries get more to be sent.
	Timeout time.Duration
}

// Config is what New needs.
type Config struct {
	Reader      *spool.Reader
	Destination Destination
	Logger      *slog.Logger // nil: none
	// Client sends; nil: one made for the destination. Redirects must not be followed.
	Client *http.Client
	// Drain makes Run return when nothing is left to send.
	Drain bool
}

// Forwarder sends one reader's entries to one destination.
type Forwarder struct {
	cfg    Config
	d      Destination
	client *http.Client
	// batchPath is where a console of our own takes batches, found out from its answer to a PUT; "" while unknown.
	batchPath atomic.Pointer[string]
	noBatch   atomic.Bool // it said so, and then it did not take one
	reporting sync.Mutex  // one report of gaps at a time
	gate      gate
	q         queue
	count     counters
}

// New checks the destination. It sends nothing before Run.
func New(cfg Config) (*Forwarder, error) {
	d := cfg.Destination
	if cfg.Reader == nil {
		return nil, errors.New("forward: no reader")
	}
	if err := d.complete(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Reader.SetLabel(d.Name)
	f := &Forwarder{cfg: cfg, d: d, client: cfg.Client}
	if f.client == nil {
		f.client = d.client()
	}
	f.gate.init(d.ErrorTimeout)
	f.q.batch = maxBatchEntries
	if d.Protocol == ProtocolMlogc {
		f.q.batch = 1
	}
	return f, nil
}

// send sends by the destination's protocol, or in batches to a console that spoke mlogc's and turned out to be ours.
func (f *Forwarder) send(ctx context.Context, entries []spool.Entry) outcome {
	if f.d.Protocol == ProtocolBatch {
		return f.sendBatch(ctx, batchURL(f.d.URL), entries)
	}
	path := f.batchPath.Load()
	if path == nil || len(entries) == 1 {
		return f.sendOne(ctx, entries[0])
	}
	o := f.sendBatch(ctx, *path, entries)
	switch o.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		f.noBatch.Store(true)
		f.batchPath.Store(nil)
		f.q.setLimit(1)
		o.retryAfter = 0
	}
	return o
}

// upgrade goes over to batches when the answer to a PUT says that the console takes them. With mlogc's default
// of 10 connections that rest for 50 ms, single PUTs end at 200 a second.
func (f *Forwarder) upgrade(req *http.Request, answer http.Header) {
	path := answer.Get(BatchHeader)
	if path == "" || f.d.Protocol != ProtocolMlogc || f.batchPath.Load() != nil || f.noBatch.Load() {
		return
	}
	u, err := req.URL.Parse(path)
	if err != nil || u.Host != req.URL.Host || u.Scheme != req.URL.Scheme {
		return // an address elsewhere would get our password
	}
	address := u.String()
	f.batchPath.Store(&address)
	f.q.setLimit(maxBatchEntries)
}

// complete fills the defaults in and checks the rest.
func (d *Destination) complete() error {
	u, err := url.Parse(d.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("forward to %s: %q is no http or https address", d.Name, d.URL)
	}
	switch d.Protocol {
	case "", ProtocolBatch:
		d.Protocol = ProtocolBatch
	case ProtocolMlogc:
	default:
		return fmt.Errorf("forward to %s: unknown protocol %q", d.Name, d.Protocol)
	}
	if d.Name == "" {
		d.Name = u.Host
	}
	if d.Connections <= 0 {
		d.Connections = 2
		if d.Protocol == ProtocolMlogc {
			d.Connections = 10
		}
	}
	if d.ErrorTimeout <= 0 {
		d.ErrorTimeout = time.Minute
	}
	if d.Timeout <= 0 {
		d.Timeout = 30 * time.Second
	}
	return nil
}

// Run sends until ctx ends, then gives requests that are under way a few seconds. What
// is not acknowledged stays in the spool. It returns nil then, and with Config.Drain when nothing is left.
func (f *Forwarder) Run(ctx context.Context) error {
	if f.d.StartupDelay > 0 {
		select {
		case <-time.After(f.d.StartupDelay):
		case <-ctx.Done():
			return nil
		}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(endGrace, cancel) })
	if f.cfg.Drain {
		go f.stopWhenEmpty(ctx, stop)
	}
	var workers sync.WaitGroup
	for range f.d.Connections {
		workers.Go(func() { f.work(ctx, requests) })
	}
	workers.Wait()
	f.q.releaseAll(f.cfg.Reader)
	return nil
}

// endGrace is how long requests under way may take when Run is told to end.
const endGrace = 3 * time.Second

func (f *Forwarder) stopWhenEmpty(ctx context.Context, stop func()) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if n, _ := f.cfg.Reader.Backlog(); n == 0 {
			stop()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// readPause is between two tries to read a spool that fails.
const readPause = 5 * time.Second

// work is one connection: it takes entries and delivers them, until ctx ends or the spool is closed.
func (f *Forwarder) work(ctx, requests context.Context) {
	for ctx.Err() == nil {
		entries, err := f.take(ctx)
		switch {
		case ctx.Err() != nil && err != nil, errors.Is(err, spool.ErrClosed):
			return
		case err != nil: // the disk: it may come back, and nobody else would send
			f.cfg.Logger.Error("read spool", "destination", f.d.Name, "err", err)
			_ = pause(ctx, readPause)
			continue
		}
		// Only now: an entry that came during a pause must not go out in it.
		if err := f.gate.wait(ctx); err != nil {
			for _, e := range entries {
				_ = f.cfg.Reader.Release(e.Seq) // or it comes again with the next start
			}
			return
		}
		f.deliver(requests, entries)
		if f.d.Delay > 0 {
			select {
			case <-time.After(f.d.Delay):
			case <-ctx.Done():
			}
		}
	}
}

// deliver sends entries and settles each of them. A batch that the server refuses for what is in it is
// halved until the entry that it means is alone.
func (f *Forwarder) deliver(ctx context.Context, entries []spool.Entry) {
	o := f.send(ctx, entries)
	f.count.request(o, entries)
	switch o.verdict {
	case stored:
		f.gate.success()
		f.q.succeeded()
		f.settle(entries, o.refused)
		f.reportGaps(ctx)
	case refused:
		if len(entries) > 1 {
			f.shrink(len(entries), o)
			f.deliver(ctx, entries[:len(entries)/2])
			f.deliver(ctx, entries[len(entries)/2:])
			return
		}
		f.gate.success() // the server works; it is the entry
		f.retryEntry(entries[0], o)
	default:
		pause := f.gate.failure(o.retryAfter)
		if ctx.Err() == nil {
			f.cfg.Logger.Warn("console does not take records", "destination", f.d.Name, "reason", o.reason, "retry_in", pause.Round(time.Millisecond))
		}
		for _, e := range entries {
			f.retryEntry(e, o)
		}
	}
}

// settle acknowledges what was stored and sets aside what was refused for good.
func (f *Forwarder) settle(entries []spool.Entry, refused map[int]string) {
	for i, e := range entries {
		if reason, ok := refused[i]; ok {
			f.setAside(e, reason)
			continue
		}
		f.q.forget(e.Seq)
		if err := f.cfg.Reader.Ack(e.Seq); err != nil {
			f.cfg.Logger.Error("acknowledge record", "id", e.ID, "err", err)
		}
	}
}

func (f *Forwarder) setAside(e spool.Entry, reason string) {
	err := f.cfg.Reader.SetAside(e.Seq, reason)
	if errors.Is(err, spool.ErrGivenUp) {
		f.q.forget(e.Seq) // the spool counts it
		return
	}
	if err != nil {
		f.cfg.Logger.Error("record cannot be set aside, it is tried again", "id", e.ID, "err", err)
		f.q.putOff(e, outcome{verdict: refused, reason: reason}, f.d.ErrorTimeout)
		return
	}
	f.q.forget(e.Seq)
	f.count.setAside.Add(1)
	f.cfg.Logger.Warn("record set aside", "destination", f.d.Name, "id", e.ID, "reason", reason)
}

// retryEntry puts an entry off, or sets it aside when it alone is to blame.
func (f *Forwarder) retryEntry(e spool.Entry, o outcome) {
	if f.q.putOff(e, o, f.d.ErrorTimeout) {
		f.setAside(e, o.reason)
	}
}

// shrink remembers that the server does not take batches of n.
func (f *Forwarder) shrink(n int, o outcome) {
	if o.status != http.StatusRequestEntityTooLarge {
		return
	}
	f.q.setLimit(max(1, min(f.q.limit(), n/2)))
}
