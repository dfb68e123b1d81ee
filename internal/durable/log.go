package durable

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
	"sync/atomic"
)

// What callers test for.
var (
	// ErrClosed is returned for work on a closed Log.
	ErrClosed = errors.New("log is closed")
	// ErrInUse is returned by OpenLog when another process has the directory open.
	ErrInUse = errors.New("directory is in use by another process")
	// ErrTooLarge is returned for a payload over Config.MaxPayload.
	ErrTooLarge = errors.New("payload is larger than the log allows")
	// ErrFull is returned for a frame that would take the log past Config.MaxBytes.
	ErrFull = errors.New("log is full")
	// ErrBehind is returned for a frame while Config.MaxPending bytes wait for a disk that does not keep up.
	ErrBehind = errors.New("disk does not keep up")
	// ErrDetached is returned for a frame while the log has no file to write to (Config.Detached).
	ErrDetached = errors.New("log is detached from its disk")
	// ErrPoisoned is returned after a failed fsync, until the log is opened again.
	ErrPoisoned = errors.New("log stopped after a failed sync")
)

// Step names a thing that a Log is about to do to the disk.
type Step string

// The steps, in the order in which an append and a compaction take them.
const (
	StepCreate   Step = "create"   // a new segment or snapshot file
	StepWrite    Step = "write"    // frames into the segment
	StepSync     Step = "sync"     // fsync of a file
	StepTruncate Step = "truncate" // take back a write that failed
	StepRename   Step = "rename"   // a finished snapshot to its name
	StepSyncDir  Step = "syncdir"  // fsync of the directory
	StepRemove   Step = "remove"   // a file that is no longer needed
)

// Config says where a Log lives and how large its parts may grow. The zero
// value of each field but Dir is a good default.
type Config struct {
	// Dir is made when it is missing. One Log at a time may have it open.
	Dir string
	// SegmentBytes is the size at which a new segment is begun; 64 MiB when 0.
	SegmentBytes int64
	// MaxPayload is the largest payload of one frame; 16 MiB when 0.
	MaxPayload int
	// MaxBytes is how much disk all files may take, frames on their way included; no limit when 0.
	MaxBytes int64
	// MaxPending is how many bytes may wait in memory for the disk; 64 MiB when 0.
	MaxPending int
	// FirstSeq is the least sequence number to give out next; 1 when 0.
	FirstSeq uint64
	// TailOnly reads only the end of the log at opening, for a log that is read
	// with cursors: those meet the damage elsewhere. Snapshots are read all the same.
	TailOnly bool
	// Detached lets OpenLog succeed also when the disk cannot be written, or read,
	// at that moment: what can be read is replayed, every frame is refused with
	// ErrDetached, and Attach tries again. Another process on the directory is an error all the same.
	Detached bool
	// Step, when set, is called before each step on the disk. An error makes the
	// step fail with it. Tests stop the process there or fill the disk; it is
	// called with locks held and must not call the Log.
	Step func(step Step, path string) error
}

// Log is an append-only sequence of frames on disk. Its methods may be called
// from any goroutine. It starts no goroutine: the callers of Ticket.Wait do the
// writing, one of them for all that wait at that moment.
type Log struct {
	cfg   Config
	table *crc32.Table
	lock  *os.File

	// io is held by whoever writes, syncs, rotates or removes files. It is a
	// channel and not a mutex so that waiting for it can end with a context.
	io    chan struct{}
	file  *os.File // io
	ahead int64    // io; the file has bytes up to here, zeros after the last frame
	zeros []byte   // io
	// What opening found to do, which attach does: ends to cut, files that are not needed.
	cuts     []segment // io
	unneeded []string  // io
	unread   bool      // io; a file could not be read: to write on would make its loss final

	mu      sync.Mutex
	cur     *batch    // mu; frames not yet taken by a writer, nil when none
	spare   [][]byte  // mu; buffers of written batches, used again: one fills while one is written
	nextSeq uint64    // mu; of the next frame
	synced  uint64    // mu; every frame below is durable
	size    int64     // mu; bytes of all files, with frames on their way
	segs    []segment // mu; in order, the last is the one being written
	snap    segment   // mu; newest snapshot, path "" when none
	err     error     // mu; set once: closed or poisoned
	away    error     // mu; why the log is detached, nil when it is not
	stats   Stats     // mu

	failures atomic.Uint64
}

// Stats counts what a Log did since it was opened.
type Stats struct {
	Appends, Syncs, WriteErrors uint64
	Behind                      uint64 // frames refused with ErrBehind
	Refused                     uint64 // frames refused with ErrDetached
	Bytes                       uint64 // written, with frame heads
	Segments                    int
	DiskBytes                   int64 // of segments and snapshot, with frames on their way
	Poisoned, Detached          bool
}

