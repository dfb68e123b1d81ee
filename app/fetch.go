package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // a name for this host of the form that ModSecurity sends, no secret
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang"
)

const (
	// fetchTime bounds one download of rules: nothing starts, and nothing is reloaded, before it has ended.
	fetchTime = 30 * time.Second
	// maxFetched bounds the rules of one SecRemoteRules line.
	maxFetched = 16 << 20
)

// fetcher downloads the rules of SecRemoteRules, each text once for one load of the configuration: hosts that share
// a line must not get different rules.
type fetcher struct {
	client *http.Client
	id     string
	known  map[seclang.Remote]*fetched
	order  []*fetched
}

// fetched is one answer.
type fetched struct {
	remote seclang.Remote
	text   []byte
	err    error
}

func newFetcher() *fetcher {
	return &fetcher{
		id: hostID(), known: map[seclang.Remote]*fetched{},
		client: &http.Client{
			Timeout: fetchTime,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			},
			// The key is for the server that the configuration names; ModSecurity follows nobody either.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// fetch answers Config.Fetch of seclang.
func (f *fetcher) fetch(ctx context.Context, r seclang.Remote) ([]byte, error) {
	if was, ok := f.known[r]; ok {
		return was.text, was.err
	}
	got := &fetched{remote: r}
	got.text, got.err = f.get(ctx, r)
	f.known[r] = got
	f.order = append(f.order, got)
	return got.text, got.err
}

func (f *fetcher) get(ctx context.Context, r seclang.Remote) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, http.NoBody)
	if err != nil {
		return nil, plainFetch(err)
	}
	req.Header = http.Header{
		"User-Agent": {"Trapline"}, "Accept": {"*/*"},
		// As mod_security2 2.9.7 spells and orders the parts: its version, the server's, APR, PCRE, Lua, libxml2, the host's id.
		"Modsec-Unique-Id": {f.id}, "Modsec-Status": {"2.9.7,Trapline,(null),(null),(null),(null)," + f.id}, "Modsec-Key": {r.Key},
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, plainFetch(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		if to := res.Header.Get("Location"); to != "" {
			return nil, fmt.Errorf("the server answers %s to %s, expected 200 OK", res.Status, to)
		}
		return nil, fmt.Errorf("the server answers %s, expected 200 OK", res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxFetched+1))
	if err != nil {
		return nil, plainFetch(err)
	}
	return text, nil
}

// plainFetch leaves out the address, which the message names already, perhaps with a password.
func plainFetch(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
		return fmt.Errorf("no whole answer within %s", fetchTime)
	}
	return err
}

// notes says what was downloaded, one line each.
func (f *fetcher) notes() []string {
	var out []string
	for _, g := range f.order {
		if g.err == nil {
			u, _ := url.Parse(g.remote.URL) // it was fetched
			out = append(out, fmt.Sprintf("fetched %s: %d bytes, %d lines", u.Redacted(), len(g.text), bytes.Count(g.text, []byte("\n"))))
		}
	}
	return out
}

// hostID names this host to a server of rules as ModSecurity does: a hash of its name and of the hardware address of its
// first network card.
func hostID() string {
	name, _ := os.Hostname()
	var card net.HardwareAddr
	cards, _ := net.Interfaces()
	for _, c := range cards {
		if c.Flags&net.FlagLoopback == 0 && len(c.HardwareAddr) > 0 {
			card = c.HardwareAddr
			break
		}
	}
	sum := sha1.Sum([]byte(strings.ToLower(cmp.Or(card.String(), "-")) + name)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}
