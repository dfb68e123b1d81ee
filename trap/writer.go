package trap

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// writer is the http.ResponseWriter that a host's own handler writes to. It
// keeps the answer back, because the record that shows it must be durable
// before its first byte is sent. Beyond limit the record has what fits, is made
// durable, and the rest goes straight through.
type writer struct {
	x        *exchange
	limit    int
	overflow func() bool         // records and sends what is in x.answer; false when the client is gone
	more     func(p []byte) bool // sends what follows

	header    http.Header
	method    string
	wrote     bool  // status and headers are taken
	replaced  bool  // by an error page
	streaming bool  // overflow has been called
	broken    bool  // nothing more can be sent on this connection
	sent      int64 // body bytes passed on
}

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.wrote || status < 200 || status > 999 {
		return
	}
	w.wrote = true
	a := &w.x.answer
	if status >= http.StatusBadRequest {
		// The page of our own: net/http's would tell that this is no Apache.
		w.replaced = true
		a.page(status, w.method, "")
		return
	}
	a.status = status
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		a.length = n
	}
	// In Apache's order, then sorted: two runs of one request give the same record.
	first := []string{"Last-Modified", "Etag", "Accept-Ranges"}
	for _, name := range append(first, slices.Sorted(maps.Keys(w.header))...) {
		if slices.Contains(first, name) {
			for _, value := range w.header[name] {
				a.set(name, value)
			}
			delete(w.header, name)
			continue
		}
		switch name {
		case "Content-Type":
			// mod_mime names no charset unless it is told to.
			a.set(name, strings.TrimSuffix(w.header.Get(name), "; charset=utf-8"))
			continue
		case "Content-Length", "Connection", "Keep-Alive", "Transfer-Encoding", "Date", "Server":
			continue
		}
		for _, value := range w.header[name] {
			a.set(name, value)
		}
	}
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	a := &w.x.answer
	switch {
	case w.broken:
		return 0, errGone
	case w.replaced:
		return len(p), nil
	case w.streaming:
	case len(a.body)+len(p) <= w.limit:
		a.body = append(a.body, p...)
		return len(p), nil
	default:
		a.open = true
		w.streaming = true
		w.sent = int64(len(a.body))
		if !w.overflow() || !a.open { // gone, or a rule replaced the answer
			w.broken = true
			return 0, errGone
		}
	}
	if a.length >= 0 && w.sent+int64(len(p)) > a.length {
		w.broken = true
		return 0, http.ErrContentLength
	}
	w.sent += int64(len(p))
	if !w.more(p) {
		w.broken = true
		return 0, errGone
	}
	return len(p), nil
}

// serve runs the host's handler. eachHeader yields the request's headers in order.
func (w *writer) serve(ctx context.Context, method, target, proto string, eachHeader func(func(name, value string))) {
	defer func() {
		if p := recover(); p != nil {
			w.x.c.trap.panicked(p)
			if w.streaming {
				w.broken = true
				return
			}
			w.x.answer.reset()
			w.x.answer.page(http.StatusInternalServerError, method, "")
		}
	}()
	w.method = method
	r, ok := w.request(ctx, method, target, proto, eachHeader)
	if !ok {
		w.x.answer.page(http.StatusBadRequest, method, "")
		return
	}
	w.x.host.DocumentRoot.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	if a := &w.x.answer; w.streaming && a.length >= 0 && w.sent != a.length {
		w.broken = true
	} else if !w.streaming && r.Method != http.MethodHead {
		a.length = -1 // the body is here: its real length counts
	}
}

// request makes what a http.Handler expects. ok is false for targets it could not make sense of.
func (w *writer) request(ctx context.Context, method, target, proto string, eachHeader func(func(name, value string))) (*http.Request, bool) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, false
	}
	rec := &w.x.rec
	r := &http.Request{
		Method: method, URL: u, Proto: proto, RequestURI: target, RemoteAddr: rec.Client.String(),
		Header: make(http.Header), Body: io.NopCloser(bytes.NewReader(rec.RequestBody)), ContentLength: int64(len(rec.RequestBody)),
	}
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(proto)
	eachHeader(func(name, value string) {
		if strings.EqualFold(name, "Host") {
			r.Host = value
			return
		}
		r.Header.Add(name, value)
	})
	if u.Host != "" { // absolute form wins (RFC 9112, section 3.2.2)
		r.Host = u.Host
	}
	return r.WithContext(ctx), true
}

var _ http.ResponseWriter = (*writer)(nil)
