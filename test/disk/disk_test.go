//go:build peers && linux

// Package disk starts trapline on data disks that are full, read-only, locked
// or somebody else's: the site must serve, and what it learned in memory must
// be on the disk once that is back.
package disk

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

const conf = `Listen 7000
Listen 7001
TrapConsole 127.0.0.1:7002
SecRuleEngine On
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
<VirtualHost *:7000>
  TrapHost On
  SecAction "id:2,phase:1,deny,status:403,setvar:ip.bad=1"
</VirtualHost>
<VirtualHost *:7001>
  TrapSite builtin
  SecRule &IP:BAD "@eq 1" "id:3,phase:1,deny,status:403"
</VirtualHost>
TrapDecision ip.bad ban 1h
`

// head are the words of the scripts. Each script says "name value" lines.
const head = `set -u
ip link set lo up
mkdir -p "$DIR/disk"; mount -t tmpfs -o size=64m tmpfs "$DIR/disk"
D="$DIR/disk/data"
code() { curl -s -o /dev/null -m 10 -w '%{http_code}' "$@"; }
say() { echo "$@"; }
site() { code --interface "$1" http://127.0.0.1:7001/; }
touch_() { code --interface "$1" "http://127.0.0.1:7000/from/$1/$2"; }
run() { $AS "$BIN" run -c "$DIR/t.conf" --data "$D" >>"$DIR/out" 2>&1 & PID=$!
  for i in $(seq 100); do [ "$(code http://127.0.0.1:7001/)" != 000 ] && break; sleep 0.1; done; }
back() { for i in $(seq 150); do [ "$(grep -c 'data disk is back' "$DIR/out")" -ge "$1" ] && break; sleep 0.1; done; say back "$(grep -c 'data disk is back' "$DIR/out")"; }
events() { sleep 1.5; "$BIN" events -n 100 --data "$D" | grep -c "/from/$1/$2\$"; }
AS=
`

// full: nothing can be written, not even a directory.
const full = head + `
dd if=/dev/zero of="$DIR/disk/fill" bs=64k >/dev/null 2>&1
run
say site-before "$(site 127.0.0.2)"
say trap "$(touch_ 127.0.0.2 early)"
say site-after "$(site 127.0.0.2)" other "$(site 127.0.0.3)"
say console "$(code http://127.0.0.1:7002/)"
say lost "$("$BIN" status --data "$D" | grep -c 'spool to own console .*failed  *1$')"
say failing "$(grep -c 'data disk cannot be written: the site goes on' "$DIR/out")" "$(grep 'tried again' "$DIR/out" | grep -c 'no space left on device\|disk is full')"
rm "$DIR/disk/fill"
back 5
say trap "$(touch_ 127.0.0.4 late)"
say console-later "$(code http://127.0.0.1:7002/)"
say login "$(grep -c 'login  *admin' "$DIR/out")"
say events "$(events 127.0.0.2 early) $(events 127.0.0.4 late)"
say still-failing "$("$BIN" status --data "$D" | grep -c 'cannot be written')"
kill -9 $PID; wait $PID 2>/dev/null
run
say remembered "$(site 127.0.0.2) $(site 127.0.0.4) $(site 127.0.0.3)" decided "$("$BIN" decisions --data "$D" | grep -c '127.0.0.[24]/32')"
kill -TERM $PID; wait $PID; say exit $?
`

// readonly: what was there before is in force, and what comes is stored when the disk is back.
const readonly = head + `
run
say first "$(touch_ 127.0.0.2 before)"
sleep 1
kill -9 $PID; wait $PID 2>/dev/null
mount -o remount,ro "$DIR/disk"
run
say read "$(site 127.0.0.2)" other "$(site 127.0.0.3)"
say trap "$(touch_ 127.0.0.3 readonly)" after "$(site 127.0.0.3)"
"$BIN" run -c "$DIR/t.conf" --data "$D" >"$DIR/second" 2>&1; say second $? "$(grep -c 'another trapline uses it' "$DIR/second")"
say failing "$(grep 'tried again' "$DIR/out" | grep -c 'read-only file system')"
mount -o remount,rw "$DIR/disk"
back 5
say trap "$(touch_ 127.0.0.4 late)"
say events "$(events 127.0.0.2 before) $(events 127.0.0.3 readonly) $(events 127.0.0.4 late)"
kill -9 $PID; wait $PID 2>/dev/null
run
say remembered "$(site 127.0.0.2) $(site 127.0.0.3) $(site 127.0.0.4) $(site 127.0.0.5)"
kill -TERM $PID; wait $PID; say exit $?
`

