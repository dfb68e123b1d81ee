// Package durable is the one place that knows how bytes reach the platter.
//
// In come whole files (WriteFile), renames and directories, and frames for an
// append-only Log; out come the frames again, in order, when the Log is opened.
// What holds after a crash, of the process (kill -9) or of the machine (power):
// a file written by WriteFile is the old one or the new one, never a mixture;
// a frame whose Ticket.Wait returned nil is replayed by every later OpenLog; a
// frame that was cut short at the end of the log is removed; damage in the
// middle costs the frames it touches, is returned as a Fault, and every other
// frame is kept. After a failed fsync the Log takes nothing more, because the
// kernel may have dropped the pages: it never says "durable" again.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces the file at path by data: the bytes go to a temporary
// file in the same directory, are synced, renamed over path, and the directory
// is synced. When it returns nil the new content survives a power loss; when it
// returns an error the old content is still there.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := f.Name()
	err = writeAndSync(f, data, perm)
	if err == nil {
		err = Rename(tmp, path)
	}
	if err != nil {
		// Nothing refers to the temporary file; losing the race to remove it costs a name.
		_ = os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeAndSync(f *os.File, data []byte, perm fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Rename moves a file within one file system and syncs both directories, so
// that the new name survives a power loss when it returns nil. The content of
// the file must have been synced before.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		return SyncDir(filepath.Dir(from))
	}
	return nil
}

// MkdirAll makes path and its missing parents and syncs the parent of each
// directory it made, so that all of them survive a power loss. An existing
// directory is no error.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("make directory %s: a file is in its place", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	return SyncDir(parent)
}

// Remove deletes a file and syncs its directory. A missing file is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return SyncDir(filepath.Dir(path))
}
