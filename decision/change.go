package decision

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// The operations of a Change.
const (
	OpAdd    = "add"    // put in force, or extended
	OpDelete = "delete" // deleted, or ended
)

// Change is one step of the stream. A reader that applies all of them in order
// has the decisions in force.
type Change struct {
	Cursor   uint64   `json:"cursor"` // hand it to Changes to go on after this one; grows, also over restarts
	Op       string   `json:"op"`
	Decision Decision `json:"decision"`
	// Reset comes first when the cursor asked for was 0, too old, or from another
	// log: what the reader has is void, and all that is in force follows. Op is
	// then empty and Cursor 0; the last of what follows has the cursor to go on from.
	Reset bool `json:"reset,omitempty"`
}

// clean checks a decision and brings it into its one form.
func (d *Decision) clean(now time.Time) error {
	if !d.Value.IsValid() {
		return fmt.Errorf("%w: no address", ErrInvalid)
	}
	if d.Type == "" {
		return fmt.Errorf("%w: no type", ErrInvalid)
	}
	if !d.Until.After(now) {
		return fmt.Errorf("%w: ends at %s, before it begins", ErrInvalid, d.Until.Format(time.RFC3339))
	}
	addr, bits := d.Value.Addr(), d.Value.Bits()
	if addr.Is4In6() {
		if bits < 96 {
			return fmt.Errorf("%w: %s spans IPv4 and IPv6", ErrInvalid, d.Value)
		}
		addr, bits = addr.Unmap(), bits-96
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	d.Value = p
	if d.Scope == "" {
		d.Scope = ScopeIP
	}
	if d.ID == "" {
		d.ID = strings.ToLower(rand.Text())
	}
	if d.Created.IsZero() {
		d.Created = now
	}
	// One clock and one zone, so that a decision is the same before and after the disk.
	d.Created, d.Until = d.Created.UTC().Round(0), d.Until.UTC().Round(0)
	for _, s := range []*string{&d.ID, &d.Scope, &d.Type, &d.Origin, &d.Scenario} {
		*s = cut(*s)
	}
	d.Evidence = slices.Clone(d.Evidence)
	for i := range d.Evidence {
		d.Evidence[i] = cut(d.Evidence[i])
	}
	d.Evidence = newest(d.Evidence)
	return nil
}

func cut(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	return strings.ToValidUTF8(s, "?")
}

// newest keeps the first id, which shows why, and the last ones, which show that it goes on.
func newest(ids []string) []string {
	if over := len(ids) - MaxEvidence; over > 0 {
		return append(ids[:1:1], ids[1+over:]...)
	}
	return ids
}

// merge makes d the extension of the decision that is in force for the same
// key. changed is false when that one already says all that d says. mu is held.
func (l *Log) merge(d *Decision, now time.Time) (changed, isNew bool) {
	old := l.byID[l.byKey[keyOf(d)]]
	if old == nil {
		if l.byID[d.ID] != nil {
			d.ID = strings.ToLower(rand.Text()) // the id is taken by a decision about somebody else
		}
		return true, true
	}
	if d.Origin == "" {
		d.Origin = old.Origin
	}
	if d.Until.Sub(old.Until) < d.Until.Sub(now)/100 && d.Origin == old.Origin {
		*d = *old
		return false, false
	}
	evidence := slices.Clone(old.Evidence)
	for _, id := range d.Evidence {
		if !slices.Contains(evidence, id) {
			evidence = append(evidence, id)
		}
	}
	d.ID, d.Created, d.Scope, d.Evidence = old.ID, old.Created, old.Scope, newest(evidence)
	if old.Until.After(d.Until) {
		d.Until = old.Until
	}
	return true, false
}

// roomSample is how many decisions makeRoom looks at for a watch to end.
const roomSample = 1000

// makeRoom ends what is over, else a watch, for a ban. mu is held.
func (l *Log) makeRoom(d *Decision, now time.Time) bool {
	l.expire(now)
	if len(l.byID) < l.cfg.MaxDecisions {
		return true
	}
	if d.Type != Ban {
		return false
	}
	var first *Decision
	looked := 0
	for _, old := range l.byID {
		if old.Type == Watch && (first == nil || old.Until.Before(first.Until)) {
			first = old
		}
		if looked++; looked >= roomSample {
			break
		}
	}
	if first == nil {
		return false
	}
	l.remove(first)
	l.crowded++
	return true
}

// put makes d the decision of its key and tells everybody. mu is held.
func (l *Log) put(d *Decision) durable.Ticket {
	l.enforce(d)
	return l.record(OpAdd, l.byID[d.ID])
}

// enforce changes memory only. mu is held.
func (l *Log) enforce(d *Decision) {
	c := *d
	if old := l.byID[l.byKey[keyOf(d)]]; old != nil {
		l.index.remove(old)
		l.leaveNet(old)
		delete(l.byID, old.ID)
	}
	if old := l.byID[d.ID]; old != nil {
		l.index.remove(old)
		l.leaveNet(old)
		delete(l.byKey, keyOf(old))
	}
	l.byID[c.ID], l.byKey[keyOf(&c)] = &c, c.ID
	l.index.add(&c)
	l.joinNet(&c)
	heap.Push(&l.ends, end{c.Until, c.ID})
	if len(l.ends.items) > 2*len(l.byID)+1024 { // mostly outdated by extensions
		l.ends.items = l.ends.items[:0]
		for id, d := range l.byID {
			l.ends.items = append(l.ends.items, end{d.Until, id})
		}
		heap.Init(&l.ends)
	}
}

// remove takes d out of force and tells everybody. mu is held.
func (l *Log) remove(d *Decision) durable.Ticket {
	l.lift(d)
	return l.record(OpDelete, d)
}

func (l *Log) lift(d *Decision) {
	delete(l.byID, d.ID)
	if l.byKey[keyOf(d)] == d.ID {
		delete(l.byKey, keyOf(d))
	}
	l.index.remove(d)
	l.leaveNet(d)
}

// netOf is the IPv6 /64 in which d names less than the whole.
func netOf(d *Decision) (netip.Addr, bool) {
	if !d.Value.Addr().Is6() || d.Value.Bits() <= 64 {
		return netip.Addr{}, false
	}
	p, err := d.Value.Addr().Prefix(64)
	return p.Addr(), err == nil
}

func (l *Log) joinNet(d *Decision) {
	if net, ok := netOf(d); ok {
		l.nets[net] = append(l.nets[net], d.ID)
	}
}

func (l *Log) leaveNet(d *Decision) {
	net, ok := netOf(d)
	if !ok {
		return
	}
	if left := slices.DeleteFunc(l.nets[net], func(id string) bool { return id == d.ID }); len(left) > 0 {
		l.nets[net] = left
	} else {
		delete(l.nets, net)
	}
}

// thin makes room for d in its /64. mu is held.
func (l *Log) thin(d *Decision) {
	net, ok := netOf(d)
	if !ok || len(l.nets[net]) < l.cfg.MaxPerNet {
		return
	}
	var oldest *Decision
	same := 0
	for _, id := range l.nets[net] {
		if old := l.byID[id]; old != nil && old.Origin == d.Origin {
			if same++; oldest == nil {
				oldest = old
			}
		}
	}
	if same >= l.cfg.MaxPerNet {
		l.remove(oldest)
		l.crowded++
	}
}

// past is one change that the stream can still hand out.
type past struct {
	cursor uint64
	seq    uint64 // of its frame on disk
	op     string
	d      *Decision
}

// record gives the change its cursor, keeps it for the stream and appends it to the log on disk. mu is held.
func (l *Log) record(op string, d *Decision) durable.Ticket {
	l.cursor++
	p := past{cursor: l.cursor, op: op, d: d}
	var t durable.Ticket
	if l.disk != nil {
		f := frame{Cursor: l.cursor}
		if op == OpAdd {
			f.Add = d
		} else {
			f.Delete = d.ID
		}
		t = l.disk.Append(nil, f.encode())
		p.seq = t.Seq
	}
	l.remember(p)
	return t
}

// remember keeps the newest changes. mu is held.
func (l *Log) remember(p past) {
	l.history = append(l.history, p)
	if over := len(l.history) - l.cfg.History; over > l.cfg.History/4 {
		l.history = slices.Clone(l.history[over:])
	}
}

// expire ends what is over. mu is held.
func (l *Log) expire(now time.Time) {
	for len(l.ends.items) > 0 && !l.ends.items[0].at.After(now) {
		e := heap.Pop(&l.ends).(end)
		if d := l.byID[e.id]; d != nil && !d.Until.After(now) {
			l.remove(d)
			l.expired++
		}
	}
}

// replay puts one frame of the log on disk back into memory. Decisions that
// have ended meanwhile are dropped, and so are frames that another version wrote.
func (l *Log) replay(_ uint64, payload []byte) error {
	var f frame
	if json.Unmarshal(payload, &f) != nil {
		return nil //nolint:nilerr // its checksum is right, so another version wrote it: not a reason to refuse to start
	}
	l.cursor = max(l.cursor, f.Cursor)
	now := l.cfg.Now()
	switch {
	case f.Add != nil:
		if d := *f.Add; d.ID != "" && d.clean(now) == nil && len(l.byID) < l.cfg.MaxDecisions {
			l.enforce(&d)
		} else if old := l.byID[f.Add.ID]; old != nil {
			l.lift(old) // extended or changed to what has ended
		}
		if !f.Snapshot {
			l.remember(past{cursor: f.Cursor, op: OpAdd, d: f.Add})
		}
	case f.Delete != "":
		gone := Decision{ID: f.Delete}
		if d := l.byID[f.Delete]; d != nil {
			gone = *d
			l.lift(d)
		}
		if !f.Snapshot {
			l.remember(past{cursor: f.Cursor, op: OpDelete, d: &gone})
		}
	}
	return nil
}

// Changes yields the changes after the cursor since, first those that are past
// and then each as soon as it is durable, until ctx ends or the loop breaks.
// since 0 asks for a Reset and all that is in force, as adds. A slow reader
// delays nobody: it catches up from the history, or gets the same when that has moved on.
func (l *Log) Changes(ctx context.Context, since uint64) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		all := since == 0
		for ctx.Err() == nil {
			p := l.after(since, all)
			if p.state {
				// What is in force but not yet durable would be gone after a crash, and the reader would keep it.
				_ = l.flush() // a broken disk is told to those who add
				if !yield(Change{Reset: true}) {
					return
				}
			}
			for i, x := range p.past {
				if p.state && i < len(p.past)-1 {
					x.cursor = 0 // who stops in the middle of the state has to begin again
				}
				if ctx.Err() != nil || !yield(Change{Cursor: x.cursor, Op: x.op, Decision: *x.d}) {
					return
				}
			}
			since, all = p.next, false
			if len(p.past) > 0 {
				continue
			}
			select {
			case <-p.wake:
			case <-ctx.Done():
			}
		}
	}
}

