package collection

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// counters are the numbers behind Stats.
type counters struct {
	expired, evictedUntagged, evictedTagged, evictedCrowd, cut, refused atomic.Int64
}

// recordOverhead is what a record costs beyond its own bytes: key and record
// headers and their share of the map, rounding of the allocator.
const recordOverhead = 80

func cost(rec string) int64 { return int64(len(rec)) + recordOverhead }

// account settles the totals after a record was put and makes room if they are
// over a limit. No lock is held.
func (s *Store) account(sp *space, key, old, rec string, had bool) {
	if had {
		s.total(sp, 0, cost(rec)-cost(old))
	} else {
		s.total(sp, 1, cost(rec))
		if net, ok := crowdOf(key); ok {
			for _, victim := range sp.crowds.join(net, key, s.holds(sp)) {
				if s.drop(sp, victim, "") {
					s.count.evictedCrowd.Add(1)
				}
			}
		}
	}
	s.makeRoom(sp, key)
}

func (s *Store) total(sp *space, records, bytes int64) {
	s.records.Add(records)
	s.bytes.Add(bytes)
	sp.records.Add(records)
	sp.bytes.Add(bytes)
}

func (s *Store) holds(sp *space) func(key string) bool {
	return func(key string) bool {
		sh := s.shard(sp, key)
		sh.mu.RLock()
		defer sh.mu.RUnlock()
		_, ok := sh.recs[key]
		return ok
	}
}

// drop removes the record of key, if it is still the one given (or any, for "").
func (s *Store) drop(sp *space, key, rec string) bool {
	sh := s.shard(sp, key)
	sh.mu.Lock()
	old, ok := sh.recs[key]
	if ok = ok && (rec == "" || old == rec); ok {
		delete(sh.recs, key)
	}
	sh.mu.Unlock()
	if ok {
		s.gone(sp, key, old)
	}
	return ok
}

func (s *Store) gone(sp *space, key, rec string) {
	s.total(sp, -1, -cost(rec))
	if net, ok := crowdOf(key); ok {
		sp.crowds.leave(net)
	}
}

func (s *Store) over() bool {
	return s.records.Load() > int64(s.cfg.MaxRecords) || s.bytes.Load() > s.cfg.MaxBytes
}

// makeRoom evicts until the limits are kept, from the collection that takes the
// most memory: whoever floods SESSION with made-up ids pushes out sessions and
// not the tags in IP. It looks at a few records of a few shards and takes the
// worst, which comes close to the worst of all and needs no list that every
// read would have to keep in order. Worst is: timed out; then without a tag
// (only counters), the longest unchanged; then tagged, the longest unchanged.
// The record just made stays.
func (s *Store) makeRoom(sp *space, keep string) {
	for tries := 0; tries < mostTries && s.over(); tries++ {
		from := s.largest()
		except := ""
		if from == sp {
			except = keep
		}
		v, ok := s.worst(from, except)
		if !ok {
			return
		}
		if !s.drop(from, v.key, v.rec) {
			continue
		}
		switch v.rank {
		case 0:
			s.count.expired.Add(1)
		case 1:
			s.count.evictedUntagged.Add(1)
		default:
			s.count.evictedTagged.Add(1)
		}
	}
}

// mostTries bounds the work of one Apply; it takes about 30 evictions to make room for the largest record that a full store takes.
const mostTries = 256

func (s *Store) largest() *space {
	var most *space
	for _, sp := range *s.spaces.Load() {
		if most == nil || sp.bytes.Load() > most.bytes.Load() {
			most = sp
		}
	}
	return most
}

// victim is a candidate for eviction. Lower rank goes first, then older.
type victim struct {
	key, rec string
	rank     int
	updated  int64
}

func (v victim) worse(w victim) bool {
	if v.rank != w.rank {
		return v.rank < w.rank
	}
	return v.updated < w.updated
}

const (
	sampleRecords = 8  // of one shard
	sampleEnough  = 24 // in all
)

// worst samples shards of the collection in turn. The key except is left out.
func (s *Store) worst(sp *space, except string) (best victim, ok bool) {
	now := seconds(s.cfg.Now())
	found := 0
	for range len(sp.shards) {
		sh := &sp.shards[s.evictAt.Add(1)*0x9e3779b97f4a7c15>>32&sp.mask]
		sh.mu.RLock()
		seen := 0
		for key, rec := range sh.recs { // starts at a random place
			if v, ok := rank(key, rec, now); ok && key != except {
				if found == 0 || v.worse(best) {
					best = v
				}
				found++
			}
			if seen++; seen >= sampleRecords {
				break
			}
		}
		sh.mu.RUnlock()
		if found >= sampleEnough {
			break
		}
	}
	return best, found > 0
}

func rank(key, rec string, now int64) (victim, bool) {
	h, vars, err := decodeHead(rec)
	if err != nil {
		return victim{}, false
	}
	v := victim{key: key, rec: rec, updated: h.updated}
	switch {
	case h.expired(now):
		v.rank = 0
	case !tagged(vars, now):
		v.rank = 1
	default:
		v.rank = 2
	}
	return v, true
}

// crowds bounds what one network can take: whoever has an IPv6 /64 has 2^64
// addresses, and with keys such as CRS's "address_hash of User-Agent" one IPv4
// address has any number. Past the limit each new record of the network
// replaces its oldest.
type crowds struct {
	limit int
	mu    sync.Mutex
	nets  map[uint64]crowd // mu
}

// crowd is what one network has. Most have one record, so the first is not listed.
type crowd struct {
	live int32
	more *[]string // keys in order of arrival; some may be gone
}

// crowdOf returns the network that the key counts for: the upper half of an
// IPv6 address, or an IPv4 address of a key with a suffix. bounded is false for other keys.
func crowdOf(key string) (net uint64, bounded bool) {
	addr, _, suffixed := strings.Cut(key, "_")
	if len(addr) > 45 || !suffixed && !strings.Contains(addr, ":") {
		return 0, false
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return 0, false
	}
	if ip = ip.Unmap(); ip.Is4() {
		b := ip.As4()
		return 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:])), suffixed
	}
	b := ip.As16()
	return binary.BigEndian.Uint64(b[:]), true
}

// join counts a new record and returns the keys to drop for it. holds tells whether a key still has a record.
func (c *crowds) join(net uint64, key string, holds func(string) bool) (drop []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nets == nil {
		c.nets = make(map[uint64]crowd)
	}
	cr := c.nets[net]
	cr.live++
	if cr.live > 1 {
		if cr.more == nil {
			cr.more = new([]string)
		}
		keys := append(*cr.more, strings.Clone(key))
		for over := int(cr.live) - c.limit; over > 0 && len(keys) > 1; keys = keys[1:] {
			if old := keys[0]; old != key && holds(old) {
				drop = append(drop, old)
				over--
			}
		}
		if len(keys) > 2*int(cr.live)+16 {
			keys = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !holds(k) })
		}
		*cr.more = keys
	}
	c.nets[net] = cr
	return drop
}

func (c *crowds) leave(net uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cr, ok := c.nets[net]
	if !ok {
		return
	}
	if cr.live--; cr.live <= 0 {
		delete(c.nets, net)
		return
	}
	c.nets[net] = cr
}