// owner: the right to write is taken away and given back; a directory of somebody else is a mistake.
const owner = head + `
AS="setpriv --reuid=65534 --regid=65534 --clear-groups"
chmod 711 "$DIR" "$DIR/disk"
mkdir "$D"; chown 65534:65534 "$D"
run
say first "$(touch_ 127.0.0.2 before)"
sleep 1
kill -TERM $PID; wait $PID
find "$D" -type d -exec chmod 500 {} +
run
say read "$(site 127.0.0.2)" trap "$(touch_ 127.0.0.3 chmod)" after "$(site 127.0.0.3)"
say failing "$(grep 'tried again' "$DIR/out" | grep -c 'permission denied\|must be writable')"
find "$D" -type d -exec chmod 700 {} +
back 5
kill -9 $PID; wait $PID 2>/dev/null
run
say remembered "$(site 127.0.0.2) $(site 127.0.0.3)"
kill -TERM $PID; wait $PID
chown -R 65533 "$D"
$AS "$BIN" run -c "$DIR/t.conf" --data "$D" >"$DIR/second" 2>&1; say foreign $? "$(grep -c 'belongs to the user with number 65533, this program runs as 65534' "$DIR/second")"
`

func TestDataDisk(t *testing.T) {
	for _, p := range []string{"curl", "unshare", "ip", "mount", "setpriv"} {
		peertest.Program(t, p)
	}
	if err := exec.Command("unshare", "-n", "-m", "true").Run(); err != nil {
		t.Skipf("PEER MISSING: no namespace may be made here (%v); run as root", err)
	}
	bin := binarytest.Build(t)
	for _, test := range []struct {
		name, script string
		want         []string
	}{
		{"full", full, []string{
			"site-before 200", "trap 403", "site-after 403 other 200", "console 503", "lost 1", "failing 5 5",
			"back 5", "console-later 303", "login 1", "events 0 1", "still-failing 0", "remembered 403 403 200 decided 2", "exit 0",
		}},
		{"readonly", readonly, []string{
			"first 403", "read 403 other 200", "trap 403 after 403", "second 1 1", "failing 5",
			"back 5", "events 1 0 1", "remembered 403 403 403 200", "exit 0",
		}},
		{"owner", owner, []string{"first 403", "read 403 trap 403 after 403", "failing 5", "back 5", "remembered 403 403", "foreign 1 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			exe := filepath.Join(dir, "trapline")
			if err := os.Link(bin, exe); err != nil { // where every user can run it
				t.Fatal(err)
			}
			for p := dir; p != os.TempDir() && len(p) > 1; p = filepath.Dir(p) {
				if err := os.Chmod(p, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "t.conf"), []byte(conf), 0o644); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "unshare", "-n", "-m", "--kill-child", "-f", "-p", "--mount-proc", "bash", "-c", test.script)
			cmd.Env = append(os.Environ(), "BIN="+exe, "DIR="+dir, "no_proxy=*")
			cmd.WaitDelay = time.Second
			out, err := cmd.CombinedOutput()
			log, _ := os.ReadFile(filepath.Join(dir, "out"))
			if err != nil {
				t.Errorf("%v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want+"\n") {
					t.Errorf("expected %q", want)
				}
			}
			if strings.Contains(string(log), "panic") || t.Failed() {
				t.Errorf("the script says\n%s\nthe program says\n%s", out, log)
			}
		})
	}
}
