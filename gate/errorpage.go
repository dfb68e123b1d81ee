package gate

import (
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// fail answers with an error: what ErrorDocument says, or a page like Apache's.
func (x *exchange) fail(status int) {
	if x.sent || x.hijacked {
		panic(http.ErrAbortHandler) // too late for a page: cut the answer short, so that nobody takes it for complete
	}
	x.failing = true
	allow := x.w.Header().Get("Allow")
	x.clearAnswer()
	if allow != "" {
		x.w.Header().Set("Allow", allow)
	}
	m := x.merged
	if m == nil {
		m = x.site.plain
	}
	switch doc := m.errorDocuments[status]; {
	case doc == "":
	case strings.HasPrefix(doc, "http://") || strings.HasPrefix(doc, "https://"):
		x.redirect(http.StatusFound, doc)
		return
	case strings.HasPrefix(doc, "/"):
		if x.documentFile(status, doc) {
			return
		}
	default:
		x.pageText(status, doc)
		return
	}
	x.page(status, "")
}

// clearAnswer forgets what an upstream or a file has put into the answer's head.
func (x *exchange) clearAnswer() {
	h := x.w.Header()
	for name := range h {
		if name != "Connection" {
			delete(h, name)
		}
	}
}

// documentFile answers with a file of the site.
func (x *exchange) documentFile(status int, p string) bool {
	p, _, _ = strings.Cut(p, "?")
	if x.site.root == nil && x.site.mapPath(p) == "" || x.merged == nil {
		return false
	}
	f, info, err := x.open(p)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if info.IsDir() {
		return false
	}
	t := x.contentType(info.Name())
	if t == "" {
		t = "text/html; charset=utf-8"
	}
	x.w.Header().Set("Content-Type", t)
	x.w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	x.failing = false // as in Apache: a document of the site, with all that belongs to it
	x.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = io.CopyN(struct{ io.Writer }{x}, f, info.Size())
	}
	return true
}

// page writes the page that Apache writes for a status.
func (x *exchange) page(status int, target string) {
	text := http.StatusText(status)
	if text == "" {
		text = "Error"
	}
	x.pageText(status, "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>"+strconv.Itoa(status)+" "+text+
		"</title>\n</head><body>\n<h1>"+text+"</h1>\n"+explanation(status, target)+"</body></html>\n")
}

func (x *exchange) pageText(status int, body string) {
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if bodyAllowed(status) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // what follows on the connection may be the rest of this request
	}
	x.WriteHeader(status)
	if x.r.Method != http.MethodHead && bodyAllowed(status) {
		_, _ = io.WriteString(x, body)
	}
}

// explanation is Apache's sentence for a status.
func explanation(status int, target string) string {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return "<p>The document has moved <a href=\"" + html.EscapeString(target) + "\">here</a>.</p>\n"
	case http.StatusBadRequest:
		return "<p>Your browser sent a request that this server could not understand.<br />\n</p>\n"
	case http.StatusForbidden:
		return "<p>You don't have permission to access this resource.</p>\n"
	case http.StatusNotFound:
		return "<p>The requested URL was not found on this server.</p>\n"
	case http.StatusMethodNotAllowed:
		return "<p>The requested method is not allowed for this URL.</p>\n"
	case http.StatusGone:
		return "<p>The requested resource is no longer available on this server.</p>\n"
	case http.StatusRequestEntityTooLarge:
		return "<p>The amount of data provided in the request exceeds the capacity limit.</p>\n"
	case http.StatusRequestURITooLong:
		return "<p>The requested URL's length exceeds the capacity limit for this server.<br />\n</p>\n"
	case http.StatusBadGateway:
		return "<p>The proxy server received an invalid response from an upstream server.<br />\n</p>\n"
	case http.StatusServiceUnavailable:
		return "<p>The server is temporarily unable to service your request due to maintenance downtime or capacity problems. Please try again later.</p>\n"
	case http.StatusGatewayTimeout:
		return "<p>The gateway did not receive a timely response from the upstream server.</p>\n"
	}
	return "<p>The server was unable to complete your request.</p>\n"
}
