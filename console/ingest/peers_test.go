//go:build peers

package ingest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/console/store"
)

// TestRealMlogcDelivers runs Debian's mlogc against the receiver: good entries
// are stored and their files deleted, one that can never be accepted stays on
// disk and holds nothing up.
func TestRealMlogcDelivers(t *testing.T) {
	mlogc, err := exec.LookPath("mlogc")
	if err != nil {
		t.Skip("SKIPPED: mlogc is not installed")
	}
	c := startConsole(t, Limits{})
	dir := t.TempDir()
	conf := fmt.Sprintf(`CollectorRoot %q
ConsoleURI "%s%s"
SensorUsername "honeypot-sensor"
SensorPassword "test1234"
LogStorageDir "data"
TransactionLog "mlogc-transaction.log"
QueuePath "mlogc-queue.log"
ErrorLog "mlogc-error.log"
ErrorLogLevel 5
LockFile "mlogc.lck"
KeepEntries 0
MaxConnections 5
TransactionDelay 0
StartupDelay 0
CheckpointInterval 15
ServerErrorTimeout 2
`, dir, c.URL, PathPut)
	if err := os.WriteFile(filepath.Join(dir, "mlogc.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	const n, broken = 40, 20
	var index bytes.Buffer
	for i := range n {
		entry, name := testEntry(i), fmt.Sprintf("/entry-%d", i)
		if i == broken {
			entry = []byte("this is no audit entry\n")
		}
		if err := os.WriteFile(filepath.Join(dir, "data", name), entry, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&index, `www.example1.com 192.0.2.1 - - [22/Nov/2026:08:25:52.226415 +0000] "GET / HTTP/1.1" 403 239 "-" "-" id-%d "-" %s 0 %d %s `+"\n", i, name, len(entry), md5Header(entry))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, mlogc, "-f", filepath.Join(dir, "mlogc.conf"))
	cmd.Stdin = &index
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	list, _, err := c.store.Events(t.Context(), store.Filter{}, store.Page{Limit: 1000})
	if err != nil || len(list) != n-1 {
		log, _ := os.ReadFile(filepath.Join(dir, "mlogc-error.log"))
		t.Errorf("%d of %d events, %v\n%s", len(list), n-1, err, log)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "data", "*"))
	if len(files) != 1 || !strings.HasSuffix(files[0], fmt.Sprintf("entry-%d", broken)) {
		t.Errorf("files left: %v", files)
	}
}
