//go:build peers && linux

package slowloris

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

const (
	attackers = 10_000
	ramp      = 4 * time.Second // they come at this pace
	attack    = 6 * time.Second
	pause     = 20 * time.Millisecond // between two requests of another client
	patience  = 2 * time.Second       // of that client
	limits    = "SecConnEngine On\nSecConnReadStateLimit 50\n"
)

// TestSlowloris: 10,000 connections of one address send half a request head. Another address is served as if nobody
// was there, with the limit; the same attack is led against Apache with mod_security2, and the numbers are printed
// side by side.
func TestSlowloris(t *testing.T) {
	bin := binarytest.Build(t)
	ours := trapline(t, bin, limits)
	r := besiege(t, ours)
	t.Logf("trapline, limit 50:       %s", r)
	if r.failed > 0 || r.held > 50 || r.quantile(99) > time.Second {
		t.Errorf("another client must be served, and 50 connections held at most: %s", r)
	}
	if r.served < 100 {
		t.Errorf("only %d requests were made: the test is broken", r.served)
	}
	t.Logf("trapline, no limit:       %s", besiege(t, trapline(t, bin, "")))
	t.Logf("Apache, limit 50:         %s", besiege(t, apache(t, limits)))
	t.Logf("Apache, no limit:         %s", besiege(t, apache(t, "")))
}

func trapline(t *testing.T, bin, lines string) string {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	dir := t.TempDir()
	conf := filepath.Join(dir, "trapline.conf")
	text := "Listen " + address + "\nTrapConsole Off\nTrapSite builtin\nErrorLog " + dir + "/error.log\nSecRuleEngine On\n" + lines
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := binarytest.Start(t, bin, "run", "-c", conf, "--data", filepath.Join(dir, "data"))
	t.Cleanup(p.Kill)
	peertest.Listening(t, address)
	return address
}

func apache(t *testing.T, lines string) string {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	// mod_security2 counts with ExtendedStatus On only. The number of workers is Debian's.
	peertest.StartApache(t, "Listen "+address+"\nExtendedStatus On\nMaxRequestWorkers 150\nSecRuleEngine On\nSecDataDir {{dir}}/data\n"+lines, address)
	return address
}

// result is what an attack did to another client.
type result struct {
	served, failed int
	took           []time.Duration // sorted
	held, refused  int             // connections of the attacker, at the end
}

func (r result) quantile(percent int) time.Duration {
	if len(r.took) == 0 {
		return 0
	}
	return r.took[(len(r.took)-1)*percent/100]
}

func (r result) String() string {
	return fmt.Sprintf("another client: %d served, %d not; median %s, 99%% %s, longest %s; attacker: %d held, %d refused",
		r.served, r.failed, r.quantile(50).Round(10*time.Microsecond), r.quantile(99).Round(10*time.Microsecond), r.quantile(100).Round(10*time.Microsecond), r.held, r.refused)
}

// besiege leads the attack from 127.0.0.1 and asks from 127.0.0.2.
func besiege(t *testing.T, address string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), attack)
	defer cancel()
	var held, refused atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range attackers {
			wg.Go(func() { attacker(ctx, address, &held, &refused) })
			if i%100 == 99 {
				wait(ctx, ramp*100/attackers)
			}
		}
	})
	var r result
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	for ctx.Err() == nil {
		began := time.Now()
		if err := get(client, "http://"+address+"/"); err != nil {
			r.failed++
		} else {
			r.served++
			r.took = append(r.took, time.Since(began))
		}
		wait(ctx, pause)
	}
	r.held, r.refused = int(held.Load()), int(refused.Load())
	wg.Wait()
	slices.Sort(r.took)
	return r
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// attacker sends half a head, and stays.
func attacker(ctx context.Context, address string, held, refused *atomic.Int64) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	held.Add(1)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nX-"+strings.Repeat("a", 8)+": b\r\n")
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Read(make([]byte, 1)); err != nil && ctx.Err() == nil {
		held.Add(-1)
		refused.Add(1)
	}
}

func get(client *http.Client, url string) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
