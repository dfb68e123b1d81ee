package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/forward"
	"github.com/trapline/trapline/spool"
)

// ownConsole is the name of the reader that carries records into the console of this process.
const ownConsole = "console"

// ownLabel names it to people.
const ownLabel = "own console"

// route is a spool and the consoles that its records go to. Hosts whose records
// go to the same consoles share one; so a record lies on disk once, however many want it.
type route struct {
	name    string
	spool   *spool.Spool
	own     *spool.Reader // what deliver reads; nil when it does not run
	senders []*sender
}

// sender is a forwarder that runs.
type sender struct {
	*forward.Forwarder
	to   forward.Destination
	stop func() // returns when it has ended
}

// queue begins to make the entry durable; the ticket waits for the end of it. A route without consoles keeps nothing.
func (r *route) queue(id string, entry []byte) spool.Ticket {
	if r.spool == nil {
		return spool.Ticket{}
	}
	return r.spool.Queue(id, entry)
}

// routes opens each route once and runs it until the program ends.
type routes struct {
	dir     string
	console *console // nil without an own console
	disk    *disk
	log     *slog.Logger
	spawn   func(name string, run func(context.Context) error)

	mu    sync.Mutex
	open  map[string]*route // by name; guarded by mu
	bytes int64             // guarded by mu: what a spool may take, 0 = the default
}

// limit says how much disk each spool may take, now and later.
func (rs *routes) limit(bytes int64) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.bytes = bytes
	for _, r := range rs.open {
		r.spool.SetMaxBytes(bytes)
	}
}

// openSpool opens a route's spool. A console that is away for long loses its oldest records
// when the spool is full; the others, and what comes now, do not suffer from it.
func (rs *routes) openSpool(name string) (*spool.Spool, error) {
	return spool.Open(spool.Config{Dir: filepath.Join(rs.dir, name), MaxBytes: rs.bytes, GiveUp: true, Detached: true, Logger: rs.log})
}

// of returns the route of a host: its own console when there is one, the consoles of
// TrapReport when it is a honeytrap, and the consoles that its own mlogc lines name.
// Only those lines can send a real site's records away.
func (rs *routes) of(conf *config.Config, h *config.Host) (*route, error) {
	var to []forward.Destination
	if h.Honeytrap {
		for _, p := range conf.Trap.Report {
			to = append(to, forward.Destination{
				Name: p.URL, URL: p.URL, User: p.User, Password: p.Password, Token: p.Token,
				Protocol: p.Protocol, Insecure: p.Insecure,
			})
		}
	}
	for _, p := range h.Pipes {
		if !p.Mlogc {
			continue
		}
		d, err := mlogcDestination(p)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", p.File, p.Line, p.Directive, err)
		}
		to = append(to, d)
	}
	for i := range to {
		to[i].Name = withoutPassword(to[i].Name)
	}
	slices.SortFunc(to, func(a, b forward.Destination) int { return strings.Compare(destinationKey(a), destinationKey(b)) })
	to = slices.CompactFunc(to, func(a, b forward.Destination) bool { return destinationKey(a) == destinationKey(b) })
	return rs.openRoute(to)
}

// mlogcDestination reads the mlogc.conf that a piped mlogc was given.
func mlogcDestination(p config.Pipe) (forward.Destination, error) {
	text, err := os.ReadFile(p.Conf)
	if err != nil {
		return forward.Destination{}, fmt.Errorf("the configuration of the piped mlogc: %w", err)
	}
	conf, _, err := forward.ParseConf(p.Conf, text)
	if err != nil {
		return forward.Destination{}, err
	}
	return conf.Destination(), nil
}

// openRoute finds or opens the route to the own console and these destinations.
func (rs *routes) openRoute(to []forward.Destination) (*route, error) {
	r := &route{}
	own := rs.console != nil
	if !own && len(to) == 0 {
		return r, nil
	}
	hash := sha256.New()
	fmt.Fprintln(hash, own)
	for _, d := range to {
		fmt.Fprintln(hash, destinationKey(d))
	}
	r.name = hex.EncodeToString(hash.Sum(nil))[:12]
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if old, ok := rs.open[r.name]; ok {
		return old, rs.start(old, own, to)
	}
	var err error
	if r.spool, err = rs.openSpool(r.name); err != nil {
		return nil, err
	}
	if err := rs.start(r, own, to); err != nil {
		return nil, errors.Join(err, r.spool.Close())
	}
	rs.keep(r)
	return r, nil
}

// keep runs a route's spool from now on.
func (rs *routes) keep(r *route) {
	rs.open[r.name] = r
	rs.disk.add("records for consoles", filepath.Join(rs.dir, r.name), r.spool.Attach, func() int64 { return r.spool.Stats().Failed })
	rs.spawn("spool "+r.name, r.spool.Run)
}

