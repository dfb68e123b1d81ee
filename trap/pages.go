package trap

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// appendPage appends the error page that Apache 2.4 sends for a status, ServerSignature Off.
func appendPage(dst []byte, status int, method, url string) []byte {
	reason := statusText(status)
	dst = append(dst, "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>"...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	dst = append(dst, "</title>\n</head><body>\n<h1>"...)
	dst = append(dst, reason...)
	dst = append(dst, "</h1>\n"...)
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		dst = append(dst, "<p>The document has moved <a href=\""...)
		dst = appendEscaped(dst, url)
		dst = append(dst, "\">here</a>.</p>\n"...)
	case http.StatusMethodNotAllowed:
		dst = append(dst, "<p>The requested method "...)
		dst = appendEscaped(dst, method)
		dst = append(dst, " is not allowed for this URL.</p>\n"...)
	case http.StatusNotImplemented:
		dst = append(dst, "<p>"...)
		dst = appendEscaped(dst, method)
		dst = append(dst, " not supported for current URL.<br />\n</p>\n"...)
	default:
		dst = append(dst, pageText(status)...)
	}
	return append(dst, "</body></html>\n"...)
}

// statusText is Apache's reason phrase.
func statusText(status int) string {
	if status == http.StatusRequestURITooLong {
		return "Request-URI Too Long"
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Error"
}

func pageText(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "<p>Your browser sent a request that this server could not understand.<br />\n</p>\n"
	case http.StatusUnauthorized:
		return "<p>This server could not verify that you\nare authorized to access the document\nrequested.  Either you supplied the wrong\n" +
			"credentials (e.g., bad password), or your\nbrowser doesn't understand how to supply\nthe credentials required.</p>\n"
	case http.StatusForbidden:
		return "<p>You don't have permission to access this resource.</p>\n"
	case http.StatusNotFound:
		return "<p>The requested URL was not found on this server.</p>\n"
	case http.StatusRequestTimeout:
		return "<p>Server timeout waiting for the HTTP request from the client.</p>\n"
	case http.StatusRequestEntityTooLarge:
		return "The requested resource does not allow request data with the requested method, or the amount of data provided in\n" +
			"the request exceeds the capacity limit.\n"
	case http.StatusRequestURITooLong:
		return "<p>The requested URL's length exceeds the capacity\nlimit for this server.<br />\n</p>\n"
	case http.StatusRequestHeaderFieldsTooLarge:
		return "<p>The server refused this request because\nthe request header fields are too large.</p>\n"
	case http.StatusServiceUnavailable:
		return "<p>The server is temporarily unable to service your\nrequest due to maintenance downtime or capacity\n" +
			"problems. Please try again later.</p>\n"
	}
	return "<p>The server encountered an internal error or\nmisconfiguration and was unable to complete\nyour request.</p>\n"
}

// appendEscaped escapes as Apache's ap_escape_html does: what a client sent must not become markup.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		case '"':
			dst = append(dst, "&quot;"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// dateLine keeps the Date header of the current second.
type dateLine struct {
	last atomic.Pointer[dated]
}

type dated struct {
	second int64
	text   string
}

func (d *dateLine) at(t time.Time) string {
	if l := d.last.Load(); l != nil && l.second == t.Unix() {
		return l.text
	}
	l := &dated{second: t.Unix(), text: t.UTC().Format(http.TimeFormat)}
	d.last.Store(l)
	return l.text
}
