package app

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Pauses between two tries to write to a data disk that is full, read-only or away.
const (
	firstDiskPause = time.Second
	lastDiskPause  = time.Minute
	diskReminder   = time.Hour // one line of a part in the log
)

// disk keeps trying what the data disk did not let happen. The site and the traps
// do not wait for it: each part that needs the disk works in memory until then, or
// not at all, and says so once with its path and the cause.
type disk struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	parts []*diskPart // guarded by mu; those that fail
}

// diskPart is something that is to be written to the disk. Its fields are guarded by disk.mu.
type diskPart struct {
	name, path string
	attach     func() error // nil when it works; a try may take a while
	lost       func() int64 // records lost so far; nil when there are none to lose
	err        error
	pause      time.Duration
	next, said time.Time
}

// add tries a part at once, and again later when that fails.
func (d *disk) add(name, path string, attach func() error, lost func() int64) {
	err := attach()
	if err == nil {
		return
	}
	now := d.now()
	d.mu.Lock()
	d.parts = append(d.parts, &diskPart{
		name: name, path: path, attach: attach, lost: lost, err: err, pause: firstDiskPause, next: now.Add(firstDiskPause), said: now,
	})
	d.mu.Unlock()
	d.log.Error("the data disk cannot be written: the site goes on without, it is tried again", "part", name, "path", path, "err", err)
}

// run tries again until ctx ends.
func (d *disk) run(ctx context.Context) error {
	every(ctx, firstDiskPause, d.again)
	return nil
}

// every calls do again and again until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// again tries the parts whose time has come.
func (d *disk) again() {
	now := d.now()
	d.mu.Lock()
	var due []*diskPart
	for _, p := range d.parts {
		if !p.next.After(now) {
			due = append(due, p)
		}
	}
	d.mu.Unlock()
	for _, p := range due {
		d.settle(p, p.attach())
	}
}

// settle notes how a try ended.
func (d *disk) settle(p *diskPart, err error) {
	lost := int64(0)
	if p.lost != nil {
		lost = p.lost()
	}
	now := d.now()
	d.mu.Lock()
	p.err = err
	p.pause = min(2*p.pause, lastDiskPause)
	p.next = now.Add(p.pause)
	remind := err != nil && now.Sub(p.said) >= diskReminder
	if remind {
		p.said = now
	}
	if err == nil {
		kept := d.parts[:0]
		for _, other := range d.parts {
			if other != p {
				kept = append(kept, other)
			}
		}
		d.parts = kept
	}
	d.mu.Unlock()
	switch {
	case err == nil:
		d.log.Warn("the data disk is back", "part", p.name, "path", p.path, "records_lost", lost)
	case remind:
		d.log.Error("the data disk still cannot be written", "part", p.name, "path", p.path, "err", err, "records_lost", lost)
	}
}

// failing returns what does not work now, and why, for trapline status.
func (d *disk) failing() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]string{}
	for _, p := range d.parts {
		all[p.name] = p.err.Error()
	}
	return all
}
