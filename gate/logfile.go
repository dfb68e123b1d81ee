package gate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trapline/trapline/config"
	"github.com/trapline/trapline/seclang"
)

// logQueue is how many lines of one log may wait for its disk or program.
const logQueue = 8192

// logSet holds the open access logs: one sink for each target, however many hosts write to it.
type logSet struct {
	log  *slog.Logger
	lost *atomic.Int64

	mu    sync.Mutex // guards what follows
	sinks map[string]*sink
	ctx   context.Context // of run; nil before
	wg    sync.WaitGroup
}

func newLogSet(log *slog.Logger, lost *atomic.Int64) *logSet {
	return &logSet{log: log, lost: lost, sinks: map[string]*sink{}}
}

// open compiles a CustomLog. A target that is open already is opened anew by its writer, so that a reload after
// rotation writes to the new file.
func (s *logSet) open(c config.CustomLog) (*accessLog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.sinks[c.Target]
	if ok {
		k.reopen.Store(true)
		return newAccessLog(c, k)
	}
	k = &sink{target: c.Target, lines: make(chan []byte, logQueue), log: s.log, lost: s.lost}
	if !strings.HasPrefix(c.Target, "|") {
		// Opened now, so that a mistake in the path is an error of the configuration.
		f, err := openLog(c.Target)
		if err != nil {
			return nil, err
		}
		k.out = f
	}
	s.sinks[c.Target] = k
	if s.ctx != nil {
		s.wg.Go(func() { k.run(s.ctx) })
	}
	return newAccessLog(c, k)
}

// run writes lines until ctx ends, and then those that still wait.
func (s *logSet) run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	for _, k := range s.sinks {
		s.wg.Go(func() { k.run(ctx) })
	}
	s.mu.Unlock()
	<-ctx.Done()
	// A program that does not read must not keep the process from ending.
	t := time.AfterFunc(logGrace, s.abort)
	defer t.Stop()
	s.wg.Wait()
}

// logGrace is how long logs may take to write what waits for them when the gate stops.
const logGrace = 3 * time.Second

// abort ends writes that hang; what waits behind them is lost and counted.
func (s *logSet) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sinks {
		k.aborted.Store(true)
		if out := k.current.Load(); out != nil {
			_ = (*out).Close()
		}
	}
}

func (s *logSet) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, k := range s.sinks {
		k.drain()
		errs = append(errs, k.close())
	}
	return errors.Join(errs...)
}

// sink is one log file or piped program. Only its run, then drain and close, touch out and program.
type sink struct {
	target  string
	lines   chan []byte
	reopen  atomic.Bool
	lost    *atomic.Int64
	log     *slog.Logger
	out     io.WriteCloser
	program *exec.Cmd
	retry   time.Time // not before this time after a failure

	current atomic.Pointer[io.WriteCloser] // out, for abort
	aborted atomic.Bool
}

// write queues a line; a full queue loses it, counted.
func (k *sink) write(line []byte) {
	select {
	case k.lines <- line:
	default:
		countLost(k.log, k.lost, "access log queue is full: "+k.target)
	}
}

func (k *sink) run(ctx context.Context) {
	for {
		select {
		case line := <-k.lines:
			k.batch(line)
		case <-ctx.Done():
			k.drain()
			return
		}
	}
}

func (k *sink) drain() {
	select {
	case line := <-k.lines:
		k.batch(line)
	default:
	}
}

// batch writes a line and all that wait behind it.
func (k *sink) batch(line []byte) {
	if k.aborted.Load() {
		k.lost.Add(1 + int64(len(k.lines)))
		return
	}
	if k.reopen.Swap(false) || k.out == nil {
		if err := k.restart(); err != nil {
			k.lost.Add(1)
			return
		}
	}
	w := bufio.NewWriterSize(k.out, 64<<10)
	for n := int64(1); ; n++ {
		_, _ = w.Write(line) // the error stays in w
		select {
		case line = <-k.lines:
			continue
		default:
		}
		if err := w.Flush(); err != nil {
			k.lost.Add(n)
			k.log.Error("access log not written", "target", k.target, "error", err)
			_ = k.close()
		}
		return
	}
}

func (k *sink) restart() error {
	now := time.Now()
	if k.out == nil && now.Before(k.retry) {
		return errors.New("waiting before the next try")
	}
	k.retry = now.Add(time.Second)
	_ = k.close()
	var err error
	if command, piped := strings.CutPrefix(k.target, "|"); piped {
		k.out, k.program, err = startProgram(command)
	} else {
		k.out, err = openLog(k.target)
	}
	if err != nil {
		k.out = nil
		k.log.Error("access log cannot be opened", "target", k.target, "error", err)
		return err
	}
	out := k.out
	k.current.Store(&out)
	return nil
}

func (k *sink) close() error {
	if k.out == nil {
		return nil
	}
	err := k.out.Close()
	if k.aborted.Load() {
		err = nil // abort has closed it
	}
	k.current.Store(nil)
	k.out = nil
	if k.program != nil {
		program := k.program
		k.program = nil
		// Its input has ended; give it a moment to write what it holds.
		patience := 5 * time.Second
		if k.aborted.Load() {
			patience = 0
		}
		t := time.AfterFunc(patience, func() { _ = program.Process.Kill() })
		_ = program.Wait()
		t.Stop()
	}
	return err
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// startProgram starts a piped log program as Apache does for "||": without a shell.
func startProgram(command string) (io.WriteCloser, *exec.Cmd, error) {
	ds, err := seclang.Lex("CustomLog", []byte("x "+strings.TrimLeft(command, "|$")))
	if err != nil {
		return nil, nil, err
	}
	if len(ds) != 1 || len(ds[0].Args) == 0 {
		return nil, nil, errors.New("no program after |")
	}
	cmd := exec.CommandContext(context.Background(), ds[0].Args[0], ds[0].Args[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	return in, cmd, cmd.Start()
}
