//go:build peers

package crs

import (
	_ "embed"
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed exceptions.txt
var exceptionsText string

// exceptions maps "rule-test" to the reason why it cannot pass.
func exceptions(t testing.TB) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(exceptionsText) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, found := strings.Cut(line, " ")
		if !found {
			t.Fatalf("exceptions.txt: %q has no reason", line)
		}
		out[name] = strings.TrimSpace(reason)
	}
	return out
}

// TestRegression runs every regression test of the rule set. CRS_RULE limits it to one rule.
func TestRegression(t *testing.T) {
	s := serve(t, engine(t, settings))
	files := load(t)
	except := exceptions(t)
	only := os.Getenv("CRS_RULE")
	type job struct {
		name string
		run  func() string
	}
	jobs := make(chan job)
	var mu sync.Mutex
	passed, total := 0, 0
	var failed []string
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for j := range jobs {
				why := j.run()
				mu.Lock()
				total++
				reason, known := except[j.name]
				switch {
				case why == "" && known:
					failed = append(failed, j.name+"\tpasses now; take it off exceptions.txt: "+reason)
				case why == "":
					passed++
				case !known:
					failed = append(failed, j.name+"\t"+why)
				}
				mu.Unlock()
			}
		})
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		f := files[path]
		if only != "" && only != strconv.Itoa(f.RuleID) {
			continue
		}
		for i := range f.Tests {
			test := &f.Tests[i]
			jobs <- job{fmt.Sprintf("%d-%d", f.RuleID, test.ID), func() string {
				for k := range test.Stages {
					if why := s.stage(&test.Stages[k].Input, &test.Stages[k].Output); why != "" {
						return why
					}
				}
				return ""
			}}
		}
	}
	close(jobs)
	wait.Wait()
	slices.Sort(failed)
	for _, f := range failed {
		t.Error(f)
	}
	t.Logf("%d of %d tests pass, %d are excepted", passed, total, len(except))
}

// stage sends one request and compares the rules that matched. It returns "" or what is wrong.
func (s *server) stage(in *input, want *output) string {
	req, err := in.request()
	if err != nil {
		return err.Error()
	}
	c, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = c.Write(req)
	_ = c.(*net.TCPConn).CloseWrite()
	code, err := status(c)
	out := <-s.result(c.LocalAddr().String())
	if want.ExpectError {
		if err == nil && code != 400 {
			return fmt.Sprintf("error expected, status %d", code)
		}
		return ""
	}
	if err != nil {
		return "no answer: " + err.Error()
	}
	if want.Status != 0 && want.Status != code {
		return fmt.Sprintf("status %d, want %d; rules %v", code, want.Status, out.ids)
	}
	for _, id := range want.Log.Expect {
		if !slices.Contains(out.ids, id) {
			return fmt.Sprintf("rule %d did not match; rules %v; request %.300q", id, out.ids, req)
		}
	}
	for _, id := range want.Log.NoExpect {
		if slices.Contains(out.ids, id) {
			return fmt.Sprintf("rule %d matched; request %.300q", id, req)
		}
	}
	if m := want.Log.Match; m != "" && !regexp.MustCompile(m).MatchString(out.log) {
		return fmt.Sprintf("no %q in %q", m, out.log)
	}
	if m := want.Log.NoMatch; m != "" && regexp.MustCompile(m).MatchString(out.log) {
		return fmt.Sprintf("%q in %q", m, out.log)
	}
	return ""
}
