// Package collection holds ModSecurity's persistent collections: IP, SESSION,
// USER, RESOURCE, GLOBAL and their records, one per client, session or user.
//
// In come the changes that a transaction made (Apply); out come snapshots of a
// record for the next transaction (Load), answered from memory. Behind it is an
// append-only log on disk that shares one fsync among all that wait.
// After a crash, of the process or of the machine, every change whose
// Ticket.Wait returned nil is there again (but for UPDATE_COUNTER and two
// seconds of TIMEOUT and expiry of a record that was told the same thing again
// and again); a change that nobody waited for may be lost, together with all
// that came after it and never without them. A
// record is written to the log as a whole each time, so damage in the middle
// of the log costs at most the last state of the records it hit, and is
// reported by Faults.
package collection

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// Limits on what one record may hold. ModSecurity's own store refuses a whole
// record over 1,008 bytes, and the client chose how long it was; here a value is
// cut, the record is stored, and Stats counts the cut.
const (
	MaxValue     = 64 << 10  // bytes of one value; what is over is cut
	MaxName      = 256       // bytes of a variable's name; a longer one is refused
	MaxVariables = 1024      // variables of one record; further ones are refused
	MaxRecord    = 512 << 10 // bytes of names and values of one record; a value that would grow it further is cut
	SmallRecord  = 4 << 10   // the same while the store is more than half full
	MaxKey       = 1024      // bytes of a key; a longer one is replaced by its head and a digest
	maxSpaces    = 4096      // collections: their names come from the configuration, never from a client
)

// DefaultTimeout is SecCollectionTimeout when no directive sets it.
const DefaultTimeout = 3600 * time.Second

// Config says where a Store lives and how much it may hold. The zero value is
// a store in memory only, with the default limits.
type Config struct {
	// Dir is the directory of the log; "" keeps everything in memory only.
	Dir string
	// Logger gets faults found at opening and errors of background work; slog.Default when nil.
	Logger *slog.Logger
	// Now is the clock of background work; time.Now when nil.
	Now func() time.Time
	// Shards is how many locks one collection is spread over, rounded up to a power of two; 256 when 0.
	Shards int
	// MaxRecords is how many records all collections together may hold; 4,000,000 when 0.
	MaxRecords int
	// MaxBytes is how much memory they may take; 1 GiB when 0.
	MaxBytes int64
	// MaxPerNet is how many records one IPv6 /64 (or one IPv4 address with suffixes) may have in one collection; 4,096 when 0.
	MaxPerNet int
	// CompactBytes is how far the log may grow past twice the live state before a snapshot replaces it; 64 MiB when 0.
	CompactBytes int64
	// Except names records that are never made nor changed: Apply does nothing for
	// them. It is called in every Apply, before any lock; nil excepts none.
	Except func(name, key string) bool
	// Detached lets Open succeed also when the disk cannot be written: what can be read is there, changes are in
	// force in memory, their Tickets say the error, and Attach tries again.
	Detached bool
	// Step is durable.Config.Step: tests stop the process or fail the disk there.
	Step func(step durable.Step, path string) error
}

// Store is a set of collections. All its methods may be called from any goroutine.
type Store struct {
	cfg    Config
	seed   maphash.Seed
	log    *durable.Log // nil in memory only
	faults []durable.Fault

	spaces   atomic.Pointer[map[string]*space] // copied on write
	spacesMu sync.Mutex                        // for writers of spaces

	watchers atomic.Pointer[[]func(Event)] // copied on write, under spacesMu

	records, bytes atomic.Int64
	evictAt        atomic.Uint64 // where eviction looks next
	sweepAt        atomic.Uint64 // where the sweeper goes on
	count          counters
	compacting     sync.Mutex
	stored         atomic.Uint64 // log.Failures before the newest snapshot, which made up for them
	lag            lag
	noCompaction   time.Time // of Run only: not before, after one that failed
}

// space is one collection, such as "ip".
type space struct {
	name   string
	mask   uint64
	shards []shard
	crowds crowds

	records, bytes atomic.Int64
}

// shard is the part of a collection under one lock.
type shard struct {
	mu   sync.RWMutex
	recs map[string]string // key -> record (see record.go); the key is a part of the record's own bytes
	peak int               // largest len(recs) since recs was made: maps do not shrink by themselves
	last durable.Ticket    // of the newest change that was news
}

