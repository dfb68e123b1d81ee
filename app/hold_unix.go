//go:build unix

package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// hold takes the data directory for this process: two writers would each
// truncate what the other has just made durable. The lock goes with the process, also on kill -9.
func hold(dir string) (io.Closer, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		// On a disk that cannot be written the lock of an earlier start does as well.
		old, rerr := os.Open(path)
		if rerr != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		f = old
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s: another trapline uses it; stop that one or choose another with --data", dir)
		}
		return nil, fmt.Errorf("data directory %s: lock: %w", dir, err)
	}
	return f, nil
}

// bearable says whether the program can work in memory until err passes: the disk
// is full, read-only or broken, or its owner has taken the right to write away. why is what to tell otherwise.
func bearable(dir string, err error) (yes bool, why error) {
	for _, passes := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO} {
		if errors.Is(err, passes) {
			return true, nil
		}
	}
	if !errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	var st unix.Stat_t
	switch there := unix.Stat(dir, &st) == nil; {
	case !there:
		return false, nil // it cannot be made: a wrong path, more likely than not
	case int(st.Uid) != os.Geteuid():
		return false, fmt.Errorf("data directory %s belongs to the user with number %d, this program runs as %d; start it as that user or choose another with --data", dir, st.Uid, os.Geteuid())
	}
	return true, nil
}
