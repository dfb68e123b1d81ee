package collection

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// Timing of the background work.
const (
	sweepEvery = 250 * time.Millisecond // one step of the sweeper
	sweepCycle = time.Minute            // time in which it comes to every record
	flushEvery = 200 * time.Millisecond // for changes that nobody waits for
	breath     = 256                    // records looked at before the lock is let go

	compactAgain = time.Minute // after a compaction that failed, which writes the whole state each time
)

// Run removes what has timed out, writes changes that nobody waits for, and
// replaces the log by a snapshot when it has grown. It returns when ctx ends.
func (s *Store) Run(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	var broken bool
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
			if s.log == nil || s.log.Pending() == 0 {
				continue
			}
			err := s.log.Flush()
			if err != nil && !broken {
				s.cfg.Logger.ErrorContext(ctx, "collections cannot be stored", "error", err)
			}
			broken = err != nil
		case <-sweep.C:
			s.sweepStep(int(sweepCycle / sweepEvery))
			if s.wantsCompaction() {
				if err := s.Compact(); err != nil {
					s.cfg.Logger.ErrorContext(ctx, "collections cannot be compacted", "error", err)
					s.noCompaction = time.Now().Add(compactAgain)
				}
			}
		}
	}
}

// sweepStep goes through 1/parts of all shards.
func (s *Store) sweepStep(parts int) {
	now := seconds(s.cfg.Now())
	for range max(1, s.cfg.Shards/parts) {
		at := s.sweepAt.Add(1)
		for _, sp := range *s.spaces.Load() {
			s.sweepShard(sp, &sp.shards[at&sp.mask], now)
		}
	}
}

// Sweep removes everything that has timed out and returns how many records that were.
func (s *Store) Sweep() int {
	now := seconds(s.cfg.Now())
	n := 0
	for _, sp := range *s.spaces.Load() {
		for i := range sp.shards {
			n += s.sweepShard(sp, &sp.shards[i], now)
		}
	}
	return n
}

func (s *Store) sweepShard(sp *space, sh *shard, now int64) int {
	type pair struct{ key, rec string }
	var dead []pair
	sh.each(func(key, rec string) bool {
		if h, _, err := decodeHead(rec); err != nil || h.expired(now) {
			dead = append(dead, pair{key, rec})
		}
		return true
	}, nil)
	n := 0
	for _, d := range dead {
		if s.drop(sp, d.key, d.rec) {
			n++
		}
	}
	s.count.expired.Add(int64(n))
	sh.shrink()
	return n
}

// each calls fn for the records of the shard and lets go of the lock after
// every few, calling pause meanwhile; a map may change while it is ranged over,
// as long as each step is under the lock. Records put meanwhile may be missed.
func (sh *shard) each(fn func(key, rec string) bool, pause func() bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	n := 0
	for key, rec := range sh.recs {
		if !fn(key, rec) {
			return
		}
		if n++; n%breath == 0 {
			sh.mu.RUnlock()
			ok := pause == nil || pause()
			sh.mu.RLock()
			if !ok {
				return
			}
		}
	}
}

// shrink gives memory back after most of a shard has gone.
func (sh *shard) shrink() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.peak < 64 || len(sh.recs) > sh.peak/4 {
		return
	}
	next := make(map[string]string, len(sh.recs))
	for k, v := range sh.recs {
		next[k] = v
	}
	sh.recs, sh.peak = next, len(next)
}

// Each calls fn for every record of the collection name until it returns false.
// Records made meanwhile may be missed; fn may call the Store.
func (s *Store) Each(name string, fn func(key string, v View) bool) {
	sp := s.space(name)
	if sp == nil {
		return
	}
	now := seconds(s.cfg.Now())
	for i := range sp.shards {
		var page []View
		show := func() bool {
			for _, v := range page {
				if !fn(v.head.key, v) {
					return false
				}
			}
			page = page[:0]
			return true
		}
		stopped := false
		sp.shards[i].each(func(_, rec string) bool {
			if v := viewOf(name, rec, now); !v.head.expired(now) {
				page = append(page, v)
			}
			return true
		}, func() bool { stopped = !show(); return !stopped })
		if stopped || !show() {
			return
		}
	}
}

