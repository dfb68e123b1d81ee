package app

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/trapline/trapline/config"
)

// errorLog is the file that ErrorLog names. A reload opens it again, so that it can be rotated as Apache's is.
type errorLog struct {
	mu   sync.Mutex
	path string
	file *os.File // guarded by mu
}

// Write appends one line of the log.
func (e *errorLog) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.file.Write(p)
}

// Close closes the file; lines that come later are lost.
func (e *errorLog) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.file.Close()
}

// reopen goes on in a new file when the old one was moved away.
func (e *errorLog) reopen() error {
	next, err := appendTo(e.path)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.file
	e.file = next
	return old.Close()
}

func appendTo(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("ErrorLog: %w", err)
	}
	return f, nil
}

// openErrorLog returns the logger that the main server's ErrorLog and LogLevel
// ask for. Without ErrorLog lines go where the process was told to log; so they do,
// with a word about it, for what is no file: programs and syslog.
func openErrorLog(main *config.Host, fallback *slog.Logger) (*slog.Logger, *errorLog, error) {
	if fallback == nil {
		fallback = slog.New(slog.DiscardHandler)
	}
	path := main.ErrorLog
	switch {
	case path == "":
		return fallback, nil, nil
	case strings.HasPrefix(path, "|"), strings.HasPrefix(path, "syslog"), strings.HasPrefix(path, "/dev/"):
		fallback.Warn("ErrorLog names no file: lines go to standard error", "error_log", path)
		return fallback, nil, nil
	}
	f, err := appendTo(path)
	if err != nil {
		return nil, nil, err
	}
	e := &errorLog{path: path, file: f}
	return slog.New(slog.NewTextHandler(e, &slog.HandlerOptions{Level: logLevel(main.LogLevel)})), e, nil
}

// logLevel is Apache's level in the steps of slog. "notice" is what a server says of its own life, our Info.
func logLevel(apache string) slog.Level {
	switch apache {
	case "debug":
		return slog.LevelDebug
	case "info", "notice":
		return slog.LevelInfo
	case "warn", "":
		return slog.LevelWarn
	}
	return slog.LevelError
}
