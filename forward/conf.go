package forward

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Conf is a mlogc configuration. The names are mlogc's; ParseConf fills in its defaults.
type Conf struct {
	CollectorRoot                  string
	ConsoleURI                     string
	SensorUsername, SensorPassword string
	LogStorageDir                  string // as written; see StorageDir
	TransactionLog                 string // not used: mlogc never reads it either
	QueuePath                      string // the spool lies beside it, see SpoolDir
	ErrorLog                       string
	ErrorLogLevel                  int
	LockFile                       string // not used: the spool has its own lock
	KeepEntries                    int    // 0: audit files are removed once they are in the spool
	MaxConnections                 int
	MaxWorkerRequests              int // not used: workers do not leak
	TransactionDelay, StartupDelay time.Duration
	CheckpointInterval             time.Duration
	ServerErrorTimeout             time.Duration
	InsecureNoCheckCert            bool
	TLSProtocol                    int // 0, 1, 2: TLS 1.0, 1.1, 1.2 at least
	KeepAlive                      int // not used, by mlogc either
	KeepAliveTimeout               time.Duration
	// Drain is mlogc's option -f: at the end of input send everything before returning.
	Drain bool
	// DrainTime bounds how long Piped sends on after the end of its input without Drain; 0: 5 s. What is left is sent after the next start.
	DrainTime time.Duration
}

// Warning is something in a configuration that is used otherwise than written.
type Warning struct {
	File string
	Line int
	Text string
}

// String returns "file:line: text".
func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// confDirective reads one value into c.
type confDirective struct {
	name string
	set  func(c *Conf, value string) error
	note string // a warning when it is there, "" for none
}

// confDirectives are all that mlogc 2.9.7 knows.
func confDirectives() []confDirective {
	return []confDirective{
		{"CollectorRoot", text(func(c *Conf) *string { return &c.CollectorRoot }), ""},
		{"ConsoleURI", text(func(c *Conf) *string { return &c.ConsoleURI }), ""},
		{"SensorUsername", text(func(c *Conf) *string { return &c.SensorUsername }), ""},
		{"SensorPassword", text(func(c *Conf) *string { return &c.SensorPassword }), ""},
		{"LogStorageDir", text(func(c *Conf) *string { return &c.LogStorageDir }), ""},
		{"TransactionLog", text(func(c *Conf) *string { return &c.TransactionLog }), ""},
		{"QueuePath", text(func(c *Conf) *string { return &c.QueuePath }), ""},
		{"ErrorLog", text(func(c *Conf) *string { return &c.ErrorLog }), ""},
		{"ErrorLogLevel", number(func(c *Conf) *int { return &c.ErrorLogLevel }, 0, 9), ""},
		{"LockFile", text(func(c *Conf) *string { return &c.LockFile }), ""},
		{"KeepEntries", number(func(c *Conf) *int { return &c.KeepEntries }, 0, 1<<30), ""},
		{"MaxConnections", number(func(c *Conf) *int { return &c.MaxConnections }, 1, 1000), ""},
		{"MaxWorkerRequests", number(func(c *Conf) *int { return &c.MaxWorkerRequests }, 0, 1<<30), ""},
		{"TransactionDelay", duration(func(c *Conf) *time.Duration { return &c.TransactionDelay }, time.Millisecond), ""},
		{"StartupDelay", duration(func(c *Conf) *time.Duration { return &c.StartupDelay }, time.Millisecond), ""},
		{"CheckpointInterval", duration(func(c *Conf) *time.Duration { return &c.CheckpointInterval }, time.Second), ""},
		{"ServerErrorTimeout", duration(func(c *Conf) *time.Duration { return &c.ServerErrorTimeout }, time.Second), ""},
		{"InsecureNoCheckCert", flag(func(c *Conf) *bool { return &c.InsecureNoCheckCert }), ""},
		{"TLSProtocol", number(func(c *Conf) *int { return &c.TLSProtocol }, 0, 2), ""},
		{"KeepAlive", number(func(c *Conf) *int { return &c.KeepAlive }, 0, 1<<30), "is reserved and has no effect, as in mlogc"},
		{"KeepAliveTimeout", duration(func(c *Conf) *time.Duration { return &c.KeepAliveTimeout }, time.Second), "is reserved and has no effect, as in mlogc"},
	}
}

func text(field func(*Conf) *string) func(*Conf, string) error {
	return func(c *Conf, v string) error { *field(c) = v; return nil }
}

func number(field func(*Conf) *int, least, most int) func(*Conf, string) error {
	return func(c *Conf, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q found, a number from %d to %d expected", v, least, most)
		}
		*field(c) = n
		return nil
	}
}

func duration(field func(*Conf) *time.Duration, unit time.Duration) func(*Conf, string) error {
	return func(c *Conf, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 1<<30 {
			return fmt.Errorf("%q found, a number of %s expected", v, map[time.Duration]string{time.Millisecond: "milliseconds", time.Second: "seconds"}[unit])
		}
		*field(c) = time.Duration(n) * unit
		return nil
	}
}

func flag(field func(*Conf) *bool) func(*Conf, string) error {
	return func(c *Conf, v string) error {
		switch strings.ToLower(v) {
		case "0", "off", "no", "false":
			*field(c) = false
		case "1", "on", "yes", "true":
			*field(c) = true
		default:
			return fmt.Errorf("%q found, 0 or 1 expected", v)
		}
		return nil
	}
}

