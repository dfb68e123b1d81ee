package forward

import (
	"context"
	"crypto/md5" //nolint:gosec // the format's checksum
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/internal/durable"
	"github.com/trapline/trapline/spool"
)

// Piped is `trapline mlogc`: what Apache or nginx with ModSecurity starts as SecAuditLog "|...". It
// reads index lines (of version 2 or 3) from in, puts the audit files that they name
// into a spool on disk, removes them unless KeepEntries says otherwise, and sends the spool to the console.
//
//	stdin ──► lines in memory ──► audit file read and checked ──► spool (fsync) ──► file removed ──► console
//	            │ over 64 MiB: dropped, and found again by a scan of LogStorageDir
//
// The audit file is the record until the spool has it, so a kill at any point loses nothing: on start files
// that never came into the spool are looked for (once, from the last checkpoint on). in is always read at once:
// a full pipe would stop the web server. At the end of in what is there is taken into the spool and sent for
// Conf.DrainTime; the rest stays for the next start. When ctx ends it returns as soon as it can, with the same guarantee;
// one read of in may then still be waiting in the background.
//
// Two may run at once, as when Apache restarts gracefully: the second reads its lines and waits for the first one's spool.
func Piped(ctx context.Context, in io.Reader, conf Conf, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &piped{conf: conf, log: log, storage: conf.StorageDir(), started: time.Now(), lines: newLineQueue(maxLineBytes), wait: incompleteWait, grace: rescanGrace}
	// Before the first line is read: if we are killed now, the next one must know from when on files are ours.
	if err := p.firstMark(); err != nil {
		return err
	}
	go p.lines.read(in)
	if err := p.open(ctx); err != nil {
		return err
	}
	err := p.run(ctx)
	return errors.Join(err, p.root.Close(), p.spool.Close())
}

const (
	maxLineBytes   = 64 << 20
	linesAtOnce    = 256
	incompleteWait = 2 * time.Second // for a file that is shorter than its line says
	rescanGrace    = 2 * time.Second // before files without a line are looked for
	maxAuditFile   = 256 << 20
)

type piped struct {
	conf    Conf
	log     *slog.Logger
	storage string
	root    *os.Root // storage; nothing outside can be named through it
	started time.Time
	lines   *lineQueue
	spool   *spool.Spool
	reader  *spool.Reader
	wait    time.Duration
	grace   time.Duration
	scanned bool                // the scan for files without a line is done
	stuck   bool                // files were left where they are: the mark must not pass them
	later   []waitLine          // files that were not complete
	dirs    map[string]struct{} // where files were removed
	kept    map[string]struct{} // files taken and kept until scanned: the scan must not take them again
}

// waitLine is an index line whose file is not complete yet.
type waitLine struct {
	line  string
	until time.Time
}

// open waits for the spool: another process that ends may still hold it.
func (p *piped) open(ctx context.Context) error {
	if err := durable.MkdirAll(p.storage, 0o755); err != nil {
		return fmt.Errorf("LogStorageDir: %w", err)
	}
	root, err := os.OpenRoot(p.storage)
	if err != nil {
		return fmt.Errorf("LogStorageDir: %w", err)
	}
	p.root = root
	told := false
	for {
		p.spool, err = spool.Open(spool.Config{Dir: p.conf.SpoolDir(), MaxEntry: maxAuditFile, SegmentBytes: 64 << 20, MaxBytes: 4 << 30, Logger: p.log})
		if err == nil {
			break
		}
		if !errors.Is(err, durable.ErrInUse) {
			return errors.Join(err, root.Close())
		}
		if !told {
			p.log.Info("another process holds the spool, waiting for it", "dir", p.conf.SpoolDir())
			told = true
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return root.Close() // the lines that were read are found again by the next start
		}
	}
	if p.reader, err = p.spool.Reader("console"); err != nil {
		return errors.Join(err, root.Close(), p.spool.Close())
	}
	return nil
}

