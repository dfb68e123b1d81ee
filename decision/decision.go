// Package decision knows who is banned or watched, why, and until when.
//
// In come decisions (Add) and their withdrawals (Delete); out come the answer
// for one address (Active), lists, and a stream of changes for those who
// enforce them elsewhere (Changes). After a crash every Add and Delete that
// returned nil holds. A decision that has ended needs no Delete: it is never
// answered again, and its end goes down the stream as a delete when Run sees
// it. Cursors of the stream go on after a restart; one that is too old gets
// all that is in force now.
package decision

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// The types of decision that this program enforces. Others are kept and handed on.
const (
	Ban   = "ban"
	Watch = "watch"
)

// ScopeIP is the only scope there is, written as CrowdSec writes it.
const ScopeIP = "Ip"

// Decision says what is to be done with the clients in Value until Until. Those
// that a Log returns share their Evidence with it: read only.
type Decision struct {
	ID       string       `json:"id"`               // made by Add when empty
	Scope    string       `json:"scope"`            // ScopeIP when empty
	Value    netip.Prefix `json:"value"`            // masked by Add; an IPv4-mapped address becomes IPv4
	Type     string       `json:"type"`             // Ban, Watch
	Origin   string       `json:"origin,omitempty"` // who decided: "rule", "console", the name of a feed
	Scenario string       `json:"scenario,omitempty"`
	Evidence []string     `json:"evidence,omitempty"` // ids of records, newest last, at most MaxEvidence
	Created  time.Time    `json:"created"`
	Until    time.Time    `json:"until"`
}

// Limits. Values that are longer are cut or refused as said.
const (
	MaxEvidence = 16   // record ids kept: the first one and the newest
	MaxText     = 1024 // bytes of each text field; longer ones are cut
)

// What callers test for.
var (
	// ErrUnknown is returned by Delete for an id that is not in force.
	ErrUnknown = errors.New("no such decision")
	// ErrFull is returned by Add when Config.MaxDecisions are in force.
	ErrFull = errors.New("too many decisions")
	// ErrInvalid is returned by Add for a decision without a prefix, type or end in the future.
	ErrInvalid = errors.New("invalid decision")
)

// Config says where a Log lives. The zero value keeps decisions in memory only.
type Config struct {
	// Dir is the directory of the log; "" = memory only.
	Dir string
	// Logger gets faults found at opening and errors of background work; slog.Default when nil.
	Logger *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// MaxDecisions is how many may be in force; 1,000,000 when 0. Past it a ban
	// takes the place of a watch that ends soon, and nothing takes the place of a ban.
	MaxDecisions int
	// MaxPerNet is how many single addresses of one IPv6 /64 may have decisions of one Origin; 256 when 0. Past it a new
	// one takes the place of the oldest: whoever has a /64 has 2^64 addresses, and must not fill the log with them.
	MaxPerNet int
	// History is how many changes are kept for cursors that lag behind; 100,000 when 0.
	History int
	// CompactBytes is how far the log may grow before a snapshot replaces it; 16 MiB when 0.
	CompactBytes int64
	// Detached lets Open succeed also when the disk cannot be written: what can be read is in force, Add and Delete
	// take effect in memory and return the error, and Attach tries again.
	Detached bool
	// Step is durable.Config.Step: tests stop the process or fail the disk there.
	Step func(step durable.Step, path string) error
}

// Log is the set of decisions in force and the record of its changes. Its
// methods may be called from any goroutine.
type Log struct {
	cfg  Config
	disk *durable.Log // nil in memory only

	faults []durable.Fault

	mu      sync.RWMutex
	byID    map[string]*Decision    // mu; decisions in it are never changed, only replaced
	byKey   map[key]string          // mu; id of the decision with that value, type and scenario
	index   index                   // mu
	nets    map[netip.Addr][]string // mu; ids of decisions on single addresses, by their IPv6 /64, oldest first
	ends    endHeap                 // mu; ids by their end, some outdated
	history []past                  // mu; the newest changes, in order of their cursors
	cursor  uint64                  // mu; of the newest change
	changed chan struct{}           // mu; closed and replaced when readers of the stream may see more
	broken  bool                    // mu; the disk takes nothing more: the stream no longer waits for it
	expired uint64                  // mu
	crowded uint64                  // mu; decisions that made room for others
	refused uint64                  // mu; decisions that found no room

	stored atomic.Uint64 // disk.Failures before the newest snapshot, which made up for them
}

