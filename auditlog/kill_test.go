package auditlog

import (
	"bufio"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

// childDir makes the test binary write records into this directory and say which ones Write has returned for.
const childDir = "TRAPLINE_TEST_AUDITLOG"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	w, err := Open(childConfig(dir, os.Getenv(childDir+"_TYPE")))
	if err != nil {
		os.Exit(2)
	}
	var mu sync.Mutex
	for range 8 {
		go func() {
			for {
				id := audit.NewID()
				if err := w.Write(context.Background(), record(id)); err != nil {
					os.Exit(2)
				}
				mu.Lock()
				os.Stdout.WriteString(id + "\n")
				mu.Unlock()
			}
		}()
	}
	select {}
}

func childConfig(dir, typ string) Config {
	return Config{Log: filepath.Join(dir, "audit.log"), Type: typ, StorageDir: filepath.Join(dir, "data"), User: "u"}
}

// TestKilled: what Write has returned for is in the log after kill -9, and the log can be read and written on.
func TestKilled(t *testing.T) {
	for _, typ := range []string{"Serial", "Concurrent"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			said := map[string]bool{}
			for range 8 {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_TYPE="+typ)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Duration(50+rand.IntN(150))*time.Millisecond, func() { cmd.Process.Kill() })
				lines := bufio.NewScanner(out)
				for lines.Scan() {
					if len(lines.Text()) == 27 {
						said[lines.Text()] = true
					}
				}
				cmd.Wait()
			}
			paths := []string{filepath.Join(dir, "audit.log")}
			if typ == "Concurrent" {
				paths = append(paths, filepath.Join(dir, "data"))
			}
			for _, path := range paths {
				ids, errs := collect(t, path)
				have := map[string]bool{}
				for _, id := range ids {
					have[id] = true
				}
				lost := 0
				for id := range said {
					if !have[id] {
						lost++
					}
				}
				t.Logf("%s: %d records promised, %d found, %d lost, %d errors", filepath.Base(path), len(said), len(ids), lost, len(errs))
				if lost > 0 || len(said) == 0 || len(errs) > 8 {
					t.Errorf("lost %d of %d; %v", lost, len(said), errs)
				}
				for _, err := range errs { // of what was being written when the process was killed
					t.Log(err)
				}
			}
		})
	}
}

// runAlone runs one test in a process of its own.
func runAlone(t *testing.T, test, env string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
