package app

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
