package durable

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A log directory holds
//
//	lock                                    taken while the log is open
//	0000000000000001-5f3a9c1d2b4e6f70.log   segment: first sequence number, salt
//	0000000000000d05-91c0de1f20aa4b3c.snap  snapshot: the state before that sequence number
//	*.tmp                                   a snapshot that was not finished; removed when the log opens
const (
	segmentExt  = ".log"
	snapshotExt = ".snap"
	tmpExt      = ".tmp"
	lockName    = "lock"
)

// segment is one file of the log.
type segment struct {
	first uint64
	salt  salt
	path  string
	size  int64
}

func fileName(dir string, first uint64, s salt, ext string) string {
	return filepath.Join(dir, fmt.Sprintf("%016x-%016x%s", first, uint64(s), ext))
}

func parseName(dir, name, ext string) (segment, bool) {
	stem, ok := strings.CutSuffix(name, ext)
	if !ok || len(stem) != 33 || stem[16] != '-' {
		return segment{}, false
	}
	first, err1 := strconv.ParseUint(stem[:16], 16, 64)
	sa, err2 := strconv.ParseUint(stem[17:], 16, 64)
	if err1 != nil || err2 != nil {
		return segment{}, false
	}
	return segment{first: first, salt: salt(sa), path: filepath.Join(dir, name)}, true
}

func newSalt() salt {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails since Go 1.24
	return salt(binary.LittleEndian.Uint64(b[:]))
}

// listFiles returns the segments and snapshots in order of their sequence
// number, and the names of unfinished files.
func listFiles(dir string) (segs, snaps []segment, tmp []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		if s, ok := parseName(dir, e.Name(), segmentExt); ok {
			segs = append(segs, s)
		} else if s, ok := parseName(dir, e.Name(), snapshotExt); ok {
			snaps = append(snaps, s)
		} else if strings.HasSuffix(e.Name(), tmpExt) {
			tmp = append(tmp, filepath.Join(dir, e.Name()))
		}
	}
	byFirst := func(a, b segment) int {
		if a.first != b.first {
			if a.first < b.first {
				return -1
			}
			return 1
		}
		return strings.Compare(a.path, b.path)
	}
	slices.SortFunc(segs, byFirst)
	slices.SortFunc(snaps, byFirst)
	return segs, snaps, tmp, nil
}

// createSegment makes an empty segment whose name survives a power loss.
func (l *Log) createSegment(first uint64) (*os.File, segment, error) {
	s := newSalt()
	seg := segment{first: first, salt: s, path: fileName(l.cfg.Dir, first, s, segmentExt), size: int64(len(fileMark))}
	if err := l.step(StepCreate, seg.path); err != nil {
		return nil, seg, err
	}
	f, err := os.OpenFile(seg.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, seg, err
	}
	_, err = f.Write([]byte(fileMark))
	if err == nil {
		err = l.step(StepSyncDir, l.cfg.Dir)
	}
	if err == nil {
		err = SyncDir(l.cfg.Dir)
	}
	if err != nil {
		return nil, seg, errors.Join(err, f.Close(), os.Remove(seg.path))
	}
	return f, seg, nil
}

// removeFiles deletes files that are no longer needed and syncs the directory once.
func (l *Log) removeFiles(paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	var errs []error
	for _, p := range paths {
		if err := l.step(StepRemove, p); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, SyncDir(l.cfg.Dir))...)
}
