package auditlog

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/internal/durable"
)

// file is a log that many append to. Whoever finds nobody writing writes for all that have come by then; the
// file is opened O_SYNC, so one write is one wait for the disk.
type file struct {
	f      *os.File
	native bool
	cut    []byte // of the one that writes; what was written of lines that did not go out whole

	mu     sync.Mutex
	idle   sync.Cond           // of mu; signalled when busy becomes false
	busy   bool                // mu; somebody writes
	next   *group              // mu; what the next write takes
	dirs   map[string]struct{} // mu; directories to sync before it
	broken error               // mu; a write failed: nothing more is taken
}

// group is the lines of one write.
type group struct {
	lines []byte
	done  chan struct{}
	err   error // set before done is closed
}

// maxTail is how far before its end a log is looked at for an entry that was cut.
const maxTail = 16 << 20

// openFile opens the log to append. native says that it holds native entries: one that a kill or a power
// loss cut off gets its end, or everything behind it would be read as a part of it.
func openFile(path string, mode fs.FileMode, native bool) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_SYNC, mode)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	out := &file{f: f, native: native}
	out.idle.L = &out.mu
	tail, err := readTail(f, maxTail)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	var repair []byte
	if len(tail) > 0 && tail[len(tail)-1] != '\n' {
		repair = append(repair, '\n')
	}
	if native {
		repair = append(repair, audit.Unfinished(tail)...)
	}
	if _, err := f.Write(repair); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return out, nil
}

// readTail returns the last lines of a file, at most limit bytes.
func readTail(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	from := max(info.Size()-limit, 0)
	tail := make([]byte, info.Size()-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return nil, err
	}
	if from > 0 {
		_, tail, _ = bytes.Cut(tail, []byte{'\n'})
	}
	return tail, nil
}

func (o *file) append(ctx context.Context, line []byte, dir string) error {
	o.mu.Lock()
	if o.broken != nil {
		defer o.mu.Unlock()
		return o.broken
	}
	if o.next == nil {
		o.next = &group{done: make(chan struct{})}
	}
	g := o.next
	g.lines = append(g.lines, line...)
	if dir != "" {
		if o.dirs == nil {
			o.dirs = map[string]struct{}{}
		}
		o.dirs[dir] = struct{}{}
	}
	lead := !o.busy
	o.busy = true
	o.mu.Unlock()
	if lead {
		o.writeNext()
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeNext writes one group; if another has gathered meanwhile, a goroutine goes on with it, so that no caller waits for lines of others.
func (o *file) writeNext() {
	o.mu.Lock()
	g, dirs := o.next, o.dirs
	o.next, o.dirs = nil, nil
	o.mu.Unlock()
	for dir := range dirs {
		if err := durable.SyncDir(dir); err != nil && g.err == nil {
			g.err = err
		}
	}
	if g.err == nil {
		g.err = o.write(g.lines)
	}
	o.mu.Lock()
	more := o.next != nil
	o.busy = more
	o.idle.Broadcast()
	o.mu.Unlock()
	close(g.done)
	if more {
		go o.writeNext()
	}
}

// write appends lines. When a write before it stopped in the middle (disk full), it begins with what ends that entry.
func (o *file) write(lines []byte) error {
	if len(o.cut) > 0 {
		repair := []byte{'\n'}
		if o.native {
			repair = append(repair, audit.Unfinished(o.cut)...)
		}
		lines = append(repair, lines...)
	}
	n, err := o.f.Write(lines)
	if err == nil {
		o.cut = nil
		return nil
	}
	o.cut = append(o.cut, lines[:n]...)
	return err
}

func (o *file) close() error {
	o.mu.Lock()
	for o.busy {
		o.idle.Wait()
	}
	o.broken = fmt.Errorf("audit log: %w", os.ErrClosed)
	o.mu.Unlock()
	return o.f.Close()
}
