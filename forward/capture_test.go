package forward

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trapline/trapline/audit"
)

// TestCapture: from the line and the file of each request that mlogc 2.9.7 sent, we make the same request. The tree has
// three of them; where the reference is, all.
func TestCapture(t *testing.T) {
	for _, path := range []string{"testdata/mlogc-capture.bin", "../../shared/reference/modsec-audit-samples/mlogc-wire/capture.bin"} {
		t.Run(path, func(t *testing.T) {
			capture, err := os.ReadFile(path)
			if err != nil {
				t.Skipf("SKIPPED, NOT TESTED: %v", err)
			}
			theirs := parseCapture(t, capture)
			c := newConsole(t)
			s := openSpool(t, t.TempDir())
			for i, p := range theirs {
				line := strings.TrimRight(p.header.Get("X-Forensiclog-Summary"), " ")
				l, err := audit.ParseIndex(line)
				if err != nil || l.Size != int64(len(p.body)) || l.MD5 != md5Hex(p.body) {
					t.Fatalf("%v: %s", err, line)
				}
				if r, faults := audit.ParseNative(p.body); r.ID != l.ID || len(faults) > 0 {
					t.Errorf("%s: %v", l.ID, faults)
				}
				if err := s.Append(t.Context(), strconv.Itoa(i), wrap([]byte(line), p.body)); err != nil {
					t.Fatal(err)
				}
			}
			_, r := start(t, s, Destination{URL: c.URL, User: "honeypot-sensor", Password: "test1234", Protocol: ProtocolMlogc, Connections: 1})
			until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
			for i, p := range theirs {
				ours := c.puts[i]
				if !bytes.Equal(p.body, ours.body) {
					t.Errorf("request %d: another body", i)
				}
				for _, name := range slices.Concat(keys(p.header), keys(ours.header)) {
					want := strings.TrimRight(p.header.Get(name), " ")
					if name == "X-Content-Hash" {
						want = strings.TrimSuffix(want, " L") // mlogc's mistake with a line that was cut
					}
					if got := ours.header.Get(name); got != want {
						t.Errorf("request %d: %s: %q, mlogc has %q", i, name, got, want)
					}
				}
			}
			t.Logf("%d requests", len(theirs))
		})
	}
}

func keys(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	return names
}

// parseCapture reads requests out of "#### conn N <- M bytes" blocks; a request may be in several.
func parseCapture(t *testing.T, capture []byte) (puts []put) {
	t.Helper()
	var stream []byte
	for len(capture) > 0 {
		line, rest, _ := bytes.Cut(capture, []byte("\n"))
		words := strings.Fields(string(line))
		switch {
		case len(words) == 6 && words[3] == "<-":
			n, _ := strconv.Atoi(words[4])
			n = min(n, len(rest))
			stream = append(stream, rest[:n]...)
			capture = rest[n:]
		default: // an answer, up to the next block
			i := bytes.Index(rest, []byte("#### conn "))
			if i < 0 {
				i = len(rest)
			}
			capture = rest[i:]
		}
	}
	r := bufio.NewReaderSize(bytes.NewReader(stream), 64<<10)
	for {
		req, err := http.ReadRequest(r)
		if errors.Is(err, io.EOF) {
			return puts
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(req.Body)
		if errors.Is(err, io.ErrUnexpectedEOF) { // the reference was cut at 120,000 bytes
			return puts
		}
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Length", strconv.FormatInt(req.ContentLength, 10))
		puts = append(puts, put{req.Header, body})
	}
}
