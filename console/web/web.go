// Package web is what people see of a console: sign-in, events, one event, sensors, decisions.
//
// In come requests of browsers; out go pages made by html/template, complete
// without JavaScript, and a live stream of new rows. Every field shown was
// written by an attacker: nothing of it reaches a page but through the
// template's escaping, control and direction characters are made visible, and a
// Content-Security-Policy without inline code stands behind that. The room
// keeps nothing: a crash loses no more than a page.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
)

// Config names the rooms behind the pages and what the pages say about this console.
type Config struct {
	Store   *store.Store
	Control *control.Control
	// Version is shown at the foot of each page.
	Version string
	Logger  *slog.Logger
	// Hosts are the names under which browsers may reach the console, without
	// port. IP addresses, localhost and names that end in .localhost always
	// may; any other name is refused, or DNS rebinding would open the console to any web site.
	Hosts []string
	// URL is the console's address as sensors reach it, such as
	// "https://console.example"; empty: taken from the browser's request.
	URL string
	// TrapPorts are named in the hint on an empty list; default 8000.
	TrapPorts []uint16
	// Secure says that browsers reach us over TLS although this process does not see it (a proxy in front): cookies get the attribute Secure.
	Secure bool
	// Decisions lists who is banned or watched; nil: there is no such page.
	Decisions func(ctx context.Context) ([]Decision, error)
	// Unban ends the decisions on an address; nil: there is no such button.
	Unban func(ctx context.Context, address netip.Addr) error
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Decision is a ban or watch as a page shows it.
type Decision struct {
	Value    netip.Prefix
	Type     string // "ban", "watch"
	Origin   string
	Scenario string
	// Evidence are ids of events.
	Evidence       []string
	Created, Until time.Time
}

// Site is the http.Handler of all pages. It is safe for concurrent use.
type Site struct {
	cfg     Config
	mux     *http.ServeMux
	pages   pages
	assets  assets
	origin  *http.CrossOriginProtection
	streams chan struct{} // one token per open live stream
}

// maxStreams bounds live streams: each holds a connection. Pages above it poll.
const maxStreams = 256

// New makes the Site. It starts no goroutine and panics only when an embedded page is broken, which a test would show.
func New(cfg Config) *Site {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if len(cfg.TrapPorts) == 0 {
		cfg.TrapPorts = []uint16{8000}
	}
	s := &Site{cfg: cfg, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(), streams: make(chan struct{}, maxStreams)}
	s.assets = loadAssets()
	s.pages = loadPages(s.assets)
	s.routes()
	return s
}

// routes is the table of all addresses. open pages need no session; the others lead to sign-in without one.
func (s *Site) routes() {
	open := func(pattern string, h http.HandlerFunc) { s.mux.HandleFunc(pattern, h) }
	closed := func(pattern string, h func(http.ResponseWriter, *http.Request, *visitor)) {
		s.mux.HandleFunc(pattern, s.signedIn(h))
	}
	open("GET /static/{version}/{name}", s.serveAsset)
	open("GET /sign-in", s.signInPage)
	open("POST /sign-in", s.signIn)
	open("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/events", http.StatusSeeOther) })
	open("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.assets.url("icon.svg"), http.StatusSeeOther)
	})
	closed("POST /sign-out", s.signOut)
	closed("GET /events", s.eventsPage)
	closed("GET /events/rows", s.eventsRows)
	closed("GET /events/live", s.eventsLive)
	closed("GET /events/{sensor}/{id}", s.eventPage)
	closed("GET /events/{sensor}/{id}/entry", s.eventEntry)
	closed("GET /sensors", s.sensorsPage)
	closed("POST /sensors", s.addSensor)
	closed("POST /sensors/{name}/renew", s.renewSensor)
	closed("POST /sensors/{name}/remove", s.removeSensor)
	closed("GET /account", s.accountPage)
	closed("POST /account", s.setPassword)
	if s.cfg.Decisions != nil {
		closed("GET /decisions", s.decisionsPage)
	}
	if s.cfg.Unban != nil {
		closed("POST /decisions/unban", s.unban)
	}
	open("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, nil, http.StatusNotFound, "There is no such page.", nil)
	})
}

// maxForm bounds a form: the longest legitimate one is a password.
const maxForm = 64 << 10

// ServeHTTP answers one request of a browser.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.headers(w)
	if !s.hostAllowed(r.Host) {
		http.Error(w, "This console does not answer to this host name: use its IP address or localhost, or name it in the configuration.", http.StatusMisdirectedRequest)
		return
	}
	if err := s.origin.Check(r); err != nil {
		s.fail(w, r, nil, http.StatusForbidden, "This form came from another site and was not carried out.", nil)
		return
	}
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
	s.mux.ServeHTTP(w, r)
}

// baseURL is the console's address for lines that people paste into a sensor's configuration.
func (s *Site) baseURL(r *http.Request) string {
	if s.cfg.URL != "" {
		return strings.TrimRight(s.cfg.URL, "/")
	}
	scheme := "http"
	if s.secure(r) {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
