//go:build peers

// Package scanners points real scanners at the traps, on loopback, and reads
// what they left: complete records, and a tag that blocks them on the real site.
package scanners

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/console/store"
	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

const conf = `Listen 127.0.0.1:%[1]d
Listen 127.0.0.1:%[2]d
TrapConsole 127.0.0.1:%[3]d
SecRequestBodyAccess On
SecRule SERVER_PORT "^(%[1]d)$" "id:'999004',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" "id:'999005',phase:2,t:none,log,block,msg:'HoneyTrap Alert: Known Malicious Client.'"
<VirtualHost *:%[2]d>
TrapSite builtin
</VirtualHost>
`

type run struct {
	trap, site int
	data       string
}

func start(t *testing.T) run {
	p := peertest.Ports(t, 3)
	dir := t.TempDir()
	file := filepath.Join(dir, "trapline.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, conf, p[0], p[1], p[2]), 0o644); err != nil {
		t.Fatal(err)
	}
	r := run{p[0], p[1], filepath.Join(dir, "data")}
	binarytest.Start(t, binarytest.Build(t), "run", "-c", file, "--data", r.data)
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", r.site))
	if got := r.status(t); got != http.StatusOK {
		t.Fatalf("the site answers %d before any touch", got)
	}
	return r
}

// status asks the real site from the scanners' address.
func (r run) status(t *testing.T) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}).DialContext,
	}}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", r.site))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// records waits until no more come and returns them all.
func (r run) records(t *testing.T) []*audit.Record {
	t.Helper()
	st, err := store.Open(store.Config{Dir: filepath.Join(r.data, "console")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var list []store.Summary
	for quiet := 0; quiet < 10; {
		now, _, err := st.Events(t.Context(), store.Filter{}, store.Page{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if quiet++; len(now) != len(list) {
			quiet = 0
		}
		list = now
		time.Sleep(100 * time.Millisecond)
	}
	var out []*audit.Record
	for _, s := range list {
		e, err := st.Event(t.Context(), s.Sensor, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		rec, faults := audit.ParseNative(e.Entry)
		if len(faults) > 0 {
			t.Errorf("record %s: %v", s.ID, faults)
		}
		out = append(out, rec)
	}
	return out
}

func scan(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, peertest.Program(t, program), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// complete fails the test for records that lack what every record must have.
func complete(t *testing.T, records []*audit.Record) {
	t.Helper()
	for _, r := range records {
		switch {
		case r.ID == "" || r.Time.IsZero() || !r.Client.IsValid() || !r.Server.IsValid():
			t.Errorf("record without id, time or addresses: %+v", r)
		case r.Kind != audit.KindConnect && len(r.RequestHead) == 0:
			t.Errorf("record %s of kind %s without the bytes that came", r.ID, r.Kind)
		case len(r.Matches) == 0 && r.Kind != audit.KindConnect:
			t.Errorf("record %s (%.60q) without the honeytrap's match", r.ID, r.RequestHead)
		}
	}
}

func TestNmapVersionScan(t *testing.T) {
	peertest.Program(t, "nmap")
	r := start(t)
	scan(t, "nmap", "-sV", "-Pn", "-n", "-p", fmt.Sprint(r.trap), "127.0.0.1")
	if got := r.status(t); got != http.StatusForbidden {
		t.Errorf("after nmap -sV the site answers %d, want 403", got)
	}
	list := r.records(t)
	complete(t, list)
	http := 0
	for _, rec := range list {
		if rec.Kind == audit.KindHTTP {
			http++
		}
	}
	if http == 0 {
		t.Errorf("nmap -sV left %d records and no HTTP request", len(list))
	}
	t.Logf("nmap -sV left %d records, %d of them HTTP", len(list), http)
}

func TestNmapConnectScan(t *testing.T) {
	peertest.Program(t, "nmap")
	r := start(t)
	scan(t, "nmap", "-sT", "-Pn", "-n", "-p", fmt.Sprint(r.trap), "127.0.0.1")
	peertest.Wait(t, "the bare connect to block its client", 3*time.Second, func() bool { return r.status(t) == http.StatusForbidden })
	list := r.records(t)
	complete(t, list)
	if len(list) == 0 {
		t.Error("nmap -sT left no record")
	}
}

func TestSqlmap(t *testing.T) {
	peertest.Program(t, "sqlmap")
	r := start(t)
	scan(t, "sqlmap", "--batch", "--flush-session", "--output-dir", t.TempDir(), "--ignore-code", "403", "--level", "1", "--technique", "B",
		"-u", fmt.Sprintf("http://127.0.0.1:%d/item.php?id=1", r.trap))
	if got := r.status(t); got != http.StatusForbidden {
		t.Errorf("after sqlmap the site answers %d, want 403", got)
	}
	list := r.records(t)
	complete(t, list)
	found := 0
	for _, rec := range list {
		if strings.Contains(strings.ToLower(string(rec.RequestHead)), "sqlmap/") {
			found++
		}
	}
	if found < 5 {
		t.Errorf("sqlmap left %d records with its User-Agent, of %d", found, len(list))
	}
	t.Logf("sqlmap left %d records", len(list))
}
