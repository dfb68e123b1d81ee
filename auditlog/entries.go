package auditlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/trapline/trapline/audit"
)

// Entry is one entry of a log on disk.
type Entry struct {
	File   string // where it stands
	Offset int64  // in File, before compression
	// Native is the entry in native form: as it stands in the file, or made from it when it was JSON. The caller may keep it.
	Native []byte
	// Record is the parsed entry; its bytes are those of Native or its own.
	Record *audit.Record
	// Faults are what the parser found wrong and went on from.
	Faults []audit.Fault
	// Doubt says why the entry may be forged, "" for nearly all; see audit.Scanner.
	Doubt string
	// Progress is how many bytes of all files have been read so far, of Size.
	Progress int64
}

// Size returns the bytes of all files that Entries would read, for a progress bar.
func Size(paths ...string) (int64, error) {
	var total int64
	for _, root := range paths {
		err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				total += info.Size()
			} else if info, err := os.Stat(root); err == nil && !d.IsDir() && info.Mode().IsRegular() {
				total += info.Size() // a link named on the command line
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("audit log: %w", err)
		}
	}
	return total, nil
}

// Entries yields the entries of serial logs, concurrent trees, index files (the files that they name) and
// JSON logs of ModSecurity 2 and 3 and our own, any of them compressed with gzip. A directory is read file by
// file in the order of names, which is that of time. An error concerns one file or one place in it and
// names it; the iteration goes on, until ctx ends.
func Entries(ctx context.Context, paths ...string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := walker{ctx: ctx, yield: yield}
		for _, root := range paths {
			err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					w.fail(path, err)
				case d.IsDir():
				default:
					w.file(path, path == root)
				}
				if w.stopped() {
					return fs.SkipAll
				}
				return nil
			})
			if err != nil {
				w.fail(root, err)
			}
			if w.stopped() {
				return
			}
		}
	}
}

// walker carries the state of one iteration.
type walker struct {
	ctx   context.Context //nolint:containedctx // it lives as long as the iteration that was given it
	yield func(Entry, error) bool
	read  int64 // bytes
	ended bool  // the caller has had enough
}

func (w *walker) stopped() bool { return w.ended || w.ctx.Err() != nil }

func (w *walker) fail(path string, err error) {
	if !w.stopped() {
		w.ended = !w.yield(Entry{File: path, Progress: w.read}, fmt.Errorf("%s: %w", path, err))
	}
}

func (w *walker) give(e Entry) {
	e.Progress = w.read
	if e.Record.ID == "" {
		w.fail(fmt.Sprintf("%s at byte %d", e.File, e.Offset), errors.New("entry without an id: "+faultText(e.Faults)))
		return
	}
	if !w.stopped() {
		w.ended = !w.yield(e, nil)
	}
}

func faultText(faults []audit.Fault) string {
	if len(faults) == 0 {
		return "nothing else is wrong"
	}
	return faults[0].Text
}

// countReader counts the bytes that came off the disk.
type countReader struct {
	r io.Reader
	n *int64
}

func (c countReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	*c.n += int64(n)
	return n, err
}

// file reads one file. named says that the user named it: then it must be a log.
func (w *walker) file(path string, named bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		if named {
			w.fail(path, errors.Join(err, errors.New("not a file")))
		}
		return
	}
	start := w.read
	defer func() { w.read = start + info.Size() }() // also when only its beginning was looked at
	f, err := os.Open(path)
	if err != nil {
		w.fail(path, err)
		return
	}
	defer f.Close()
	in := bufio.NewReaderSize(countReader{f, &w.read}, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			w.fail(path, err)
			return
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	switch kind := sniff(in); {
	case kind == index:
		if !named {
			return // the tree that it speaks of is read itself
		}
		w.index(path, in)
	case kind == serial:
		w.serial(path, in)
	case named:
		w.fail(path, errors.New("not an audit log: native, JSON and index lines of ModSecurity are known"))
	}
}

type kind uint8

const (
	unknown kind = iota
	serial
	index
)

