package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"syscall"
)

// recover reads what is on disk, and notes for attach what there is to cut and to remove.
func (l *Log) recover(replay func(seq uint64, payload []byte) error) ([]Fault, error) {
	segs, snaps, unneeded, err := listFiles(l.cfg.Dir)
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) // it could not be made
	if err != nil && (!l.cfg.Detached || !missing) {
		return nil, err
	}
	l.synced = l.nextSeq
	var faults []Fault
	if n := len(snaps); n > 0 {
		l.snap = snaps[n-1]
		for _, old := range snaps[:n-1] {
			unneeded = append(unneeded, old.path)
		}
		// Segments before the snapshot are in it; a crash kept their names.
		for len(segs) > 0 && segs[0].first < l.snap.first {
			unneeded = append(unneeded, segs[0].path)
			segs = segs[1:]
		}
		fs, err := l.readSnapshot(replay)
		faults = append(faults, fs...)
		if err != nil {
			return faults, err
		}
		l.nextSeq = max(l.nextSeq, l.snap.first)
	}
	want := uint64(0) // sequence number that must come next, 0 = any
	if l.snap.path != "" {
		want = l.snap.first
	}
	for i, seg := range segs {
		if l.cfg.TailOnly && i < len(segs)-2 {
			st, err := os.Stat(seg.path)
			if err != nil {
				return faults, err
			}
			seg.size = st.Size()
			l.segs = append(l.segs, seg)
			want = 0 // a gap before the next is met by the cursor
			continue
		}
		fs, got, keep, err := l.recoverSegment(seg, want, replay)
		faults = append(faults, fs...)
		if err != nil {
			return faults, err
		}
		want = got
		l.nextSeq = max(l.nextSeq, got)
		if !keep {
			unneeded = append(unneeded, seg.path)
		}
	}
	l.unneeded, l.synced = unneeded, l.nextSeq
	return faults, nil
}

// recoverSegment replays one segment. want is the sequence number its first
// frame should have; next is the one that must follow it. keep is false when
// nothing is in it.
func (l *Log) recoverSegment(seg segment, want uint64, replay func(uint64, []byte) error) (faults []Fault, next uint64, keep bool, err error) {
	f, err := os.Open(seg.path)
	if err != nil {
		return nil, 0, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	next = max(want, seg.first)
	if want != 0 && seg.first > want {
		faults = append(faults, gap(seg.path, 0, want, seg.first))
	}
	var gaps []Fault
	st, err := f.Stat()
	if err != nil {
		return faults, next, false, err
	}
	c, err := readSegment(f, seg.path, st.Size(), seg.salt, l.cfg.MaxPayload, func(fr frame, at int64) error {
		if fr.seq < next {
			return nil // cannot be of this log in this place; never replay a frame twice
		}
		if fr.seq > next {
			gaps = append(gaps, gap(seg.path, at, next, fr.seq))
		}
		next, keep = fr.seq+1, true
		return replay(fr.seq, fr.payload)
	})
	faults = append(faults, mergeGaps(c.faults, gaps)...)
	if err != nil {
		return faults, next, keep, err
	}
	if c.rest {
		faults = append(faults, Fault{File: seg.path, Offset: c.end, Bytes: c.size - c.end, Torn: true, Text: "end of the file is no whole frame, cut"})
	}
	if c.end < c.size {
		l.cuts = append(l.cuts, segment{path: seg.path, size: c.end})
	}
	seg.size = c.end
	if keep {
		l.segs = append(l.segs, seg)
	}
	return faults, next, keep, nil
}

// mergeGaps adds the gaps in the numbers to the damage that explains them.
func mergeGaps(faults, gaps []Fault) []Fault {
	for _, g := range gaps {
		i := slices.IndexFunc(faults, func(f Fault) bool { return f.Offset < g.Offset && f.Offset+f.Bytes >= g.Offset })
		if i >= 0 {
			faults[i].Text += ": " + g.Text
		} else {
			faults = append(faults, g)
		}
	}
	return faults
}

func gap(path string, at int64, from, to uint64) Fault {
	return Fault{File: path, Offset: at, Text: fmt.Sprintf("frames %d to %d are missing", from, to-1)}
}

// Report writes the damage that opening a log found into a program's log: an
// unfinished write is what a crash leaves, everything else is worth a warning. name says whose log it is.
func Report(log *slog.Logger, name string, faults []Fault) {
	for _, f := range faults {
		if f.Torn {
			log.Info("unfinished write cut", "log", name, "file", f.File, "offset", f.Offset, "bytes", f.Bytes)
		} else {
			log.Warn("log damaged", "log", name, "file", f.File, "offset", f.Offset, "bytes", f.Bytes, "fault", f.Text)
		}
	}
}
