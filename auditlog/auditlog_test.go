package auditlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

const samples = "../audit/testdata/samples"

func record(id string) *audit.Record {
	return &audit.Record{
		ID: id, Time: time.Now(), Client: netip.MustParseAddrPort("192.0.2.1:5"), Peer: netip.MustParseAddrPort("192.0.2.1:5"), Host: "www.example1.com",
		Server: netip.MustParseAddrPort("198.51.100.1:8000"), RequestHead: []byte("GET /" + id + " HTTP/1.1\r\nHost: x\r\n"),
		Status: 403, ResponseHead: []byte("HTTP/1.1 403 Forbidden\r\n"), Parts: "ABFHZ",
	}
}

// collect returns the ids of all entries; an error fails the test unless it is wanted.
func collect(t *testing.T, paths ...string) (ids []string, errs []error) {
	t.Helper()
	total, err := Size(paths...)
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for e, err := range Entries(t.Context(), paths...) {
		if e.Progress < last || e.Progress > total {
			t.Errorf("progress %d after %d of %d", e.Progress, last, total)
		}
		last = e.Progress
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if r, _ := audit.ParseNative(e.Native); r.ID != e.Record.ID {
			t.Errorf("native entry has id %q, record %q", r.ID, e.Record.ID)
		}
		ids = append(ids, e.Record.ID)
	}
	return ids, errs
}

