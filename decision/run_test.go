package decision

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A ban ends on time, and everybody who follows the stream is told within a second or so.
func TestRunEndsDecisions(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := open(t, Config{Dir: dir, Now: time.Now, CompactBytes: 2000})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		d := ban("192.0.2.1/32", 0)
		d.Until = time.Now().Add(time.Minute)
		d = add(t, l, d)
		var told time.Time
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			for c := range l.Changes(ctx, 0) {
				if c.Op == OpDelete && c.Decision.ID == d.ID {
					told = time.Now()
					return
				}
			}
		}()
		for i := range 40 {
			e := ban("198.51.100.1/32", 0)
			e.Until = time.Now().Add(time.Duration(i+1) * time.Hour)
			add(t, l, e)
		}
		<-followed
		if late := told.Sub(d.Until); late < 0 || late > 2*time.Second {
			t.Errorf("told %s after the end", late)
		}
		if size := l.Stats().Log.DiskBytes; size > 4000 {
			t.Errorf("%d bytes for one decision", size)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = l.Close()
	})
}