// maxConfLine is mlogc's limit of a line.
const maxConfLine = 4095

// ParseConf reads a mlogc configuration, as /etc/mlogc.conf. Values may be quoted, names may be in
// any case, of a directive that comes twice the last counts. A directive nobody knows is a
// Warning with the nearest name. The error joins all that cannot be used, each with file:line, and what is missing.
func ParseConf(file string, conf []byte) (Conf, []Warning, error) {
	c := Conf{
		ErrorLogLevel: 2, MaxConnections: 10, MaxWorkerRequests: 1000, TransactionDelay: 100 * time.Millisecond, StartupDelay: 100 * time.Millisecond,
		CheckpointInterval: time.Minute, ServerErrorTimeout: time.Minute, InsecureNoCheckCert: true, TLSProtocol: 1, DrainTime: 5 * time.Second,
	}
	var warnings []Warning
	var errs []error
	known := confDirectives()
	seen := map[string]int{}
	line := 0
	s := bufio.NewScanner(bytes.NewReader(conf))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line++
		name, value := confLine(s.Text())
		if name == "" {
			continue
		}
		warn := func(format string, args ...any) {
			warnings = append(warnings, Warning{file, line, fmt.Sprintf(format, args...)})
		}
		if len(s.Text()) > maxConfLine {
			warn("line of %d bytes; mlogc reads %d", len(s.Text()), maxConfLine)
		}
		d := findDirective(known, name)
		if d == nil {
			warn("unknown directive %s is left out; the nearest is %s", name, nearest(known, name))
			continue
		}
		if before := seen[d.name]; before > 0 {
			warn("%s also stands in line %d; this one counts", d.name, before)
		}
		seen[d.name] = line
		if d.note != "" {
			warn("%s %s", d.name, d.note)
		}
		if err := d.set(&c, value); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %s: %w", file, line, d.name, err))
		}
	}
	if err := s.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s:%d: %w", file, line+1, err))
	}
	for _, required := range []string{"ConsoleURI", "SensorUsername", "SensorPassword", "LogStorageDir", "QueuePath"} {
		if seen[required] == 0 {
			errs = append(errs, fmt.Errorf("%s: %s is missing", file, required))
		}
	}
	if n := seen["ConsoleURI"]; n > 0 {
		if u, err := url.Parse(c.ConsoleURI); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("%s:%d: ConsoleURI: %q found, an http or https address expected", file, n, c.ConsoleURI))
		} else if u.Scheme == "https" && c.InsecureNoCheckCert {
			warnings = append(warnings, Warning{file, n, "the console's certificate is not checked; `InsecureNoCheckCert 0` turns that on"})
		}
	}
	if c.KeepEntries > 1 {
		warnings = append(warnings, Warning{file, seen["KeepEntries"], fmt.Sprintf("KeepEntries %d keeps audit files as 1 does; mlogc's use of their time stamps is not copied", c.KeepEntries)})
	}
	return c, warnings, errors.Join(errs...)
}

// confLine splits a line into name and value; both are empty for blank lines and comments.
func confLine(line string) (name, value string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", ""
	}
	name, value = line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		name, value = line[:i], strings.TrimSpace(line[i:])
	}
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return name, value
}

func findDirective(known []confDirective, name string) *confDirective {
	for i := range known {
		if strings.EqualFold(known[i].name, name) {
			return &known[i]
		}
	}
	return nil
}

// nearest returns the name with the fewest changes of a letter.
func nearest(known []confDirective, name string) string {
	best, least := "", 1<<30
	for _, d := range known {
		if n := distance(strings.ToLower(d.name), strings.ToLower(name)); n < least {
			best, least = d.name, n
		}
	}
	return best
}

// distance is Levenshtein's; names over 64 bytes are cut.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// Destination returns the console of the configuration.
func (c Conf) Destination() Destination {
	minTLS := [...]uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12}[min(max(c.TLSProtocol, 0), 2)]
	return Destination{
		Name: c.ConsoleURI, URL: c.ConsoleURI, User: c.SensorUsername, Password: c.SensorPassword,
		Insecure: c.InsecureNoCheckCert, MinTLS: minTLS, Protocol: ProtocolMlogc,
		Connections: c.MaxConnections, Delay: c.TransactionDelay, StartupDelay: c.StartupDelay, ErrorTimeout: c.ServerErrorTimeout,
	}
}

// StorageDir, SpoolDir and ErrorLogPath are paths of the configuration, taken from CollectorRoot when they are relative.
func (c Conf) StorageDir() string { return c.path(c.LogStorageDir) }

// SpoolDir is where Piped keeps what is not sent: beside mlogc's queue file, which it leaves alone.
func (c Conf) SpoolDir() string { return c.path(c.QueuePath) + "-spool" }

// ErrorLogPath is "" when no error log is set.
func (c Conf) ErrorLogPath() string {
	if c.ErrorLog == "" {
		return ""
	}
	return c.path(c.ErrorLog)
}

func (c Conf) path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(c.CollectorRoot, p)
}

// Level turns ErrorLogLevel (0 none, 1 error, 2 warning, 3 notice, 4 and more debug) into slog's.
func (c Conf) Level() slog.Level {
	switch {
	case c.ErrorLogLevel <= 0:
		return slog.LevelError + 4
	case c.ErrorLogLevel == 1:
		return slog.LevelError
	case c.ErrorLogLevel == 2:
		return slog.LevelWarn
	case c.ErrorLogLevel == 3:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
