package durable

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
)

// batch is the frames that one write and one fsync carry.
//
// The first caller that waits for a batch becomes its leader: it waits until
// the batch before is on disk, takes the batch from the log so that nothing
// more is added, writes and syncs it, and wakes the others. While it does so
// the next batch fills. A committer goroutine would do the same with one more
// switch of goroutines per batch; BenchmarkAppend has both: they cost the same
// with 16 to 64 callers, and the leader is cheaper alone.
type batch struct {
	log   *Log
	first uint64
	buf   []byte // log.mu until taken, then the leader's
	ends  []int  // offset of each frame in buf
	led   atomic.Bool
	done  chan struct{} // closed when err is final
	err   error
}

// Ticket is the promise of one Append. The zero Ticket is kept already.
type Ticket struct {
	b   *batch
	err error
	// Seq is the frame's sequence number; good when Wait returns nil.
	Seq uint64
}

// Failed is a Ticket that was refused with err.
func Failed(err error) Ticket { return Ticket{err: err} }

// Wait returns nil when the frame is on disk and survives a power loss. It may
// be called any number of times, from any goroutine, or never. When ctx ends
// first its error is returned and the frame still goes to disk.
func (t Ticket) Wait(ctx context.Context) error {
	b := t.b
	if b == nil {
		return t.err
	}
	select {
	case <-b.done:
		return b.err
	default:
	}
	if b.led.Swap(true) {
		select {
		case <-b.done:
			return b.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case b.log.io <- struct{}{}:
		b.log.commit(b)
		return b.err
	case <-ctx.Done():
		// The others count on their leader: somebody must carry on.
		go b.lead()
		return ctx.Err()
	}
}

// Begin has the frame written without the caller waiting for it, when nobody
// does yet: for callers that wait for another log first, so that both syncs run
// side by side. Wait must still be called to know how it ended.
func (t Ticket) Begin() {
	if b := t.b; b != nil && !t.Ready() && !b.led.Swap(true) {
		go b.lead()
	}
}

// Refused returns the error of an Append that took nothing, at once; nil when the frame is on its way.
func (t Ticket) Refused() error { return t.err }

// lead writes b when its turn comes.
func (b *batch) lead() {
	b.log.io <- struct{}{}
	b.log.commit(b)
}

// Ready tells without waiting whether Wait would return at once.
func (t Ticket) Ready() bool {
	if t.b == nil {
		return true
	}
	select {
	case <-t.b.done:
		return true
	default:
		return false
	}
}

// Pending returns how many bytes the frame's batch has gathered; 0 once it is written.
func (l *Log) Pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur == nil {
		return 0
	}
	return len(l.cur.buf)
}

// Flush makes every frame appended so far durable.
func (l *Log) Flush() error {
	l.mu.Lock()
	b, err := l.cur, l.err
	l.mu.Unlock()
	if b == nil {
		// A batch may be on its way; it is durable when its leader lets go of io.
		l.io <- struct{}{}
		<-l.io
		if errors.Is(err, ErrClosed) {
			return nil
		}
		return err
	}
	return Ticket{b: b}.Wait(context.Background())
}

// commit writes b, which its caller leads, and releases io, which its caller holds.
func (l *Log) commit(b *batch) {
	defer func() { <-l.io }()
	// Those whom the batch before has just woken are about to append again: let
	// them come along. It doubles the batches and halves the processor time per
	// append with 16 callers; alone it costs nothing.
	runtime.Gosched()
	l.mu.Lock()
	if l.cur != b { // an earlier failure or Close has settled it
		l.mu.Unlock()
		<-b.done
		return
	}
	l.cur = nil
	l.mu.Unlock()
	_ = l.write(b) // in b.err, for all who wait
}

// write puts b on disk and settles it. The caller holds io and has taken b from cur.
func (l *Log) write(b *batch) error {
	err := l.writeBatch(b)
	l.mu.Lock()
	if err != nil {
		l.fail(b, err)
	} else {
		l.synced = b.first + uint64(len(b.ends))
		l.stats.Syncs++
		l.stats.Bytes += uint64(len(b.buf))
		if len(l.spare) < 2 && cap(b.buf) <= 1<<20 {
			l.spare = append(l.spare, b.buf[:0])
		}
	}
	l.mu.Unlock()
	b.buf, b.ends, b.err = nil, nil, err
	close(b.done)
	return err
}

