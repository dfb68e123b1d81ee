// Package peertest starts the real programs that Trapline is compared with:
// Apache with mod_security2 and mlogc. Each gets a directory of its own, ports of
// its own on loopback, and is stopped when the test ends. A test whose program is
// not installed is skipped, loudly; `make test` installs them.
package peertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// nextPort counts through the ports below those that the kernel gives to
// outgoing connections: one of those could take a port between its choice and its use.
var nextPort = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(int64(os.Getpid() * 61 % portCount))
	return &n
}()

const (
	firstPort = 15000
	portCount = 17000
)

// Ports returns n TCP ports that nothing listened on a moment ago.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, 0, n)
	for range portCount {
		port := firstPort + int(nextPort.Add(1)%portCount)
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("no %d free ports between %d and %d", n, firstPort, firstPort+portCount)
	return nil
}

// Program returns the path of a program or skips the test.
func Program(t testing.TB, name string, also ...string) string {
	t.Helper()
	for _, n := range append([]string{name}, also...) {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	t.Skipf("PEER MISSING: %s is not installed; make test installs it", name)
	return ""
}

// Wait polls until done or the deadline, and fails the test then.
func Wait(t testing.TB, what string, limit time.Duration, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Listening waits until something accepts connections on the address.
func Listening(t testing.TB, address string) {
	t.Helper()
	Wait(t, address+" to accept connections", 15*time.Second, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}
