//go:build peers

package gate

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/seclang/connlimit"
	"github.com/trapline/trapline/test/peertest"
)

// TestConnectionLimitsAgainstApache holds connections open at mod_security2 and at the gate, one after the other: both
// refuse the same ones and say the same of them. Apache counts with ExtendedStatus On only.
func TestConnectionLimitsAgainstApache(t *testing.T) {
	const head, body = "GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na="
	for _, c := range []struct {
		name, lines, send string
		differs           string // why ours does other than theirs
	}{
		{"heads", "SecConnEngine On\nSecConnReadStateLimit 3", head, ""},
		{"heads, old name", "SecConnEngine On\nSecReadStateLimit 3", head, ""},
		{"heads, write limit", "SecConnEngine On\nSecConnWriteStateLimit 3", head, ""},
		{"heads, detection only", "SecConnEngine DetectionOnly\nSecConnReadStateLimit 3", head, ""},
		{"heads, off", "SecConnEngine Off\nSecConnReadStateLimit 3", head, "Off still writes to the log there; the manual says that it ignores the limits"},
		{"heads, no engine", "SecConnReadStateLimit 3", head, ""},
		{"heads, trusted", "SecConnEngine On\nSecConnReadStateLimit 3 \"!@ipMatch 127.0.0.1\"", head, ""},
		{"heads, trusted, detection only", "SecConnEngine DetectionOnly\nSecConnReadStateLimit 3 \"!@ipMatch 127.0.0.1\"", head, ""},
		{"heads, suspicious", "SecConnEngine On\nSecConnReadStateLimit 3 \"@ipMatch 10.0.0.1,127.0.0.1\"", head, ""},
		{"heads, not suspicious", "SecConnEngine On\nSecConnReadStateLimit 3 \"@ipMatch 10.0.0.1\"", head, ""},
		{"heads, not suspicious, detection only", "SecConnEngine DetectionOnly\nSecConnReadStateLimit 3 \"@ipMatch 10.0.0.1\"", head, ""},
		{"heads, both lists", "SecConnEngine On\nSecConnReadStateLimit 9 \"@ipMatch 127.0.0.1\"\nSecConnReadStateLimit 3 \"!@ipMatch 127.0.0.0/8\"", head, ""},
		{"bodies, write limit", "SecConnEngine On\nSecConnWriteStateLimit 3", body, ""},
		{"bodies, both limits", "SecConnEngine On\nSecConnReadStateLimit 9\nSecConnWriteStateLimit 2", body, ""},
		{"answered", "SecConnEngine On\nSecConnReadStateLimit 3\nSecConnWriteStateLimit 3", head + "\r\n", ""},
		{"bodies, read limit", "SecConnEngine On\nSecConnReadStateLimit 3", body, "a body that does not come is read, too"},
		{"silent", "SecConnEngine On\nSecConnReadStateLimit 3", "", "Apache does not see a connection before its first byte (TCP_DEFER_ACCEPT)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := peertest.Ports(t, 1)[0]
			address := fmt.Sprintf("127.0.0.1:%d", port)
			a := peertest.StartApache(t, "Listen "+address+"\nExtendedStatus On\nSecRuleEngine On\nSecRequestBodyAccess On\nSecDataDir {{dir}}/data\n"+c.lines+"\n", address)
			theirs := holdSix(t, address, c.send)
			text, _ := os.ReadFile(filepath.Join(a.Dir, "logs", "error.log"))
			said := stateMessages(string(text))

			var log lockedBuffer
			counter := connlimit.New(slog.New(slog.NewTextHandler(&log, nil)), nil)
			ds, err := seclang.Lex("a.conf", []byte(c.lines))
			if err != nil {
				t.Fatal(err)
			}
			limits, _, err := seclang.ConnLimits(ds, nil)
			if err != nil {
				t.Fatal(err)
			}
			counter.SetLimits(limits)
			b := startLimited(t, counter, rules+"SecRequestBodyAccess On\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:2,pass\"\n"+proxyAll, http.HandlerFunc(echoServer))
			ours := holdSix(t, b.addr, c.send)
			weSaid := stateMessages(log.String())

			same := slices.Equal(theirs, ours) && slices.Equal(said, weSaid)
			if c.differs == "" && !same {
				t.Errorf("mod_security2: %v\n%s\nours: %v\n%s", theirs, strings.Join(said, "\n"), ours, strings.Join(weSaid, "\n"))
			}
			if c.differs != "" && same {
				t.Errorf("no difference any more: %s", c.differs)
			}
		})
	}
}

// holdSix opens connections one after the other, each with its bytes sent, and says which of them stay open.
func holdSix(t *testing.T, address, send string) []bool {
	t.Helper()
	var held []net.Conn
	for range 6 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, send)
		held = append(held, c)
		time.Sleep(100 * time.Millisecond) // Apache has no other way to tell that it has seen it
	}
	var open []bool
	for _, c := range held {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Read(make([]byte, 1))
		open = append(open, n > 0 || os.IsTimeout(err))
	}
	return open
}

// stateMessages are the different messages about states, in order of the alphabet. Ours says the 1st, 2nd, 4th ... of one
// client, so that numbers above the first ones may be missing: only the first of each kind counts.
func stateMessages(log string) []string {
	first := map[string]string{}
	for _, m := range regexp.MustCompile(`ModSecurity: [^"\n]*Too many threads [^"\n]*(?:Rejected\]|granted)`).FindAllString(log, -1) {
		kind := regexp.MustCompile(`\[\d+\] of`).ReplaceAllString(m, "of")
		if _, ok := first[kind]; !ok {
			first[kind] = m
		}
	}
	var out []string
	for _, m := range first {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
