package forward

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"log" //nolint:depguard // net/http wants one
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelivers(t *testing.T) {
	for _, protocol := range []string{ProtocolMlogc, ProtocolBatch} {
		t.Run(protocol, func(t *testing.T) {
			c := newConsole(t)
			s := openSpool(t, t.TempDir())
			f, r := start(t, s, Destination{URL: c.URL, User: "s", Password: "p", Protocol: protocol, Connections: 1})
			want := fill(t, s, numbered("r", 100)...)
			until(t, "all delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
			if got := c.ids(); !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
			st := f.Stats()
			if st.Sent != 100 || st.Failures != 0 || st.SetAside != 0 || st.LastSent.IsZero() {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestAnswers: what each answer does to the entry that gets it first, and to the entries behind it.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		code  int
		aside bool // set aside; otherwise delivered later
	}{
		{409, true},
		{413, true},
		{422, true},
		{400, true},
		{431, true},
		{201, false},
		{202, false},
		{204, false},
		{302, false},
		{401, false},
		{403, false},
		{404, false},
		{429, false},
		{500, false},
		{503, false},
	} {
		for _, protocol := range []string{ProtocolMlogc, ProtocolBatch} {
			t.Run(protocol+" "+strconv.Itoa(test.code), func(t *testing.T) {
				t.Parallel()
				c := newConsole(t)
				var tries atomic.Int32
				always := status(test.code, "x")
				c.answer = func(w http.ResponseWriter, r *http.Request, id string) bool {
					if !test.aside && tries.Add(1) > 3 {
						return false
					}
					return always(w, r, id)
				}
				s := openSpool(t, t.TempDir())
				f, r := start(t, s, Destination{URL: c.URL, Protocol: protocol, Connections: 2})
				fill(t, s, "a0", "a1", "x", "a2", "a3")
				until(t, "settled", func() bool { n, _ := r.Backlog(); return n == 0 })
				got := c.ids()
				slices.Sort(got)
				want := "a0 a1 a2 a3"
				if !test.aside || test.code == 409 && protocol == ProtocolBatch {
					want += " x"
				}
				if test.code == 409 && protocol == ProtocolBatch {
					return // a batch as a whole is never answered with 409
				}
				if strings.Join(got, " ") != want {
					t.Errorf("stored %v, want %s", got, want)
				}
				asides, err := s.Asides("console")
				if err != nil {
					t.Fatal(err)
				}
				if test.aside != (len(asides) == 1) {
					t.Errorf("set aside %v", asides)
				}
				if test.aside && (asides[0].ID != "x" || !strings.Contains(asides[0].Reason, strconv.Itoa(test.code))) {
					t.Errorf("set aside %+v", asides[0])
				}
				if st := f.Stats(); test.aside && st.SetAside != 1 || st.PutOff != 0 {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}

// TestPoison: an entry on which the console fails every time does not block the others, and in the end is set aside.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{ProtocolMlogc, ProtocolBatch} {
		t.Run(protocol, func(t *testing.T) {
			c := newConsole(t)
			c.answer = status(500, "x")
			s := openSpool(t, t.TempDir())
			_, r := start(t, s, Destination{URL: c.URL, Protocol: protocol, Connections: 2, ErrorTimeout: 60 * time.Millisecond})
			fill(t, s, append([]string{"x"}, numbered("a", 50)...)...)
			until(t, "others delivered", func() bool { return len(c.ids()) == 50 })
			for i := range 400 { // blame needs others that pass
				if n, _ := r.Backlog(); n == 0 {
					break
				}
				fill(t, s, "b"+strconv.Itoa(i))
				time.Sleep(10 * time.Millisecond)
			}
			until(t, "set aside", func() bool { a, _ := s.Asides("console"); return len(a) == 1 && a[0].ID == "x" })
		})
	}
}

func TestWrongAddressSetsNothingAside(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.answer = status(400, "a")
	s := openSpool(t, t.TempDir())
	_, r := start(t, s, Destination{URL: c.URL, Protocol: ProtocolMlogc, ErrorTimeout: 20 * time.Millisecond})
	fill(t, s, numbered("a", 20)...)
	until(t, "many tries", func() bool { return c.count() > 400 })
	if a, _ := s.Asides("console"); len(a) != 0 {
		t.Errorf("%d set aside", len(a))
	}
	if n, _ := r.Backlog(); n != 20 {
		t.Errorf("backlog %d", n)
	}
}

func TestRefusedInBatch(t *testing.T) {
	c := newConsole(t)
	s := openSpool(t, t.TempDir())
	_, r := start(t, s, Destination{URL: c.URL})
	fill(t, s, "a", "bad1", "b", "bad2", "c")
	until(t, "settled", func() bool { n, _ := r.Backlog(); return n == 0 })
	// Several connections send at once: what is appended first need not arrive first.
	if got := slices.Sorted(slices.Values(c.ids())); strings.Join(got, " ") != "a b c" {
		t.Errorf("stored %v", got)
	}
	if a, _ := s.Asides("console"); len(a) != 2 || a[0].ID != "bad1" || a[0].Reason != "refused: bad" {
		t.Errorf("set aside %+v", a)
	}
}

// TestSetAsideFails: an entry that cannot be set aside (disk) is neither lost nor in the way, and is set aside when that works.
func TestSetAsideFails(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	c.answer = status(409, "x")
	dir := t.TempDir()
	s := openSpool(t, dir)
	obstacle := filepath.Join(dir, "set-aside", "console") // in the place of the reader's directory
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, r := start(t, s, Destination{URL: c.URL, Protocol: ProtocolMlogc, ErrorTimeout: 64 * time.Millisecond})
	fill(t, s, "x", "a", "b")
	until(t, "others delivered", func() bool { return len(c.ids()) == 2 && c.count() > 4 })
	if n, _ := r.Backlog(); n != 1 || f.Stats().SetAside != 0 {
		t.Errorf("backlog %d, %+v", n, f.Stats())
	}
	os.Remove(obstacle)
	until(t, "set aside", func() bool { a, _ := s.Asides("console"); return len(a) == 1 && a[0].ID == "x" })
	until(t, "acknowledged", func() bool { n, _ := r.Backlog(); return n == 0 })
}

// TestAnswerOfSomethingElse: a 200 that is not a console's (a captive portal) stores nothing.
func TestAnswerOfSomethingElse(t *testing.T) {
	c := newConsole(t)
	var portal atomic.Bool
	portal.Store(true)
	c.answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if portal.Load() {
			w.Write([]byte("<html>please log in</html>"))
			return true
		}
		return false
	}
	s := openSpool(t, t.TempDir())
	_, r := start(t, s, Destination{URL: c.URL})
	fill(t, s, "a")
	until(t, "two tries", func() bool { return c.count() > 2 })
	if n, _ := r.Backlog(); n != 1 {
		t.Fatalf("backlog %d", n)
	}
	portal.Store(false)
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
}

// TestSilentConsole: a console that takes the request and says nothing costs one timeout, not for ever.
func TestSilentConsole(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var silent atomic.Bool
	silent.Store(true)
	c.answer = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		if silent.Load() {
			<-r.Context().Done()
			return true
		}
		return false
	}
	s := openSpool(t, t.TempDir())
	f, r := start(t, s, Destination{URL: c.URL, Timeout: 100 * time.Millisecond, Protocol: ProtocolMlogc})
	fill(t, s, numbered("a", 30)...)
	until(t, "timeouts", func() bool { return f.Stats().Failures > 0 })
	silent.Store(false)
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
	if !strings.Contains(f.Stats().LastError, "timeout") {
		t.Errorf("last error %q", f.Stats().LastError)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var first atomic.Int64
	c.answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if first.CompareAndSwap(0, time.Now().UnixNano()) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(503)
			return true
		}
		return false
	}
	s := openSpool(t, t.TempDir())
	f, r := start(t, s, Destination{URL: c.URL, ErrorTimeout: 50 * time.Millisecond, Connections: 4})
	fill(t, s, "a")
	until(t, "pause", func() bool { return !f.Stats().Waiting.IsZero() })
	fill(t, s, "b", "c")
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
	if waited := time.Duration(time.Now().UnixNano() - first.Load()); waited < time.Second {
		t.Errorf("came back after %v", waited)
	}
	if n := c.count(); n > 4 { // the one that failed, and then each on its connection
		t.Errorf("%d requests", n)
	}
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{"": 0, "5": 5 * time.Second, "-1": 0, "99999999": time.Hour, "Sun, 22 Nov 2026 08:00:07 GMT": 7 * time.Second, "soon": 0} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", value, got, want)
		}
	}
}

// TestOutage: the console is away, comes back, and gets everything in order over connections that it had.
func TestOutage(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var down atomic.Bool
	down.Store(true)
	c.answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if down.Load() {
			w.WriteHeader(503)
		}
		return down.Load()
	}
	s := openSpool(t, t.TempDir())
	_, r := start(t, s, Destination{URL: c.URL, Protocol: ProtocolMlogc, Connections: 1})
	want := fill(t, s, numbered("a", 300)...)
	until(t, "failures", func() bool { return c.count() > 5 })
	if c.count() > 20 {
		t.Errorf("%d requests to a console that is down", c.count())
	}
	down.Store(false)
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
	got := c.ids()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %d ids", len(got))
	}
}

