package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy lets a page load our own files and nothing else. Script may put HTML
// into a page only through the one policy that live.js makes for rows from this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types trapline"

func (s *Site) headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: with it browsers send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
}

// hostAllowed stops DNS rebinding: a page of evil.example whose name is made to
// point at this console still sends "Host: evil.example".
func (s *Site) hostAllowed(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if u, found := strings.CutPrefix(s.cfg.URL, "https://"); found || strings.HasPrefix(s.cfg.URL, "http://") {
		u = strings.TrimPrefix(u, "http://")
		name, _, _ := strings.Cut(u, "/")
		if h, _, err := net.SplitHostPort(name); err == nil {
			name = h
		}
		if strings.EqualFold(name, host) {
			return true
		}
	}
	return slices.ContainsFunc(s.cfg.Hosts, func(allowed string) bool { return strings.EqualFold(allowed, host) })
}

func (s *Site) secure(r *http.Request) bool { return r.TLS != nil || s.cfg.Secure }

// setCookie sets a cookie that script cannot read and other sites cannot send.
// The prefix __Host- keeps neighbours in the domain from setting it; browsers accept it with Secure only.
func (s *Site) setCookie(w http.ResponseWriter, r *http.Request, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(r, name), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: s.secure(r), SameSite: http.SameSiteStrictMode,
	})
}

func (s *Site) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(s.cookieName(r, name))
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *Site) cookieName(r *http.Request, name string) string {
	if s.secure(r) {
		return "__Host-trapline-" + name
	}
	return "trapline-" + name
}

// formToken is the token that forms of a session carry. It follows from the
// cookie's value, which other sites cannot read, and does not reveal it.
func formToken(cookie string) string {
	m := hmac.New(sha256.New, []byte(cookie))
	m.Write([]byte("trapline form"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func formTokenMatches(cookie, token string) bool {
	return cookie != "" && subtle.ConstantTimeCompare([]byte(formToken(cookie)), []byte(token)) == 1
}

func randomToken() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// clientAddr is the other end of the connection. X-Forwarded-For is not read:
// anybody can write it, and login limits hang on this address.
func clientAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap()
}
