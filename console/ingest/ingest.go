// Package ingest is where sensors deliver: mlogc's PUT and our batches.
//
// In come audit entries over HTTP from authenticated sensors, in any form that
// ModSecurity 2 and 3 write; out go events for the store, and an answer. 200 is
// said only after the store's commit, so a sensor may delete what was answered.
// An entry that can never be accepted gets 409 (mlogc keeps the file and goes
// on; anything else would stop its whole queue), trouble of our own 503. A sensor
// that missed the answer sends again: (sensor, id) makes that harmless.
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
)

// Paths that ServeHTTP answers.
const (
	PathPut   = "/rpc/auditLogReceiver"
	PathBatch = "/api/v1/records"
)

// Limits bound what one request may take. Zero fields get the defaults.
type Limits struct {
	// Entry is the size in bytes of one entry; default 8 MiB.
	Entry int64
	// Batch is the size of a batch as sent (compressed), Unpacked the size of
	// what it unpacks to; defaults 32 and 128 MiB.
	Batch, Unpacked int64
	// Records is the number of entries in a batch; default 10,000.
	Records int
	// InFlight is the memory for bodies of all requests together; default 384 MiB.
	InFlight int64
	// Body is the time a request may take to arrive, Commit the time the store may take; default 60 and 30 s.
	Body, Commit time.Duration
}

// Config names the rooms that a Receiver works with.
type Config struct {
	Store   *store.Store
	Control *control.Control
	Limits  Limits
	Logger  *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Receiver is the http.Handler of PathPut and PathBatch. It is safe for concurrent use.
type Receiver struct {
	cfg      Config
	inFlight *semaphore.Weighted
	n        counters
	// complained is when trouble of our own was last logged, in nanoseconds since 1970; quiet counts what was not logged since.
	complained, quiet atomic.Int64
}

type counters struct {
	puts, batches, stored, known, refused, unauthorized, unavailable, bytes atomic.Uint64
}

// Stats counts since New.
type Stats struct {
	// Puts and Batches are requests of authenticated sensors.
	Puts, Batches uint64
	// Stored and Known are entries accepted for the first time and again; Refused can never be accepted.
	Stored, Known, Refused uint64
	// Unauthorized are requests without a valid sensor, Unavailable those answered 503.
	Unauthorized, Unavailable uint64
	// Bytes are bytes of entries read, unpacked.
	Bytes uint64
}

// New makes a Receiver. It starts no goroutine.
func New(cfg Config) *Receiver {
	l := &cfg.Limits
	l.Entry = or(l.Entry, 8<<20)
	l.Batch = or(l.Batch, 32<<20)
	l.Unpacked = or(l.Unpacked, 128<<20)
	l.Records = or(l.Records, 10_000)
	l.InFlight = max(or(l.InFlight, 384<<20), l.Entry)
	l.Body = or(l.Body, time.Minute)
	l.Commit = or(l.Commit, 30*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Receiver{cfg: cfg, inFlight: semaphore.NewWeighted(l.InFlight)}
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Stats returns the present counts.
func (rc *Receiver) Stats() Stats {
	n := &rc.n
	return Stats{
		Puts: n.puts.Load(), Batches: n.batches.Load(), Stored: n.stored.Load(), Known: n.known.Load(), Refused: n.refused.Load(),
		Unauthorized: n.unauthorized.Load(), Unavailable: n.unavailable.Load(), Bytes: n.bytes.Load(),
	}
}

// ServeHTTP answers PUT or POST of one entry to PathPut and POST of a batch to PathBatch.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, methods := rc.put, []string{http.MethodPut, http.MethodPost}
	switch r.URL.Path {
	case PathPut:
	case PathBatch:
		serve, methods = rc.batch, []string{http.MethodPost}
	default:
		http.NotFound(w, r)
		return
	}
	if !slices.Contains(methods, r.Method) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		http.Error(w, "only "+strings.Join(methods, ", "), http.StatusMethodNotAllowed)
		return
	}
	sensor, err := rc.authenticate(r)
	switch {
	case errors.Is(err, control.ErrWrong):
		rc.n.unauthorized.Add(1)
		w.Header().Set("WWW-Authenticate", `Basic realm="Trapline sensors", charset="UTF-8"`)
		http.Error(w, "unknown sensor or wrong secret", http.StatusUnauthorized)
		return
	case err != nil:
		rc.complain("sensor was not checked", err)
		rc.unavailable(w, "the console cannot check sensors now")
		return
	}
	// A sensor that stalls would hold its memory: the whole body has a time.
	// The error says that the connection knows no deadlines (a test's recorder), which is fine.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(rc.cfg.Limits.Body))
	serve(w, r, sensor.Name)
}

// authenticate takes Basic, or Bearer with "name:secret" as token.
func (rc *Receiver) authenticate(r *http.Request) (control.Sensor, error) {
	name, secret, ok := r.BasicAuth()
	if token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); bearer {
		name, secret, ok = strings.Cut(strings.TrimSpace(token), ":")
	}
	if !ok || len(name) > 64 || len(secret) > 256 {
		return control.Sensor{}, control.ErrWrong
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	return rc.cfg.Control.AuthenticateSensor(r.Context(), name, secret, from.Addr())
}

// insert stores events within the time that a commit may take. The request's
// own end does not stop it: what was sent whole is stored although the sensor went away.
func (rc *Receiver) insert(ctx context.Context, events []store.Event) (store.Result, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rc.cfg.Limits.Commit)
	defer cancel()
	result, err := rc.cfg.Store.Insert(ctx, events)
	rc.n.stored.Add(uint64(result.Stored))
	rc.n.known.Add(uint64(result.Known))
	return result, err
}

// complain logs trouble of our own, at most every ten seconds: a store that
// fails does so for every request, and a log that fills the disk helps nobody.
func (rc *Receiver) complain(text string, err error, args ...any) {
	now, last := rc.cfg.Now().UnixNano(), rc.complained.Load()
	if now-last < int64(10*time.Second) || !rc.complained.CompareAndSwap(last, now) {
		rc.quiet.Add(1)
		return
	}
	rc.cfg.Logger.Error("sensors get 503", append(args, "what", text, "error", err, "more_since_last", rc.quiet.Swap(0))...)
}

// unavailable says that the same request may succeed later.
func (rc *Receiver) unavailable(w http.ResponseWriter, text string) {
	rc.n.unavailable.Add(1)
	w.Header().Set("Retry-After", strconv.Itoa(10))
	http.Error(w, text, http.StatusServiceUnavailable)
}
