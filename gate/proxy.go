package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/trapline/trapline/config"
)

// pass is one ProxyPass, ready to use.
type pass struct {
	prefix    string
	regexp    *config.Pattern
	exclude   bool
	target    *url.URL // of a prefix
	template  string   // of a regexp
	transport *http.Transport
	upgrade   string // upgrade= of ProxyPass: another protocol than WebSocket, "ANY" or "NONE"
}

func newPass(h *config.Host, p config.ProxyPass) (*pass, error) {
	out := &pass{prefix: p.Prefix, regexp: p.Regexp, exclude: p.URL == "!", upgrade: p.Upgrade}
	if out.exclude {
		return out, nil
	}
	out.template = plainScheme(p.URL)
	if p.Regexp == nil {
		var err error
		if out.target, err = url.Parse(out.template); err != nil {
			return nil, err
		}
	}
	timeout := firstPositive(p.Timeout, h.ProxyTimeout, h.Timeouts.Request, time.Minute)
	dialer := &net.Dialer{Timeout: firstPositive(p.ConnectTimeout, min(timeout, 30*time.Second))}
	out.transport = &http.Transport{
		DialContext:           dialer.DialContext,
		ResponseHeaderTimeout: timeout,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxConnsPerHost:       p.MaxConns,
		MaxIdleConnsPerHost:   512,
		DisableKeepAlives:     p.KeepAliveOff,
		DisableCompression:    true,                                             // what the client asked for is what the upstream gets
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: h.ProxyInsecure}, //nolint:gosec // SSLProxyVerify none is the owner's word
	}
	return out, nil
}

// plainScheme: an upgrade to WebSocket begins as HTTP.
func plainScheme(u string) string {
	if rest, ok := strings.CutPrefix(u, "ws://"); ok {
		return "http://" + rest
	}
	if rest, ok := strings.CutPrefix(u, "wss://"); ok {
		return "https://" + rest
	}
	return u
}

func firstPositive(ds ...time.Duration) time.Duration {
	for _, d := range ds {
		if d > 0 {
			return d
		}
	}
	return 0
}

func (p *pass) holds(path string) bool {
	if p.regexp != nil {
		return p.regexp.MatchString(path)
	}
	return below(path, p.prefix)
}

// urlFor is where a request goes. The query is passed on as it came.
func (p *pass) urlFor(x *exchange) (*url.URL, error) {
	if p.regexp != nil {
		u, err := url.Parse(substitute(p.template, escaped(p.regexp.Groups(x.path))))
		if err == nil && u.RawQuery == "" {
			u.RawQuery = x.r.URL.RawQuery
		}
		return u, err
	}
	raw := x.r.URL.EscapedPath()
	if x.path != x.r.URL.Path {
		raw = escapePath(x.path) // dot segments are gone: what was matched is what is asked for
	}
	rest, ok := strings.CutPrefix(raw, p.prefix)
	if !ok {
		rest = escapePath(strings.TrimPrefix(x.path, p.prefix)) // the prefix came percent-encoded
	}
	u := *p.target
	u.RawPath = p.target.EscapedPath() + rest
	if u.RawPath == "" || u.RawPath[0] != '/' {
		u.RawPath = "/" + u.RawPath
	}
	var err error
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return nil, err
	}
	u.RawQuery, u.ForceQuery = x.r.URL.RawQuery, x.r.URL.ForceQuery
	return &u, nil
}

func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }

func escaped(groups []string) []string {
	for i := range groups {
		groups[i] = strings.TrimPrefix(escapePath("/"+groups[i]), "/")
	}
	return groups
}

// rewrite makes the request to the upstream.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	u, err := x.pass.urlFor(x)
	if err != nil {
		u = &url.URL{Scheme: "http"} // no host: the transport refuses it, upstreamFailed answers
	}
	out.URL = u
	out.Host = ""
	out.Trailer = x.r.Trailer // the map that net/http fills when the body ends, not the copy of its names
	if x.site.Host.PreserveHost {
		out.Host = x.r.Host
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // or Go would write its own
	}
	if x.site.settings.DisableBackendCompression {
		out.Header.Del("Accept-Encoding")
	}
	if !x.pass.upgrades(out.Header.Get("Upgrade")) {
		out.Header.Del("Upgrade")
		out.Header.Del("Connection")
	}
	x.forwardedHeaders(out)
}

// upgrades says whether an upstream may be asked to change the protocol. WebSocket it may, as with Apache's upgrade=WebSocket;
// with h2c a client would go on in HTTP/2 past every rule.
func (p *pass) upgrades(protocol string) bool {
	switch {
	case protocol == "", strings.EqualFold(p.upgrade, "none"):
		return false
	case strings.EqualFold(p.upgrade, "any"), strings.EqualFold(protocol, "websocket"):
		return true
	}
	return strings.EqualFold(protocol, p.upgrade)
}