// streamBatch is how many changes a reader copies at a time.
const streamBatch = 256

// page is what a reader of the stream gets at a time.
type page struct {
	state bool // past is all that is in force
	past  []past
	next  uint64          // cursor to go on from
	wake  <-chan struct{} // closed when there may be more
}

// after returns what follows the cursor since, or the whole state.
func (l *Log) after(since uint64, all bool) page {
	synced := uint64(0)
	if l.disk != nil {
		synced = l.disk.Synced()
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	// Changes that are not durable are not shown: a crash would give their cursors to others.
	shown := len(l.history)
	for shown > 0 && l.disk != nil && !l.broken && l.history[shown-1].seq >= synced {
		shown--
	}
	newest := l.cursor
	if shown < len(l.history) {
		newest = l.history[shown].cursor - 1
	}
	p := page{next: since, wake: l.changed}
	if since == newest && !all {
		return p
	}
	i, found := slices.BinarySearchFunc(l.history[:shown], since+1, func(x past, cursor uint64) int { return cmp.Compare(x.cursor, cursor) })
	if !all && found {
		p.past = slices.Clone(l.history[i:min(i+streamBatch, shown)])
		p.next = p.past[len(p.past)-1].cursor
		return p
	}
	now := l.cfg.Now()
	p.state, p.next = true, newest
	for _, d := range l.byID {
		if d.Until.After(now) {
			p.past = append(p.past, past{cursor: newest, op: OpAdd, d: d})
		}
	}
	return p
}

// Run ends decisions on time and replaces the log on disk by a snapshot when it
// has grown. It returns when ctx ends.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failing := false
	var noCompaction time.Time // not before, after one that failed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.End(l.cfg.Now())
		if l.disk == nil {
			continue
		}
		if l.wantsCompaction() && time.Now().After(noCompaction) {
			if err := l.Compact(); err != nil {
				l.cfg.Logger.ErrorContext(ctx, "decisions cannot be compacted", "error", err)
				noCompaction = time.Now().Add(time.Minute)
			}
		} else if err := l.flush(); err != nil && !failing { // ends that nobody waits for
			l.cfg.Logger.ErrorContext(ctx, "decisions cannot be stored", "error", err)
			failing = true
		} else if err == nil {
			failing = false
		}
	}
}

