package body

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// TempFiles makes the temporary files of uploads, so that those of a process
// that was killed can be told from those of one that lives:
//
//	20261122-143002-<id>-file-Xy12Zz.trapline-<token>  an upload while its request runs
//	trapline-<token>.lock                              locked (flock) for as long as the process lives
//
// The kernel gives the lock up when the process ends, however it ends; a name
// or a process id would say less, across containers and after a reboot. An
// upload that SecUploadKeepFiles keeps loses the ending, so it is never swept.
// A nil TempFiles makes files without ending and lock, which nobody sweeps.
// It is safe for concurrent use.
type TempFiles struct {
	mu     sync.Mutex
	claims map[string]*claim // by directory
}

// claim is a directory in which this process has files.
type claim struct {
	token string
	lock  *os.File // held until the process ends
}

// NewTempFiles returns a TempFiles that has touched no directory yet.
func NewTempFiles() *TempFiles { return &TempFiles{claims: map[string]*claim{}} }

const tempMark = ".trapline-"

// create makes a file that only this process's user can read.
func (t *TempFiles) create(dir, id string) (*os.File, error) {
	ending := ""
	if t != nil {
		token, err := t.claim(dir)
		if err != nil {
			return nil, err
		}
		ending = tempMark + token
	}
	stem := time.Now().Format("20060102-150405") + "-" + safeName(id) + "-file-"
	for try := 0; ; try++ {
		f, err := os.OpenFile(filepath.Join(dir, stem+sixCharacters()+ending), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) && try < 100 {
			continue
		}
		return f, err
	}
}

// claim returns the token of this process in a directory; the first use takes the lock.
func (t *TempFiles) claim(dir string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.claims[dir]; c != nil {
		return c.token, nil
	}
	for range 10 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		c := &claim{token: hex.EncodeToString(b[:])}
		f, err := os.OpenFile(filepath.Join(dir, lockName(c.token)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return "", err
		}
		if holdLock(f) {
			c.lock = f
			t.claims[dir] = c
			return c.token, nil
		}
		_ = f.Close() // another process swept it between the two calls
	}
	return "", fmt.Errorf("no lock for temporary files in %s", dir)
}

func lockName(token string) string { return "trapline-" + token + ".lock" }

// sixCharacters is what mkstemp puts for XXXXXX.
func sixCharacters() string { return rand.Text()[:6] }

// SweepTempFiles removes from a directory what TempFiles of processes that have
// ended left there, and returns how many files that were. It touches regular
// files of this user only, and of them only names that belong to a lock which
// nobody holds: files of other programs and of living processes stay, whatever
// their names are.
func SweepTempFiles(dir string) (removed int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("sweep temporary files: %w", err)
	}
	upload := regexp.MustCompile(`^[0-9]{8}-[0-9]{6}-.*-file-[A-Z0-9]{6}\.trapline-([0-9a-f]{16})$`)
	lock := regexp.MustCompile(`^trapline-([0-9a-f]{16})\.lock$`)
	dead := map[string]*os.File{}
	defer func() {
		for _, f := range dead {
			_ = f.Close()
		}
	}()
	for _, e := range entries {
		if m := lock.FindStringSubmatch(e.Name()); m != nil && len(dead) < 1000 {
			if f := deadLock(filepath.Join(dir, e.Name())); f != nil {
				dead[m[1]] = f
			}
		}
	}
	var errs []error
	for _, e := range entries {
		m := upload.FindStringSubmatch(e.Name())
		if m == nil || dead[m[1]] == nil || !ownFile(filepath.Join(dir, e.Name())) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	for token := range dead { // the lock goes last: a sweep that is killed itself is taken up by the next
		if err := os.Remove(filepath.Join(dir, lockName(token))); err != nil {
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

// keepFile puts an upload where it is to stay, under its name without the ending, and returns the new path. A link and a
// removal never replace a file that is there; between file systems the content is copied.
func keepFile(path, dir string) (string, error) {
	name, _, _ := strings.Cut(filepath.Base(path), tempMark)
	if dir == "" {
		dir = filepath.Dir(path)
	}
	kept := filepath.Join(dir, name)
	if kept == path {
		return path, nil
	}
	if err := os.Link(path, kept); err != nil {
		if err := copyFile(path, kept); err != nil {
			return path, err
		}
	}
	return kept, os.Remove(path)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(info.Mode().Perm()), out.Close())
	if err != nil {
		_ = os.Remove(to)
	}
	return err
}
