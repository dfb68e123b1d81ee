//go:build oracle

package bodies

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/trapline/trapline/test/peertest"
)

// apache is mod_security2.
type apache struct {
	t    testing.TB
	addr string
	c    *http.Client
}

func newApache(t testing.TB, extra string) *apache {
	t.Helper()
	return newApacheWith(t, rules("nolog,setenv:'line=LINE'", "MULTIPART")+extra)
}

func newApacheWith(t testing.TB, text string) *apache {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	peertest.StartApache(t, "Listen "+addr+"\nLimitRequestFieldSize 65536\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\nLogLevel crit\n"+text+
		"Header always set X-Line \"%{line}e\"\n<Directory {{dir}}/htdocs>\nRequire all granted\n</Directory>\n", addr)
	transport := &http.Transport{MaxResponseHeaderBytes: 64 << 20}
	t.Cleanup(transport.CloseIdleConnections)
	return &apache{t, addr, &http.Client{Transport: transport}}
}

// ask sends a request; nil when httpd answers before phase 2.
func (a *apache) ask(r request) view {
	req, err := http.NewRequest("POST", "http://"+a.addr+"/", bytes.NewReader([]byte(r.body)))
	if err != nil {
		a.t.Fatal(err)
	}
	if r.contentType != "" {
		req.Header["Content-Type"] = []string{r.contentType}
	}
	if r.processor != "" {
		req.Header.Set("X-Processor", r.processor)
	}
	resp, err := a.c.Do(req)
	if err != nil {
		a.t.Logf("%s: %v", r.name, err)
		return nil
	}
	resp.Body.Close()
	line := resp.Header.Get("X-Line")
	if line == "" || line == "(null)" {
		return nil
	}
	return parseLine(strings.TrimSpace(line))
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// httpClient keeps no connection when the test has ended.
func httpClient(t testing.TB) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
