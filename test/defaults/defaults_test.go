//go:build peers && linux

// Package defaults types the README's first command and what it says to try
// next, with the real default ports, in a network namespace of its own.
package defaults

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/test/binarytest"
	"github.com/trapline/trapline/test/peertest"
)

// script is what a user does; it prints a name and a result a line.
const script = `set -u
ip link set lo up
"$BIN" run --data "$DATA" >"$OUT" 2>&1 &
PID=$!
for i in $(seq 100); do curl -s -o /dev/null http://localhost:8081/ && break; sleep 0.1; done
code() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
say() { echo "$1 $2"; }
say site-before "$(code http://localhost:8081/)"
say trap "$(code http://localhost:8000/)"
say site-after "$(code http://localhost:8081/)"
say other "$(code --interface 127.0.0.2 http://127.0.0.1:8081/)"
say console "$(code http://127.0.0.1:8090/)"
sleep 1
say event "$("$BIN" events --data "$DATA" | grep -c ' 8000 .*GET /')"
kill -HUP $PID; sleep 0.5
say after-hup "$(code http://localhost:8081/) $(code --interface 127.0.0.2 http://127.0.0.1:8081/)"
kill -TERM $PID; wait $PID
say exit $?
# Restart: it remembers; a busy trap port is skipped with one line.
nc -l -p 8080 </dev/zero >/dev/null 2>&1 & NC=$!
sleep 0.3
"$BIN" run --data "$DATA" >"$OUT.2" 2>&1 &
PID=$!
for i in $(seq 100); do curl -s -o /dev/null http://localhost:8081/ && break; sleep 0.1; done
say remembered "$(code http://localhost:8081/) $(code --interface 127.0.0.2 http://127.0.0.1:8081/)"
kill -TERM $PID; wait $PID
say exit $?
kill $NC 2>/dev/null
grep -c 'trap port 8080 is skipped' "$OUT.2" | sed 's/^/skipped /'
exit 0
`

func TestDefaultRun(t *testing.T) {
	for _, p := range []string{"curl", "unshare", "ip", "nc"} {
		peertest.Program(t, p)
	}
	if err := exec.Command("unshare", "-n", "true").Run(); err != nil {
		t.Skipf("PEER MISSING: no network namespace may be made here (%v); run as root", err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-n", "bash", "-c", script)
	cmd.Env = append(os.Environ(), "BIN="+binarytest.Build(t), "DATA="+filepath.Join(dir, "data"), "OUT="+filepath.Join(dir, "out"), "no_proxy=*")
	cmd.WaitDelay = time.Second // what the script leaves behind must not hold up the test
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first, _ := os.ReadFile(filepath.Join(dir, "out"))
	second, _ := os.ReadFile(filepath.Join(dir, "out.2"))
	for _, want := range []string{
		"site-before 200", "trap 403", "site-after 403", "other 200", "console 303", "event 1",
		"after-hup 403 200", "exit 0", "remembered 403 200", "skipped 1",
	} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("expected %q in\n%s\nfirst run:\n%s\nsecond run:\n%s", want, out, first, second)
		}
	}
	for _, want := range []string{"8000", "8080", "8888", "8081", "127.0.0.1:8090", "login    admin", filepath.Join(dir, "data"), "try:"} {
		if !strings.Contains(string(first), want) {
			t.Errorf("the first run does not print %q:\n%s", want, first)
		}
	}
}
