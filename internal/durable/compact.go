package durable

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Compact replaces everything appended so far by a snapshot, while appending
// goes on. write hands each frame of the state to emit; the state must hold at
// least every frame that was appended before Compact was called, and may hold
// later ones, which will be replayed again after the snapshot.
//
//	flush ─ new segment N ─ create N.snap.tmp ─ write state ─ fsync ─ rename N.snap ─ fsync dir ─ remove segments and snapshots < N
//
// A crash before the rename leaves the old files in force, one after it the new
// snapshot; both hold every durable frame.
func (l *Log) Compact(write func(emit func(payload []byte) error) error) error {
	first, err := l.BeginSegment()
	if err != nil {
		return err
	}
	s := newSalt()
	snap := segment{first: first, salt: s, path: fileName(l.cfg.Dir, first, s, snapshotExt)}
	tmp := snap.path + tmpExt
	snap.size, err = l.writeSnapshot(tmp, s, write)
	if err == nil {
		if err = l.step(StepRename, tmp); err == nil {
			err = Rename(tmp, snap.path)
		}
	}
	if err != nil {
		_ = os.Remove(tmp) // opening the log removes it otherwise
		return fmt.Errorf("write snapshot %s: %w", filepath.Base(snap.path), err)
	}
	return l.dropBefore(first, snap)
}

// BeginSegment makes everything appended so far durable and lets the next
// frame begin a new segment. It returns the sequence number of that frame.
func (l *Log) BeginSegment() (uint64, error) {
	if err := l.Flush(); err != nil {
		return 0, err
	}
	l.io <- struct{}{}
	defer func() { <-l.io }()
	l.mu.Lock()
	b, next, err := l.cur, l.nextSeq, errors.Join(l.err, l.away)
	if b != nil {
		next = b.first
	}
	if err != nil {
		l.mu.Unlock()
		return 0, err
	}
	seg := l.segs[len(l.segs)-1]
	l.mu.Unlock()
	if seg.first == next && seg.size <= int64(len(fileMark)) {
		return next, nil
	}
	_, err = l.rotate(next)
	return next, err
}

func (l *Log) writeSnapshot(tmp string, s salt, write func(emit func([]byte) error) error) (size int64, err error) {
	if err := l.step(StepCreate, tmp); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 256<<10)
	size = int64(len(fileMark))
	_, _ = w.WriteString(fileMark) // errors of a bufio.Writer stay until Flush
	var buf []byte
	var n uint64
	emit := func(payload []byte) error {
		if len(payload) > l.cfg.MaxPayload {
			return ErrTooLarge
		}
		n++
		buf = append(append(buf[:0], make([]byte, frameHead)...), payload...)
		sealFrame(buf, s, l.table, n, true)
		size += int64(len(buf))
		_, err := w.Write(buf)
		return err
	}
	if err := write(emit); err != nil {
		return 0, err
	}
	// The last frame counts the others, with sequence number 0, so that a snapshot that lost its end is noticed.
	buf = append(buf[:0], make([]byte, frameHead)...)
	buf = binary.LittleEndian.AppendUint64(buf, n)
	sealFrame(buf, s, l.table, 0, true)
	_, _ = w.Write(buf)
	size += int64(len(buf))
	if err := l.step(StepWrite, tmp); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if err := l.step(StepSync, tmp); err != nil {
		return 0, err
	}
	return size, syncData(f)
}

func (l *Log) readSnapshot(replay func(uint64, []byte) error) (faults []Fault, err error) {
	f, err := os.Open(l.snap.path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var read, counted uint64
	whole := false
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	c, err := readSegment(f, l.snap.path, st.Size(), l.snap.salt, l.cfg.MaxPayload, func(fr frame, _ int64) error {
		if fr.seq == 0 {
			if len(fr.payload) == 8 {
				whole, counted = true, binary.LittleEndian.Uint64(fr.payload)
			}
			return nil
		}
		read++
		return replay(0, fr.payload)
	})
	faults = append(faults, c.faults...)
	l.snap.size = c.size
	if err == nil && (!whole || read != counted || c.end < c.size) {
		faults = append(faults, Fault{File: l.snap.path, Offset: c.end, Bytes: c.size - c.end, Text: fmt.Sprintf("snapshot: %d of %d frames kept", read, counted)})
	}
	return faults, err
}

// dropBefore removes the files that a snapshot replaces. An error leaves files that the next opening removes.
func (l *Log) dropBefore(first uint64, snap segment) error {
	l.mu.Lock()
	var gone []string
	if l.snap.path != "" {
		gone = append(gone, l.snap.path)
	}
	l.size += snap.size - l.snap.size
	l.snap = snap
	for len(l.segs) > 1 && l.segs[0].first < first {
		gone = append(gone, l.segs[0].path)
		l.size -= l.segs[0].size
		l.segs = l.segs[1:]
	}
	l.mu.Unlock()
	return l.removeFiles(gone)
}

// RemoveBefore deletes the segments that hold only frames below seq, and
// returns the bytes freed. The segment being written stays, because its name
// carries the sequence numbers on.
func (l *Log) RemoveBefore(seq uint64) (freed int64, err error) {
	l.mu.Lock()
	var gone []string
	for len(l.segs) > 1 && l.segs[1].first <= seq {
		gone = append(gone, l.segs[0].path)
		freed += l.segs[0].size
		l.size -= l.segs[0].size
		l.segs = l.segs[1:]
	}
	l.mu.Unlock()
	return freed, l.removeFiles(gone)
}