// forwardedHeaders tells the upstream who asked. What a stranger claims in these headers goes no further.
func (x *exchange) forwardedHeaders(out *http.Request) {
	h, in := out.Header, x.r.Header
	client := x.client.Addr().String()
	if came := strings.Join(in["X-Forwarded-For"], ", "); x.trusted && came != "" {
		client = came + ", " + client // what clientOf has not taken as the client's own address
	}
	h.Set("X-Forwarded-For", client)
	h.Set("X-Forwarded-Host", x.r.Host)
	h.Set("X-Forwarded-Proto", x.scheme())
	if x.trusted {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto"} {
			if v := in.Get(name); v != "" {
				h.Set(name, v)
			}
		}
	}
	if name := x.site.Host.Name; name != "" {
		h.Set("X-Forwarded-Server", name)
	}
}

// fromUpstream rewrites an answer as ProxyPassReverse and ProxyErrorOverride ask.
func (x *exchange) fromUpstream(res *http.Response) error {
	for _, name := range [...]string{"Location", "Content-Location", "Uri"} {
		if v := res.Header.Get(name); v != "" {
			res.Header.Set(name, x.reverse(v))
		}
	}
	if res.Header["Content-Type"] == nil {
		x.w.Header()["Content-Type"] = nil // or net/http would guess one
	}
	if cookies := res.Header["Set-Cookie"]; len(cookies) > 0 && len(x.site.reverses) > 0 {
		for i, c := range cookies {
			cookies[i] = x.reverseCookie(c)
		}
	}
	if x.site.Host.ErrorOverride && res.StatusCode >= 400 {
		return statusError(res.StatusCode)
	}
	return nil
}

// statusError is an upstream's error answer that ProxyErrorOverride replaces by our page.
type statusError int

func (s statusError) Error() string { return http.StatusText(int(s)) }

// reverse turns a URL of the upstream into one of ours.
func (x *exchange) reverse(location string) string {
	for i := range x.site.reverses {
		rev := &x.site.reverses[i]
		if rev.Kind != "" {
			continue
		}
		rest, ok := strings.CutPrefix(location, plainScheme(rev.URL))
		if !ok && len(location)+1 == len(rev.URL) && location+"/" == rev.URL {
			rest, ok = "", true
		}
		if ok {
			return x.absolute(rev.Prefix + rest)
		}
	}
	return location
}

// reverseCookie rewrites Domain and Path of a Set-Cookie.
func (x *exchange) reverseCookie(cookie string) string {
	parts := strings.Split(cookie, ";")
	for i, part := range parts[1:] {
		key, value, has := strings.Cut(part, "=")
		name := strings.ToLower(strings.TrimSpace(key))
		for j := range x.site.reverses {
			rev := &x.site.reverses[j]
			switch {
			case !has || rev.Kind == "" || rev.Kind != name:
			case rev.Kind == "domain" && strings.EqualFold(value, rev.URL):
				parts[i+1] = key + "=" + rev.Prefix
			case rev.Kind == "path" && strings.HasPrefix(value, rev.URL):
				parts[i+1] = key + "=" + rev.Prefix + value[len(rev.URL):]
			}
		}
	}
	return strings.Join(parts, ";")
}

// upstreamFailed answers for an upstream that did not.
func (x *exchange) upstreamFailed(_ http.ResponseWriter, r *http.Request, err error) {
	var status statusError
	var dial *net.OpError
	var timeout net.Error
	switch {
	case x.denied || x.hijacked:
		return
	case errors.As(err, &status):
		x.fail(int(status))
		return
	case x.patient.status() != 0:
		x.fail(x.patient.status())
		return
	case r.Context().Err() != nil:
		// The client has gone: nobody reads an answer.
		x.status = 499
		panic(http.ErrAbortHandler)
	}
	code := http.StatusBadGateway
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		code = http.StatusGatewayTimeout
	case errors.As(err, &dial) && dial.Op == "dial":
		code = http.StatusServiceUnavailable
	}
	x.tellUpstream(code, err)
	x.gate.log.Warn("upstream failed", "host", x.site.Host.Name, "prefix", x.pass.prefix, "status", code, "error", err)
	x.fail(code)
}

// proxyTo is the action proxy: the rule's URL answers.
func (x *exchange) proxyTo(target string) {
	u, err := url.Parse(plainScheme(target))
	if err != nil || u.Host == "" {
		x.gate.log.Error("action proxy has no URL to go to", "host", x.site.Host.Name, "url", target)
		x.fail(http.StatusInternalServerError)
		return
	}
	p, err := newPass(x.site.Host, config.ProxyPass{Prefix: x.path, URL: u.String(), KeepAliveOff: true})
	if err != nil {
		x.fail(http.StatusInternalServerError)
		return
	}
	x.pass = p
	x.proxy.Transport = p.transport
	x.proxy.ServeHTTP(x, x.r)
}
