package app

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// exclusive is an open file that nobody else may open.
type exclusive windows.Handle

func (h exclusive) Close() error { return windows.CloseHandle(windows.Handle(h)) }

// hold takes the data directory for this process by opening its lock file without sharing.
func hold(dir string) (io.Closer, error) {
	name, err := windows.UTF16PtrFromString(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_WRITE, 0, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: another trapline uses it (%w); stop that one or choose another with --data", dir, err)
	}
	return exclusive(h), nil
}

// bearable says whether the program can work in memory until err passes. why is what to tell otherwise.
func bearable(_ string, err error) (yes bool, why error) {
	for _, passes := range []error{windows.ERROR_DISK_FULL, windows.ERROR_WRITE_PROTECT, windows.ERROR_IO_DEVICE} {
		if errors.Is(err, passes) {
			return true, nil
		}
	}
	return false, nil
}