// start runs those of the route's readers that do not run yet, each at its own
// pace. One whose password or other settings have changed begins again with the
// new ones. On error nothing has been started: a reload that is refused must not leave half a route behind.
func (rs *routes) start(r *route, own bool, to []forward.Destination) error {
	var begin []*sender
	for _, d := range to {
		if slices.ContainsFunc(r.senders, func(s *sender) bool { return s.to == d }) {
			continue
		}
		reader, err := r.spool.Reader(readerName(d))
		if err != nil {
			return err
		}
		f, err := forward.New(forward.Config{Reader: reader, Destination: d, Logger: rs.log.With("console", d.Name)})
		if err != nil {
			return err
		}
		begin = append(begin, &sender{Forwarder: f, to: d})
	}
	if own && r.own == nil {
		reader, err := r.spool.Reader(ownConsole)
		if err != nil {
			return err
		}
		reader.SetLabel(ownLabel)
		r.own = reader
		rs.spawn("own console", func(ctx context.Context) error {
			select {
			case <-rs.console.opened:
				return deliver(ctx, reader, rs.console.store, ownSensor, rs.log)
			case <-ctx.Done():
				return nil
			}
		})
	}
	for _, s := range begin {
		r.senders = slices.DeleteFunc(r.senders, func(old *sender) bool {
			same := destinationKey(old.to) == destinationKey(s.to)
			if same {
				old.stop() // one reader must not have two
			}
			return same
		})
		r.senders = append(r.senders, s)
		rs.run(s)
	}
	return nil
}

// run runs a sender until the program ends or the sender is stopped.
func (rs *routes) run(s *sender) {
	own, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	s.stop = func() {
		cancel()
		<-ended
	}
	rs.spawn("forward to "+s.to.Name, func(ctx context.Context) error {
		defer close(ended)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return s.Run(own)
	})
}

// finish delivers what lies in spools of earlier configurations: a change of the
// consoles makes another spool, and records that still waited in the old one
// would wait for ever. Only consoles that the configuration still names get them.
// What the disk does not let happen waits for the next start.
func (rs *routes) finish() {
	dirs, err := os.ReadDir(rs.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		rs.log.Warn("spools of earlier configurations cannot be read", "err", err)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var known []forward.Destination
	for _, r := range rs.open {
		for _, s := range r.senders {
			known = append(known, s.to)
		}
	}
	for _, d := range dirs {
		if _, ok := rs.open[d.Name()]; ok || !d.IsDir() {
			continue
		}
		r := &route{name: d.Name()}
		if r.spool, err = rs.openSpool(r.name); err != nil {
			rs.log.Warn("spool of an earlier configuration cannot be opened", "spool", r.name, "err", err)
			continue
		}
		if err := rs.finishRoute(r, known); err != nil {
			rs.log.Warn("spool of an earlier configuration cannot be finished", "spool", r.name, "err", err)
		}
	}
}

func (rs *routes) finishRoute(r *route, known []forward.Destination) error {
	var to []forward.Destination
	own := false
	for _, name := range r.spool.Readers() {
		reader, err := r.spool.Reader(name)
		if err != nil {
			return errors.Join(err, r.spool.Close())
		}
		waiting, _ := reader.Backlog()
		if waiting == 0 {
			continue
		}
		i := slices.IndexFunc(known, func(d forward.Destination) bool { return readerName(d) == name })
		switch {
		case name == ownConsole && rs.console != nil:
			own = true
		case i >= 0:
			to = append(to, known[i])
		default:
			rs.log.Warn("records wait for a console that the configuration names no more", "spool", r.name, "reader", name, "records", waiting)
		}
	}
	if !own && len(to) == 0 {
		return r.spool.Close()
	}
	rs.keep(r)
	return rs.start(r, own, to)
}

// close closes the spools after every reader has ended.
func (rs *routes) close() error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	var errs []error
	for _, r := range rs.open {
		errs = append(errs, r.spool.Close())
	}
	return errors.Join(errs...)
}

// withoutPassword is a console's address as logs and the status may show it: people write passwords into it.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	return u.Redacted()
}

// destinationKey tells destinations apart: the same console with another user is another one.
func destinationKey(d forward.Destination) string {
	return d.Protocol + " " + d.User + " " + d.URL
}

// readerName names a destination's cursor; it must stay the same over restarts.
func readerName(d forward.Destination) string {
	sum := sha256.Sum256([]byte(destinationKey(d)))
	return "to-" + hex.EncodeToString(sum[:6])
}
