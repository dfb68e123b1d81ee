//go:build unix

package peertest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// GroupCPU is the user and system time of all living processes of a process
// group, from /proc; resolution 10 ms. Benchmarks quote it per request, because
// wall time on a shared machine says little.
func GroupCPU(t testing.TB, group int) time.Duration {
	t.Helper()
	var ticks int64
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		// The second field is the name in parentheses and may hold anything.
		rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
		f := strings.Fields(rest)
		if len(f) < 13 || f[2] != strconv.Itoa(group) {
			continue
		}
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		ticks += user + system
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}
