package collection

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Run removes what has timed out within a minute, and stores what nobody waits for.
func TestRunSweepsAndFlushes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Dir: dir, Now: time.Now})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		for i := range 1000 {
			s.Apply("ip", address(i), 30*time.Second, time.Now(), []Change{set("m", "1")})
		}
		s.Apply("global", "all", time.Hour, time.Now(), []Change{add("n", 1)})
		time.Sleep(time.Second)
		if st := s.Stats(); st.Log.Syncs == 0 || s.log.Synced() != s.log.NextSeq() {
			t.Errorf("not stored within a second: %+v", st)
		}
		time.Sleep(2 * time.Minute)
		if st := s.Stats(); st.Records != 1 || st.Expired != 1000 {
			t.Errorf("%d records left, %d timed out", st.Records, st.Expired)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
}

// The log does not grow for ever under one client that is counted for ever.
func TestRunCompacts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Dir: dir, Now: time.Now, CompactBytes: 10_000})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		for i := range 3000 {
			s.Apply("ip", fmt.Sprint("k", i%3), time.Hour, time.Now(), []Change{add("n", 1)})
			if i%300 == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Second)
		if size := s.Stats().Log.DiskBytes; size > 20_000 {
			t.Errorf("%d bytes for three clients", size)
		}
		cancel()
		<-ended
		_ = s.Close()
	})
	if snaps, _ := filepath.Glob(filepath.Join(dir, "*.snap")); len(snaps) != 1 {
		t.Errorf("%d snapshots", len(snaps))
	}
	then := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC) // the time in the bubble
	s := open(t, Config{Dir: dir, Now: func() time.Time { return then }})
	if v, ok := s.Load("ip", "k1", then); !ok {
		t.Error("a client is gone")
	} else if n, _ := v.Get("n"); n != "1000" {
		t.Errorf("n = %s", n)
	}
}
