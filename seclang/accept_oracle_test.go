//go:build oracle && unix

package seclang_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/trapline/trapline/test/peertest"
)

// TestAcceptance asks Apache with mod_security2 whether it takes each case (apache2 -t).
func TestAcceptance(t *testing.T) {
	known := map[string]bool{}
	if !*update {
		known = accepted(t)
	}
	cases := acceptCases(t)
	answers := make([]string, len(cases))
	var group sync.WaitGroup
	slots := make(chan struct{}, 3)
	dir := t.TempDir()
	for i, f := range cases {
		group.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; group.Done() }()
			path := filepath.Join(dir, fmt.Sprintf("%d.conf", i))
			if err := os.WriteFile(path, f.Data, 0o644); err != nil {
				t.Error(err)
				return
			}
			output, ok := peertest.CheckApache(t, "Include "+path+"\n")
			if ok {
				answers[i] = "yes"
				return
			}
			lines := strings.Split(strings.TrimSpace(output), "\n")
			answers[i] = clip(strings.ReplaceAll(lines[len(lines)-1], path, "a.conf"))
		}()
	}
	group.Wait()
	var b strings.Builder
	for i, f := range cases {
		fmt.Fprintf(&b, "%s\t%s\n", f.Name, answers[i])
		if !*update && known[f.Name] != (answers[i] == "yes") {
			t.Errorf("%s: recorded %v, mod_security2 says %s", f.Name, known[f.Name], answers[i])
		}
	}
	if *update {
		if err := os.WriteFile("testdata/accept/modsecurity2.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
