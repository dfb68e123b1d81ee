package forward

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/spool"
)

const samples = "../audit/testdata/samples"

// sensor is the directory of one piped logger.
type sensor struct {
	dir  string
	conf Conf
}

func newSensor(t testing.TB, console string, more ...string) *sensor {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("CollectorRoot \"%s\"\nConsoleURI %s/rpc/auditLogReceiver\nSensorUsername s\nSensorPassword p\nLogStorageDir data\nQueuePath queue.log\nStartupDelay 0\nTransactionDelay 0\nServerErrorTimeout 1\nCheckpointInterval 1\n%s\n",
		dir, console, strings.Join(more, "\n"))
	conf, _, err := ParseConf("mlogc.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &sensor{dir: dir, conf: conf}
}

// event writes an audit file as ModSecurity 2 does and returns its index line.
func (s *sensor) event(t testing.TB, id string) string {
	t.Helper()
	r := &audit.Record{ID: id, Time: time.Now(), RequestHead: []byte("GET /" + id + " HTTP/1.1\nHost: www.example1.com:8000\n"), Parts: "ABHZ"}
	return s.file(t, r, audit.AppendNative(nil, r))
}

func (s *sensor) file(t testing.TB, r *audit.Record, body []byte) string {
	t.Helper()
	name := r.Time.Format("/www-data/20060102/20060102-1504/20060102-150405-") + r.ID
	path := filepath.Join(s.conf.StorageDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	l := audit.Index(r, name, int64(len(body)), md5Hex(body))
	return string(audit.AppendIndex(nil, &l))
}

// files counts the audit files.
func (s *sensor) files(t testing.TB) (n int) {
	t.Helper()
	filepath.WalkDir(s.conf.StorageDir(), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

func (s *sensor) run(t testing.TB, in string) {
	t.Helper()
	if err := Piped(t.Context(), strings.NewReader(in), s.conf, logger(t)); err != nil {
		t.Fatal(err)
	}
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}

func TestPiped(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL)
	var in strings.Builder
	want := numbered("e", 300)
	for _, id := range want {
		in.WriteString(s.event(t, id))
	}
	s.run(t, in.String())
	if got := sorted(c.ids()); !slices.Equal(got, want) {
		t.Errorf("%d of 300 came", len(got))
	}
	if n := s.files(t); n != 0 {
		t.Errorf("%d audit files left", n)
	}
	s.run(t, in.String()) // all lines again: the files are gone, nothing happens
	if n := len(c.ids()); n != 300 {
		t.Errorf("%d entries stored", n)
	}
}

// TestPipedSamples: real index lines and files of ModSecurity 2 and 3; the body is the file's, the summary the line or, for version 3, one in version 2's form.
func TestPipedSamples(t *testing.T) {
	t.Parallel()
	for _, set := range []struct{ log, tree string }{{"v2-honeytrap-seed-concurrent/index.log", "audit"}, {"v3-honeytrap-crs-parallel/audit.log", "tree"}} {
		t.Run(set.log, func(t *testing.T) {
			c := newConsole(t)
			s := newSensor(t, c.URL, "KeepEntries 1")
			from := filepath.Join(samples, filepath.Dir(set.log), set.tree)
			if err := os.CopyFS(s.conf.StorageDir(), os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(samples, set.log))
			if err != nil {
				t.Fatal(err)
			}
			text = bytes.ReplaceAll(text, []byte("/srv/honeytrap/apache2/v3-honeytrap-crs-parallel/audit/tree"), []byte(s.conf.StorageDir()))
			s.run(t, string(text))
			lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
			if len(c.puts) != len(lines) {
				t.Fatalf("%d requests for %d lines", len(c.puts), len(lines))
			}
			for _, p := range c.puts {
				summary := p.header.Get("X-ForensicLog-Summary")
				l, err := audit.ParseIndex(summary)
				if err != nil || l.Version != 2 || md5Hex(p.body) != l.MD5 || int64(len(p.body)) != l.Size {
					t.Errorf("%v: %s", err, summary)
				}
				if set.tree == "audit" && !bytes.Contains(text, []byte(summary)) {
					t.Errorf("not a line as it came: %s", summary)
				}
			}
			if s.files(t) != len(lines) {
				t.Error("KeepEntries 1 did not keep")
			}
		})
	}
}

func TestPipedBadLines(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL)
	secret := filepath.Join(s.dir, "secret")
	os.WriteFile(secret, entry("secret"), 0o600)
	os.MkdirAll(s.conf.StorageDir(), 0o755)
	os.Symlink(secret, filepath.Join(s.conf.StorageDir(), "link"))
	index := func(file string) string {
		l := audit.IndexLine{ID: "secret", Time: time.Now(), File: file, Size: int64(len(entry("secret"))), MD5: strings.Repeat("0", 32)}
		return string(audit.AppendIndex(nil, &l))
	}
	// A pipe among the audit files, and files beside them: nothing but audit files is read or removed.
	minute := filepath.Join(s.conf.StorageDir(), "20261122", "20261122-0825")
	os.MkdirAll(minute, 0o755)
	if out, err := exec.Command("mkfifo", filepath.Join(minute, "secret")).CombinedOutput(); err != nil {
		t.Logf("no pipe: %v %s", err, out)
	}
	beside := filepath.Join(s.conf.StorageDir(), "queue.log-spool", "segment")
	os.MkdirAll(filepath.Dir(beside), 0o755)
	os.WriteFile(beside, entry("secret"), 0o600)
	good := s.event(t, "good")
	s.run(t, index("/20261122/20261122-0825/secret")+index("/queue.log-spool/segment")+"\nhello\n"+strings.Repeat("x", 200<<10)+"\n"+index("/../secret")+index(secret)+index("/link")+index("/gone")+index("/")+good+"last line without its end")
	if got := c.ids(); !slices.Equal(got, []string{"good"}) {
		t.Errorf("stored %v", got)
	}
	for _, file := range []string{secret, beside} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

// TestPipedIncomplete: the line is there before the file is complete.
func TestPipedIncomplete(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL)
	line := s.event(t, "slow")
	l, _ := audit.ParseIndex(line)
	path := filepath.Join(s.conf.StorageDir(), l.File)
	whole, _ := os.ReadFile(path)
	os.WriteFile(path, whole[:50], 0o600)
	in, out := io.Pipe()
	done := make(chan error)
	go func() { done <- Piped(t.Context(), in, s.conf, logger(t)) }()
	io.WriteString(out, line+s.event(t, "quick"))
	until(t, "the quick one", func() bool { return len(c.ids()) == 1 })
	os.WriteFile(path, whole, 0o600)
	until(t, "the slow one", func() bool { return len(c.ids()) == 2 })
	out.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(c.puts[1].body, whole) {
		t.Error("sent before it was complete")
	}
}

// TestPipedRescan: files whose lines were read by a process that is gone are found.
func TestPipedRescan(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL)
	want := numbered("lost", 20)
	for _, id := range want {
		s.event(t, id)
	}
	json := &audit.Record{ID: "json", Time: time.Now(), RequestHead: []byte("GET / HTTP/1.1\n")}
	s.file(t, json, audit.AppendJSON(nil, json))
	s.run(t, "")
	if got := sorted(c.ids()); !slices.Equal(got, append([]string{"json"}, want...)) {
		t.Errorf("got %v", got)
	}
	if s.files(t) != 0 {
		t.Error("files left")
	}
	if l, err := audit.ParseIndex(c.puts[0].header.Get("X-ForensicLog-Summary")); err != nil || l.Host != "www.example1.com" && l.ID != "json" {
		t.Errorf("%+v %v", l, err)
	}
	if s.mark().IsZero() {
		t.Error("no checkpoint")
	}
}

func (s *sensor) mark() time.Time { return (&piped{conf: s.conf}).mark() }

// TestPipedRescanKeep: with KeepEntries only files since the last checkpoint are sent again.
func TestPipedRescanKeep(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL, "KeepEntries 1")
	age := func(id string) {
		old := time.Now().Add(-time.Hour)
		m, _ := filepath.Glob(filepath.Join(s.conf.StorageDir(), "www-data/*/*/*-"+id))
		os.Chtimes(m[0], old, old)
	}
	s.event(t, "history")
	age("history")
	s.run(t, s.event(t, "first"))
	if got := c.ids(); !slices.Equal(got, []string{"first"}) {
		t.Fatalf("first run sent %v", got)
	}
	age("first")
	s.event(t, "lost")
	s.run(t, "")
	if got := c.ids(); !slices.Equal(got, []string{"first", "lost"}) {
		t.Errorf("sent %v", got)
	}
}

