package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestBodiesHaveAnEnd sends requests to the console whose bodies never come, to handlers that read them and that do not.
func TestBodiesHaveAnEnd(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reads", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	mux.HandleFunc("/ignores", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(bodiesIn(200*time.Millisecond, mux))
	defer server.Close()
	for _, line := range []string{"POST /reads", "POST /ignores", "GET /ignores"} {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, line+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: still open: %v", line, err)
		}
	}
}

// TestReloadOpensPortThatWasBusy: a busy trap port is skipped at the start, and opened by a reload once it is free.
func TestReloadOpensPortThatWasBusy(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trapline.conf")
	text := "Listen " + busy.Addr().String() + "\nTrapConsole Off\n<VirtualHost *>\nTrapHost On\n</VirtualHost>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := open(context.Background(), Options{Config: file, Data: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Env: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(s.drain(), s.close()); err != nil {
			t.Error(err)
		}
	}()
	if l, err := s.listen(); err != nil || len(l.skipped) != 1 {
		t.Fatalf("%v %v", l, err)
	}
	_ = busy.Close()
	s.reload(context.Background())
	c, err := net.Dial("tcp", busy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
