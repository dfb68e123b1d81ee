//go:build oracle

package bodies

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/trapline/trapline/test/peertest"
)

// TestBackendCompression shows what SecDisableBackendCompression takes from a request before it goes to the upstream.
func TestBackendCompression(t *testing.T) {
	var got []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for k := range r.Header {
			got = append(got, k)
		}
		slices.Sort(got)
	}))
	defer upstream.Close()
	const modules = "LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\nLoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\n"
	for _, mode := range []string{"On", "Off"} {
		addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
		a := peertest.StartApache(t, modules+"Listen "+addr+"\nSecRuleEngine On\nSecAuditEngine Off\nSecDisableBackendCompression "+mode+"\nProxyPass / "+upstream.URL+"/\n", addr)
		got = nil
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nTE: gzip, trailers\r\nAccept: a\r\nAccept-Charset: b\r\nWant-Digest: c\r\nConnection: TE\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		c.Close()
		a.Stop()
		// The transport takes TE away in any case. gate does the same (TestDisableBackendCompression).
		if slices.Contains(got, "Accept-Encoding") != (mode == "Off") || !slices.Contains(got, "Accept-Charset") || slices.Contains(got, "Te") {
			t.Errorf("SecDisableBackendCompression %s: the upstream gets %s", mode, strings.Join(got, " "))
		}
	}
}
