// Package spool is the durable queue between the rules and the network.
//
// In come the bytes of records (Append), out they go to each destination in
// order (Reader), which acknowledges them one by one, in any order. When
// Append returns nil the entry survives kill -9 and power loss. After a crash
// every entry that was not acknowledged is delivered again; of the
// acknowledged ones only those of about the last second may be, and none after
// Close. Entries that a destination refuses for good move to set-aside/ and
// stay there. A segment is deleted when every reader has acknowledged all of it,
// or, with Config.GiveUp, when the spool is full: then the reader that is furthest
// behind gives up what is in it, and that is counted and kept as a Gap.
package spool

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// What callers test for.
var (
	// ErrFull is returned by Append when the spool holds Config.MaxBytes that some reader still wants and does not give up.
	ErrFull = durable.ErrFull
	// ErrClosed is returned for work on a closed Spool or a forgotten Reader.
	ErrClosed = errors.New("spool is closed")
	// ErrUnknown is returned for a sequence number that is not with the reader: never delivered, or acknowledged before.
	ErrUnknown = errors.New("entry is not out for delivery")
	// ErrTooLarge is returned by Append for an entry over Config.MaxEntry.
	ErrTooLarge = durable.ErrTooLarge
)

const defaultMaxBytes = 1 << 30

// maxID is the longest id of an entry; unique ids have 24 to 27 bytes.
const maxID = 255

// Config says where a Spool lives and how large it may grow. The zero value of
// each field but Dir is a good default.
type Config struct {
	// Dir holds log/, readers/ and set-aside/.
	Dir string
	// SegmentBytes is the size of one file; 16 MiB when 0, and at most an eighth of MaxBytes. Disk space comes back in such pieces.
	SegmentBytes int64
	// MaxBytes is how much disk the queue may take; 1 GiB when 0.
	MaxBytes int64
	// GiveUp says what a full queue costs: true, the oldest entries of the reader that is furthest behind; false, the new entry.
	GiveUp bool
	// MaxEntry is the largest entry; 16 MiB when 0.
	MaxEntry int
	// MaxSetAside is how many entries each reader may have set aside before the oldest is dropped; 10,000 when 0.
	MaxSetAside int
	// Detached lets Open succeed also when the disk cannot be written: what can be read is delivered, Append
	// returns an error, and Attach tries again.
	Detached bool
	// Logger gets damage and errors of background work; slog.Default when nil.
	Logger *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Step is durable.Config.Step: tests stop the process or fail the disk there.
	Step func(step durable.Step, path string) error
}

// Spool is one queue on disk. Its methods may be called from any goroutine.
type Spool struct {
	cfg   Config
	log   *durable.Log
	fault []durable.Fault

	mu      sync.Mutex
	readers map[string]*Reader // mu; also those that have a cursor on disk and were not asked for yet
	closed  bool               // mu

	live  atomic.Pointer[[]*Reader] // readers to wake; copied on write under mu
	count counters
	saved sync.Mutex // one saver of cursors at a time

	maxBytes atomic.Int64 // Config.MaxBytes of now
}

type counters struct {
	appended, full, failed, acked, setAside, dropped, damagedBytes, missing, givenUp atomic.Int64
}