func TestDestinationsAreIndependent(t *testing.T) {
	good, bad := newConsole(t), newConsole(t)
	bad.answer = status(500, "a")
	s := openSpool(t, t.TempDir())
	_, r1 := start(t, s, Destination{URL: good.URL})
	r2, err := s.Reader("other")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(Config{Reader: r2, Destination: Destination{URL: bad.URL, ErrorTimeout: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	go f.Run(t.Context())
	fill(t, s, numbered("a", 50)...)
	until(t, "delivered", func() bool { n, _ := r1.Backlog(); return n == 0 })
	if n, _ := r2.Backlog(); n != 50 {
		t.Errorf("backlog of the bad one: %d", n)
	}
}

func TestMlogcRequest(t *testing.T) {
	c := newConsole(t)
	s := openSpool(t, t.TempDir())
	_, r := start(t, s, Destination{URL: c.URL + "/rpc/auditLogReceiver", User: "honeypot-sensor", Password: "test1234", Protocol: ProtocolMlogc})
	fill(t, s, "abc")
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
	p := c.puts[0]
	for name := range p.header {
		switch name {
		case "Accept", "Authorization", "Content-Length", "X-Content-Hash", "X-Forensiclog-Summary":
		default:
			t.Errorf("header %s, which mlogc does not send", name)
		}
	}
	if got := p.header.Get("Authorization"); got != "Basic "+base64.StdEncoding.EncodeToString([]byte("honeypot-sensor:test1234")) {
		t.Errorf("Authorization %q", got)
	}
	if got := p.header.Get("X-Content-Hash"); got != "md5:"+md5Hex(p.body) {
		t.Errorf("X-Content-Hash %q", got)
	}
	if string(p.body) != string(entry("abc"))[:0]+string(p.body) || !strings.Contains(p.header.Get("X-ForensicLog-Summary"), " abc ") {
		t.Errorf("summary %q", p.header.Get("X-ForensicLog-Summary"))
	}
}

// TestUpgrade: a console of our own gets batches after the first PUT; one that only says so, or names another host, gets PUTs.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for says, most := range map[string]int{BatchPath: 60, "/gone": 1000, "http://192.0.2.1/x": 300} {
		t.Run(says, func(t *testing.T) {
			c := newConsole(t)
			c.batches = says
			s := openSpool(t, t.TempDir())
			want := fill(t, s, numbered("a", 300)...)
			_, r := start(t, s, Destination{URL: c.URL + "/rpc/auditLogReceiver", Protocol: ProtocolMlogc, ErrorTimeout: 64 * time.Millisecond, Delay: 5 * time.Millisecond})
			until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
			got := c.ids()
			slices.Sort(got)
			if !slices.Equal(got, want) || c.count() > most {
				t.Errorf("%d stored in %d requests", len(got), c.count())
			}
		})
	}
}

func TestSendBatch(t *testing.T) {
	c := newConsole(t)
	var tries atomic.Int32
	c.answer = func(w http.ResponseWriter, _ *http.Request, ids string) bool {
		switch {
		case tries.Add(1) == 1:
			w.WriteHeader(503)
			return true
		case strings.Contains(ids, "x") || strings.Count(ids, " ") > 30:
			w.WriteHeader(413)
			return true
		}
		return false
	}
	var entries [][]byte
	for _, id := range append(numbered("a", 100), "a0000", "x", "bad") {
		entries = append(entries, entry(id))
	}
	stored, known, refused, err := SendBatch(t.Context(), nil, Destination{URL: c.URL, ErrorTimeout: time.Second}, entries)
	if err != nil || stored != 100 || known != 1 || refused != 2 {
		t.Errorf("stored %d, known %d, refused %d: %v", stored, known, refused, err)
	}
	c.answer = status(401, "a")
	if _, _, _, err := SendBatch(t.Context(), nil, Destination{URL: c.URL}, entries[:1]); err == nil {
		t.Error("a wrong password is no error")
	}
}

// TestConnections: no more than allowed, and used again.
func TestConnections(t *testing.T) {
	c := &console{}
	c.Server = httptest.NewUnstartedServer(c)
	var opened, open, most atomic.Int32
	c.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	c.answer = func(http.ResponseWriter, *http.Request, string) bool {
		n := open.Add(1)
		defer open.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		return false
	}
	c.Start()
	defer c.Close()
	s := openSpool(t, t.TempDir())
	_, r := start(t, s, Destination{URL: c.URL, Protocol: ProtocolMlogc, Connections: 3})
	fill(t, s, numbered("a", 150)...)
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
	if opened.Load() > 3 || most.Load() > 3 {
		t.Errorf("%d connections opened, %d requests at once", opened.Load(), most.Load())
	}
}

// TestCertificate: checked unless the user said otherwise, as mlogc.conf's InsecureNoCheckCert does.
func TestCertificate(t *testing.T) {
	c := &console{}
	c.Server = httptest.NewTLSServer(c)
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer c.Close()
	for _, insecure := range []bool{false, true} {
		s := openSpool(t, t.TempDir())
		f, r := start(t, s, Destination{URL: c.URL, Insecure: insecure, MinTLS: tls.VersionTLS12, ErrorTimeout: 50 * time.Millisecond})
		fill(t, s, "a")
		until(t, "an end", func() bool { n, _ := r.Backlog(); return n == 0 || f.Stats().Failures > 0 })
		n, _ := r.Backlog()
		if insecure != (n == 0) || !insecure && !strings.Contains(f.Stats().LastError, "certificate") {
			t.Errorf("insecure %v: backlog %d, %+v", insecure, n, f.Stats())
		}
	}
}

// TestDelays: nothing is sent before StartupDelay, and a connection rests for Delay.
func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{}
		g.init(64 * time.Second)
		first := g.failure(0)
		if first > time.Second || first < 700*time.Millisecond {
			t.Errorf("first pause %v", first)
		}
		if again := g.failure(0); again != first {
			t.Errorf("a failure that was under way makes the pause %v", again)
		}
		var through atomic.Int32
		for range 5 {
			go func() {
				if g.wait(t.Context()) == nil {
					through.Add(1)
				}
			}()
		}
		time.Sleep(first - time.Millisecond)
		synctest.Wait()
		if n := through.Load(); n != 0 {
			t.Errorf("%d went through in the pause", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := through.Load(); n != 1 {
			t.Errorf("%d try after the pause", n)
		}
		if second := g.failure(0); second < first*5/4 {
			t.Errorf("second pause %v after %v", second, first)
		}
		if asked := g.failure(10 * time.Minute); asked != 10*time.Minute {
			t.Errorf("Retry-After gives %v", asked)
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if n := through.Load(); n != 2 {
			t.Errorf("%d tries", n)
		}
		g.success()
		synctest.Wait()
		if n := through.Load(); n != 5 {
			t.Errorf("%d of 5 after the success", n)
		}
		for i := range 100 {
			if d := backOff(i, time.Minute); d > time.Minute || d < 30*time.Millisecond {
				t.Errorf("pause %d is %v", i, d)
			}
		}
	})
	c := newConsole(t)
	s := openSpool(t, t.TempDir())
	fill(t, s, "a", "b", "c", "d")
	begin := time.Now()
	_, r := start(t, s, Destination{URL: c.URL, Protocol: ProtocolMlogc, Connections: 1, StartupDelay: 100 * time.Millisecond, Delay: 30 * time.Millisecond})
	until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
	if d := time.Since(begin); d < 190*time.Millisecond {
		t.Errorf("4 entries in %v", d)
	}
}

func TestNewRefuses(t *testing.T) {
	s := openSpool(t, t.TempDir())
	r, _ := s.Reader("a")
	for _, d := range []Destination{{URL: "ftp://x"}, {URL: ""}, {URL: "http://x", Protocol: "smtp"}, {URL: "://"}} {
		if _, err := New(Config{Reader: r, Destination: d}); err == nil {
			t.Errorf("%+v is taken", d)
		}
	}
}