// Open makes a Store and reads back what its log holds. It starts no goroutine.
// The caller closes it.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Shards = powerOfTwo(cmp.Or(max(cfg.Shards, 0), 256))
	cfg.MaxRecords = cmp.Or(max(cfg.MaxRecords, 0), 4_000_000)
	cfg.MaxBytes = cmp.Or(max(cfg.MaxBytes, 0), 1<<30)
	cfg.MaxPerNet = cmp.Or(max(cfg.MaxPerNet, 0), 4096)
	cfg.CompactBytes = cmp.Or(max(cfg.CompactBytes, 0), 64<<20)
	s := &Store{cfg: cfg, seed: maphash.MakeSeed()}
	s.spaces.Store(&map[string]*space{})
	if cfg.Dir == "" {
		return s, nil
	}
	log, faults, err := durable.OpenLog(durable.Config{Dir: cfg.Dir, MaxPayload: 4 * MaxRecord, Detached: cfg.Detached, Step: cfg.Step}, s.replay())
	if err != nil {
		return nil, fmt.Errorf("open collections: %w", err)
	}
	s.log, s.faults = log, faults
	durable.Report(cfg.Logger, "collections", faults)
	return s, nil
}

// Faults returns the damage that opening the log found, torn end included.
func (s *Store) Faults() []durable.Fault { return s.faults }

// Attach tries to write to a disk that could not be written before (Config.Detached). When it
// returns nil the disk has what is in memory; also when it had all along.
func (s *Store) Attach() error {
	if s.log == nil {
		return nil
	}
	if err := s.log.Attach(); err != nil || s.log.Failures() <= s.stored.Load() {
		return err
	}
	return s.Compact()
}

// Close writes what is not yet on disk and closes the log. Nothing may be
// applied after it; Load goes on to answer from memory.
func (s *Store) Close() error {
	if s.log == nil {
		return nil
	}
	return s.log.Close()
}

// seconds is the Unix time that records keep. Nothing before 1970 or after the
// year 36,000 is stored: such a clock is wrong, and the numbers stay encodable.
func seconds(t time.Time) int64 { return min(max(t.Unix(), 0), maxSeconds) }

const maxSeconds = 1 << 40

func powerOfTwo(n int) int {
	p := 1
	for p < n && p < 1<<16 {
		p <<= 1
	}
	return p
}

// space returns the collection called name, nil when it has no record yet.
func (s *Store) space(name string) *space { return (*s.spaces.Load())[name] }

// ErrTooManyCollections is returned by the Ticket of an Apply that would make one collection too many.
var ErrTooManyCollections = errors.New("too many collections")

// makeSpace returns the collection called name and makes it when needed.
func (s *Store) makeSpace(name string) (*space, error) {
	if sp := s.space(name); sp != nil {
		return sp, nil
	}
	s.spacesMu.Lock()
	defer s.spacesMu.Unlock()
	old := *s.spaces.Load()
	if sp := old[name]; sp != nil {
		return sp, nil
	}
	if len(old) >= maxSpaces {
		return nil, ErrTooManyCollections
	}
	next := make(map[string]*space, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	sp := &space{name: name, mask: uint64(s.cfg.Shards - 1), shards: make([]shard, s.cfg.Shards)}
	sp.crowds.limit = s.cfg.MaxPerNet
	next[name] = sp
	s.spaces.Store(&next)
	return sp, nil
}

func (s *Store) shard(sp *space, key string) *shard {
	return &sp.shards[maphash.String(s.seed, key)&sp.mask]
}

// Load returns the record of key in the collection name as it is at now, and
// whether there is one. Variables whose expiry has passed are left out; a
// record whose timeout has passed does not exist. When there is none, the View
// shows what a new record has (IS_NEW and the rest). Nothing is allocated, and
// no disk is touched.
func (s *Store) Load(name, key string, now time.Time) (View, bool) {
	key = fitKey(key)
	sec := seconds(now)
	if sp := s.space(name); sp != nil {
		sh := s.shard(sp, key)
		sh.mu.RLock()
		rec, ok := sh.recs[key]
		sh.mu.RUnlock()
		if ok {
			if v := viewOf(name, rec, sec); !v.head.expired(sec) {
				return v, true
			}
		}
	}
	return View{name: name, now: sec, fresh: true, head: head{key: key, created: sec, updated: sec, timeout: int64(DefaultTimeout / time.Second)}}, false
}