func (p *piped) run(ctx context.Context) error {
	d := p.conf.Destination()
	f, err := New(Config{Reader: p.reader, Destination: d, Logger: p.log})
	if err != nil {
		return err
	}
	// The spool runs until the forwarder has ended, the forwarder until the lines have.
	spoolCtx, stopSpool := context.WithCancel(context.WithoutCancel(ctx))
	sendCtx, stopSend := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSpool()
	defer stopSend()
	var spooling, sending sync.WaitGroup
	var spoolErr error
	spooling.Go(func() { spoolErr = p.spool.Run(spoolCtx) })
	sending.Go(func() { err = f.Run(sendCtx) })

	takeErr := p.takeLines(ctx)
	if takeErr == nil && ctx.Err() == nil {
		drain := p.conf.DrainTime
		if drain <= 0 {
			drain = 5 * time.Second
		}
		if p.conf.Drain {
			drain = 1 << 62
		}
		p.drain(ctx, drain)
	}
	stopSend()
	sending.Wait()
	stopSpool()
	spooling.Wait()
	if left, _ := p.reader.Backlog(); left > 0 {
		p.log.Info("records stay for the next start", "records", left)
	}
	if errors.Is(spoolErr, context.Canceled) {
		spoolErr = nil
	}
	return errors.Join(takeErr, err, spoolErr)
}

// drain waits until everything is sent.
func (p *piped) drain(ctx context.Context, atMost time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		if left, _ := p.reader.Backlog(); left == 0 || pause(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

// takeLines runs until the end of input or of ctx.
func (p *piped) takeLines(ctx context.Context) error {
	checkpoint := time.NewTicker(max(p.conf.CheckpointInterval, time.Second))
	defer checkpoint.Stop()
	rescan := time.NewTimer(p.grace)
	defer rescan.Stop()
	for {
		lines, more := p.lines.take(linesAtOnce)
		if err := p.takeFiles(ctx, lines); err != nil {
			return err
		}
		if len(lines) == linesAtOnce {
			continue
		}
		if p.lines.takeDropped() {
			p.rescan(ctx, time.Now())
		}
		if !more && len(p.later) == 0 {
			break
		}
		var retry <-chan time.Time
		if len(p.later) > 0 {
			retry = time.After(20 * time.Millisecond)
		}
		arrived := p.lines.arrived
		if !more {
			arrived = nil // closed for good
		}
		select {
		case <-arrived:
		case <-retry:
		case <-rescan.C:
			p.rescan(ctx, p.started)
		case <-checkpoint.C:
			p.checkpoint(time.Now())
		case <-ctx.Done():
			p.checkpoint(time.Now())
			return nil
		}
	}
	if !p.scanned {
		p.rescan(ctx, p.started)
	}
	p.checkpoint(time.Now())
	return nil
}

// takeFiles brings the files of lines, and those that were not complete before, into the spool.
func (p *piped) takeFiles(ctx context.Context, lines []string) error {
	now := time.Now()
	waiting := p.later
	p.later = nil
	var taken []takenFile
	for _, w := range waiting {
		taken = p.takeLine(taken, w)
	}
	for _, line := range lines {
		taken = p.takeLine(taken, waitLine{line: line, until: now.Add(p.wait)})
	}
	return p.commit(ctx, taken)
}

// takenFile is a file on its way into the spool.
type takenFile struct {
	id, path string
	entry    []byte
}

func (p *piped) takeLine(taken []takenFile, w waitLine) []takenFile {
	l, err := audit.ParseIndex(w.line)
	if err != nil {
		if strings.TrimSpace(w.line) != "" {
			p.log.Warn("line is left out", "line", w.line[:min(len(w.line), 200)], "err", err)
		}
		return taken
	}
	path, err := p.relative(l.File)
	if err != nil {
		p.log.Warn("line is left out", "id", l.ID, "err", err)
		return taken
	}
	if !isTime(filepath.Base(filepath.Dir(path))) {
		// A client writes into the line; whatever it gets past the web server must not name our spool or a web page to delete.
		p.log.Warn("line is left out: its file is not where audit files are", "id", l.ID, "file", path)
		return taken
	}
	body, err := p.readAll(path)
	switch {
	case errors.Is(err, errNoAuditFile):
		p.log.Warn("line is left out", "id", l.ID, "file", path, "err", err)
		return taken
	case errors.Is(err, fs.ErrNotExist):
		p.log.Info("audit file is gone", "id", l.ID, "file", path) // after a crash: it was taken before
		return taken
	case err != nil:
		p.stuck = true
		p.log.Warn("audit file cannot be read, it stays", "id", l.ID, "file", path, "err", err)
		return taken
	case int64(len(body)) != l.Size || l.MD5 != "" && md5Hex(body) != l.MD5:
		if time.Now().Before(w.until) {
			p.later = append(p.later, w)
			return taken
		}
		if len(body) == 0 {
			p.log.Warn("audit file is empty", "id", l.ID, "file", path)
			return taken
		}
		p.log.Warn("audit file is not what its line says, it is sent as it is", "id", l.ID, "file", path, "size", len(body), "said", l.Size)
	}
	return append(taken, takenFile{id: l.ID, path: path, entry: wrap(p.line2(w.line, &l, path), body)})
}

// line2 returns the line in the form of version 2, which is what receivers of mlogc know.
func (p *piped) line2(line string, l *audit.IndexLine, path string) []byte {
	if l.Version == 2 {
		return []byte(strings.TrimRight(line, " \r\n"))
	}
	l.File = "/" + filepath.ToSlash(path)
	return []byte(strings.TrimRight(string(audit.AppendIndex(nil, l)), " \n"))
}

// relative returns a line's file as a path below the storage directory. Version 2 writes "/user/day/minute/file" below it, version 3 the whole path.
func (p *piped) relative(file string) (string, error) {
	rel := strings.TrimPrefix(file, "/")
	if inside, ok := strings.CutPrefix(filepath.Clean(file), p.storage+string(filepath.Separator)); ok {
		rel = inside
	}
	rel = filepath.FromSlash(rel)
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("file %q is not below LogStorageDir %s", file, p.storage)
	}
	return rel, nil
}

// errNoAuditFile is a directory, a link, a pipe: opening the last would wait for ever for somebody to write into it.
var errNoAuditFile = errors.New("not a regular file")

func (p *piped) readAll(path string) ([]byte, error) {
	if info, err := p.root.Lstat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s", errNoAuditFile, info.Mode())
	}
	f, err := p.root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxAuditFile {
		return nil, fmt.Errorf("%d bytes, mode %s", info.Size(), info.Mode())
	}
	b := make([]byte, info.Size())
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // the format's checksum
	return hex.EncodeToString(sum[:])
}