// OpenLog opens or makes the log in cfg.Dir, hands every frame to replay in
// the order of appending (first those of the newest snapshot, with sequence
// number 0), and returns the damage it found. payload is good during the call
// only. A torn end of the last write is cut off. An error of replay stops
// opening. replay may be nil.
func OpenLog(cfg Config, replay func(seq uint64, payload []byte) error) (*Log, []Fault, error) {
	cfg.SegmentBytes = cmp.Or(max(cfg.SegmentBytes, 0), 64<<20)
	cfg.MaxPayload = cmp.Or(max(cfg.MaxPayload, 0), 16<<20)
	cfg.MaxPending = cmp.Or(max(cfg.MaxPending, 0), 64<<20)
	cfg.FirstSeq = max(cfg.FirstSeq, 1)
	if replay == nil {
		replay = func(uint64, []byte) error { return nil }
	}
	l := &Log{cfg: cfg, table: castagnoli(), io: make(chan struct{}, 1), nextSeq: cfg.FirstSeq}
	err := l.enter()
	if errors.Is(err, ErrInUse) || err != nil && !cfg.Detached {
		return nil, nil, errors.Join(err, l.closeFiles())
	}
	faults, rerr := l.recover(replay)
	l.unread = rerr != nil
	l.measure()
	if err = errors.Join(err, rerr); err == nil {
		err = l.attach()
	}
	if err == nil {
		return l, faults, nil
	}
	err = fmt.Errorf("open log %s: %w", cfg.Dir, err)
	if !cfg.Detached {
		return nil, faults, errors.Join(err, l.closeFiles())
	}
	l.away = err
	return l, faults, nil
}

// Append puts a frame with payload head+body behind all earlier ones and
// returns at once; the bytes are copied. The Ticket tells when it is durable.
// Frames reach the disk in the order of the calls.
func (l *Log) Append(head, body []byte) Ticket { return appendFrame(l, head, body) }

// AppendString is Append for a body that is a string.
func (l *Log) AppendString(head []byte, body string) Ticket { return appendFrame(l, head, body) }

func appendFrame[B []byte | string](l *Log, head []byte, body B) Ticket {
	n := len(head) + len(body)
	if n > l.cfg.MaxPayload {
		return Ticket{err: fmt.Errorf("%w: %d of %d bytes", ErrTooLarge, n, l.cfg.MaxPayload)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return Ticket{err: l.err}
	}
	if l.away != nil {
		l.stats.Refused++
		l.failures.Add(1)
		return Ticket{err: fmt.Errorf("%w: %w", ErrDetached, l.away)}
	}
	if !l.hasRoom(n) {
		return Ticket{err: ErrFull}
	}
	b := l.cur
	if b != nil && len(b.buf)+frameHead+n > max(l.cfg.MaxPending, frameHead+n) {
		l.stats.Behind++
		l.failures.Add(1)
		return Ticket{err: ErrBehind}
	}
	l.size += int64(frameHead + n)
	if b == nil {
		b = &batch{log: l, first: l.nextSeq, done: make(chan struct{})}
		if n := len(l.spare); n > 0 {
			b.buf, l.spare = l.spare[n-1], l.spare[:n-1]
		}
		l.cur = b
	}
	b.ends = append(b.ends, len(b.buf))
	b.buf = append(b.buf, make([]byte, frameHead)...)
	b.buf = append(b.buf, head...)
	b.buf = append(b.buf, body...)
	seq := l.nextSeq
	l.nextSeq++
	l.stats.Appends++
	return Ticket{b: b, Seq: seq}
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.Segments = len(l.segs)
	st.DiskBytes = l.size
	st.Poisoned = errors.Is(l.err, ErrPoisoned)
	st.Detached = l.away != nil
	return st
}

// measure sets size from the files. Nothing is on its way.
func (l *Log) measure() {
	l.size = l.snap.size
	for _, s := range l.segs {
		l.size += s.size
	}
}

// Failures counts the frames' writes that failed and the frames that were
// refused because the disk does not keep up.
func (l *Log) Failures() uint64 { return l.failures.Load() }

// FirstSeq returns the least sequence number that a segment on disk may hold.
func (l *Log) FirstSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs) == 0 {
		return l.nextSeq
	}
	return l.segs[0].first
}

// OldestEnd returns the sequence number at which the second segment begins: with
// RemoveBefore of it the oldest goes. ok is false when the oldest is the one being written.
func (l *Log) OldestEnd() (seq uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segs) < 2 {
		return 0, false
	}
	return l.segs[1].first, true
}

// HasRoom tells whether Config.MaxBytes leaves room for a payload of n bytes.
func (l *Log) HasRoom(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hasRoom(n)
}

// hasRoom is HasRoom. mu is held.
func (l *Log) hasRoom(n int) bool {
	return l.cfg.MaxBytes <= 0 || l.size+int64(frameHead+n) <= l.cfg.MaxBytes
}

// SetMaxBytes changes Config.MaxBytes. What is there stays, also when it is more.
func (l *Log) SetMaxBytes(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg.MaxBytes = n
}

// NextSeq returns the sequence number that the next Append gets.
func (l *Log) NextSeq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextSeq
}

// Synced returns the sequence number below which every frame is durable.
func (l *Log) Synced() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced
}

// Close makes every appended frame durable and closes the files. Tickets not
// yet waited for are settled. A second Close does nothing.
func (l *Log) Close() error {
	ferr := l.Flush()
	l.io <- struct{}{}
	defer func() { <-l.io }()
	l.mu.Lock()
	if errors.Is(l.err, ErrClosed) {
		l.mu.Unlock()
		return nil
	}
	l.err = ErrClosed
	late := l.cur
	l.cur = nil
	l.mu.Unlock()
	if late != nil { // appended between the flush and here
		ferr = errors.Join(ferr, l.write(late))
	}
	return errors.Join(ferr, l.closeFiles())
}

func (l *Log) closeFiles() error {
	var err error
	if l.file != nil {
		_ = l.file.Truncate(l.segs[len(l.segs)-1].size) // zeros at the end do no harm
		err = l.file.Close()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

func (l *Log) step(s Step, path string) error {
	if l.cfg.Step == nil {
		return nil
	}
	return l.cfg.Step(s, path)
}
