package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/internal/durable"
)

// The mark is a time: every audit file that was written before it is in the spool. It makes the scan
// at start short, and with KeepEntries it is the only thing that tells old files from lost ones.

// markSlack is how long a web server may take between writing a file and writing its line.
const markSlack = 10 * time.Second

// maxRescan bounds the files that one scan takes.
const maxRescan = 500_000

// firstMark sets the mark on the first run of all with KeepEntries: what lies there was dealt with by somebody else.
func (p *piped) firstMark() error {
	if p.conf.KeepEntries == 0 || !p.mark().IsZero() {
		return nil
	}
	if err := durable.MkdirAll(filepath.Dir(p.markPath()), 0o755); err != nil {
		return fmt.Errorf("CollectorRoot: %w", err)
	}
	return p.setMark(p.started.Add(-firstSlack))
}

// firstSlack is how long before our first start the web server may have begun to write lines for us.
const firstSlack = time.Minute

func (p *piped) setMark(t time.Time) error {
	return durable.WriteFile(p.markPath(), []byte(t.Format(time.RFC3339Nano)+"\n"), 0o600)
}

func (p *piped) markPath() string { return p.conf.SpoolDir() + "-mark" }

// mark returns the time that was saved last; zero when there is none.
func (p *piped) mark() time.Time {
	b, err := os.ReadFile(p.markPath())
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(b)))
	if err != nil {
		return time.Time{}
	}
	return t
}

// checkpoint moves the mark on when nothing is pending, and removes directories that are empty.
func (p *piped) checkpoint(now time.Time) {
	if !p.scanned || p.stuck || !p.lines.empty() || len(p.later) > 0 {
		return
	}
	if err := p.setMark(now.Add(-markSlack)); err != nil {
		p.log.Warn("checkpoint cannot be written", "err", err)
	}
	p.removeEmpty(now)
}

// removeEmpty removes minute directories that are over and empty. mlogc leaves one behind for every minute with an event.
func (p *piped) removeEmpty(now time.Time) {
	for dir := range p.dirs {
		info, err := p.root.Stat(dir)
		switch {
		case err == nil && now.Sub(info.ModTime()) < 3*time.Minute:
			continue // its name may be in another time zone than ours: only the age counts
		case err == nil && isTime(filepath.Base(dir)):
			_ = p.root.Remove(dir) // fails when there is something in it
		}
		delete(p.dirs, dir)
	}
}

// isTime says whether a directory has a name that ModSecurity gives: yyyymmdd-hhmm or yyyymmdd.
func isTime(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c != '-' || i != 8) {
			return false
		}
	}
	return len(name) == len("20060102") || len(name) == len("20060102-1504")
}

// rescan takes files that are in the storage directory without being in the spool: a line was read and the
// process killed, or lines had to be dropped. Only files written before the given time: younger ones have a line to come.
func (p *piped) rescan(ctx context.Context, before time.Time) {
	mark := p.mark()
	files, all := p.orphans(mark, before)
	if len(files) > 0 {
		p.log.Info("audit files that never came into the spool are taken", "files", len(files))
	}
	for len(files) > 0 && ctx.Err() == nil {
		n := min(len(files), linesAtOnce)
		var taken []takenFile
		for _, f := range files[:n] {
			taken = p.takeOrphan(taken, f)
		}
		files = files[n:]
		lines, _ := p.lines.take(linesAtOnce) // new ones do not wait for the old
		if err := errors.Join(p.commit(ctx, taken), p.takeFiles(ctx, lines)); err != nil {
			p.log.Error("scan of the audit files stopped", "err", err)
			return
		}
	}
	if p.scanned = all && len(files) == 0; p.scanned {
		p.kept = nil
	}
}

// orphans lists the files, oldest first; false when there are more than a scan takes.
func (p *piped) orphans(mark, before time.Time) (files []string, all bool) {
	all = true
	err := fs.WalkDir(p.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil //nolint:nilerr // a directory that cannot be read is left out; the next one may do
		case d.IsDir():
			// A directory's time is that of its last new file, or for a day, of its last new minute. Its name would
			// be shorter to read, but the web server may run in another time zone.
			if info, err := d.Info(); err == nil && isTime(path.Base(name)) && info.ModTime().Add(2*time.Minute).Before(mark) {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		if !isTime(path.Base(path.Dir(name))) {
			return nil // not a place of concurrent audit files
		}
		info, err := d.Info()
		if err != nil || info.ModTime().After(before) || p.conf.KeepEntries > 0 && info.ModTime().Before(mark) {
			return nil //nolint:nilerr // it was taken in the meantime
		}
		if len(files) == maxRescan {
			all = false
			return fs.SkipAll
		}
		files = append(files, name)
		return nil
	})
	if err != nil {
		p.log.Warn("audit files cannot be listed", "dir", p.storage, "err", err)
		all = false
	}
	sort.Slice(files, func(i, j int) bool { return path.Base(files[i]) < path.Base(files[j]) }) // names begin with the time
	return files, all
}

// takeOrphan reads a file for which there is no line and makes one.
func (p *piped) takeOrphan(taken []takenFile, name string) []takenFile {
	rel := filepath.FromSlash(name)
	if _, ok := p.kept[rel]; ok {
		return taken
	}
	body, err := p.readAll(rel)
	if err != nil || len(body) == 0 {
		return taken
	}
	var r *audit.Record
	var faults []audit.Fault
	if body[0] == '{' {
		r, faults = audit.ParseJSON(body)
	} else {
		r, faults = audit.ParseNative(body)
	}
	if r.ID == "" || !strings.HasSuffix(name, r.ID) {
		p.log.Warn("file is no audit file, it stays", "file", name)
		return taken
	}
	for _, f := range faults {
		p.log.Warn("audit file is damaged, it is sent as it is", "file", name, "fault", f.Text)
	}
	l := audit.Index(r, "/"+name, int64(len(body)), md5Hex(body))
	line := strings.TrimRight(string(audit.AppendIndex(nil, &l)), " \n")
	return append(taken, takenFile{id: r.ID, path: rel, entry: wrap([]byte(line), body)})
}
