// Package trap runs the honeytrap ports: whatever arrives on one becomes an audit.Record.
//
// In come connections of clients that have no business here; out go records,
// through Host.Handle. The client is tagged (Engine.Touch) when its
// connection is accepted, in memory, before it can send or receive one byte.
// Everything that follows becomes a record: HTTP/0.9 to 1.1 with its bytes as
// they came, HTTP/2, TLS hellos, bytes of other protocols, and connections
// without a single byte. A request is answered only after Handle has returned,
// that is when its record is durable: after a crash there is no answered
// request without its record. Limits bound memory, time and connections; what
// is over a limit is tagged, counted in Stats and cut.
package trap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// ErrClosed is returned by Serve after Shutdown; it wraps net.ErrClosed.
var ErrClosed = fmt.Errorf("trap: %w", net.ErrClosed)

// Host is a virtual host of a trap. It is used by pointer; a reload makes new ones.
type Host struct {
	// Name is the configured ServerName.
	Name string
	// Engine runs the rules; never nil.
	Engine *seclang.Engine
	// DocumentRoot answers requests that the rules let pass; nil: 404.
	DocumentRoot http.Handler
	// TagConnect: a completed TCP handshake is a touch. When false the first byte is.
	TagConnect bool
	// Handle takes a finished record and returns when it is durable. tag is done
	// when the tags that the transaction set are on disk; Handle waits for it.
	// r.Relevant says whether SecAuditEngine wants the record in its own log.
	// Handle must not keep r or any of its bytes after it returned: they are used again.
	Handle func(ctx context.Context, r *audit.Record, tag collection.Ticket) error

	// Guardian gets a line for every HTTP request before its answer (SecGuardianLog); nil: there is none. env looks up
	// what rules have set. It must not block, and not keep l or env.
	Guardian func(l *audit.IndexLine, took time.Duration, env func(name string) (value string, ok bool))

	server     string // Server header
	serverOnce sync.Once
}

// serverName is the value of the Server header: SecServerSignature, or what a bare Apache says.
func (h *Host) serverName() string {
	h.serverOnce.Do(func() {
		if h.server = h.Engine.Settings().ServerSignature; h.server == "" {
			h.server = "Apache"
		}
	})
	return h.server
}

// Config says what a Trap does. Host is required.
type Config struct {
	// Host returns the virtual host for a local address and a Host header ("" when
	// there is none). It is called for every connection and request, so that a
	// reload takes effect at once. It must not return nil.
	Host func(local netip.AddrPort, hostHeader string) *Host
	// Limits; zero fields mean the defaults.
	Limits Limits
	Logger *slog.Logger
	// Connections counts the connections of each client and limits them (SecConnEngine); nil: nobody does. It may be
	// shared with other listeners. One over a limit is a touch as any other, and closed when it is recorded.
	Connections *connlimit.Counter
	// Certificate answers TLS clients; nil: a self-signed certificate made by New.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Limits bounds what clients can make a trap hold. Zero fields mean the default in brackets.
type Limits struct {
	Head        int           // bytes of request line and headers kept [64 KiB]
	Body        int           // bytes of a request body kept; also of a response body [1 MiB]
	Memory      int64         // bytes of request bodies kept of all connections together; beyond, 4 KiB of each [256 MiB]
	Drain       int64         // bytes read and counted beyond Body or Head before the connection is cut [8 MiB]
	Raw         int           // bytes kept of a connection that is not HTTP [64 KiB]
	RequestTime time.Duration // from the first byte of a request to its last, and for its answer to be taken [10 s]
	ConnTime    time.Duration // from accept until no further request is taken [30 s]
	KeepAlive   time.Duration // between an answer and the next request [5 s]
	Quiet       time.Duration // silence after which a client that does not speak HTTP has said what it wants to say [300 ms]
	PerClient   int           // connections of one IPv4 address or one IPv6 /64 [64]
	Total       int           // connections in all [10,000]
	Connects    int           // records of bare connects per client and Window; more are counted and summed up in one record [60]
	Window      time.Duration // see Connects [1 min]
	Streams     int           // requests of one HTTP/2 connection being received at a time [32]
}

func (l Limits) withDefaults() Limits {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	last := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&l.Head, 64<<10)
	set(&l.Body, 1<<20)
	set(&l.Raw, 64<<10)
	set(&l.PerClient, 64)
	set(&l.Total, 10_000)
	set(&l.Connects, 60)
	set(&l.Streams, 32)
	last(&l.RequestTime, 10*time.Second)
	last(&l.ConnTime, 30*time.Second)
	last(&l.KeepAlive, 5*time.Second)
	last(&l.Quiet, 300*time.Millisecond)
	last(&l.Window, time.Minute)
	if l.Memory <= 0 {
		l.Memory = 256 << 20
	}
	if l.Drain <= 0 {
		l.Drain = 8 << 20
	}
	return l
}

// Trap serves honeytrap ports. Its methods may be called from any goroutine.
type Trap struct {
	cfg     Config
	limits  Limits
	log     *slog.Logger
	tls     *tls.Config
	clients *clients
	tally   *tally
	budget  budget    // of Limits.Memory
	pool    sync.Pool // of *exchange
	date    dateLine
	count   counters
	failing atomic.Bool // the last Handle returned an error

	closing atomic.Bool
	conns   sync.WaitGroup
	live    atomic.Int64 // connection goroutines, those that only finish their record included

	mu      sync.Mutex
	servers map[*server]struct{} // guarded by mu
}

// server is one running Serve.
type server struct {
	listener net.Listener
	cancel   context.CancelFunc // of the context under which its connections hand over records
}

// New returns a Trap that serves nothing yet.
func New(cfg Config) (*Trap, error) {
	if cfg.Host == nil {
		return nil, errors.New("trap needs Config.Host")
	}
	t := &Trap{cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Logger, servers: make(map[*server]struct{})}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.clients = newClients(t.limits.PerClient, t.limits.Total)
	t.tally = newTally(t.limits.Connects, t.limits.Window, t.sumUp)
	t.budget.left.Store(t.limits.Memory)
	t.pool.New = func() any { return newExchange() }
	certificate := cfg.Certificate
	if certificate == nil {
		own, err := selfSigned()
		if err != nil {
			return nil, err
		}
		certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own, nil }
	}
	t.tls = tlsConfig(certificate)
	return t, nil
}

// Shutdown stops accepting, cuts the connections that wait for their client,
// lets the others finish their request and returns when every record has been
// handed over. When ctx ends first, the connections are cut and the hand-over
// of records is cancelled; the error is then that of ctx.
func (t *Trap) Shutdown(ctx context.Context) error {
	t.mu.Lock()
	t.closing.Store(true)
	for s := range t.servers {
		stopAccepting(s.listener)
	}
	t.mu.Unlock()
	for _, c := range t.clients.idleConns() {
		c.cutNow(cutShutdown)
	}
	done := make(chan struct{})
	go func() {
		t.conns.Wait()
		t.tally.flush()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		t.mu.Lock()
		for s := range t.servers {
			s.cancel()
		}
		t.mu.Unlock()
	}
	return err
}

// now is where the package reads the clock.
func now() time.Time { return time.Now() }