func write(t *testing.T, cfg Config, n int) {
	t.Helper()
	w, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := w.Write(t.Context(), record(fmt.Sprintf("r%03d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if s := w.Stats(); s.Written != int64(n) || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWriteAndRead(t *testing.T) {
	for _, typ := range []string{"Serial", "Concurrent"} {
		for _, format := range []string{"Native", "JSON"} {
			t.Run(typ+" "+format, func(t *testing.T) {
				dir := t.TempDir()
				cfg := Config{Log: filepath.Join(dir, "audit.log"), Type: typ, Format: format, StorageDir: filepath.Join(dir, "data"), User: "www-data", FileMode: 0o600}
				write(t, cfg, 50)
				write(t, cfg, 1) // opens again and appends
				for _, path := range []string{cfg.Log, cfg.StorageDir, dir} {
					want := 51
					if typ == "Concurrent" && path != cfg.Log {
						want = 50
					} else if typ == "Concurrent" {
						want = 51 // r000 came twice, with one time or two
					}
					if path == cfg.StorageDir && typ == "Serial" {
						continue
					}
					ids, errs := collect(t, path)
					if len(errs) > 0 || len(ids) < want {
						t.Errorf("%s: %d entries, errors %v", path, len(ids), errs)
					}
				}
				if info, err := os.Stat(cfg.Log); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v %v", info, err)
				}
			})
		}
	}
}

func TestConcurrentLayout(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Log: filepath.Join(dir, "index"), Type: "Concurrent", StorageDir: filepath.Join(dir, "data"), User: "www-data", DirMode: 0o700}
	w, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := record("a/../b")
	if err := w.Write(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.Close()
	line, _ := os.ReadFile(cfg.Log)
	l, err := audit.ParseIndex(string(line))
	if err != nil {
		t.Fatal(err)
	}
	want := "/www-data/" + r.Time.Local().Format("20060102/20060102-1504/20060102-150405-") + "a_.._b"
	if l.File != want || l.ID != "a/../b" || l.Host != "x" || l.Request != "GET /a/../b HTTP/1.1" {
		t.Errorf("%+v", l)
	}
	body, err := os.ReadFile(filepath.Join(cfg.StorageDir, l.File))
	if err != nil || int64(len(body)) != l.Size {
		t.Fatalf("%d bytes, line says %d: %v", len(body), l.Size, err)
	}
	if info, _ := os.Stat(filepath.Dir(filepath.Join(cfg.StorageDir, l.File))); info.Mode().Perm() != 0o700 {
		t.Error(info.Mode())
	}
}

func TestSamples(t *testing.T) {
	for folder, want := range map[string]int{
		"v2-honeytrap-crs-serial-k/audit.log": 4, "v3-honeytrap-crs-serial/audit.log": 7, "v2-prod-crs-json-k/audit.json.log": 3, "v3-honeytrap-crs-json/audit.log": 9,
		"v2-honeytrap-seed-concurrent/index.log": 4, "v2-honeytrap-seed-concurrent/audit": 4, "v3-honeytrap-crs-parallel/audit.log": 2, "v3-honeytrap-crs-parallel/tree": 2,
	} {
		ids, errs := collect(t, filepath.Join(samples, folder))
		if len(ids) != want || len(errs) > 0 {
			t.Errorf("%s: %d entries, want %d; %v", folder, len(ids), want, errs)
		}
	}
}

func TestGzip(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(samples, "v3-honeytrap-crs-serial/audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(text)
	z.Close()
	path := filepath.Join(t.TempDir(), "audit.log.1.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if ids, errs := collect(t, path); len(ids) != 7 || len(errs) > 0 {
		t.Errorf("%d entries, %v", len(ids), errs)
	}
	if err := os.WriteFile(path, b.Bytes()[:b.Len()/2], 0o600); err != nil { // cut off
		t.Fatal(err)
	}
	if ids, errs := collect(t, path); len(ids) == 0 || len(errs) == 0 {
		t.Errorf("%d entries, %v", len(ids), errs)
	}
}

func TestEntriesErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	os.WriteFile(text, []byte("hello\n"), 0o600)
	if _, errs := collect(t, text); len(errs) != 1 {
		t.Errorf("a named file that is no log: %v", errs)
	}
	if _, errs := collect(t, dir); len(errs) != 0 {
		t.Errorf("a file in a directory that is no log: %v", errs)
	}
	outside := filepath.Join(dir, "secret")
	os.WriteFile(outside, audit.AppendNative(nil, record("x")), 0o600)
	logs := filepath.Join(dir, "logs")
	os.Mkdir(logs, 0o700)
	l := audit.Index(record("x"), "/../../secret", 1, strings.Repeat("a", 32))
	os.WriteFile(filepath.Join(logs, "index"), audit.AppendIndex(nil, &l), 0o600)
	if ids, errs := collect(t, filepath.Join(logs, "index")); len(ids) != 0 || len(errs) != 1 {
		t.Errorf("path traversal: %v %v", ids, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range Entries(ctx, filepath.Join(samples, "v3-honeytrap-crs-serial")) {
		if n++; n == 2 {
			cancel()
		}
	}
	if n != 2 {
		t.Errorf("%d entries after the context ended", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, cfg := range []Config{{}, {Log: "x", Type: "Parallelogram"}, {Log: "x", Format: "XML"}, {Type: "Concurrent"}, {Log: "|"}, {Log: "|/no/such/program"}, {Log: `|cat "x`}, {Log: "/no/such/dir/audit.log"}} {
		if w, err := Open(cfg); err == nil {
			w.Close()
			t.Errorf("%+v is opened", cfg)
		}
	}
}

func TestPipe(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	write(t, Config{Log: "|/bin/sh -c 'cat >> " + out + "'", Type: "Concurrent", StorageDir: filepath.Join(dir, "data")}, 20)
	text, err := os.ReadFile(out)
	if err != nil || bytes.Count(text, []byte("\n")) != 20 {
		t.Fatalf("%s %v", text, err)
	}
}

// TestPipeNeverBlocks: a program that does not read costs lines, and no time.
func TestPipeNeverBlocks(t *testing.T) {
	w, err := Open(Config{Log: "|sleep 1000", PipeBuffer: 100 << 10})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := record("a")
	for range 2000 {
		if err := w.Write(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("2000 writes took %v", d)
	}
	if w.Stats().Dropped == 0 {
		t.Error("nothing dropped")
	}
	w.pipe.stop()
	w.Close()
}

// TestCloseWithHungScript: the shell is killed, but what it runs holds the pipes on.
func TestCloseWithHungScript(t *testing.T) {
	w, err := Open(Config{Log: "|$sleep 60; true"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		w.Write(t.Context(), record("a"))
	}
	start := time.Now()
	w.Close()
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("Close took %v", d)
	}
}

// TestPipeRestart: a program that ends is started again and gets the lines that follow.
func TestPipeRestart(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	w, err := Open(Config{Log: "|$read line; echo \"$line\" >> " + out})
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(10 * time.Second)
	for w.Stats().Restarts < 2 {
		if time.Now().After(end) {
			t.Fatal("not restarted")
		}
		w.Write(t.Context(), record("a"))
		time.Sleep(5 * time.Millisecond)
	}
	w.Close()
}

func TestCancelled(t *testing.T) {
	w, err := Open(Config{Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cancel()
	if err := w.Write(ctx, record("a")); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
