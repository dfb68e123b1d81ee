package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trapline/trapline/app"
	"github.com/trapline/trapline/test/peertest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"trapline": main})
}

// TestScripts runs what a user types. A script's environment has six free
// ports $P1 ... $P6 of loopback; the commands below are all that it needs besides trapline.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for i, port := range peertest.Ports(t, 6) {
				env.Setenv(fmt.Sprintf("P%d", i+1), strconv.Itoa(port))
			}
			env.Setenv("TRAPLINE_DATA", filepath.Join(env.WorkDir, "data"))
			reference, err := filepath.Abs("../../../shared/reference")
			if err != nil {
				return err
			}
			env.Setenv("REFERENCE", reference)
			samples, err := filepath.Abs("../../audit/testdata/samples")
			if err != nil {
				return err
			}
			env.Setenv("SAMPLES", samples)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "reference" { // the collection of samples beside the tree
				_, err := os.Stat("../../../shared/reference/modsec-audit-samples")
				return err == nil, nil
			}
			if cond == "crs" { // Debian's package modsecurity-crs
				_, err := os.Stat("/usr/share/modsecurity-crs/rules")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"edit":       cmdEdit,
			"get":        cmdGet,
			"hold":       cmdHold,
			"listen":     cmdListen,
			"refused":    cmdRefused,
			"reload":     cmdReload,
			"rules":      cmdRules,
			"send":       cmdSend,
			"untilevent": cmdUntilEvent,
			"untilgrep":  cmdUntilGrep,
		},
	})
}

// cmdEdit replaces in a file: edit FILE REGEXP REPLACEMENT.
func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE REGEXP REPLACEMENT")
	}
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if !re.Match(text) {
		ts.Fatalf("%s: nothing matches %s", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, re.ReplaceAll(text, []byte(args[2])), 0o644))
}

// cmdListen waits until something accepts on a port: listen PORT... (! listen: until nothing does).
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	for _, port := range args {
		deadline := time.Now().Add(20 * time.Second)
		for {
			conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != neg {
				break
			}
			if time.Now().After(deadline) {
				ts.Fatalf("port %s: waited 20 s (last error: %v)", port, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// cmdGet makes one request on a new connection:
// get [-from ADDRESS] [-H 'Name: value'] [-until] URL STATUS [BODYREGEXP].
// With -until it asks for up to 5 s until the answer is as wanted.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	from, header, until := "127.0.0.1", "", false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-from":
			from, args = args[1], args[2:]
		case "-H":
			header, args = args[1], args[2:]
		case "-until":
			until, args = true, args[1:]
		default:
			ts.Fatalf("get: unknown option %s", args[0])
		}
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: get [-from ADDRESS] [-H HEADER] [-until] URL STATUS [BODYREGEXP]")
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := get(from, header, args)
		if err == nil {
			return
		}
		if !until || time.Now().After(deadline) {
			ts.Fatalf("get %s from %s: %v", args[0], from, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func get(from, header string, want []string) error {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	client := &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       10 * time.Second,
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, want[0], nil)
	if err != nil {
		return err
	}
	if name, value, ok := strings.Cut(header, ":"); ok {
		req.Header.Set(name, strings.TrimSpace(value))
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if got := strconv.Itoa(res.StatusCode); !regexp.MustCompile("^(" + want[1] + ")$").MatchString(got) {
		return fmt.Errorf("status %s, want %s; body:\n%s", got, want[1], body)
	}
	if len(want) > 2 && !regexp.MustCompile(want[2]).Match(body) {
		return fmt.Errorf("the body does not match %s:\n%s", want[2], body)
	}
	return nil
}

// cmdUntilEvent waits up to 20 s until a line of `trapline events` matches: untilevent DATA REGEXP.
func cmdUntilEvent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: untilevent DATA REGEXP")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.Now().Add(20 * time.Second)
	for {
		var out strings.Builder
		err := app.ListEvents(context.Background(), &out, ts.MkAbs(args[0]), 1000)
		if err == nil && re.MatchString(out.String()) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no event matches %s (%v) in\n%s", args[1], err, out.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// cmdSend sends bytes (Go escapes) and reads the answer until the peer closes:
// send [-from ADDRESS] PORT BYTES [ANSWERREGEXP].
func cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	from := "127.0.0.1"
	if len(args) > 2 && args[0] == "-from" {
		from, args = args[1], args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: send [-from ADDRESS] PORT BYTES [ANSWERREGEXP]")
	}
	payload, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	conn, err := dialer.Dial("tcp", "127.0.0.1:"+args[0])
	ts.Check(err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	_, err = io.WriteString(conn, payload)
	ts.Check(err)
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	var timeout net.Error
	silent := errors.As(err, &timeout) && timeout.Timeout()
	if err != nil && !silent && len(answer) == 0 && len(args) > 2 {
		ts.Fatalf("read: %v", err)
	}
	if len(args) > 2 && !regexp.MustCompile(args[2]).Match(answer) {
		ts.Fatalf("the answer does not match %s:\n%q", args[2], answer)
	}
}
