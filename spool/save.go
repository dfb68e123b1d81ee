package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/internal/durable"
)

// A cursor file, readers/NAME, is text:
//
//	trapline spool cursor 1
//	low 4711
//	acked 4713-4720
//	acked 4725-4725
//	gap 1000-4700 3698 1763811271000000000 1763897671000000000
//	crc32c 1f2e3d4c
//
// Everything below low is acknowledged or given up, and the ranges above it. A
// gap is a Gap: numbers, entries, first and before in Unix nanoseconds, and perhaps "reported". The sum is over all lines before it. A file that does not parse counts as none: then
// everything that is still there is delivered again, which loses nothing.
const cursorMark = "trapline spool cursor 1\n"

// span is a range of sequence numbers, both ends included.
type span struct{ from, to uint64 }

// ranges are in order and do not touch.
type ranges []span

func (rs ranges) has(seq uint64) bool {
	i := sort.Search(len(rs), func(i int) bool { return rs[i].to >= seq })
	return i < len(rs) && rs[i].from <= seq
}

// countFrom returns how many numbers at or after seq are in rs.
func (rs ranges) countFrom(seq uint64) int64 {
	var n int64
	for _, s := range rs {
		if s.to >= seq {
			n += int64(s.to - max(s.from, seq) + 1)
		}
	}
	return n
}

func (rs *ranges) add(seq uint64) {
	if n := len(*rs); n > 0 && (*rs)[n-1].to+1 == seq {
		(*rs)[n-1].to = seq
		return
	}
	*rs = append(*rs, span{seq, seq})
}

func formatCursor(low uint64, acked ranges, gaps []Gap) []byte {
	b := []byte(cursorMark)
	b = fmt.Appendf(b, "low %d\n", low)
	for _, s := range acked {
		b = fmt.Appendf(b, "acked %d-%d\n", s.from, s.to)
	}
	for _, g := range gaps {
		b = fmt.Appendf(b, "gap %d-%d %d %d %d", g.From, g.To, g.Entries, g.First.UnixNano(), g.Before.UnixNano())
		if g.Reported {
			b = append(b, " reported"...)
		}
		b = append(b, '\n')
	}
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

var errCursor = errors.New("not a cursor file")

func parseCursor(b []byte) (low uint64, acked ranges, gaps []Gap, err error) {
	i := bytes.LastIndex(b, []byte("crc32c "))
	if i < 0 || string(b[i:]) != fmt.Sprintf("crc32c %08x\n", crc32.Checksum(b[:i], crc32.MakeTable(crc32.Castagnoli))) {
		return 0, nil, nil, errCursor
	}
	text, ok := strings.CutPrefix(string(b[:i]), cursorMark)
	if !ok {
		return 0, nil, nil, errCursor
	}
	last := uint64(0)
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "low":
			if low, err = strconv.ParseUint(rest, 10, 63); err != nil {
				return 0, nil, nil, errCursor
			}
		case "acked":
			s, ok := parseSpan(rest)
			if !ok || s.from < last {
				return 0, nil, nil, errCursor
			}
			acked, last = append(acked, s), s.to+1
		case "gap":
			g, ok := parseGap(rest)
			if !ok || len(gaps) == maxGaps {
				return 0, nil, nil, errCursor
			}
			gaps = append(gaps, g)
		default:
			return 0, nil, nil, errCursor
		}
	}
	return low, acked, gaps, nil
}

// parseSpan reads "4713-4720".
func parseSpan(text string) (span, bool) {
	a, z, _ := strings.Cut(text, "-")
	from, err1 := strconv.ParseUint(a, 10, 63)
	to, err2 := strconv.ParseUint(z, 10, 63)
	return span{from, to}, err1 == nil && err2 == nil && from <= to
}