func (s *Store) wantsCompaction() bool {
	if s.log == nil || time.Now().Before(s.noCompaction) {
		return false
	}
	st := s.log.Stats()
	if st.Poisoned || st.Detached {
		return false
	}
	// Changes that the disk did not take are in memory only, until a snapshot has them.
	missed := s.log.Failures() > s.stored.Load()
	return missed && s.log.Pending() == 0 || st.DiskBytes > 2*s.bytes.Load()+s.cfg.CompactBytes
}

// Compact replaces the log by a snapshot of what is in memory, while the store
// goes on to answer and to change. Run calls it when the log has grown.
func (s *Store) Compact() error {
	if s.log == nil {
		return nil
	}
	s.compacting.Lock()
	defer s.compacting.Unlock()
	failures := s.log.Failures()
	err := s.log.Compact(func(emit func([]byte) error) error {
		for _, sp := range *s.spaces.Load() {
			for i := range sp.shards {
				if err := sp.shards[i].emit(sp.name, emit); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		s.stored.Store(failures)
	}
	return err
}

// emit writes the shard's records, outside the lock. Every record in the shard
// at the start is emitted, in the state of now or a later one.
func (sh *shard) emit(name string, emit func([]byte) error) error {
	sh.mu.RLock()
	page := make([]string, 0, len(sh.recs))
	for _, rec := range sh.recs {
		page = append(page, rec)
	}
	sh.mu.RUnlock()
	var buf []byte
	for _, rec := range page {
		buf = append(appendBytes(buf[:0], name), rec...)
		if err := emit(buf); err != nil {
			return err
		}
	}
	return nil
}

// replay returns the function that puts the frames of the log back into memory.
func (s *Store) replay() func(seq uint64, payload []byte) error {
	now := seconds(s.cfg.Now())
	return func(_ uint64, payload []byte) error {
		n, used := binary.Uvarint(payload)
		if used <= 0 || n > uint64(len(payload)-used) {
			return nil // not of ours: the frame's checksum is right, so another version wrote it
		}
		name, rec := string(payload[used:][:n]), string(payload[used:][n:])
		h, err := checkRecord(rec)
		if err != nil {
			return nil //nolint:nilerr // as above; one strange record must not keep a site from starting
		}
		sp, err := s.makeSpace(name)
		if err != nil {
			return fmt.Errorf("replay %s: %w", name, err)
		}
		sh := s.shard(sp, h.key)
		sh.mu.Lock()
		old, had := sh.recs[h.key]
		if h.expired(now) {
			sh.mu.Unlock()
			if had {
				s.drop(sp, h.key, "")
			}
			return nil
		}
		sh.put(rec)
		sh.mu.Unlock()
		s.account(sp, h.key, old, rec, had)
		return nil
	}
}

// Stats is what a Store holds and did. Counters start at Open.
type Stats struct {
	Collections int
	Records     int64
	Bytes       int64 // memory, estimated: record bytes plus 80 each
	Expired     int64 // records that timed out
	// Evicted for a limit: records that held only counters, records with a tag, and oldest records of a crowded network.
	EvictedUntagged, EvictedTagged, EvictedCrowd int64
	ValuesCut                                    int64 // values over MaxValue
	Refused                                      int64 // changes over MaxName, MaxVariables or MaxRecord
	Faults                                       int   // damage found when the log was opened
	Log                                          durable.Stats
}

// Stats returns the numbers of now.
func (s *Store) Stats() Stats {
	st := Stats{
		Collections: len(*s.spaces.Load()), Records: s.records.Load(), Bytes: s.bytes.Load(), Expired: s.count.expired.Load(),
		EvictedUntagged: s.count.evictedUntagged.Load(), EvictedTagged: s.count.evictedTagged.Load(), EvictedCrowd: s.count.evictedCrowd.Load(),
		ValuesCut: s.count.cut.Load(), Refused: s.count.refused.Load(), Faults: len(s.faults),
	}
	if s.log != nil {
		st.Log = s.log.Stats()
	}
	return st
}
