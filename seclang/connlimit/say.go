package connlimit

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

const possibleDoS = " - Possible DoS Consumption Attack [Rejected]"

// say writes what mod_security2 writes to the error log. Of one client it says the 1st, 2nd, 4th, 8th ... time, of all
// together ten lines a second: a flood must not fill the disk.
func (c *Counter) say(k *client, verdict, state string, n, limit int, addr netip.Addr, rest string) {
	times := k.over.Add(1)
	if times&(times-1) != 0 || !c.said.allows(c.now()) {
		return
	}
	text := fmt.Sprintf("ModSecurity: Too many threads [%d] of %d allowed in %s state from %s%s", n, limit, state, addr, rest)
	if rest == possibleDoS {
		text = fmt.Sprintf("ModSecurity: Access denied with code 400. Too many threads [%d] of %d allowed in %s state from %s%s", n, limit, state, addr, rest)
	}
	c.log.Warn("connection over its limit", "verdict", verdict, "text", text, "times", times)
}

// throttle lets ten lines a second through.
type throttle struct{ second, lines atomic.Int64 }

const linesPerSecond = 10

func (t *throttle) allows(now time.Time) bool {
	if s := now.Unix(); t.second.Swap(s) != s {
		t.lines.Store(0)
	}
	return t.lines.Add(1) <= linesPerSecond
}
