package auditlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pipe feeds a piped program. Nobody waits for it: lines gather up to a limit, beyond which they are
// dropped and counted, and a program that ended is started again as Apache does. (mod_security2 writes
// into the pipe from the request: a logger that stops reading stops the site.)
type pipe struct {
	args     []string
	limit    int
	log      *slog.Logger
	dropped  atomic.Int64
	restarts atomic.Int64
	done     chan struct{} // closed when run has ended

	mu     sync.Mutex
	lines  [][]byte      // mu
	bytes  int           // mu
	closed bool          // mu
	stop   func()        // mu; ends a write that hangs: kills the program
	wake   chan struct{} // a token when lines or closed have changed
	giveUp chan struct{} // closed when Close has waited long enough
}

const (
	defaultPipeBuffer = 8 << 20
	restartPause      = time.Second
	closeGrace        = 3 * time.Second
)

func startPipe(command string, limit int, log *slog.Logger) (*pipe, error) {
	args, err := splitCommand(command)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = defaultPipeBuffer
	}
	p := &pipe{args: args, limit: limit, log: log, done: make(chan struct{}), wake: make(chan struct{}, 1), giveUp: make(chan struct{})}
	cmd, in, err := p.start()
	if err != nil {
		return nil, fmt.Errorf("audit log: start %s: %w", args[0], err)
	}
	go p.run(cmd, in)
	return p, nil
}

// splitCommand reads what follows the '|' as Apache 2.4 does: words with quotes, no shell; "||" is the same, "|$" is for the shell.
func splitCommand(command string) ([]string, error) {
	if script, ok := strings.CutPrefix(command, "$"); ok {
		return []string{"/bin/sh", "-c", strings.TrimSpace(script)}, nil
	}
	command = strings.TrimPrefix(command, "|")
	var args []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == '\\' && i+1 < len(command) && strings.IndexByte(`\"' `, command[i+1]) >= 0:
			i++
			word.WriteByte(command[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if inWord {
				args = append(args, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("audit log: piped program %q: a quote is not closed", command)
	}
	if inWord {
		args = append(args, word.String())
	}
	if len(args) == 0 {
		return nil, errors.New("audit log: no piped program behind '|'")
	}
	return args, nil
}

func (p *pipe) start() (*exec.Cmd, io.WriteCloser, error) {
	cmd := exec.Command(p.args[0], p.args[1:]...) //nolint:gosec,noctx // the user's own configuration; its life is not that of a request
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out := &programLog{log: p.log.With("program", p.args[0])}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // a child of it may hold the pipes, its standard input among them, when it has ended
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	p.stop = func() { _ = cmd.Process.Kill() }
	p.mu.Unlock()
	return cmd, in, nil
}

// add queues a line; it never blocks.
func (p *pipe) add(line []byte) {
	p.mu.Lock()
	if p.closed || p.bytes+len(line) > p.limit {
		p.dropped.Add(1)
	} else {
		p.lines = append(p.lines, line)
		p.bytes += len(line)
	}
	p.mu.Unlock()
	p.signal()
}

func (p *pipe) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take waits for lines; nil means that the pipe is closed and empty.
func (p *pipe) take() [][]byte {
	for {
		p.mu.Lock()
		lines, closed := p.lines, p.closed
		p.lines = nil
		p.mu.Unlock()
		if len(lines) > 0 || closed {
			return lines
		}
		<-p.wake
	}
}

// run writes to the program. A line that was not written whole goes to the next one from its start.
func (p *pipe) run(cmd *exec.Cmd, in io.WriteCloser) {
	defer close(p.done)
	exited := wait(cmd)
	for lines := p.take(); len(lines) > 0; lines = p.take() {
		for len(lines) > 0 {
			n, err := writeLines(in, lines)
			p.sent(lines[:n])
			lines = lines[n:]
			if err == nil {
				continue
			}
			_ = in.Close()
			p.log.Warn("piped program does not read", "program", p.args[0], "err", err)
			if cmd, in, exited = p.restart(exited); cmd == nil {
				p.dropped.Add(int64(len(lines)))
				return
			}
		}
	}
	_ = in.Close() // the end of its input: it should exit
	select {
	case <-exited:
	case <-p.giveUp:
		<-exited // Close has killed it
	}
}

// wait reaps the program.
func wait(cmd *exec.Cmd) <-chan struct{} {
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended does not matter: it has
		close(exited)
	}()
	return exited
}

// restart starts the program again, as often as it takes; nil when the pipe is closed and time is up.
func (p *pipe) restart(exited <-chan struct{}) (*exec.Cmd, io.WriteCloser, <-chan struct{}) {
	select {
	case <-exited:
	case <-p.giveUp:
		return nil, nil, nil
	}
	for {
		select {
		case <-time.After(restartPause):
		case <-p.giveUp:
			return nil, nil, nil
		}
		p.restarts.Add(1)
		cmd, in, err := p.start()
		if err == nil {
			return cmd, in, wait(cmd)
		}
		p.log.Warn("piped program cannot be started", "program", p.args[0], "err", err)
	}
}

// writeLines writes lines and returns how many went out whole.
func writeLines(w io.Writer, lines [][]byte) (int, error) {
	for i, line := range lines {
		if _, err := w.Write(line); err != nil {
			return i, err
		}
	}
	return len(lines), nil
}

func (p *pipe) sent(lines [][]byte) {
	n := 0
	for _, l := range lines {
		n += len(l)
	}
	p.mu.Lock()
	p.bytes -= n
	p.mu.Unlock()
}

func (p *pipe) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.signal()
	timer := time.AfterFunc(closeGrace, func() {
		close(p.giveUp)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stop() // it may be what a write waits for
	})
	defer timer.Stop()
	<-p.done
	return nil
}

// programLog puts what a program prints into our log, line by line.
type programLog struct {
	log *slog.Logger
	buf []byte
}

func (l *programLog) Write(b []byte) (int, error) {
	l.buf = append(l.buf, b...)
	for {
		i := bytes.IndexByte(l.buf, '\n')
		if i < 0 && len(l.buf) < 4096 {
			return len(b), nil
		}
		if i < 0 {
			i = len(l.buf) - 1
		}
		if text := strings.TrimSpace(string(l.buf[:i+1])); text != "" {
			l.log.Info("piped program says", "text", text)
		}
		l.buf = l.buf[i+1:]
	}
}
