package trap

import (
	"net/http"
	"testing"
)

func TestTargetStatus(t *testing.T) {
	for target, want := range map[string]int{
		"/":                              0,
		"*":                              0,
		"/a/../b":                        0,
		"/a/../../b":                     http.StatusBadRequest,
		"/..":                            http.StatusBadRequest,
		"/.%2e/":                         http.StatusBadRequest,
		"/%2E%2e":                        http.StatusBadRequest,
		"/...":                           0,
		"/.../../..":                     http.StatusBadRequest,
		"/..a/..":                        0,
		"/./a":                           0,
		"/a?x=/../../":                   0,
		"/a?%zz":                         0,
		"/%":                             http.StatusBadRequest,
		"/%2":                            http.StatusBadRequest,
		"/%zz":                           http.StatusBadRequest,
		"/a%2Fb":                         http.StatusNotFound,
		"/a%00":                          http.StatusNotFound,
		"a":                              http.StatusBadRequest,
		"":                               http.StatusBadRequest,
		"http://example.org/../x":        http.StatusBadRequest,
		"http://example.org":             0,
		"https://example.org/a%2fb?c://": http.StatusNotFound,
	} {
		if got := targetStatus(target); got != want {
			t.Errorf("%q: %d, want %d", target, got, want)
		}
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct {
		bytes string
		more  bool
		want  speech
	}{
		{"", true, speechUnknown},
		{"G", true, speechUnknown},
		{"GET /", true, speechUnknown},
		{"GET /", false, speechHTTP1},
		{"GET / HTTP/1.1\r\n", true, speechHTTP1},
		{"FOO /x HTTP/1.1\r\n", true, speechHTTP1},
		{"FOO BAR\r\n", true, speechOther},
		{"FOO /x\r\n", true, speechHTTP1},
		{"\r\n", true, speechUnknown},
		{"\r\n\r\n", false, speechOther},
		{"\r\nGET / HTTP/1.0\r\n", true, speechHTTP1},
		{"PRI * HTTP/2.0\r\n", true, speechUnknown},
		{preface, true, speechHTTP2},
		{"PRI * HTTP/2.0\r\nX", true, speechOther},
		{"\x16", true, speechUnknown},
		{"\x16\x03\x01", true, speechTLS},
		{"\x16\x04", true, speechOther},
		{"SSH-2.0-x", true, speechOther},
		{"OPTIONS rtsp://x RTSP/1.0\r\n", true, speechOther},
		{"\x00", true, speechOther},
		{"\xffGET / HTTP/1.1\r\n", true, speechHTTP1},
		{"EHLO x\r\n", true, speechOther},
		{"GET \x00\x01", true, speechUnknown},
	} {
		if got := sniff([]byte(c.bytes), c.more); got != c.want {
			t.Errorf("%q, more %v: %d, want %d", c.bytes, c.more, got, c.want)
		}
	}
}
