//go:build peers && unix

package seclang_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/test/peertest"
)

// theirsOnly are lines of mod_security2 about what does not happen here, each with the reason.
func theirsOnly() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"filters of Apache":       regexp.MustCompile(`^\[\d\] (Hook insert_|Output filter: |Input filter: (Bucket|Forward|Sent EOS|Input forwarding)|Content Injection: Not enabled)`),
		"files of SDBM":           regexp.MustCompile(`^\[\d\] (collection_retrieve_ex: collection_retrieve_ex|collection_store: (Retrieving|Re-retrieving|Wrote|Delta)|collection_unpack)`),
		"rules are found by sets": regexp.MustCompile(`^\[\d\] (Checking removal of|Current rule is|Found rule)`),
		"no JIT":                  regexp.MustCompile(`Does not support JIT`),
		"details of operators":    regexp.MustCompile(`^\[\d\] (Value \d+ in|Escaping pattern|ISSQL|IS_XSS)`),
		"garbage of SDBM":         regexp.MustCompile(`^\[\d\] (collections_remove_stale|Garbage collection took)`),
		"no audit log there":      regexp.MustCompile(`Audit log: Skipping request since there is nowhere to write to`),
		"macros of messages":      regexp.MustCompile(`^\[9\] Resolved macro`),  // resolved there after "Rule returned"; of operators once for each value
		"skipped phases":          regexp.MustCompile(`^\[\d\] Skipping phase`), // a denied request has no phase 3 here
	}
}

// oursOnly are lines that mod_security2 does not write.
func oursOnly() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"the store's own words": regexp.MustCompile(`^\[\d\] (collection_store: (Wrote|Delta)|collection_unpack)`),
		"macros of messages":    regexp.MustCompile(`^\[9\] Resolved macro`),
		"the answer's body":     regexp.MustCompile(`^\[\d\] (Output filter: |Skipping phase)`),
	}
}

// alike takes from lines what the two logs are known to differ in.
func alike(lines []string, drop map[string]*regexp.Regexp, dir string) []string {
	rule := regexp.MustCompile(`^(\[5\] Rule PTR: \S+).*`)                                   // the order of actions in it is that of part K, which other tests compare
	transformed := regexp.MustCompile(`^\[9\] T \(\d\)`)                                     // the number is that of the last operator there
	parts := regexp.MustCompile(`(Ctl: Set auditLogParts to).*`)                             // another order
	logging := false                                                                         // in phase 5 a collection is read once more, to be stored
	number := regexp.MustCompile(`((?:consists of|Persisted collection \(name "|dcfg) ?).*`) // rules of the server's own; names in their case
	var out []string
next:
	for _, l := range lines {
		for _, re := range drop {
			if re.MatchString(l) {
				continue next
			}
		}
		logging = strings.HasSuffix(l, "Starting phase LOGGING.") || logging && !strings.Contains(l, "Initialising transaction")
		if logging && strings.Contains(l, "collection_retrieve_ex: Retrieved") {
			continue
		}
		l = strings.ReplaceAll(l, dir+"/", "")
		l = transformed.ReplaceAllString(l, "[9] T")
		l = parts.ReplaceAllString(l, "$1")
		l = rule.ReplaceAllString(l, "$1")
		l = number.ReplaceAllString(l, "$1")
		out = append(out, l)
	}
	return out
}

// TestDebugLogAgainstModSecurity2 runs the cases of the debug log in Apache with mod_security2: the same lines at the
// same levels in the same order, but for those listed above.
func TestDebugLogAgainstModSecurity2(t *testing.T) {
	for f, ar := range debugCases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "seclang-debug-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			_ = os.Chmod(dir, 0o755)
			for _, s := range ar.Files {
				if err := os.WriteFile(filepath.Join(dir, s.Name), s.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(peertest.Ports(t, 1)[0]))
			a := peertest.StartApache(t, "Listen "+address+"\nSecAuditEngine Off\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\nSecDebugLog logs/debug.log\nInclude "+dir+"/a.conf\n", address)
			want := 0
			for _, s := range ar.Files {
				if !strings.HasPrefix(s.Name, "request") {
					continue
				}
				_, _, head, body := parseRequest(t, string(s.Data))
				if body != "" {
					head = strings.TrimSuffix(head, "\r\n") + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
				}
				exchangeRaw(t, address, head, body)
				want++
				// One after the other, so that the log holds them in order; one that switches the log off says nothing at its end.
				log := filepath.Join(a.Dir, "logs", "debug.log")
				peertest.Wait(t, "the debug log of "+s.Name, 10*time.Second, func() bool {
					b, _ := os.ReadFile(log)
					return strings.Count(string(b), "Audit log:") >= want || strings.Contains(s.Name, "quiet") && strings.Count(string(b), "Initialising transaction") >= want
				})
			}
			theirs, err := os.ReadFile(filepath.Join(a.Dir, "logs", "debug.log"))
			if err != nil {
				t.Fatal(err)
			}
			ours, alerts := debugRun(t, ar, dir)
			left := alike(debugLines(string(theirs)), theirsOnly(), dir)
			right := alike(debugLines(ours), oursOnly(), dir)
			if d := cmp.Diff(left, right); d != "" {
				t.Errorf("-mod_security2 +ours:\n%s", d)
			}
			errorLog, err := os.ReadFile(filepath.Join(a.Dir, "logs", "error.log"))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(apacheAlerts(string(errorLog)), alikeAlerts(alerts)); d != "" {
				t.Errorf("error log (-mod_security2 +ours):\n%s", d)
			}
			if len(left) < 100 {
				t.Errorf("only %d lines are compared", len(left))
			}
		})
	}
}

// apacheAlerts are the messages of rules in an error log of Apache, behind its own fields, with one layer of its escapes undone.
func apacheAlerts(log string) []string {
	var lines []string
	for l := range strings.Lines(log) {
		if i := strings.Index(l, "[client 127.0.0.1] ModSecurity: "); i >= 0 && strings.Contains(l, "[unique_id ") {
			lines = append(lines, strings.ReplaceAll(strings.TrimSuffix(l[i:], "\n"), `\\`, `\`))
		}
	}
	return alikeAlerts(lines)
}

// alikeAlerts leaves out what no two servers have in common.
func alikeAlerts(lines []string) []string {
	unique := regexp.MustCompile(`\[unique_id "[^"]*"\]`)
	var out []string
	for _, l := range lines {
		out = append(out, unique.ReplaceAllString(l, "[unique_id]"))
	}
	return out
}
