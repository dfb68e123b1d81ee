// Package connlimit counts, for each client, the connections that are reading a request and those that are writing an
// answer, and refuses what is above the limits of SecConnReadStateLimit and SecConnWriteStateLimit. In come the state
// changes of connections, from any number of listeners; out go verdicts, lines for the error log in mod_security2's
// words, and counters. A change of state costs one or two atomic additions, whoever else is counted; only the
// beginning and the end of a connection lock one of many shards. Nothing is kept on disk.
package connlimit

import (
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits is what SecConnEngine and the two limits say. The zero value counts nothing and refuses nobody.
type Limits struct {
	// Enforce closes connections above a limit (SecConnEngine On); without it they are only told of (DetectionOnly).
	Enforce     bool
	Read, Write Limit
}

// Limit is the number of connections that one client may have in a state.
type Limit struct {
	Max int // 0: as many as it likes
	// Suspicious, when not nil, names the only clients that the limit holds for ("@ipMatch 192.0.2.0/24"); Trusted those
	// that it does not hold for ("!@ipMatch 127.0.0.1"), and goes first.
	Suspicious, Trusted func(netip.Addr) bool
}

// Counter holds the counts of all clients. Its methods may be called from any goroutine.
type Counter struct {
	log    *slog.Logger
	now    func() time.Time
	limits atomic.Pointer[Limits] // nil: nothing is counted
	seed   maphash.Seed
	shards [shardCount]shard
	said   throttle

	refused, detected atomic.Int64
}

// shardCount keeps beginnings and ends of connections of different clients apart.
const shardCount = 256

type shard struct {
	mu      sync.Mutex
	clients map[netip.Addr]*client // guarded by mu
	_       [48]byte               // a cache line of its own
}

// client is what is counted under one IPv4 address or one IPv6 /64: the least that one customer holds.
type client struct {
	reading, writing atomic.Int32
	over             atomic.Uint32 // connections above a limit since the client is known
	conns            int           // guarded by the shard's mu: connections that point here
}

// Stats are counts since New, but for Clients, Reading and Writing, which are of this moment.
type Stats struct {
	// Refused connections were closed, Detected ones would have been with SecConnEngine On.
	Refused, Detected         int64
	Clients, Reading, Writing int
}

// New returns a Counter without limits.
func New(log *slog.Logger, now func() time.Time) *Counter {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	c := &Counter{log: log, now: now, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].clients = map[netip.Addr]*client{}
	}
	return c
}

// SetLimits puts other limits in force. Connections that are open are counted from their next change of state on.
func (c *Counter) SetLimits(l Limits) {
	if l.Read.Max <= 0 && l.Write.Max <= 0 {
		c.limits.Store(nil)
		return
	}
	c.limits.Store(&l)
}

// Stats returns the counts.
func (c *Counter) Stats() Stats {
	s := Stats{Refused: c.refused.Load(), Detected: c.detected.Load()}
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		s.Clients += len(sh.clients)
		for _, k := range sh.clients {
			s.Reading += int(k.reading.Load())
			s.Writing += int(k.writing.Load())
		}
		sh.mu.Unlock()
	}
	return s
}

// keyOf is the address under which connections are counted.
func keyOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

func (c *Counter) shardOf(key netip.Addr) *shard {
	b := key.As16()
	return &c.shards[maphash.Bytes(c.seed, b[:])%shardCount]
}

// enter returns the client of an address; leave gives it back.
func (c *Counter) enter(addr netip.Addr) *client {
	key := keyOf(addr)
	sh := c.shardOf(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	k := sh.clients[key]
	if k == nil {
		k = &client{}
		sh.clients[key] = k
	}
	k.conns++
	return k
}

func (c *Counter) leave(addr netip.Addr, k *client) {
	key := keyOf(addr)
	sh := c.shardOf(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if k.conns--; k.conns == 0 {
		delete(sh.clients, key)
	}
}

// admits judges a client that has just begun to read; it says what is to be said.
func (c *Counter) admits(l *Limits, addr netip.Addr, k *client) bool {
	reading, writing := int(k.reading.Load()), int(k.writing.Load())
	// As in mod_security2 the second limit is looked at when the first has nothing against it.
	return c.within(l, &l.Read, "READ", reading, addr, k) && c.within(l, &l.Write, "WRITE", writing, addr, k)
}

func (c *Counter) within(l *Limits, limit *Limit, state string, n int, addr netip.Addr, k *client) bool {
	if limit.Max <= 0 || n <= limit.Max {
		return true
	}
	switch {
	case limit.Trusted != nil && limit.Trusted(addr):
		if !l.Enforce {
			c.say(k, "allowed", state, n, limit.Max, addr, " - Ip is on whitelist, access granted")
		}
		return true
	case limit.Suspicious != nil && !limit.Suspicious(addr):
		if !l.Enforce {
			c.say(k, "allowed", state, n, limit.Max, addr, " - There is a suspission list but that IP is not part of it, access granted")
		}
		return true
	case !l.Enforce:
		c.detected.Add(1)
		c.say(k, "would be refused", state, n, limit.Max, addr, possibleDoS)
		return true
	}
	c.refused.Add(1)
	c.say(k, "refused", state, n, limit.Max, addr, possibleDoS)
	return false
}
