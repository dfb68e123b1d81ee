// Package gate is the real site: HTTP/1.1, TLS and HTTP/2 connections come in,
// every request runs through the rules of its virtual host, and what they let
// pass is answered by an upstream (ProxyPass) or from files (DocumentRoot).
// Out go the answers and, for transactions that SecAuditEngine wants, an
// audit.Record through Site.Handle. net/http serves; a wire.Recorder beneath it
// keeps request heads as they came, so that the rules see every byte and heads
// that net/http refuses become transactions too. What a transaction set in
// persistent collections is in force before the first byte of its answer.
// Records wait in a bounded queue: a slow or dead audit log or console never
// delays an answer, and what does not fit is counted. A crash loses records
// still in the queue, and nothing else: the gate itself keeps no state.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
)

// Site is one virtual host of the real site.
type Site struct {
	// Host says what to serve, and how.
	Host *config.Host
	// Engine runs the rules; nil: there are none.
	Engine *seclang.Engine
	// Handle takes a finished record after the answer, on a goroutine of the gate's own. It must not keep r after it
	// returned. nil: records are not made.
	Handle func(ctx context.Context, r *audit.Record, tag collection.Ticket) error
}

// Sites is one generation of configuration.
type Sites struct {
	// Config chooses the host of a request by local address and Host header.
	Config *config.Config
	// Site gives each host its engine; it is called once per host by SetSites.
	Site func(*config.Host) Site
	// Guardian is SecGuardianLog; nil: there is none.
	Guardian Guardian
}

// Config says what a Gate needs.
type Config struct {
	Sites  Sites
	Logger *slog.Logger     // nil: slog.DiscardHandler
	Now    func() time.Time // nil: time.Now
	// Queue is how many records may wait for Handle [1024], Workers how many are handled at a time [4].
	Queue, Workers int
	// Certificate answers TLS clients of hosts that name no certificate files; nil: they are an error of New and SetSites.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// TempDir is for request bodies above SecRequestBodyInMemoryLimit; "" is os.TempDir, SecTmpDir goes first.
	TempDir string
	// Connections counts the connections of each client and limits them (SecConnEngine); nil: nobody does. It may be
	// shared with other listeners.
	Connections *connlimit.Counter
	// MaxPause bounds the action pause [10 s].
	MaxPause time.Duration
}

// Gate serves the real site. It is safe for concurrent use.
type Gate struct {
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	table   atomic.Pointer[table]
	pool    sync.Pool // of *exchange
	blocks  *blockPool
	owners  owners
	queue   chan queued
	waiting atomic.Int64 // bytes of bodies in queue
	stats   counters

	mu       sync.Mutex // guards what follows
	servers  map[*http.Server]struct{}
	hijacked map[net.Conn]struct{}
	closed   bool
	logs     *logSet
}

// Stats counts since New.
type Stats struct {
	Requests  int64 // answered, refused ones included
	Malformed int64 // of these, refused by net/http
	Blocked   int64 // by a rule
	Records   int64 // handed to Handle
	Dropped   int64 // records that found the queue full
	BodiesCut int64 // records that went without their bodies, because those that wait hold too many
	Failed    int64 // records that Handle returned an error for
	Panics    int64 // of handlers, contained
	TLSErrors int64 // handshakes that did not end well
	// ProxyErrors are connections of named proxies that began without a PROXY header (RemoteIPProxyProtocol).
	ProxyErrors int64
	LogLines    int64 // access log lines lost because the disk or program is too slow
}

type counters struct {
	requests, malformed, blocked, records, dropped, bodiesCut, failed, panics, tlsErrors, proxyErrors, logLines atomic.Int64
}

