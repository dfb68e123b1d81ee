package forward

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trapline/trapline/console/control"
	"github.com/trapline/trapline/console/ingest"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/spool"
)

// TestToConsole sends to the real console: both protocols, the piped program with real files of ModSecurity 2 and 3, and
// SendBatch. What came is what was sent; what comes twice is known.
func TestToConsole(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(store.Config{Dir: filepath.Join(dir, "store"), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	ctl, err := control.Open(control.Config{Dir: filepath.Join(dir, "control")})
	if err != nil {
		t.Fatal(err)
	}
	defer ctl.Close()
	secret, err := ctl.AddSensor(t.Context(), "sensor-1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(ingest.New(ingest.Config{Store: st, Control: ctl, Logger: logger(t)}))
	server.Config.MaxHeaderBytes = 64 << 10
	server.Start()
	defer server.Close()
	holds := func(id string) bool {
		e, err := st.Event(t.Context(), "sensor-1", id)
		return err == nil && e.Record.ID == id
	}
	for _, d := range []Destination{
		{URL: server.URL, Protocol: ProtocolBatch}, {URL: server.URL, Protocol: ProtocolBatch, Token: "sensor-1:" + secret}, {URL: server.URL + "/rpc/auditLogReceiver", Protocol: ProtocolMlogc},
	} {
		if d.Token == "" {
			d.User, d.Password = "sensor-1", secret
		}
		s := openSpool(t, t.TempDir())
		f, r := start(t, s, d)
		ids := fill(t, s, numbered(d.Protocol+d.Token[:min(1, len(d.Token))], 50)...)
		until(t, "delivered", func() bool { n, _ := r.Backlog(); return n == 0 })
		for _, id := range ids {
			if !holds(id) {
				t.Errorf("%s: %s is not at the console", d.Protocol, id)
			}
		}
		if st := f.Stats(); st.Failures > 0 || st.SetAside > 0 {
			t.Errorf("%+v", st)
		}
	}
	gapIsShown(t, st, Destination{URL: server.URL, User: "sensor-1", Password: secret})
	stored, known, refused, err := SendBatch(t.Context(), nil, Destination{URL: server.URL, User: "sensor-1", Password: secret}, [][]byte{entry("batch0001"), entry("new"), []byte("rubbish")})
	if err != nil || stored != 1 || known != 1 || refused != 1 {
		t.Errorf("stored %d, known %d, refused %d: %v", stored, known, refused, err)
	}
	for set, id := range map[string]string{"v2-honeytrap-seed-concurrent/index.log audit": "awKnED4pRdIt3ksS1Lm49QAAAEA", "v3-honeytrap-crs-parallel/audit.log tree": "179533601636.104855"} {
		log, tree, _ := strings.Cut(set, " ")
		p := newSensor(t, server.URL, "SensorUsername sensor-1", "SensorPassword "+secret)
		if err := os.CopyFS(p.conf.StorageDir(), os.DirFS(filepath.Join(samples, filepath.Dir(log), tree))); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(samples, log))
		if err != nil {
			t.Fatal(err)
		}
		p.run(t, strings.ReplaceAll(string(text), "/srv/honeytrap/apache2/v3-honeytrap-crs-parallel/audit/tree", p.conf.StorageDir()))
		if !holds(id) || p.files(t) != 0 {
			t.Errorf("%s: %s is not at the console, or files are left", log, id)
		}
	}
}

// gapIsShown fills a small spool while the console is away: when it is back it shows what it will never get.
func gapIsShown(t *testing.T, st *store.Store, d Destination) {
	t.Helper()
	dir := t.TempDir()
	s, err := spool.Open(spool.Config{Dir: dir, MaxBytes: 40_000, GiveUp: true, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r, err := s.Reader("console")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, numbered("gap", 300)...)
	lost := r.Stats().GivenUp
	if lost == 0 {
		t.Fatal("nothing was given up")
	}
	_, r = start(t, s, d)
	until(t, "delivered and reported", func() bool {
		n, _ := r.Backlog()
		return n == 0 && len(r.Gaps()) == 1 && r.Gaps()[0].Reported
	})
	e, err := st.Event(t.Context(), "sensor-1", GapRecord("console", r.Gaps()[0]).ID)
	if err != nil || e.Record.Folded == nil || e.Record.Folded.Records != lost {
		t.Errorf("%+v, %v: want %d records", e.Record, err, lost)
	}
	if sum := store.Summarize(&e); !strings.Contains(sum.Message, fmt.Sprintf("%d records from ", lost)) || !strings.Contains(sum.Message, "missing") {
		t.Errorf("the list says %q", sum.Message)
	}
	events, _, err := st.Events(t.Context(), store.Filter{}, store.Page{Limit: 1000})
	n := 0
	for i := range events {
		if strings.HasPrefix(events[i].ID, "gap") {
			n++
		}
	}
	if err != nil || n+int(lost) != 300 {
		t.Errorf("%d records and a gap of %d of 300; %v", n, lost, err)
	}
}
