package connlimit

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// State is what a connection does.
type State uint32

// A connection reads until the head of its request is there and its body, if it has one; it writes from the end of the
// head to the last byte of the answer. So while a body comes it does both. Between requests it is idle: nobody counts that.
const (
	Idle    State = 0
	Reading State = 1
	Writing State = 2
)

// Conn is one connection's part in the counts. The zero value is not counted, and its methods do nothing. Its methods
// may be called from any goroutine.
type Conn struct {
	state atomic.Uint32 // changed under mu only; Idle reads it without

	mu      sync.Mutex // guards what follows
	counter *Counter   // nil before Open and after Close
	addr    netip.Addr
	client  *client // nil until it is counted for the first time
}

// Open begins to count the connection of a client, which reads from now on. It is false when the client has more
// connections than the limits allow: the caller closes this one, which is not counted any more.
func (k *Conn) Open(c *Counter, addr netip.Addr) bool {
	k.mu.Lock()
	k.counter, k.addr = c, addr
	k.mu.Unlock()
	if !k.Begin() {
		k.Close()
		return false
	}
	return true
}

// Idle is true between requests, and when nothing is counted.
func (k *Conn) Idle() bool { return State(k.state.Load()) == Idle }

// Begin says that an idle connection has begun to read, a request or something else. It is false when the client has
// too many connections: the caller closes this one. A connection that is not idle stays as it is.
func (k *Conn) Begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	limits := k.limits()
	if limits == nil || !k.Idle() {
		return true
	}
	k.move(Reading)
	if k.counter.admits(limits, k.addr, k.client) {
		return true
	}
	k.move(Idle)
	return false
}

// Set changes the state; nobody is refused by it.
func (k *Conn) Set(s State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.limits() == nil {
		s = Idle // not counted, or no longer
	}
	k.move(s)
}

// Received says that a request is complete: a connection that reads and writes now only writes.
func (k *Conn) Received() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if State(k.state.Load()) == Reading|Writing {
		k.move(Writing)
	}
}

// Close takes the connection out of the counts, for good. It may be called more than once.
func (k *Conn) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.move(Idle)
	if k.client != nil {
		k.counter.leave(k.addr, k.client)
	}
	k.counter, k.client = nil, nil
}

// limits returns what is in force for an open connection, and sees to it that there is a client to count; k.mu is held.
func (k *Conn) limits() *Limits {
	if k.counter == nil {
		return nil
	}
	limits := k.counter.limits.Load()
	if limits != nil && k.client == nil {
		k.client = k.counter.enter(k.addr)
	}
	return limits
}

// move counts a change of state; k.mu is held, and there is a client unless the state is and stays idle.
func (k *Conn) move(to State) {
	from := State(k.state.Swap(uint32(to)))
	if from == to {
		return
	}
	if d := int32(to&Reading) - int32(from&Reading); d != 0 {
		k.client.reading.Add(d / int32(Reading))
	}
	if d := int32(to&Writing) - int32(from&Writing); d != 0 {
		k.client.writing.Add(d / int32(Writing))
	}
}
