//go:build oracle && unix

package transform

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/test/peertest"
)

// TestAgainstModSecurity runs every transformation in mod_security2 on Apache:
// one rule each, whose logdata shows in the audit log what it made of ARGS:a.
func TestAgainstModSecurity(t *testing.T) {
	var names []string
	for _, n := range Names() {
		switch strings.ToLower(n) {
		case "cmd_line", "decodebase64ext", "phpargsnames", "uppercase": // not in version 2
		default:
			names = append(names, n)
		}
	}
	port := peertest.Ports(t, 1)[0]
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	conf := "Listen " + address + "\nMaxKeepAliveRequests 0\nSecRuleEngine On\nSecAuditEngine On\nSecAuditLogType Serial\nSecAuditLog {{dir}}/audit/log\nSecAuditLogParts AHZ\n"
	for i, n := range names {
		conf += fmt.Sprintf("SecRule ARGS:a \"@unconditionalMatch\" \"id:%d,phase:1,pass,log,auditlog,t:none,t:%s,logdata:'<%%{MATCHED_VAR}>'\"\n", 1000+i, n)
	}
	apache := peertest.StartApache(t, conf, address)
	values := inputs(2500)
	send(t, address, values)
	got := logged(t, apache.Dir+"/audit/log", len(values))
	for i, n := range names {
		fn, _ := Lookup(n)
		t.Run(n, func(t *testing.T) {
			differ := 0
			for j, v := range values {
				out, _ := fn(v)
				want, ok := got[j][1000+i]
				if !ok {
					t.Fatalf("%q: mod_security2 has no answer", v)
				}
				if out != want && !cutAtNUL(n, v, want) && !newer(n, v) {
					if differ++; differ < 8 {
						t.Errorf("%q:\n  ours          %q\n  mod_security2 %q", v, out, want)
					}
				}
			}
		})
	}
}

// cutAtNUL: mod_security2 works on C strings here and there, and loses what follows a NUL.
func cutAtNUL(name, in, theirs string) bool {
	fn, _ := Lookup(name)
	before, _, found := strings.Cut(in, "\x00")
	if !found {
		return false
	}
	out, _ := fn(before)
	return out == theirs
}

// newer: where we read more than version 2.
func newer(name, in string) bool {
	switch strings.ToLower(name) {
	case "base64decode":
		// Version 2 stops at a line end, so that a folded value passes.
		return strings.ContainsAny(in, "\r\n")
	case "base64decodeext":
		// Version 2 does not know the alphabet of RFC 4648 for URLs.
		return strings.ContainsAny(in, "-_")
	}
	return false
}

func send(t *testing.T, address string, values []string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for i, v := range values {
		var b strings.Builder
		for j := range len(v) {
			fmt.Fprintf(&b, "%%%02x", v[j])
		}
		fmt.Fprintf(conn, "GET /?a=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", b.String())
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(resp.Body).WriteTo(discard{}); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Close && i+1 < len(values) { // MaxKeepAliveRequests
			conn.Close()
			if conn, err = net.Dial("tcp", address); err != nil {
				t.Fatal(err)
			}
			r = bufio.NewReader(conn)
		}
	}
	conn.Close()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// logged reads, for each entry of the audit log, the data of every rule.
func logged(t *testing.T, file string, want int) []map[int]string {
	message := regexp.MustCompile(`(?m)^Message: .*?\[id "(\d+)"\].*?\[data "<(.*)>"\]`)
	var entries []map[int]string
	peertest.Wait(t, "the audit log", 10*time.Second, func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		entries = nil
		for _, e := range strings.Split(string(text), "-A--\n")[1:] {
			m := map[int]string{}
			for _, l := range message.FindAllStringSubmatch(e, -1) {
				id, _ := strconv.Atoi(l[1])
				m[id] = unescapeOwn(l[2])
			}
			entries = append(entries, m)
		}
		return len(entries) >= want
	})
	return entries
}