// New makes a gate. It starts nothing: call Run for the records and Serve for each listener.
func New(cfg Config) (*Gate, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 4
	}
	if cfg.MaxPause <= 0 {
		cfg.MaxPause = 10 * time.Second
	}
	g := &Gate{
		cfg: cfg, log: cfg.Logger, now: cfg.Now,
		queue: make(chan queued, cfg.Queue), blocks: newBlockPool(),
		servers: map[*http.Server]struct{}{}, hijacked: map[net.Conn]struct{}{},
	}
	g.logs = newLogSet(g.log, &g.stats.logLines)
	if err := g.SetSites(cfg.Sites); err != nil {
		return nil, errors.Join(err, g.logs.close())
	}
	return g, nil
}

// SetSites puts another generation of configuration in force. Requests that have begun end with the one they began
// with. On error nothing changes.
func (g *Gate) SetSites(s Sites) error {
	t, err := g.newTable(s)
	if err != nil {
		return err
	}
	old := g.table.Swap(t)
	old.rest()
	return nil
}

// Run hands records to Site.Handle until ctx ends, and then those that still wait.
func (g *Gate) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range g.cfg.Workers {
		wg.Go(func() { g.handleRecords(ctx) })
	}
	wg.Go(func() { g.logs.run(ctx) })
	wg.Wait()
	return nil
}

// Serve answers connections of ln until ctx ends or Shutdown is called; connections then go on until Shutdown has
// drained them. When somebody closes ln it answers the requests under way, and returns. It speaks TLS when the configuration says so for the listener's port.
func (g *Gate) Serve(ctx context.Context, ln net.Listener) error {
	t := g.table.Load()
	server := &http.Server{
		Handler:                      g,
		ReadHeaderTimeout:            t.headTimeout,
		IdleTimeout:                  t.idleTimeout,
		MaxHeaderBytes:               maxHeadBytes - 4096, // net/http adds 4096 of its own
		ErrorLog:                     slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		ConnContext:                  connContext,
		ConnState:                    g.connState,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	server.SetKeepAlivesEnabled(!t.keepAliveOff)
	if err := g.serveHTTP2(server); err != nil {
		return errors.Join(err, ln.Close())
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return errors.Join(http.ErrServerClosed, ln.Close())
	}
	g.servers[server] = struct{}{}
	g.mu.Unlock()
	d := newDoor(g, ln)
	stop := context.AfterFunc(ctx, func() { _ = d.Close() })
	defer stop()
	err := server.Serve(d)
	if ctx.Err() == nil && errors.Is(err, net.ErrClosed) {
		// A reload took the port: a connection kept alive must not go on under a configuration that has no host for it.
		if server.Shutdown(ctx) == nil {
			g.mu.Lock()
			delete(g.servers, server)
			g.mu.Unlock()
		}
	}
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown closes the listeners, waits for the requests that are being answered, and closes what is left when ctx ends.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	servers := make([]*http.Server, 0, len(g.servers))
	for s := range g.servers {
		servers = append(servers, s)
	}
	g.mu.Unlock()
	var errs []error
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, err, s.Close())
		}
	}
	// Upgraded connections know no end of a request: they end with the drain.
	g.mu.Lock()
	for c := range g.hijacked {
		errs = append(errs, ignoreClosed(c.Close()))
	}
	g.mu.Unlock()
	return errors.Join(errs...)
}

// Close releases the access logs. Call it after Shutdown and the end of Run.
func (g *Gate) Close() error { return g.logs.close() }

// Stats returns the counters.
func (g *Gate) Stats() Stats {
	c := &g.stats
	return Stats{
		Requests: c.requests.Load(), Malformed: c.malformed.Load(), Blocked: c.blocked.Load(), Records: c.records.Load(), Dropped: c.dropped.Load(), BodiesCut: c.bodiesCut.Load(),
		Failed: c.failed.Load(), Panics: c.panics.Load(), TLSErrors: c.tlsErrors.Load(), ProxyErrors: c.proxyErrors.Load(), LogLines: c.logLines.Load(),
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// addrPort is the address of a connection's end, IPv4 in IPv6 unwrapped; zero for what is not TCP.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		p := tcp.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	p, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
