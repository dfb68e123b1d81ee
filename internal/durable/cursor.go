package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Pos is the place of a frame: the segment, by its first sequence number, and the offset in its file.
type Pos struct {
	Segment uint64
	Offset  int64
}

// Cursor reads the durable frames of a Log in order, while it grows. It is for
// one goroutine at a time. Damage is stepped over and counted in Skipped.
type Cursor struct {
	// Skipped counts bytes of damage, SkippedFrames sequence numbers that were not found.
	Skipped       int64
	SkippedFrames uint64

	log  *Log
	next uint64 // least sequence number wanted
	seg  segment
	file *os.File
	sc   *scanner
}

// Cursor returns a cursor on the first frame at or after seq. It holds a file
// open once it has read; the caller closes it.
func (l *Log) Cursor(seq uint64) *Cursor { return &Cursor{log: l, next: seq} }

// Next returns the next frame; ok is false when there is none yet. payload is
// good until the next call.
func (c *Cursor) Next() (seq uint64, payload []byte, pos Pos, ok bool, err error) {
	if c.next >= c.log.Synced() {
		return 0, nil, Pos{}, false, nil
	}
	for {
		more, err := c.position()
		if err != nil || !more {
			return 0, nil, Pos{}, false, err
		}
		fr, skipped, ok := c.sc.next()
		if c.sc.fatal != nil {
			return 0, nil, Pos{}, false, fmt.Errorf("read %s: %w", c.seg.path, c.sc.fatal)
		}
		c.Skipped += skipped
		if !ok {
			c.sc.off = c.sc.limit // damage up to the end, or the end itself
			continue
		}
		if fr.seq < c.next {
			continue
		}
		c.SkippedFrames += fr.seq - c.next
		c.next = fr.seq + 1
		return fr.seq, fr.payload, Pos{Segment: c.seg.first, Offset: c.sc.off - frameHead - int64(len(fr.payload))}, true, nil
	}
}

// Left returns how many bytes of durable frames lie after the last frame that Next returned.
func (c *Cursor) Left() int64 {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for i, s := range l.segs {
		switch {
		case c.file != nil && s.first == c.seg.first:
			n += s.size - c.sc.off
		case c.file != nil && s.first < c.seg.first:
		case c.file == nil && i+1 < len(l.segs) && l.segs[i+1].first <= c.next:
		default:
			n += s.size - int64(len(fileMark))
		}
	}
	return n
}

// Close closes the file.
func (c *Cursor) Close() error {
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	return f.Close()
}

// position makes sure that the scanner has bytes to read: it goes to the next
// segment at the end of one. more is false at the end of what is durable.
func (c *Cursor) position() (more bool, err error) {
	for {
		seg, last, found := c.pick()
		if !found {
			return false, nil
		}
		if c.file == nil || seg.path != c.seg.path {
			if err := c.open(seg); err != nil {
				return false, err
			}
		}
		c.sc.limit = seg.size
		if c.sc.off < seg.size {
			return true, nil
		}
		if last {
			return false, nil
		}
		if err := c.leave(); err != nil {
			return false, err
		}
	}
}

// pick returns the segment to read: the one that is open while it has more, else the first that may hold c.next.
func (c *Cursor) pick() (seg segment, last, found bool) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.segs {
		last = i == len(l.segs)-1
		if c.file != nil {
			if s.path == c.seg.path {
				return s, last, true
			}
			continue
		}
		if s.first < c.seg.first || s.path == c.seg.path { // behind the one that was read to its end
			continue
		}
		if last || l.segs[i+1].first > c.next {
			return s, last, true
		}
	}
	if c.file != nil { // removed under the cursor: nobody needs its frames
		_ = c.file.Close()
		c.file = nil
		for i, s := range l.segs {
			if s.first >= c.seg.first {
				return s, i == len(l.segs)-1, true
			}
		}
	}
	return segment{}, false, false
}

func (c *Cursor) open(seg segment) error {
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	_ = c.Close()
	c.file, c.seg, c.sc = f, seg, newScanner(f, seg.salt, c.log.cfg.MaxPayload)
	return nil
}

// leave closes a segment that is read to its end; c.seg stays, to say what is behind.
func (c *Cursor) leave() error {
	c.next = max(c.next, c.seg.first+1)
	return c.Close()
}

// ErrGone is returned by ReadAt for a frame that is damaged or was removed.
var ErrGone = errors.New("frame is damaged or was removed")

// ReadAt returns the frame at pos, as Cursor.Next told it.
func (l *Log) ReadAt(pos Pos) (seq uint64, payload []byte, err error) {
	l.mu.Lock()
	var seg segment
	for _, s := range l.segs {
		if s.first == pos.Segment && pos.Offset < s.size {
			seg = s
		}
	}
	l.mu.Unlock()
	if seg.path == "" {
		return 0, nil, ErrGone
	}
	f, err := os.Open(seg.path)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sc := newScanner(io.ReaderAt(f), seg.salt, l.cfg.MaxPayload)
	sc.limit = seg.size
	fr, ok := sc.frameAt(pos.Offset)
	if !ok {
		return 0, nil, errors.Join(ErrGone, sc.fatal)
	}
	return fr.seq, fr.payload, nil
}