// sniff tells a log from an index by the first line that says something.
func sniff(in *bufio.Reader) kind {
	head, _ := in.Peek(16 << 10)
	for line := range bytes.Lines(head) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
			continue
		case line[0] == '{', bytes.HasPrefix(line, []byte("--")):
			return serial
		}
		if _, err := audit.ParseIndex(string(line)); err == nil {
			return index
		}
	}
	if bytes.Contains(head, []byte("-A--\n[")) {
		return serial // the beginning was cut off by a rotation
	}
	return unknown
}

func (w *walker) serial(path string, in io.Reader) {
	s := audit.NewScanner(in, 0)
	for !w.stopped() && s.Scan() {
		e := s.Entry()
		w.faults(path, s)
		w.give(w.entry(path, e))
	}
	w.faults(path, s)
	if err := s.Err(); err != nil {
		w.fail(path, err)
	}
}

func (w *walker) entry(path string, e *audit.Entry) Entry {
	out := Entry{File: path, Offset: e.Offset, Doubt: e.Doubt}
	if e.Format == audit.FormatJSON {
		out.Record, out.Faults = audit.ParseJSON(e.Bytes)
		out.Native = audit.AppendNative(nil, out.Record)
		return out
	}
	out.Native = bytes.Clone(e.Bytes)
	out.Record, out.Faults = audit.ParseNative(out.Native)
	return out
}

func (w *walker) faults(path string, s *audit.Scanner) {
	for _, f := range s.Faults() {
		w.fail(fmt.Sprintf("%s at byte %d", path, f.Offset), errors.New(f.Text))
	}
}

// index reads the files that an index names.
func (w *walker) index(path string, in *bufio.Reader) {
	dirs := candidates(path)
	offset := int64(0)
	for !w.stopped() {
		line, err := in.ReadString('\n')
		if strings.TrimSpace(line) != "" {
			w.indexLine(path, offset, line, dirs)
		}
		offset += int64(len(line))
		if err != nil {
			if err != io.EOF {
				w.fail(path, err)
			}
			return
		}
	}
}

func (w *walker) indexLine(path string, offset int64, line string, dirs []string) {
	where := fmt.Sprintf("%s at byte %d", path, offset)
	l, err := audit.ParseIndex(line)
	if err != nil {
		w.fail(where, err)
		return
	}
	file, f, err := locate(l.File, dirs)
	if err != nil {
		w.fail(where, fmt.Errorf("record %s: %w", l.ID, err))
		return
	}
	defer f.Close()
	s := audit.NewScanner(f, 0)
	if !s.Scan() {
		w.fail(file, errors.New("no entry in it"))
		return
	}
	e := w.entry(file, s.Entry())
	if e.Record.ID != l.ID {
		w.fail(file, fmt.Errorf("holds record %q, the index says %q", e.Record.ID, l.ID))
		return
	}
	w.give(e)
}

// candidates are the directories an index's files may be relative to: its own, and those beside it.
func candidates(index string) []string {
	dir := filepath.Dir(index)
	dirs := []string{dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dirs
	}
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(dir, e.Name()))
		}
	}
	return dirs
}

// locate opens the file of an index line. Version 2 writes it relative to a directory that the index does not name,
// version 3 where it was when it was written; logs are often moved. So the path is looked for below the
// candidates, whole and without its first directories. os.OpenInRoot keeps a line from naming files elsewhere.
func locate(name string, dirs []string) (path string, f *os.File, err error) {
	for rel := strings.TrimLeft(filepath.ToSlash(filepath.Clean(name)), "/"); rel != ""; {
		for _, dir := range dirs {
			if f, err := os.OpenInRoot(dir, filepath.FromSlash(rel)); err == nil {
				return filepath.Join(dir, rel), f, nil
			}
		}
		_, after, ok := strings.Cut(rel, "/")
		if !ok || !strings.Contains(after, "/") {
			break
		}
		rel = after
	}
	return "", nil, fmt.Errorf("file %s is not below %s: %w", name, dirs[0], fs.ErrNotExist)
}
