package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// SyncDir does nothing on Windows: NTFS journals names itself and directories cannot be flushed.
func SyncDir(string) error { return nil }

// lockFile takes the lock that ends with the process.
func lockFile(f *os.File) error {
	var at windows.Overlapped
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrInUse
	}
	return err
}
