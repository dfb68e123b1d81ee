package app

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/seclang"
)

// debugLogs are what one configuration's engines write while requests run: the files of SecDebugLog, each opened once
// however many hosts name it, and the lines of rules in the error log. A reload opens them anew, so that they can be
// rotated.
type debugLogs struct {
	paths *auditLogs // knows where relative paths begin
	log   *slog.Logger
	lost  *atomic.Int64
	files map[string]*lineLog
	rules *lineLog // lines for the error log; nil when none is a file
}

func newDebugLogs(paths *auditLogs, errors *errorLog, log *slog.Logger, lost *atomic.Int64) *debugLogs {
	d := &debugLogs{paths: paths, log: log, lost: lost, files: map[string]*lineLog{}}
	if errors != nil {
		d.rules = newLineLog("ErrorLog", errors, nil, log, lost)
	}
	return d
}

// output is what an engine is told of them.
func (d *debugLogs) output() seclang.DebugOutput {
	out := seclang.DebugOutput{Open: d.open}
	if d.rules != nil {
		out.Alert = d.alert
	}
	return out
}

// open opens the file of a SecDebugLog. As in Apache it is a file, below ServerRoot when it is relative, and no program.
func (d *debugLogs) open(path string) (io.Writer, error) {
	if strings.HasPrefix(path, "|") {
		return nil, errors.New("a debug log is a file, not a program, in ModSecurity too")
	}
	path = d.paths.path(path)
	if l, ok := d.files[path]; ok {
		return l, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	l := newLineLog(path, f, f, d.log, d.lost)
	d.files[path] = l
	return l, nil
}

// alert writes a message of a rule into the error log in the form that Apache gives it, which programs that read error
// logs know: fail2ban's apache-modsecurity among them.
func (d *debugLogs) alert(client netip.AddrPort, line string) {
	b := make([]byte, 0, 160+len(line))
	b = append(b, '[')
	b = time.Now().AppendFormat(b, "Mon Jan 02 15:04:05.000000 2006")
	b = append(b, "] [security2:error] [pid "...)
	b = strconv.AppendInt(b, int64(os.Getpid()), 10)
	b = append(b, "] [client "...)
	b = client.AppendTo(b)
	b = append(b, "] "...)
	b = append(b, strings.ReplaceAll(line, `\`, `\\`)...) // Apache escapes once more
	_, _ = d.rules.Write(append(b, '\n'))
}

// close writes what waits and closes the files.
func (d *debugLogs) close() error {
	var errs []error
	for _, l := range d.files {
		errs = append(errs, l.Close())
	}
	if d.rules != nil {
		errs = append(errs, d.rules.Close())
	}
	return errors.Join(errs...)
}

// Bounds of a log whose disk is slower than the requests: what more comes is lost and counted. One request through a
// large set of rules at level 9 is about 1 MiB.
const (
	maxWaitingLog = 16 << 20
	logCloseTime  = 3 * time.Second
)

// lineLog writes whole lines to a file on a goroutine of its own. Nobody who writes a line waits for the disk.
type lineLog struct {
	name string
	out  io.Writer
	file io.Closer // nil when out is somebody else's
	log  *slog.Logger
	all  *atomic.Int64 // lines lost of all logs
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex // guards what follows
	waiting []byte
	lost    int64 // since the last line of the log that says so
	closed  bool
}

func newLineLog(name string, out io.Writer, file io.Closer, log *slog.Logger, lost *atomic.Int64) *lineLog {
	l := &lineLog{name: name, out: out, file: file, log: log, all: lost, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Write takes a line. It never fails and never waits.
func (l *lineLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	switch {
	case l.closed:
	case len(l.waiting)+len(line) > maxWaitingLog:
		l.lost++
		l.count(1, nil)
	default:
		l.waiting = append(l.waiting, line...)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
	return len(line), nil
}

// count counts lost lines, and tells the 1st, 2nd, 4th, 8th ... loss.
func (l *lineLog) count(n int64, err error) {
	before := l.all.Add(n) - n
	if before == 0 || before&(before-1) == 0 {
		l.log.Warn("log lines lost because requests do not wait for them", "log", l.name, "lost", before+n, "error", err)
	}
}

func (l *lineLog) run() {
	defer close(l.done)
	var buf []byte
	for range l.wake {
		l.mu.Lock()
		buf, l.waiting = l.waiting, buf[:0]
		lost, closed := l.lost, l.closed
		l.lost = 0
		l.mu.Unlock()
		if lost > 0 {
			buf = append(buf, "["+strconv.FormatInt(lost, 10)+" lines lost here: the disk is slower than the requests]\n"...)
		}
		if len(buf) > 0 {
			if n, err := l.out.Write(buf); err != nil {
				l.count(int64(bytes.Count(buf[min(n, len(buf)):], []byte{'\n'})), err)
			}
		}
		if cap(buf) > maxWaitingLog/4 {
			buf = nil
		}
		if closed {
			return
		}
	}
}

// Close writes what waits, for some seconds at most, and closes the file.
func (l *lineLog) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	t := time.NewTimer(logCloseTime)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C: // a disk that hangs keeps nobody from ending
	}
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