// commit puts files into the spool, waits until they are on disk, and only then removes them.
func (p *piped) commit(ctx context.Context, taken []takenFile) error {
	tickets := make([]spool.Ticket, len(taken))
	for i, t := range taken {
		taken[i].id = t.id[:min(len(t.id), 200)] // the spool's limit; the entry itself has the whole id
		tickets[i] = p.spool.Queue(taken[i].id, t.entry)
	}
	for i, t := range taken {
		err := tickets[i].Wait(context.WithoutCancel(ctx))
		for errors.Is(err, spool.ErrFull) { // the console is away and the disk share is used up: the files wait where they are
			if pause(ctx, time.Second) != nil {
				p.stuck = true
				return nil //nolint:nilerr // the files are still there: nothing failed
			}
			err = p.spool.Append(context.WithoutCancel(ctx), t.id, t.entry)
		}
		if err != nil {
			if errors.Is(err, spool.ErrTooLarge) {
				p.log.Warn("audit file is too large, it stays", "id", t.id, "file", t.path, "bytes", len(t.entry))
				continue
			}
			return fmt.Errorf("spool %s: %w", t.id, err)
		}
		p.remove(t.path)
	}
	return nil
}

func (p *piped) remove(path string) {
	if p.conf.KeepEntries > 0 {
		if p.kept == nil {
			p.kept = map[string]struct{}{}
		}
		if !p.scanned {
			p.kept[path] = struct{}{}
		}
		return
	}
	if err := p.root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.log.Warn("audit file cannot be removed", "file", path, "err", err)
		return
	}
	if p.dirs == nil {
		p.dirs = map[string]struct{}{}
	}
	p.dirs[filepath.Dir(path)] = struct{}{}
}
