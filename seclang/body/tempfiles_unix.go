//go:build unix

package body

import (
	"os"
	"syscall"
)

// holdLock takes the lock of a file that was just made. It is false when somebody swept it first.
func holdLock(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Nlink > 0
}

// deadLock opens a lock of ours that no process holds, and holds it; nil otherwise.
func deadLock(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !ownInfo(info) || syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = f.Close()
		return nil
	}
	return f
}

// ownFile reports whether a path is a regular file of this user, and no link to one.
func ownFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && ownInfo(info)
}

func ownInfo(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().IsRegular() && int(s.Uid) == os.Geteuid()
}
