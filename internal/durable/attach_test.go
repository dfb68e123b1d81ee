package durable

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What a full or read-only disk holds is read at the start, and written to again when it is back.
func TestDetachedUntilTheDiskIsBack(t *testing.T) {
	for _, step := range []Step{StepCreate, StepSyncDir} {
		dir, file := oneSegment(t, 3)
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(whole, "a torn end"...), 0o600); err != nil {
			t.Fatal(err)
		}
		st := &stepper{}
		st.set(step, syscall.ENOSPC)
		l, got, faults := replayed(t, Config{Dir: dir, Detached: true, Step: st.hook})
		if !slices.Equal(got, numbers(3)) || len(faults) != 1 || !faults[0].Torn {
			t.Fatalf("%q %v", got, faults)
		}
		if err := l.Detached(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) || !l.Stats().Detached {
			t.Errorf("%v", err)
		}
		for range 2 {
			if err := l.AppendString(nil, "refused").Wait(context.Background()); !errors.Is(err, ErrDetached) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v", err)
			}
		}
		if l.Failures() != 2 || l.Stats().Refused != 2 || l.NextSeq() != 4 {
			t.Errorf("%+v next %d", l.Stats(), l.NextSeq())
		}
		c := l.Cursor(1)
		for i := range 3 {
			if _, p, _, ok, err := c.Next(); !ok || err != nil || string(p) != payload(i) {
				t.Errorf("frame %d: %q %v %v", i, p, ok, err)
			}
		}
		if err := errors.Join(l.Flush(), c.Close()); err != nil {
			t.Error(err)
		}
		if err := l.Compact(func(func([]byte) error) error { return nil }); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("compact: %v", err)
		}
		if err := l.Attach(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
		st.set(step, nil)
		for range 2 {
			if err := l.Attach(); err != nil {
				t.Fatal(err)
			}
		}
		appendWait(t, l, payload(3))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, got, faults = replayed(t, Config{Dir: dir})
		if !slices.Equal(got, numbers(4)) || len(faults) != 0 {
			t.Errorf("reopened: %q %v", got, faults)
		}
	}
}

// A directory that cannot be made holds nothing; it is made later.
func TestDetachedWithoutDirectory(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(blocked, "log"), FirstSeq: 7}
	if _, _, err := OpenLog(cfg, nil); err == nil {
		t.Fatal("opened")
	}
	cfg.Detached = true
	l, _, _ := replayed(t, cfg)
	if l.Detached() == nil || l.FirstSeq() != 7 || l.Attach() == nil {
		t.Errorf("%v %d", l.Detached(), l.FirstSeq())
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := l.Attach(); err != nil {
		t.Fatal(err)
	}
	appendWait(t, l, "x")
	if _, _, err := OpenLog(cfg, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("another one opens it: %v", err)
	}
}

// A file that cannot be read keeps the log from being written: what is in it would be lost for good.
func TestDetachedWhenUnreadable(t *testing.T) {
	dir, file := oneSegment(t, 3)
	if err := errors.Join(os.Rename(file, file+".away"), os.Symlink("nowhere", file)); err != nil {
		t.Fatal(err)
	}
	l, _, _ := replayed(t, Config{Dir: dir, Detached: true})
	if err := errors.Join(os.Remove(file), os.Rename(file+".away", file)); err != nil {
		t.Fatal(err)
	}
	if err := l.Attach(); err == nil || !strings.Contains(err.Error(), "next start") {
		t.Errorf("%v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := replayed(t, Config{Dir: dir}); !slices.Equal(got, numbers(3)) {
		t.Errorf("%q", got)
	}
}
