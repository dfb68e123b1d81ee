package gate

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
)

// route finds what would answer the path: an upstream, or a file. Access control and sections depend on it.
func (x *exchange) route() {
	x.pass, x.file = nil, ""
	if p := x.site.passFor(x.path); p != nil {
		x.pass = p
		return
	}
	x.file = x.site.mapPath(x.path)
}

// answer serves a request that the rules let pass.
func (x *exchange) answer() {
	r := x.r
	switch r.Method {
	case http.MethodConnect, http.MethodTrace:
		x.w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	if r.Method == "PRI" {
		x.fail(http.StatusBadRequest) // an HTTP/2 preface in the clear
		return
	}
	if r.RequestURI == "*" {
		x.merged = &merged{}
		x.w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		x.w.Header().Set("Content-Length", "0")
		x.WriteHeader(http.StatusOK)
		return
	}
	if climbs(r.URL.Path) {
		x.tell(levelError, nil, "AH10244: invalid URI path (", r.URL.EscapedPath(), ")")
		x.fail(http.StatusBadRequest)
		return
	}
	if !x.allowed() {
		x.fail(http.StatusForbidden)
		return
	}
	if x.redirected() {
		return
	}
	x.requestHeaderOps()
	switch {
	case x.pass != nil:
		x.proxy.Transport = x.pass.transport
		x.proxy.ServeHTTP(x, r)
	case x.site.root != nil || x.file != "":
		x.serveFile()
	default:
		x.fail(http.StatusNotFound)
	}
}

func (x *exchange) allowed() bool {
	if x.merged.access == nil {
		return true
	}
	v := visitor{method: x.r.Method, client: x.client.Addr(), local: x.conn.local.Addr(), env: x.getenv}
	if allowed(x.merged.access, &v) {
		return true
	}
	number := "AH01797" // of Order, Allow and Deny
	if a := x.merged.access; a.Require != nil && decide(a.Require, &v) != yes {
		number = "AH01630"
	}
	x.tell(levelError, nil, number, ": client denied by server configuration: ", x.place())
	return false
}

// redirected answers Redirect and RedirectMatch.
func (x *exchange) redirected() bool {
	for i := range x.site.Host.Redirects {
		d := &x.site.Host.Redirects[i]
		target, ok := d.URL, false
		if d.Regexp != nil {
			var groups []string
			if groups = d.Regexp.Groups(x.path); groups != nil {
				target, ok = substitute(d.URL, groups), true
			}
		} else if ok = below(x.path, d.Prefix); ok {
			target += escapePath(strings.TrimPrefix(x.path, d.Prefix))
			if x.r.URL.RawQuery != "" && !strings.Contains(target, "?") {
				target += "?" + x.r.URL.RawQuery
			}
		}
		switch {
		case !ok:
			continue
		case d.Status >= 400:
			x.fail(d.Status)
		default:
			x.redirect(d.Status, x.absolute(target))
		}
		return true
	}
	return false
}

// absolute makes a path of this site a URL, as Redirect sends it.
func (x *exchange) absolute(target string) string {
	if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		return target
	}
	host := x.r.Host
	if host == "" {
		if host = x.site.Host.Name; host == "" {
			return target
		}
	}
	return x.scheme() + "://" + host + target
}

func (x *exchange) scheme() string {
	if x.r.TLS != nil {
		return "https"
	}
	return "http"
}

// redirect answers with a Location.
func (x *exchange) redirect(status int, target string) {
	x.failing = true
	x.clearAnswer()
	x.w.Header().Set("Location", headerSafe(target))
	x.page(status, target)
}

// passFor finds the first ProxyPass whose prefix or pattern holds the path; "!" ends the search.
func (s *site) passFor(p string) *pass {
	for _, pass := range s.passes {
		if pass.holds(p) {
			if pass.exclude {
				return nil
			}
			return pass
		}
	}
	return nil
}

// mapPath is the file for a path: of the first Alias that holds it, else below DocumentRoot; "" for none.
func (s *site) mapPath(p string) string {
	for i := range s.paths {
		a := &s.paths[i]
		if a.Regexp != nil {
			if groups := a.Regexp.Groups(p); groups != nil {
				return filepath.Clean(substitute(a.Path, groups))
			}
			continue
		}
		if below(p, a.URL) {
			return joinPath(a.Path, strings.TrimPrefix(p, a.URL))
		}
	}
	if s.root == nil || s.root.files != nil {
		return ""
	}
	return joinPath(s.root.path, p)
}

// joinPath appends the rest of a clean URL path to a folder; "" when it is no path of this system.
func joinPath(folder, rest string) string {
	rest = strings.Trim(rest, "/")
	if rest == "" {
		return filepath.Clean(folder)
	}
	local, err := filepath.Localize(rest)
	if err != nil {
		return ""
	}
	return filepath.Join(folder, local)
}

// substitute replaces $0 to $9 as Apache's ap_pregsub does.
func substitute(template string, groups []string) string {
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		c := template[i]
		switch {
		case c == '\\' && i+1 < len(template) && (template[i+1] == '$' || template[i+1] == '&'):
			i++
			b.WriteByte(template[i])
		case c == '$' && i+1 < len(template) && template[i+1] >= '0' && template[i+1] <= '9':
			i++
			if n, _ := strconv.Atoi(template[i : i+1]); n < len(groups) {
				b.WriteString(groups[n])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// climbs is true for a path whose dot segments lead above the root: Apache too calls that a bad request.
func climbs(p string) bool {
	if !strings.Contains(p, "/..") {
		return false
	}
	depth := 0
	for segment := range strings.SplitSeq(strings.TrimPrefix(p, "/"), "/") {
		switch segment {
		case "..":
			depth--
		case "", ".":
		default:
			depth++
		}
		if depth < 0 {
			return true
		}
	}
	return false
}
