package control

import (
	"net/netip"
	"sync"
	"time"
)

// Buckets of failures: so many at once, then one per refill.
const (
	addressBurst  = 10
	addressRefill = 30 * time.Second
	userBurst     = 50
	userRefill    = 10 * time.Second
	// maxBuckets bounds memory: when there are more, those of this kind start anew.
	maxBuckets = 100_000
)

// loginLimits counts failures in memory: a restart forgives, which needs the machine.
type loginLimits struct {
	mu        sync.Mutex
	addresses map[netip.Prefix]bucket // guarded by mu
	users     map[string]bucket       // guarded by mu
}

// bucket holds the time until which it is full of failures: each failure adds
// one refill, and it is over the limit when that lies burst refills ahead.
type bucket struct{ until time.Time }

func (b bucket) wait(now time.Time, burst int, refill time.Duration) time.Duration {
	if !b.until.After(now) {
		return 0
	}
	return b.until.Sub(now) - time.Duration(burst-1)*refill
}

func (b bucket) add(now time.Time, refill time.Duration) bucket {
	if b.until.Before(now) {
		b.until = now
	}
	return bucket{b.until.Add(refill)}
}

func (l *loginLimits) init() {
	l.addresses = make(map[netip.Prefix]bucket)
	l.users = make(map[string]bucket)
}

// take counts an attempt before its password is looked at, so that parallel
// attempts cannot pass the limit together. A positive result is the time to wait; nothing is counted then.
func (l *loginLimits) take(user string, address netip.Addr, usual bool, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	network := networkOf(address)
	a, u := l.addresses[network], l.users[user]
	if w := a.wait(now, addressBurst, addressRefill); w > 0 {
		return w
	}
	if w := u.wait(now, userBurst, userRefill); w > 0 && !usual {
		return w
	}
	if len(l.addresses) >= maxBuckets {
		clear(l.addresses)
	}
	if len(l.users) >= maxBuckets {
		clear(l.users)
	}
	l.addresses[network] = a.add(now, addressRefill)
	if !usual {
		l.users[user] = u.add(now, userRefill)
	}
	return 0
}

// full reports whether an address has used up its failures.
func (l *loginLimits) full(address netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addresses[networkOf(address)].wait(now, addressBurst, addressRefill) > 0
}

// add counts a failure of an address.
func (l *loginLimits) add(address netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.addresses) >= maxBuckets {
		clear(l.addresses)
	}
	network := networkOf(address)
	l.addresses[network] = l.addresses[network].add(now, addressRefill)
}

// giveBack takes the count of an attempt back whose password was right.
func (l *loginLimits) giveBack(user string, address netip.Addr, usual bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	network := networkOf(address)
	if b, ok := l.addresses[network]; ok {
		l.addresses[network] = bucket{b.until.Add(-addressRefill)}
	}
	if b, ok := l.users[user]; ok && !usual {
		l.users[user] = bucket{b.until.Add(-userRefill)}
	}
}

// forget drops buckets that are empty again.
func (l *loginLimits) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, b := range l.addresses {
		if b.until.Before(now) {
			delete(l.addresses, k)
		}
	}
	for k, b := range l.users {
		if b.until.Before(now) {
			delete(l.users, k)
		}
	}
}

// networkOf is what one attacker holds at least: an IPv4 address, an IPv6 /64.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