// Open makes or opens the spool in cfg.Dir. It starts no goroutine. The caller closes it.
func Open(cfg Config) (*Spool, error) {
	cfg.SegmentBytes = cmp.Or(max(cfg.SegmentBytes, 0), 16<<20)
	cfg.MaxBytes = cmp.Or(max(cfg.MaxBytes, 0), defaultMaxBytes)
	cfg.SegmentBytes = min(cfg.SegmentBytes, cfg.MaxBytes/8)
	cfg.MaxEntry = cmp.Or(max(cfg.MaxEntry, 0), 16<<20)
	cfg.MaxSetAside = cmp.Or(max(cfg.MaxSetAside, 0), 10_000)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Spool{cfg: cfg, readers: make(map[string]*Reader)}
	s.maxBytes.Store(cfg.MaxBytes)
	if err := s.makeDirs(); err != nil && !cfg.Detached {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	least, err := s.loadReaders()
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s.log, s.fault, err = durable.OpenLog(durable.Config{
		Dir: filepath.Join(cfg.Dir, "log"), SegmentBytes: cfg.SegmentBytes, MaxPayload: cfg.MaxEntry + maxID + 32,
		MaxBytes: cfg.MaxBytes, FirstSeq: least, TailOnly: true, Detached: cfg.Detached, Step: cfg.Step,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	durable.Report(cfg.Logger, "spool", s.fault)
	return s, nil
}

func (s *Spool) makeDirs() error {
	for _, dir := range []string{"readers", "set-aside"} {
		if err := durable.MkdirAll(filepath.Join(s.cfg.Dir, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Attach tries to write to a disk that could not be written before (Config.Detached).
// It returns nil when that works, or has worked all along.
func (s *Spool) Attach() error {
	if err := s.makeDirs(); err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	return s.log.Attach()
}

// Append puts an entry at the end of the queue and returns nil when it is
// durable. Concurrent calls share one fsync. entry is copied. When ctx ends
// first its error is returned and the entry may still be delivered.
func (s *Spool) Append(ctx context.Context, id string, entry []byte) error {
	return s.Queue(id, entry).Wait(ctx)
}

// Ticket is the promise that a queued entry becomes durable.
type Ticket struct {
	s *Spool
	t durable.Ticket
}

// Queue is the first half of Append: the entry has its place in the queue, and
// Ticket.Wait, to be called once, is the second half. Between the two the
// caller can do other work, such as waiting for another log.
func (s *Spool) Queue(id string, entry []byte) Ticket {
	if len(id) > maxID {
		return Ticket{t: durable.Failed(fmt.Errorf("append record: id of %d bytes", len(id)))}
	}
	if len(entry) > s.cfg.MaxEntry {
		return Ticket{t: durable.Failed(fmt.Errorf("append record %s: %w: %d bytes", id, ErrTooLarge, len(entry)))}
	}
	var room [maxID + 16]byte
	head := appendHead(room[:0], s.cfg.Now(), id)
	t := s.log.Append(head, entry)
	for range giveUpTries {
		if !s.cfg.GiveUp || !errors.Is(t.Refused(), ErrFull) || !s.makeRoom(len(head)+len(entry)) {
			break
		}
		t = s.log.Append(head, entry)
	}
	return Ticket{s: s, t: t}
}

// frameOverhead is what the log adds to an entry.
const frameOverhead = 20

// Begin starts writing without waiting, so that the caller can wait for another log meanwhile.
func (t Ticket) Begin() { t.t.Begin() }

// Wait returns nil when the entry is durable.
func (t Ticket) Wait(ctx context.Context) error {
	err := t.t.Wait(ctx)
	if t.s == nil {
		return err
	}
	if err != nil {
		switch {
		case errors.Is(err, ErrFull):
			t.s.count.full.Add(1)
		case errors.Is(err, durable.ErrClosed):
			err = ErrClosed
			fallthrough
		default:
			t.s.count.failed.Add(1)
		}
		return fmt.Errorf("append record: %w", err)
	}
	t.s.count.appended.Add(1)
	t.s.wake()
	return nil
}

// wake tells the readers that there is more.
func (s *Spool) wake() {
	live := s.live.Load()
	if live == nil {
		return
	}
	for _, r := range *live {
		r.signal()
	}
}

// An entry in the log is
//
//	8 bytes  time of Append, Unix nanoseconds, little endian
//	1 byte   length of id, then id
//	bytes    the entry
func appendHead(dst []byte, now time.Time, id string) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(now.UnixNano()))
	dst = append(dst, byte(len(id)))
	return append(dst, id...)
}

// Entry is one element of the queue.
type Entry struct {
	Seq   uint64 // grows with every Append
	ID    string
	Time  time.Time // of Append
	Bytes []byte    // the caller's own
}

var errEntry = errors.New("not an entry")

// parseEntry decodes a payload; the result has its own bytes.
func parseEntry(seq uint64, payload []byte) (Entry, error) {
	if len(payload) < 9 || len(payload) < 9+int(payload[8]) {
		return Entry{}, errEntry
	}
	n := 9 + int(payload[8])
	return Entry{
		Seq: seq, Time: time.Unix(0, int64(binary.LittleEndian.Uint64(payload))),
		ID: string(payload[9:n]), Bytes: append([]byte(nil), payload[n:]...),
	}, nil
}

// Run saves what readers have acknowledged and deletes finished segments every
// second, until ctx ends. Without it both happen as part of every 1,000th Ack.
func (s *Spool) Run(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.log.Pending() > 0 { // of a caller that gave up between Queue and Wait
			_ = s.log.Flush() // its error is in the tickets
			s.wake()
		}
		err := s.save()
		if err != nil && !failing {
			s.cfg.Logger.ErrorContext(ctx, "spool cursors cannot be saved", "error", err)
		}
		failing = err != nil
	}
}

const saveEvery = time.Second

// Close makes queued entries durable, saves what was acknowledged and closes
// the files. Readers that block in Next return ErrClosed. A second Close does nothing.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	readers := s.readers
	s.mu.Unlock()
	for _, r := range readers {
		r.stop()
	}
	err := s.save()
	for _, r := range readers {
		err = errors.Join(err, r.closeFile())
	}
	return errors.Join(err, s.log.Close())
}

// Stats is what a Spool holds and did. Counters start at Open.
type Stats struct {
	Bytes, MaxBytes             int64 // on disk
	Appended, Full, Failed      int64 // Append calls by how they ended
	Acked, SetAside, SetDropped int64 // by all readers; SetDropped were set aside and had to make room
	GivenUp                     int64 // by readers that were furthest behind when the spool was full
	DamagedBytes, Missing       int64 // met by readers
	Faults                      int   // damage found when the spool was opened
	Log                         durable.Stats
}

// Stats returns the numbers of now.
func (s *Spool) Stats() Stats {
	log := s.log.Stats()
	return Stats{
		Bytes: log.DiskBytes, MaxBytes: s.maxBytes.Load(), Appended: s.count.appended.Load(), Full: s.count.full.Load(),
		Failed: s.count.failed.Load(), Acked: s.count.acked.Load(), SetAside: s.count.setAside.Load(), SetDropped: s.count.dropped.Load(),
		DamagedBytes: s.count.damagedBytes.Load(), Missing: s.count.missing.Load(), GivenUp: s.count.givenUp.Load(), Faults: len(s.fault), Log: log,
	}
}

// Faults returns the damage that opening found at the end of the log.
func (s *Spool) Faults() []durable.Fault { return s.fault }
