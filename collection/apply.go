package collection

import (
	"context"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// Op says what a Change does.
type Op uint8

// The kinds of change, each as the ModSecurity action it comes from.
const (
	OpSet    Op = iota // setvar:ip.name=Text
	OpAdd              // setvar:ip.name=+N or -N; the result is never below 0
	OpUnset            // setvar:!ip.name
	OpExpire           // expirevar:ip.name=...; the variable ends At
)

// Change is one change to one variable of a record. Name is matched without
// regard to case. Of the built-ins only TIMEOUT can be set; changes to the
// others are ignored.
type Change struct {
	Op   Op
	Name string
	Text string    // OpSet
	N    int64     // OpAdd
	At   time.Time // OpExpire; whole seconds count, as in ModSecurity
}

// Ticket is the promise that a change reaches the disk. The zero Ticket is kept already.
type Ticket struct{ t durable.Ticket }

// Wait returns nil when the change survives a power loss, the disk's error when
// it cannot be stored (in memory it is in force all the same), or ctx's error.
func (t Ticket) Wait(ctx context.Context) error { return t.t.Wait(ctx) }

// Event tells a watcher what one Apply changed.
type Event struct {
	Name, Key string
	Changes   []Change // the caller's slice: read only, good during the call
	View      View     // the record after the change
}

// Watch registers fn to be called after each Apply, in the goroutine that
// applied and outside all locks. Calls for one record can come out of order
// when transactions race; Event.View tells the state that each one made.
func (s *Store) Watch(fn func(Event)) {
	s.spacesMu.Lock()
	defer s.spacesMu.Unlock()
	var next []func(Event)
	if old := s.watchers.Load(); old != nil {
		next = append(next, *old...)
	}
	next = append(next, fn)
	s.watchers.Store(&next)
}

// Apply changes the record of key in the collection name, and makes it with
// the given timeout (SecCollectionTimeout; 3600 s when 0) when there is none.
// Changes are merged into the record as it is now, so concurrent transactions
// lose nothing; TIMEOUT starts again and UPDATE_COUNTER moves by one. When
// Apply returns, every later Load sees the result; the Ticket tells when the
// disk has it. Without changes nothing happens. For a change that says again
// what the record says (the same values, every end within two seconds) the
// Ticket promises that and not UPDATE_COUNTER nor the seconds.
func (s *Store) Apply(name, key string, timeout time.Duration, now time.Time, changes []Change) Ticket {
	return s.apply(name, key, timeout, now, changes, 1)
}

// Continue is Apply for a further part of a transaction that has applied a
// part before: UPDATE_COUNTER stays.
func (s *Store) Continue(name, key string, timeout time.Duration, now time.Time, changes []Change) Ticket {
	return s.apply(name, key, timeout, now, changes, 0)
}

func (s *Store) apply(name, key string, timeout time.Duration, now time.Time, changes []Change, step int64) Ticket {
	if len(changes) == 0 || s.cfg.Except != nil && s.cfg.Except(name, key) {
		return Ticket{}
	}
	sp, err := s.makeSpace(name)
	if err != nil {
		return Ticket{durable.Failed(err)}
	}
	key = fitKey(key)
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	sh := s.shard(sp, key)
	sh.mu.Lock()
	old, had := sh.recs[key]
	e := editor{now: seconds(now), count: &s.count, most: MaxRecord}
	if s.bytes.Load() > s.cfg.MaxBytes/2 {
		e.most = SmallRecord // a few clients with long values must not push out many with short ones
	}
	e.open(old, had, key, int64(timeout/time.Second))
	e.head.counter += step
	for i := range changes {
		e.apply(&changes[i])
	}
	rec := e.seal()
	sh.put(rec)
	// Under the shard's lock, so that the log has the states of one record in the order in which they were in force.
	ticket := s.append(name, rec)
	if e.news || s.log == nil {
		sh.last = ticket
	} else {
		ticket = s.again(sh, ticket)
	}
	sh.mu.Unlock()
	if s.log != nil && s.log.Pending() > pendingLimit {
		ticket.Begin() // nobody waits, and the next turn of Run is far
	}
	s.account(sp, key, old, rec, had)
	if w := s.watchers.Load(); w != nil {
		ev := Event{Name: name, Key: key, Changes: changes, View: viewOf(name, rec, seconds(now))}
		for _, fn := range *w {
			fn(ev)
		}
	}
	return Ticket{ticket}
}

// pendingLimit is how many bytes may gather before they are written although
// nobody waits. Apply itself never waits for the disk: when that does not keep
// up, changes stay in memory, their Tickets say so, and Run stores all of memory
// when the disk is back.
const pendingLimit = 4 << 20

// append puts the record into the log.
func (s *Store) append(name, rec string) durable.Ticket {
	if s.log == nil {
		return durable.Ticket{}
	}
	var buf [64]byte
	head := append(binary.AppendUvarint(buf[:0], uint64(len(name))), name...)
	return s.log.AppendString(head, rec)
}

// A client that touches a trap a thousand times a second says the same thing a
// thousand times. Its tag is on disk since the first time; what the others add
// is UPDATE_COUNTER and a second or two of TIMEOUT and expiry. They are logged,
// but their callers need not wait for an fsync of their own: it halves the
// fsyncs of a scan. sameMoment is how many seconds later an end may be for that.
const sameMoment = 2

// again returns what the caller has to wait for after a change that is no news:
// the newest change of the shard that was, if that is still on its way. t is the
// ticket of the change itself; it is written within flushEvery. When the disk
// does not keep up or has failed, the caller waits for t. The shard is locked.
func (s *Store) again(sh *shard, t durable.Ticket) durable.Ticket {
	// In this order: a write that fails is counted before its ticket is ready.
	kept := sh.last.Ready()
	if t.Ready() || s.log.Failures() > s.stored.Load() || !s.lag.bounded(s.log, t) {
		return t
	}
	if kept {
		sh.last = durable.Ticket{}
	}
	return sh.last
}

// lag sees to it that changes which nobody waits for are not long on their way.
type lag struct {
	mu  sync.Mutex
	seq uint64    // mu; a frame that was begun
	at  time.Time // mu; when
}

// bounded begins the writing of t now and then. It is false when a write that was begun does not end.
func (l *lag) bounded(log *durable.Log, t durable.Ticket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	since := time.Since(l.at)
	if log.Synced() <= l.seq {
		return since < time.Second
	}
	if since > flushEvery {
		l.seq, l.at = t.Seq, time.Now()
		t.Begin()
	}
	return true
}

// put stores rec under its own key bytes, so that the map keeps neither the
// caller's string alive (which may be a piece of a request) nor the record before.
func (sh *shard) put(rec string) {
	if sh.recs == nil {
		sh.recs = make(map[string]string)
	}
	key, _, _ := takeBytes(rec)
	sh.recs[key] = rec
	sh.peak = max(sh.peak, len(sh.recs))
}

// editor is a record that is being changed.
type editor struct {
	head  head
	vars  []variable
	now   int64
	size  int  // of names and values
	most  int  // size must not grow past it
	news  bool // the record says something that it did not say before, see again
	count *counters
	room  [8]variable // most records have fewer
}

// open decodes the old record, or begins a new one when there is none in force.
func (e *editor) open(rec string, had bool, key string, timeout int64) {
	e.vars = e.room[:0]
	if had {
		h, vars, err := decodeHead(rec)
		if err == nil && !h.expired(e.now) {
			e.head = h
			for vars != "" {
				v, rest, err := nextVariable(vars)
				if err != nil {
					break
				}
				if !v.expired(e.now) {
					e.vars = append(e.vars, v)
					e.size += len(v.name) + len(v.value)
				}
				vars = rest
			}
			e.head.updated = max(e.now, h.created)
			e.news = e.head.updated-h.updated > sameMoment
			return
		}
	}
	e.head = head{key: key, created: e.now, updated: e.now, timeout: timeout}
	e.news = true
}

func (e *editor) apply(c *Change) {
	if len(c.Name) > MaxName || c.Name == "" {
		e.count.refused.Add(1)
		return
	}
	if isBuiltin(c.Name) {
		if c.Op == OpSet && strings.EqualFold(c.Name, "TIMEOUT") {
			timeout := min(max(leadingInt(c.Text), 0), maxSeconds)
			e.news = e.news || timeout != e.head.timeout
			e.head.timeout = timeout
		}
		return
	}
	i := e.find(c.Name)
	if i < 0 {
		if c.Op == OpUnset {
			return
		}
		if i = e.add(c.Name); i < 0 {
			return
		}
	}
	v := &e.vars[i]
	before := *v
	switch c.Op {
	case OpSet:
		if e.replace(v, c.Text) {
			v.flags |= hasValue | absolute
		}
	case OpAdd:
		if e.replace(v, strconv.FormatInt(addFloor(leadingInt(v.value), c.N), 10)) {
			v.flags |= hasValue
		}
	case OpUnset:
		e.size -= len(v.value)
		v.value, v.flags = "", v.flags&^(hasValue|absolute)
	case OpExpire:
		v.expiry, v.flags = seconds(c.At), v.flags|hasExpiry
	}
	longer := v.expiry - before.expiry
	e.news = e.news || v.value != before.value || v.flags != before.flags || longer < 0 || longer > sameMoment
}

func (e *editor) find(name string) int {
	for i := range e.vars {
		if len(e.vars[i].name) == len(name) && strings.EqualFold(e.vars[i].name, name) {
			return i
		}
	}
	return -1
}

// add makes room for a variable, -1 when the record is full.
func (e *editor) add(name string) int {
	if len(e.vars) >= MaxVariables || e.size+len(name) > e.most {
		e.count.refused.Add(1)
		return -1
	}
	e.vars = append(e.vars, variable{name: strings.ToLower(name)})
	e.size += len(name)
	return len(e.vars) - 1
}

// Long values leave this much room for short ones: a client decides how long its
// User-Agent is, and must not keep its own tag out with it.
const (
	shortValue = 64
	shortRoom  = 1 << 10
)

// replace gives v the value, cut to MaxValue and to what the record may hold;
// false when not even a short value has room.
func (e *editor) replace(v *variable, value string) bool {
	room := e.most - (e.size - len(v.value))
	if len(value) > shortValue {
		room -= shortRoom
	}
	if room = min(room, MaxValue); len(value) > room {
		if room < shortValue {
			e.count.refused.Add(1)
			return false
		}
		e.count.cut.Add(1)
		value = value[:room]
	}
	e.size += len(value) - len(v.value)
	v.value = value
	return true
}

// seal encodes the record.
func (e *editor) seal() string {
	var room [512]byte
	dst := appendHead(room[:0], e.head)
	for _, v := range e.vars {
		if v.flags != 0 {
			dst = appendVariable(dst, v)
		}
	}
	return string(dst)
}

func isBuiltin(name string) bool {
	if strings.HasPrefix(name, "__") {
		return true // ModSecurity's housekeeping
	}
	for _, b := range builtinNames() {
		if len(b) == len(name) && strings.EqualFold(b, name) {
			return true
		}
	}
	return false
}

// leadingInt is C's atoi, without its overflow, for values that rules count with.
func leadingInt(s string) int64 {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, err := strconv.ParseInt(s[:end], 10, 64)
	if err != nil && n == 0 {
		return 0 // not a number; one that is too large comes back as the largest
	}
	return n
}

// addFloor adds without overflow and stops at 0, as ModSecurity's counters do.
func addFloor(a, n int64) int64 {
	if n > 0 && a > math.MaxInt64-n {
		return math.MaxInt64
	}
	if n < 0 && a < math.MinInt64-n {
		return 0
	}
	return max(a+n, 0)
}
