package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Attach makes a detached log take frames, if the disk lets it now. It returns
// nil when the log is attached, also when it has been all along. What was refused
// meanwhile is not in the log: the caller has to store its state again.
func (l *Log) Attach() error {
	l.io <- struct{}{}
	defer func() { <-l.io }()
	l.mu.Lock()
	away, err := l.away, l.err
	l.mu.Unlock()
	switch {
	case err != nil:
		return err
	case away == nil:
		return nil
	case l.unread:
		return fmt.Errorf("%w (it is read at the next start, until then nothing is written)", away)
	}
	if err = l.enter(); err == nil {
		err = l.attach()
	}
	if err != nil {
		err = fmt.Errorf("open log %s: %w", l.cfg.Dir, err)
	}
	l.mu.Lock()
	l.away = err
	l.mu.Unlock()
	return err
}

// Detached returns why the log takes no frames, nil when it does.
func (l *Log) Detached() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

// enter makes the directory and takes its lock.
func (l *Log) enter() error {
	if err := MkdirAll(l.cfg.Dir, 0o700); err != nil {
		return err
	}
	if l.lock != nil {
		return nil
	}
	path := filepath.Join(l.cfg.Dir, lockName)
	lock, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil && l.cfg.Detached {
		// On a disk that cannot be written a lock is a lock as well. Without a file there is nobody who could hold it.
		old, rerr := os.Open(path)
		if rerr != nil {
			return err
		}
		lock = old
	} else if err != nil {
		return err
	}
	if lerr := lockFile(lock); lerr != nil {
		return fmt.Errorf("lock %s: %w", l.cfg.Dir, errors.Join(lerr, lock.Close()))
	}
	l.lock = lock
	return err
}

// attach cuts torn ends and begins a new segment. A new process never writes into
// a file of an older one: what lies beyond the end of such a file after a crash of
// the machine is not known. The caller holds io, or is alone.
func (l *Log) attach() error {
	for len(l.cuts) > 0 {
		if err := cut(l.cuts[0]); err != nil {
			return err
		}
		l.cuts = l.cuts[1:]
	}
	f, seg, err := l.createSegment(l.nextSeq)
	if err != nil {
		return err
	}
	if err := l.removeFiles(l.unneeded); err != nil && !l.cfg.Detached {
		return errors.Join(err, f.Close())
	}
	l.unneeded = nil
	l.file, l.ahead = f, seg.size
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segs = append(l.segs, seg)
	l.size += seg.size
	l.synced = l.nextSeq
	return nil
}

// cut takes the end off a file that is no whole frame.
func cut(s segment) error {
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // every reader has acknowledged it meanwhile
	}
	if err != nil {
		return err
	}
	err = f.Truncate(s.size)
	if err == nil {
		err = syncData(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cut torn end: %w", err)
	}
	return nil
}
