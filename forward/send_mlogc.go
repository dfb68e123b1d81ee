package forward

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the protocol's checksum, not a secret
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/spool"
)

// envelope marks an entry that carries the index line that came with it: "index: " + line + "\n" + the file's bytes.
const envelope = "index: "

// wrap puts a file's bytes behind its index line.
func wrap(line, body []byte) []byte {
	b := make([]byte, 0, len(envelope)+len(line)+1+len(body))
	b = append(append(b, envelope...), line...)
	return append(append(b, '\n'), body...)
}

// unwrap returns the index line, nil when there is none, and the file's bytes.
func unwrap(entry []byte) (line, body []byte) {
	rest, ok := bytes.CutPrefix(entry, []byte(envelope))
	if !ok {
		return nil, entry
	}
	line, body, _ = bytes.Cut(rest, []byte{'\n'})
	return line, body
}

// sendOne sends one entry as mlogc 2.9 does: the audit file as the body of a PUT, its MD5 and its index line as headers.
//
// It differs in this: mlogc has a blank at the end of both headers, and no order of headers is promised.
func (f *Forwarder) sendOne(ctx context.Context, e spool.Entry) outcome {
	line, body := unwrap(e.Bytes)
	sum := md5.Sum(body) //nolint:gosec // as above
	hash := hex.EncodeToString(sum[:])
	if line == nil {
		line = summary(body, hash)
	}
	ctx, cancel := context.WithTimeout(ctx, f.d.timeout(len(body)))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, f.d.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{reason: err.Error()}
	}
	f.d.authorize(req)
	req.Header["Accept"] = []string{"*/*"}
	req.Header["User-Agent"] = []string{""} // mlogc sends none
	req.Header["X-Content-Hash"] = []string{"md5:" + hash}
	req.Header["X-ForensicLog-Summary"] = []string{headerValue(line)} // spelled as mlogc spells it, for receivers that look for just this
	return f.do(req, len(body), false)
}

// summary makes the index line of an entry that came without one.
func summary(entry []byte, hash string) []byte {
	var r *audit.Record
	if len(entry) > 0 && entry[0] == '{' {
		r, _ = audit.ParseJSON(entry)
	} else {
		r, _ = audit.ParseNative(entry)
	}
	file := "/trapline/" + r.Time.Format("20060102/20060102-1504/20060102-150405-") + r.ID
	l := audit.Index(r, file, int64(len(entry)), hash)
	return bytes.TrimRight(audit.AppendIndex(nil, &l), " \n")
}

// headerValue makes sure that a line can stand in a header: no control bytes (index lines have them escaped).
func headerValue(line []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' || r == 0x7f {
			return '?'
		}
		return r
	}, line))
}

func (d *Destination) authorize(req *http.Request) {
	switch {
	case d.Token != "":
		req.Header.Set("Authorization", "Bearer "+d.Token)
	case d.User != "" || d.Password != "":
		req.SetBasicAuth(d.User, d.Password)
	}
}

// timeout gives big entries 1 s more for every 16 KiB.
func (d *Destination) timeout(size int) time.Duration {
	return d.Timeout + time.Duration(size>>14)*time.Second
}

// maxAnswer is how much of an answer is read; the connection is not used again when there is more.
const maxAnswer = 1 << 20

// do sends a request and reads the answer.
func (f *Forwarder) do(req *http.Request, size int, batch bool) outcome {
	resp, err := f.client.Do(req)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
			err = fmt.Errorf("no answer in time (timeout of %v): %w", f.d.Timeout, err)
		}
		return outcome{reason: err.Error(), bytes: size}
	}
	body, readErr := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err := resp.Body.Close(); err != nil && readErr == nil {
		readErr = err
	}
	text := body
	if resp.StatusCode == http.StatusOK {
		text = nil
	}
	o := classify(resp.StatusCode, resp.Header, string(text[:min(len(text), 200)]))
	o.bytes = size
	if batch && o.status == http.StatusOK {
		if readErr != nil {
			return outcome{reason: "answer cut off: " + readErr.Error(), bytes: size}
		}
		return f.batchAnswer(o, body)
	}
	if o.status == http.StatusOK {
		f.upgrade(req, resp.Header)
	}
	return o // mlogc ignores the body, and its loss
}

// client makes one that reuses its connections, follows no redirect and speaks HTTP/1.1 to mlogc's receivers.
func (d *Destination) client() *http.Client {
	dialer := &net.Dialer{Timeout: min(15*time.Second, d.Timeout), KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: d.Insecure, MinVersion: d.MinTLS}, //nolint:gosec // InsecureNoCheckCert and TLSProtocol are the user's words
		TLSHandshakeTimeout:   min(15*time.Second, d.Timeout),
		ResponseHeaderTimeout: d.Timeout,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   d.Connections,
		MaxConnsPerHost:       d.Connections,
		DisableCompression:    true,
		ForceAttemptHTTP2:     d.Protocol != ProtocolMlogc,
		WriteBufferSize:       64 << 10,
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// String names the destination without its password.
func (d Destination) String() string { return fmt.Sprintf("%s (%s to %s)", d.Name, d.Protocol, d.URL) }
