package collection

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// address returns the i-th of many addresses, spread like those of scanners.
func address(i int) string {
	x := uint32(i) * 2654435761
	return fmt.Sprintf("%d.%d.%d.%d", x>>24, x>>16&255, x>>8&255, x&255)
}

// tag is what the rules of the article set, with an expiry.
func tag(now time.Time) []Change {
	return []Change{set("malicious_client", "1"), expire("malicious_client", now.Add(time.Hour)), set("reason", "honeytrap port 8000")}
}

// The promise is 250 bytes for each client; Stats must say about the same as the runtime does.
func TestMemoryPerClient(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector keeps more memory")
	}
	const clients = 200_000
	for _, family := range []string{"IPv4", "IPv6"} {
		s := open(t, Config{})
		before := heap()
		for i := range clients {
			key := address(i)
			if family == "IPv6" {
				key = fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)
			}
			s.Apply("ip", key, time.Hour, t0, tag(t0))
		}
		each := float64(heap()-before) / clients
		stats := s.Stats()
		t.Logf("%s: %.0f bytes a client, %.0f by Stats", family, each, float64(stats.Bytes)/clients)
		if each > 250 {
			t.Errorf("%s: %.0f bytes a client", family, each)
		}
		// Changing records again and again must not keep the old ones alive.
		for range 5 {
			for i := range clients {
				if family == "IPv4" {
					s.Apply("ip", address(i), time.Hour, t0, []Change{add("n", 1)})
				}
			}
		}
		if again := float64(heap()-before) / clients; family == "IPv4" && again > 260 {
			t.Errorf("%.0f bytes a client after changes", again)
		}
		runtime.KeepAlive(s)
	}
}