// key is what makes two decisions the same one.
type key struct {
	value          netip.Prefix
	kind, scenario string
}

func keyOf(d *Decision) key { return key{d.Value, d.Type, d.Scenario} }

// Open makes a Log and reads back what its directory holds. It starts no
// goroutine. The caller closes it.
func Open(cfg Config) (*Log, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.MaxDecisions = cmp.Or(max(cfg.MaxDecisions, 0), 1_000_000)
	cfg.MaxPerNet = cmp.Or(max(cfg.MaxPerNet, 0), 256)
	cfg.History = cmp.Or(max(cfg.History, 0), 100_000)
	cfg.CompactBytes = cmp.Or(max(cfg.CompactBytes, 0), 16<<20)
	l := &Log{cfg: cfg, byID: make(map[string]*Decision), byKey: make(map[key]string), nets: make(map[netip.Addr][]string), changed: make(chan struct{})}
	if cfg.Dir == "" {
		return l, nil
	}
	disk, faults, err := durable.OpenLog(durable.Config{Dir: cfg.Dir, MaxPayload: maxFrame, Detached: cfg.Detached, Step: cfg.Step}, l.replay)
	if err != nil {
		return nil, fmt.Errorf("open decisions: %w", err)
	}
	l.disk, l.faults = disk, faults
	durable.Report(cfg.Logger, "decisions", faults)
	return l, nil
}

// Faults returns the damage that opening the log found.
func (l *Log) Faults() []durable.Fault { return l.faults }

// Attach tries to write to a disk that could not be written before (Config.Detached). When it
// returns nil the disk has what is in force; also when it had all along.
func (l *Log) Attach() error {
	if l.disk == nil {
		return nil
	}
	if err := l.disk.Attach(); err != nil || l.disk.Failures() <= l.stored.Load() {
		return err
	}
	return l.Compact()
}

// Close makes everything durable and closes the files. Active and List go on to answer.
func (l *Log) Close() error {
	if l.disk == nil {
		return nil
	}
	return l.disk.Close()
}

// Add puts a decision in force and returns it as it is then; it is durable on
// return, and Active knows it from before the disk does. When one of the same
// Value, Type and Scenario is in force, that one is extended: it keeps its ID,
// Created and first evidence, and gets the later end. An end that comes less
// than a hundredth later is no change, so that a client which touches a trap a
// thousand times a second does not write the log a thousand times. Adding never shortens.
func (l *Log) Add(ctx context.Context, d Decision) (Decision, error) {
	now := l.cfg.Now()
	if err := d.clean(now); err != nil {
		return Decision{}, err
	}
	l.mu.Lock()
	l.expire(now)
	changed, isNew := l.merge(&d, now)
	if isNew {
		l.thin(&d)
	}
	if isNew && len(l.byID) >= l.cfg.MaxDecisions && !l.makeRoom(&d, now) {
		l.refused++
		l.mu.Unlock()
		return Decision{}, fmt.Errorf("add decision for %s: %w", d.Value, ErrFull)
	}
	if !changed {
		l.mu.Unlock()
		return d, l.flush() // the one that is in force may still be on its way to the disk
	}
	ticket := l.put(&d)
	l.mu.Unlock()
	if err := l.settle(ctx, ticket); err != nil {
		return d, fmt.Errorf("store decision %s: %w", d.ID, err)
	}
	return d, nil
}

// settle waits for the disk and then lets the stream see the change.
func (l *Log) settle(ctx context.Context, t durable.Ticket) error {
	err := t.Wait(ctx)
	l.announce(errors.Is(err, durable.ErrPoisoned))
	return err
}

// announce wakes the readers of the stream.
func (l *Log) announce(broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = l.broken || broken
	close(l.changed)
	l.changed = make(chan struct{})
}

// flush waits for all that was appended before.
func (l *Log) flush() error {
	if l.disk == nil || l.disk.Synced() == l.disk.NextSeq() {
		return nil
	}
	err := l.disk.Flush()
	l.announce(errors.Is(err, durable.ErrPoisoned))
	return err
}