// fail settles also the frames that queued behind a batch that could not be
// written: their sequence numbers are given out again, so that a gap in the
// numbers on disk always means damage. mu is held.
func (l *Log) fail(b *batch, err error) {
	l.stats.WriteErrors++
	l.failures.Add(1)
	l.nextSeq = b.first
	l.size -= int64(len(b.buf))
	if errors.Is(err, ErrPoisoned) && l.err == nil {
		l.err = err
	}
	if next := l.cur; next != nil {
		l.cur = nil
		l.size -= int64(len(next.buf))
		next.err = err
		close(next.done)
	}
}

func (l *Log) writeBatch(b *batch) error {
	seg, err := l.segmentFor(b)
	if err != nil {
		return err
	}
	for i, at := range b.ends {
		end := len(b.buf)
		if i+1 < len(b.ends) {
			end = b.ends[i+1]
		}
		sealFrame(b.buf[at:end], seg.salt, l.table, b.first+uint64(i), i == 0)
	}
	l.prepare(seg.size + int64(len(b.buf)))
	err = l.step(StepWrite, seg.path)
	if err == nil {
		_, err = l.file.WriteAt(b.buf, seg.size)
	}
	if err != nil {
		return l.takeBack(seg, fmt.Errorf("append to %s: %w", seg.path, err))
	}
	err = l.step(StepSync, seg.path)
	if err == nil {
		err = syncData(l.file)
	}
	if err != nil {
		// The kernel may have marked the pages clean: a second fsync would lie (fsyncgate, 2018).
		return fmt.Errorf("%w: sync %s: %w", ErrPoisoned, seg.path, err)
	}
	l.mu.Lock()
	l.segs[len(l.segs)-1].size += int64(len(b.buf))
	l.mu.Unlock()
	return nil
}

// Zeros are written ahead in pieces between these sizes.
const (
	leastAhead = 64 << 10
	mostAhead  = 1 << 20
)

// prepare writes zeros ahead of the frames. Overwriting bytes that the file
// already has spares fdatasync the file system's journal, which is half of its
// processor time on ext4. An error is nobody's: without
// zeros the frames themselves make the file longer, or fail.
func (l *Log) prepare(end int64) {
	if end <= l.ahead {
		return
	}
	if l.zeros == nil {
		l.zeros = make([]byte, leastAhead)
	}
	for to := end + min(max(end, leastAhead), mostAhead); l.ahead < to; {
		n, err := l.file.WriteAt(l.zeros[:min(to-l.ahead, leastAhead)], l.ahead)
		l.ahead += int64(n)
		if err != nil {
			return
		}
	}
}

// takeBack removes what a failed write left, so that the next one starts at a clean end.
func (l *Log) takeBack(seg segment, cause error) error {
	err := l.step(StepTruncate, seg.path)
	if err == nil {
		err = l.file.Truncate(seg.size)
		l.ahead = seg.size
	}
	if err != nil {
		return fmt.Errorf("%w: %w; take back the write: %w", ErrPoisoned, cause, err)
	}
	return cause
}

// segmentFor returns the segment that takes b, a new one when the last is full.
func (l *Log) segmentFor(b *batch) (segment, error) {
	l.mu.Lock()
	if err := l.err; errors.Is(err, ErrPoisoned) {
		l.mu.Unlock()
		return segment{}, err
	}
	seg := l.segs[len(l.segs)-1]
	l.mu.Unlock()
	empty := seg.size <= int64(len(fileMark))
	full := seg.size+int64(len(b.buf)) > l.cfg.SegmentBytes
	if empty || !full {
		return seg, nil
	}
	return l.rotate(b.first)
}

// rotate begins a new segment. io is held.
func (l *Log) rotate(first uint64) (segment, error) {
	f, seg, err := l.createSegment(first)
	if err != nil {
		return segment{}, fmt.Errorf("begin segment: %w", err)
	}
	old := l.file
	l.mu.Lock()
	end := l.segs[len(l.segs)-1].size
	l.segs = append(l.segs, seg)
	l.size += seg.size
	l.mu.Unlock()
	l.file, l.ahead = f, seg.size
	_ = old.Truncate(end) // zeros at the end do no harm
	_ = old.Close()       // its bytes are synced: an error costs nothing
	return seg, nil
}