// TestPipedLinesDropped: when even the memory for lines is full, the files are found afterwards.
func TestPipedLinesDropped(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL)
	q := newLineQueue(1000)
	var in strings.Builder
	want := numbered("e", 50)
	for _, id := range want {
		in.WriteString(s.event(t, id))
	}
	q.read(strings.NewReader(in.String()))
	if !q.dropped {
		t.Fatal("nothing dropped")
	}
	p := &piped{conf: s.conf, log: logger(t), storage: s.conf.StorageDir(), started: time.Now().Add(-time.Hour), lines: q, wait: time.Second, grace: time.Second}
	if err := p.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.spool.Close()
	if got := sorted(c.ids()); !slices.Equal(got, want) {
		t.Errorf("%d of 50 came", len(got))
	}
}

// TestPipedConsoleAway: the end of input comes while the console is away; the next start sends.
func TestPipedConsoleAway(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.answer = status(503, "e")
	s := newSensor(t, c.URL)
	s.conf.DrainTime = 100 * time.Millisecond
	var in strings.Builder
	for _, id := range numbered("e", 20) {
		in.WriteString(s.event(t, id))
	}
	start := time.Now()
	s.run(t, in.String())
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v to end", d)
	}
	if s.files(t) != 0 {
		t.Error("files left outside of the spool")
	}
	c.answer = nil
	s.conf.Drain = true
	s.run(t, "")
	if n := len(c.ids()); n != 20 {
		t.Errorf("%d of 20 came", n)
	}
}

// TestPipedSecond: a second process reads its input while the first one holds the spool.
func TestPipedSecond(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	s := newSensor(t, c.URL)
	held, err := spool.Open(spool.Config{Dir: s.conf.SpoolDir()})
	if err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- Piped(ctx, in, s.conf, logger(t)) }()
	for range 100 {
		io.WriteString(out, s.event(t, audit.NewID())) // returns only when it was read
	}
	if len(c.ids()) != 0 {
		t.Error("sent without the spool")
	}
	held.Close()
	until(t, "all", func() bool { return len(c.ids()) == 100 })
	out.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPipedEndsWithContext(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.answer = func(_ http.ResponseWriter, r *http.Request, _ string) bool { <-r.Context().Done(); return true }
	s := newSensor(t, c.URL)
	in, out := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- Piped(ctx, in, s.conf, logger(t)) }()
	io.WriteString(out, s.event(t, "a"))
	until(t, "a try", func() bool { return c.count() > 0 })
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second):
		t.Fatal("does not end")
	}
}
