package gate

import (
	"errors"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/trapline/trapline/seclang"
)

// Apache's levels of messages about a request.
const (
	levelError = 3
	levelInfo  = 6
)

// apacheLevel is a LogLevel as Apache counts.
func apacheLevel(name string) int {
	if i := slices.Index([]string{"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"}, name); i >= 0 {
		return i
	}
	return 4
}

// tell gives the rules what Apache would say in its error log about this request, if LogLevel lets it. The text has Apache's
// number and words, which rules look for in WEBSERVER_ERROR_LOG; file and line are ours.
func (x *exchange) tell(level int, cause error, text ...string) {
	if x.tx == nil || level > x.site.logLevel {
		return
	}
	e := seclang.ServerError{Level: level, Text: strings.Join(text, "")}
	_, e.File, e.Line, _ = runtime.Caller(1)
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(cause, &timeout) && timeout.Timeout():
		e.Errno = timedOut
	case errors.As(cause, &errno):
		e.Errno = int(errno)
	}
	x.tx.AddServerError(e)
}

// timedOut is the number of the portable runtime, below Apache, for a wait that has ended (APR_TIMEUP).
const timedOut = 70007

// tellUpstream says why an upstream has not answered.
func (x *exchange) tellUpstream(status int, err error) {
	u, failed := x.pass.urlFor(x)
	if failed != nil {
		return
	}
	if status == http.StatusServiceUnavailable {
		x.tell(levelError, nil, "AH01114: HTTP: failed to make connection to backend: ", u.Hostname())
		return
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	x.tell(levelError, err, "AH01102: error reading status line from remote server ", u.Hostname(), ":", port)
	x.tell(levelError, nil, "AH00898: Error reading from remote server returned by ", x.r.URL.Path)
}

// place is what messages about files and access name: the file, or what stands for it. It costs no look at the disk.
func (x *exchange) place() string {
	switch {
	case x.pass != nil:
		return x.upstreamDocument().Filename
	case x.file == "":
		return x.path
	case strings.HasSuffix(x.path, "/"):
		return strings.TrimSuffix(x.file, "/") + "/"
	}
	return x.file
}

// tellFile says why a file is not served.
func (x *exchange) tellFile(err error) {
	switch {
	case errors.Is(err, errLink):
		x.tell(levelError, nil, "AH00037: Symbolic link not allowed or link target not accessible: ", x.place())
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		x.tell(levelError, err, "AH00132: file permissions deny server access: ", x.place())
	case errors.Is(err, syscall.ENOTDIR):
		x.tell(levelInfo, nil, "AH00130: File does not exist: ", x.place())
	default:
		x.tell(levelInfo, nil, "AH00128: File does not exist: ", x.place())
	}
}