// parseGap reads what formatCursor writes after "gap".
func parseGap(text string) (Gap, bool) {
	text, reported := strings.CutSuffix(text, " reported")
	words := strings.Split(text, " ")
	if len(words) != 4 {
		return Gap{}, false
	}
	s, ok := parseSpan(words[0])
	var n [3]int64
	for i, w := range words[1:] {
		v, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return Gap{}, false
		}
		n[i] = v
	}
	return Gap{From: s.from, To: s.to, Entries: n[0], First: time.Unix(0, n[1]), Before: time.Unix(0, n[2]), Reported: reported}, ok && n[0] >= 0
}

func (r *Reader) path() string { return filepath.Join(r.s.cfg.Dir, "readers", r.name) }

// loadReaders reads the cursor files. least is a sequence number that new
// entries must not be below: a reader must never take a new entry for one that
// it has acknowledged, also when somebody deleted the log.
func (s *Spool) loadReaders() (least uint64, err error) {
	dir := filepath.Join(s.cfg.Dir, "readers")
	files, err := os.ReadDir(dir)
	switch {
	case err != nil && !s.cfg.Detached:
		return 0, err
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		s.cfg.Logger.Warn("spool cursors cannot be read: everything there is delivered again", "err", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if strings.HasPrefix(f.Name(), ".") { // left of an unfinished durable.WriteFile
			_ = os.Remove(path)
			continue
		}
		if f.IsDir() || !validName(f.Name()) {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !s.cfg.Detached {
			return 0, err
		}
		r := newReader(s, f.Name())
		if r.start, r.skip, r.gaps, err = parseCursor(b); err != nil {
			s.cfg.Logger.Warn("spool cursor damaged: everything there is delivered again", "file", path)
		}
		least = max(least, r.start)
		if n := len(r.skip); n > 0 {
			least = max(least, r.skip[n-1].to+1)
		}
		s.readers[r.name] = r
	}
	return least, nil
}

// state returns what a cursor file must say. mu is held.
func (r *Reader) state() (low uint64, acked ranges) {
	low = r.low()
	if r.cursor == nil {
		return low, r.skip
	}
	var last uint64
	for _, sl := range r.window {
		if sl.acked {
			acked.add(sl.seq)
		}
		last = sl.seq
	}
	// Those that the reader had acknowledged before it was opened and has not reached.
	for _, s := range r.skip {
		if s.to > last && s.to >= low {
			acked = append(acked, span{max(s.from, last+1, low), s.to})
		}
	}
	return low, acked
}

// write saves the cursor.
func (r *Reader) write() error {
	r.mu.Lock()
	low, acked := r.state()
	n, gaps := r.acks, slices.Clone(r.gaps)
	r.mu.Unlock()
	if err := durable.WriteFile(r.path(), formatCursor(low, acked, gaps), 0o600); err != nil {
		return err
	}
	r.mu.Lock()
	r.acks -= n
	r.mu.Unlock()
	return nil
}

// save writes the cursors that have moved and deletes what nobody needs.
func (s *Spool) save() error {
	s.saved.Lock()
	defer s.saved.Unlock()
	s.mu.Lock()
	readers := make([]*Reader, 0, len(s.readers))
	for _, r := range s.readers {
		readers = append(readers, r)
	}
	s.mu.Unlock()
	var errs []error
	for _, r := range readers {
		r.mu.Lock()
		moved := r.acks > 0
		r.mu.Unlock()
		if moved {
			errs = append(errs, r.write())
		}
	}
	return errors.Join(append(errs, s.trim())...)
}

// trim deletes the segments that every reader has acknowledged. Without a reader everything stays.
func (s *Spool) trim() error {
	s.mu.Lock()
	low := uint64(0)
	for _, r := range s.readers {
		r.mu.Lock()
		if l := r.low(); low == 0 || l < low {
			low = max(l, 1)
		}
		r.mu.Unlock()
	}
	s.mu.Unlock()
	if low == 0 {
		return nil
	}
	_, err := s.log.RemoveBefore(low)
	return err
}
