package auditlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/trapline/trapline/audit"
)

// guardianBuffer bounds the bytes that wait for the disk or program of a guardian log.
const guardianBuffer = 8 << 20

// Guardian is the log of SecGuardianLog: a line for every request, for a program that watches how often who asks. Nobody
// waits for it; its lines are not made durable. Write may be called from any goroutine.
type Guardian struct {
	lines *pipe
}

// OpenGuardian opens the file to append, or starts the program of "|program arguments".
func OpenGuardian(target string, log *slog.Logger) (*Guardian, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if command, piped := strings.CutPrefix(target, "|"); piped {
		p, err := startPipe(command, guardianBuffer, log)
		if err != nil {
			return nil, fmt.Errorf("guardian log: %w", err)
		}
		return &Guardian{p}, nil
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("guardian log: %w", err)
	}
	p := &pipe{
		limit: guardianBuffer, log: log, done: make(chan struct{}), wake: make(chan struct{}, 1), giveUp: make(chan struct{}),
		stop: func() { _ = f.Close() },
	}
	go p.runFile(f)
	return &Guardian{p}, nil
}

// Write queues the line of a request; when the log is too slow it is lost and counted.
func (g *Guardian) Write(l *audit.IndexLine, took time.Duration) {
	g.lines.add(audit.AppendGuardian(make([]byte, 0, 256), l, took))
}

// Dropped is how many lines were lost, Restarts how often a program that ended was started again.
func (g *Guardian) Dropped() int64 { return g.lines.dropped.Load() }

// Restarts counts starts of the program after the first.
func (g *Guardian) Restarts() int64 { return g.lines.restarts.Load() }

// Close writes what waits and closes the file, or ends the program; both get a few seconds.
func (g *Guardian) Close() error { return g.lines.close() }

// runFile writes lines to a file. What a full disk does not take is lost and counted; the next lines are tried again.
func (p *pipe) runFile(f *os.File) {
	defer close(p.done)
	torn, failed := false, false
	for lines := p.take(); len(lines) > 0; lines = p.take() {
		block := bytes.Join(lines, nil)
		if torn { // the end of the line that was cut
			block = append([]byte{'\n'}, block...)
		}
		n, err := f.Write(block)
		p.sent(lines)
		if n > 0 {
			torn = block[n-1] != '\n'
		}
		if err != nil {
			p.dropped.Add(int64(bytes.Count(block[n:], []byte{'\n'})))
		}
		if err != nil && !failed && !errors.Is(err, os.ErrClosed) {
			p.log.Error("guardian log not written", "file", f.Name(), "error", err)
		}
		failed = err != nil
	}
	_ = f.Close()
}
