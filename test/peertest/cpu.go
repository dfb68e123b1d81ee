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
	var sum time.Duration
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if f := statFields(path); f != nil && f[2] == strconv.Itoa(group) {
			sum += cpuOf(f)
		}
	}
	return sum
}

// ProcessCPU is the user and system time of one process.
func ProcessCPU(t testing.TB, pid int) time.Duration {
	t.Helper()
	f := statFields("/proc/" + strconv.Itoa(pid) + "/stat")
	if f == nil {
		t.Fatalf("process %d is gone", pid)
	}
	return cpuOf(f)
}

// statFields are the fields behind the name, which stands in parentheses and may hold anything; nil when the process has ended.
func statFields(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 13 {
		return nil
	}
	return f
}

func cpuOf(f []string) time.Duration {
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on Linux
}