// wantsCompaction tells whether the log has grown, or misses changes that the disk did not take.
func (l *Log) wantsCompaction() bool {
	st := l.disk.Stats()
	if st.Poisoned || st.Detached {
		return false
	}
	missed := l.disk.Failures() > l.stored.Load() && l.disk.Pending() == 0
	return missed || st.DiskBytes > 2*l.snapshotBytes()+l.cfg.CompactBytes
}

// End takes out of force what is over at now and tells the stream. Run calls it every second.
func (l *Log) End(now time.Time) {
	l.mu.Lock()
	before := l.cursor
	l.expire(now)
	over := l.cursor != before
	l.mu.Unlock()
	if over && l.disk == nil {
		l.announce(false)
	}
}

// snapshotBytes is about what a snapshot would take.
func (l *Log) snapshotBytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int64(len(l.byID)) * 300
}

// Compact replaces the log on disk by the decisions in force. Run calls it when the log has grown.
func (l *Log) Compact() error {
	if l.disk == nil {
		return nil
	}
	failures := l.disk.Failures()
	err := l.disk.Compact(func(emit func([]byte) error) error {
		l.mu.RLock()
		cursor := l.cursor
		state := make([]*Decision, 0, len(l.byID))
		for _, d := range l.byID {
			state = append(state, d)
		}
		l.mu.RUnlock()
		for _, d := range state {
			if err := emit((frame{Cursor: cursor, Add: d, Snapshot: true}).encode()); err != nil {
				return err
			}
		}
		return emit((frame{Cursor: cursor, Snapshot: true}).encode())
	})
	if err == nil {
		l.stored.Store(failures)
	}
	return err
}
