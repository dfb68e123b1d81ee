//go:build peers

// Package slip asks the real site at the very moment a trap's answer arrives, on
// a connection that was open before: on Apache with mod_security2, which stores the
// tag after the answer, 125 of 1000 such requests got through.
package slip

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

const tries = 10000

const conf = `Listen 127.0.0.1:%[1]d
Listen 127.0.0.1:%[2]d
TrapConsole 127.0.0.1:%[3]d
TrapTagConnect Off
SecRule SERVER_PORT "^(%[1]d)$" "id:'999004',phase:2,t:none,log,block,setvar:ip.malicious_client=1"
SecRule &IP:MALICIOUS_CLIENT "@eq 1" "id:'999005',phase:2,t:none,log,block"
<VirtualHost *:%[2]d>
TrapSite builtin
</VirtualHost>
`

func TestNoRequestSlipsThroughAfterTheTrapsAnswer(t *testing.T) {
	p := peertest.Ports(t, 3)
	dir := t.TempDir()
	file := filepath.Join(dir, "trapline.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, conf, p[0], p[1], p[2]), 0o644); err != nil {
		t.Fatal(err)
	}
	binarytest.Start(t, binarytest.Build(t), "run", "-c", file, "--data", filepath.Join(dir, "data"))
	peertest.Listening(t, fmt.Sprintf("127.0.0.1:%d", p[1]))

	slipped, free := 0, 0
	for n := range tries {
		from := fmt.Sprintf("127.%d.%d.%d", 32+n/(250*250), n/250%250, 1+n%250)
		site := dial(t, from, p[1])
		if n%100 == 0 { // the site really answers this client before
			if ask(t, site, bufio.NewReader(site)) == http.StatusOK {
				free++
			}
		}
		trap := dial(t, from, p[0])
		if _, err := io.WriteString(trap, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 1)
		if _, err := io.ReadFull(trap, first); err != nil { // its very first byte
			t.Fatalf("try %d: the trap's answer: %v", n, err)
		}
		if got := ask(t, site, bufio.NewReader(site)); got != http.StatusForbidden {
			slipped++
		}
		_ = trap.Close()
		_ = site.Close()
	}
	if free != tries/100 {
		t.Errorf("of %d clients that asked the site before their touch %d got it", tries/100, free)
	}
	if slipped > 0 {
		t.Errorf("%d of %d requests slipped through", slipped, tries)
	}
}

func dial(t *testing.T, from string, port int) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func ask(t *testing.T, conn net.Conn, r *bufio.Reader) int {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("the site's answer: %v", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
