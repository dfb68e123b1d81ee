package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdRules serves a folder over HTTPS to clients that send the key "some-key", sets $RULES to its address and has
// trapline trust it. What a client says of itself goes into requests.txt: rules FOLDER.
func cmdRules(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: rules FOLDER")
	}
	folder, log := ts.MkAbs(args[0]), ts.MkAbs("requests.txt")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			for _, name := range []string{"ModSec-unique-id", "ModSec-status", "ModSec-key"} {
				_, _ = fmt.Fprintf(f, "%s %s: %s\n", r.URL.Path, name, r.Header.Get(name))
			}
			_ = f.Close()
		}
		if r.Header.Get("ModSec-key") != "some-key" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/one.rules", http.StatusFound)
			return
		}
		http.ServeFile(w, r, filepath.Join(folder, filepath.Base(r.URL.Path)))
	}))
	ts.Defer(server.Close)
	ca := ts.MkAbs("ca.pem")
	ts.Check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	ts.Setenv("SSL_CERT_FILE", ca)
	ts.Setenv("RULES", server.URL)
}

// cmdUntilGrep waits up to 20 s until a file matches: untilgrep FILE REGEXP.
func cmdUntilGrep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: untilgrep FILE REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.Now().Add(20 * time.Second)
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && re.Match(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: nothing matches %s (%v) in\n%s", args[0], args[1], err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cmdReload sends SIGHUP to every trapline that runs in the background: reload.
func cmdReload(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: reload")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}

// cmdHold opens connections that send bytes (Go escapes) and stay open until the script ends: hold PORT NUMBER BYTES.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: hold PORT NUMBER BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	payload, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	for range n {
		conn, err := net.Dial("tcp", "127.0.0.1:"+args[0])
		ts.Check(err)
		ts.Defer(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, payload)
		ts.Check(err)
	}
}

// cmdRefused asks for a page and wants the connection closed without an answer: refused PORT.
func cmdRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: refused PORT")
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := conn.Read(make([]byte, 1))
	if n > 0 || os.IsTimeout(err) {
		ts.Fatalf("the connection is not refused: %d bytes, %v", n, err)
	}
}