// Delete ends the decision id at once, durably on return.
func (l *Log) Delete(ctx context.Context, id string) error {
	l.mu.Lock()
	d := l.byID[id]
	if d == nil || !d.Until.After(l.cfg.Now()) {
		l.mu.Unlock()
		return fmt.Errorf("delete decision %s: %w", id, ErrUnknown)
	}
	ticket := l.remove(d)
	l.mu.Unlock()
	if err := l.settle(ctx, ticket); err != nil {
		return fmt.Errorf("delete decision %s: %w", id, err)
	}
	return nil
}

// Active returns the decision that is in force for addr: a ban before any
// other, then the one with the longest prefix, then the one that ends last.
func (l *Log) Active(addr netip.Addr, now time.Time) (Decision, bool) {
	addr = addr.Unmap().WithZone("")
	l.mu.RLock()
	defer l.mu.RUnlock()
	var best *Decision
	l.index.match(addr, func(d *Decision) {
		if d.Until.After(now) && (best == nil || d.before(best)) {
			best = d
		}
	})
	if best == nil {
		return Decision{}, false
	}
	return *best, true
}

// before tells whether d is the one to name when both are in force for an address.
func (d *Decision) before(o *Decision) bool {
	if (d.Type == Ban) != (o.Type == Ban) {
		return d.Type == Ban
	}
	if d.Value.Bits() != o.Value.Bits() {
		return d.Value.Bits() > o.Value.Bits()
	}
	return d.Until.After(o.Until)
}

// Filter picks decisions; empty fields pick all.
type Filter struct {
	ID, Type, Origin, Scenario string
	Addr                       netip.Addr   // in force for this address
	Within                     netip.Prefix // Value lies inside
}

// List returns the decisions in force that the filter picks, oldest first.
func (l *Log) List(f Filter) []Decision {
	now := l.cfg.Now()
	var out []Decision
	l.mu.RLock()
	pick := func(d *Decision) {
		if d.Until.After(now) && f.picks(d) {
			out = append(out, *d)
		}
	}
	switch {
	case f.ID != "":
		if d := l.byID[f.ID]; d != nil {
			pick(d)
		}
	case f.Addr.IsValid():
		l.index.match(f.Addr.Unmap().WithZone(""), pick)
	default:
		for _, d := range l.byID {
			pick(d)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(out, func(a, b Decision) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

func (f Filter) picks(d *Decision) bool {
	return (f.ID == "" || f.ID == d.ID) && (f.Type == "" || f.Type == d.Type) && (f.Origin == "" || f.Origin == d.Origin) &&
		(f.Scenario == "" || f.Scenario == d.Scenario) && (!f.Addr.IsValid() || d.Value.Contains(f.Addr.Unmap().WithZone(""))) &&
		(!f.Within.IsValid() || f.Within.Bits() <= d.Value.Bits() && f.Within.Contains(d.Value.Addr()))
}

// Stats is what a Log holds. Expired, Crowded and Refused count since Open.
type Stats struct {
	Decisions int // in force, or ended a moment ago
	Cursor    uint64
	Expired   uint64
	Crowded   uint64 // decisions that made room: watches for bans, the oldest of an IPv6 /64 for its newest
	Refused   uint64 // decisions that found MaxDecisions in force
	Faults    int
	Log       durable.Stats
}

// Stats returns the numbers of now.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	st := Stats{Decisions: len(l.byID), Cursor: l.cursor, Expired: l.expired, Crowded: l.crowded, Refused: l.refused, Faults: len(l.faults)}
	l.mu.RUnlock()
	if l.disk != nil {
		st.Log = l.disk.Stats()
	}
	return st
}

// frame is what the log on disk holds, as JSON: decisions are few and people read them.
type frame struct {
	Cursor   uint64    `json:"cursor"`
	Add      *Decision `json:"add,omitempty"`
	Delete   string    `json:"delete,omitempty"`
	Snapshot bool      `json:"snapshot,omitempty"` // not a change, the state at Cursor
}

const maxFrame = 256 << 10

func (f frame) encode() []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic("decision: a frame does not encode: " + err.Error())
	}
	return b
}
