package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/spool"
)

// console is a receiver of both protocols that remembers what came and answers as told.
type console struct {
	*httptest.Server
	// answer decides for one entry; nil, or a return without an effect on w, is 200.
	answer func(w http.ResponseWriter, r *http.Request, id string) (done bool)

	batches string // what it says about batches in answers to PUT

	mu       sync.Mutex
	stored   []string // ids in order of arrival
	requests int
	puts     []put
}

type put struct {
	header http.Header
	body   []byte
}

func newConsole(t testing.TB) *console {
	c := &console{}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.MaxHeaderBytes = 64 << 10
	c.Start()
	t.Cleanup(c.Close)
	return c
}

func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.requests++
	c.mu.Unlock()
	if r.Method == http.MethodPost {
		if c.batches == "/gone" {
			http.NotFound(w, r)
			return
		}
		c.batch(w, r, body)
		return
	}
	fields := strings.Fields(r.Header.Get("X-ForensicLog-Summary"))
	id := ""
	if l, err := audit.ParseIndex(strings.Join(fields, " ")); err == nil {
		id = l.ID
	}
	if c.answer != nil && c.answer(w, r, id) {
		return
	}
	if c.batches != "" {
		w.Header().Set(BatchHeader, c.batches)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored = append(c.stored, id)
	c.puts = append(c.puts, put{r.Header.Clone(), body})
}

func (c *console) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	entries, err := unpack(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type refusal struct {
		Index int    `json:"index"`
		ID    string `json:"id"`
		Error string `json:"error"`
	}
	reply := struct {
		Stored  int       `json:"stored"`
		Known   int       `json:"known"`
		Refused []refusal `json:"refused"`
	}{}
	var ids []string
	for i, e := range entries {
		rec, _ := audit.ParseNative(e)
		if strings.HasPrefix(rec.ID, "bad") {
			reply.Refused = append(reply.Refused, refusal{i, rec.ID, "bad"})
			continue
		}
		ids = append(ids, rec.ID)
	}
	if c.answer != nil && c.answer(w, r, strings.Join(ids, " ")) {
		return
	}
	c.mu.Lock()
	for _, id := range ids {
		if slices.Contains(c.stored, id) {
			reply.Known++
			continue
		}
		reply.Stored++
		c.stored = append(c.stored, id)
	}
	c.mu.Unlock()
	json.NewEncoder(w).Encode(reply)
}

func unpack(body []byte) (entries [][]byte, err error) {
	z, err := zstd.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	in := bufio.NewReader(z)
	for {
		n, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		e := make([]byte, n)
		if _, err := io.ReadFull(in, e); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
}

func (c *console) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.stored)
}

func (c *console) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// status answers one status for ids that begin with prefix.
func status(code int, prefix string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, id string) bool {
		for one := range strings.FieldsSeq(id) {
			if strings.HasPrefix(one, prefix) {
				w.WriteHeader(code)
				return true
			}
		}
		return false
	}
}

func logger(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return slog.New(slog.DiscardHandler)
}

// openSpool opens and runs a spool until the test ends.
func openSpool(t testing.TB, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: dir, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; s.Close() })
	return s
}

func entry(id string) []byte {
	return audit.AppendNative(nil, &audit.Record{ID: id, Time: time.Now(), RequestHead: []byte("GET /" + id + " HTTP/1.1\r\n"), Honeytrap: true})
}

// fill appends entries and returns their ids.
func fill(t testing.TB, s *spool.Spool, ids ...string) []string {
	t.Helper()
	for _, id := range ids {
		if err := s.Append(t.Context(), id, entry(id)); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func numbered(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s%04d", prefix, i))
	}
	return ids
}

// start runs a forwarder until the test ends.
func start(t testing.TB, s *spool.Spool, d Destination) (*Forwarder, *spool.Reader) {
	t.Helper()
	r, err := s.Reader("console")
	if err != nil {
		t.Fatal(err)
	}
	if d.ErrorTimeout == 0 {
		d.ErrorTimeout = 200 * time.Millisecond
	}
	f, err := New(Config{Reader: r, Destination: d, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return f, r
}

// until polls for at most 30 s: the machine may be busy.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s in vain: %s", what)
		}
	}
}
