package gate

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

// TestDisableBackendCompression: the upstream is not told that the client takes compressed answers, as in mod_security2
// (test/bodies compares).
func TestDisableBackendCompression(t *testing.T) {
	for _, mode := range []string{"On", "Off"} {
		b := start(t, rules+"SecDisableBackendCompression "+mode+"\n"+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var names []string
			for k := range r.Header {
				names = append(names, k)
			}
			slices.Sort(names)
			fmt.Fprint(w, strings.Join(names, " "))
		}))
		_, got := b.get("/", "Accept-Encoding", "gzip", "TE", "gzip", "Accept-Charset", "x")
		if strings.Contains(got, "Accept-Encoding") != (mode == "Off") || !strings.Contains(got, "Accept-Charset") || strings.Contains(got, "Te ") {
			t.Errorf("%s: %s", mode, got)
		}
	}
}

// TestBrotliAnswer: rules see what is in a compressed answer; one that they let pass is sent as it came.
func TestBrotliAnswer(t *testing.T) {
	encoded := func(s string) []byte {
		var b bytes.Buffer
		w := brotli.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.Bytes()
	}
	b := start(t, rules+"SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@contains secret\" \"id:1,phase:4,deny,status:403\"\n"+proxyAll, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write(encoded("a page with a " + r.URL.Query().Get("q")))
	}))
	if res, _ := b.get("/?q=secret"); res.StatusCode != 403 {
		t.Errorf("status %d", res.StatusCode)
	}
	res, got := b.get("/?q=word")
	if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "br" || got != string(encoded("a page with a word")) {
		t.Errorf("%d %q", res.StatusCode, got)
	}
}
