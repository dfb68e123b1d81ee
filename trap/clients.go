package trap

import (
	"net/netip"
	"sync"
)

// clients counts the open connections of every client and knows which of them
// wait for their client, oldest first. When a limit is reached, the connection
// that has waited longest makes room: a new touch is always worth more than a
// silent old one, and a client that holds sockets open cannot keep others out.
type clients struct {
	perClient, total int // limits

	mu   sync.Mutex
	by   map[netip.Addr]*client // guarded by mu
	open int                    // guarded by mu: connections that hold a place
	idle ring                   // guarded by mu: waiting connections of all clients
}

// client is one address (IPv4) or one /64 (IPv6: the smallest block that one customer holds).
type client struct {
	open int
	idle ring
}

// place is the part of a conn that clients owns; all fields are guarded by clients.mu.
type place struct {
	client    *client
	key       netip.Addr
	held      bool // counted in open
	own, all  link // while waiting
	isWaiting bool
}

// admission says what became of a new connection.
type admission uint8

const (
	admitted  admission = iota
	overOwn             // the client's limit is reached and none of its connections waits
	overTotal           // the limit of all is reached and no connection waits
)

func newClients(perClient, total int) *clients {
	cs := &clients{perClient: perClient, total: total, by: make(map[netip.Addr]*client)}
	cs.idle.init()
	return cs
}

// clientKey is the address under which connections are counted.
func clientKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// admit gives c a place. victim, when not nil, is the connection that lost its
// place to c; the caller cuts it. A connection that is not admitted holds no place.
func (cs *clients) admit(c *conn) (victim *conn, how admission) {
	key := clientKey(c.peer.Addr())
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cl := cs.by[key]
	if cl == nil {
		cl = &client{}
		cl.idle.init()
	}
	switch {
	case cl.open >= cs.perClient:
		if victim = cl.idle.front(); victim == nil {
			return nil, overOwn
		}
	case cs.open >= cs.total:
		if victim = cs.idle.front(); victim == nil {
			return nil, overTotal
		}
	}
	if victim != nil {
		cs.unwait(victim)
		cs.release(victim)
	}
	// Only now: releasing the victim may have removed this very client from the map.
	cs.by[key] = cl
	cl.open++
	cs.open++
	c.place.client, c.place.key, c.place.held = cl, key, true
	return victim, admitted
}

// wait says that c now waits for its client.
func (cs *clients) wait(c *conn) {
	cs.mu.Lock()
	if p := &c.place; p.held && !p.isWaiting {
		p.isWaiting = true
		p.client.idle.push(&p.own, c)
		cs.idle.push(&p.all, c)
	}
	cs.mu.Unlock()
}

// work says that c has what it waited for and must not be cut now.
// It returns false when c was cut before.
func (cs *clients) work(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.unwait(c)
	return c.place.held
}

// leave gives the place of c back; a connection that was cut has none.
func (cs *clients) leave(c *conn) {
	cs.mu.Lock()
	cs.unwait(c)
	cs.release(c)
	cs.mu.Unlock()
}

// idleConns returns the connections that wait now, oldest first.
func (cs *clients) idleConns() []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var out []*conn
	for l := cs.idle.root.next; l != &cs.idle.root; l = l.next {
		out = append(out, l.conn)
	}
	return out
}

// counts returns the connections that hold a place and the clients that own them.
func (cs *clients) counts() (open, owners int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.open, len(cs.by)
}

// unwait removes c from the lists; cs.mu is held.
func (cs *clients) unwait(c *conn) {
	if p := &c.place; p.isWaiting {
		p.isWaiting = false
		p.own.remove()
		p.all.remove()
	}
}

// release takes the place of c away; cs.mu is held.
func (cs *clients) release(c *conn) {
	p := &c.place
	if !p.held {
		return
	}
	p.held = false
	cs.open--
	if p.client.open--; p.client.open == 0 {
		delete(cs.by, p.key)
	}
}

// ring is a list of connections in the order in which they began to wait.
// The links lie inside the connections: waiting allocates nothing.
type ring struct{ root link }

type link struct {
	prev, next *link
	conn       *conn
}

func (r *ring) init() { r.root.prev, r.root.next = &r.root, &r.root }

func (r *ring) front() *conn { return r.root.next.conn }

func (r *ring) push(l *link, c *conn) {
	l.conn = c
	l.prev, l.next = r.root.prev, &r.root
	l.prev.next, l.next.prev = l, l
}

func (l *link) remove() {
	l.prev.next, l.next.prev = l.next, l.prev
	l.prev, l.next, l.conn = nil, nil, nil
}
