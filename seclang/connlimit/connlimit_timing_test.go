package connlimit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func BenchmarkConnection(b *testing.B) {
	for name, l := range map[string]Limits{"off": {}, "on": {Enforce: true, Read: Limit{Max: 1 << 30}, Write: Limit{Max: 1 << 30}}} {
		for _, clients := range []int{1, 1 << 16} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				c := New(nil, nil)
				c.SetLimits(l)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					i := rand.Uint32()
					for pb.Next() {
						i++
						var k Conn
						n := i % uint32(clients)
						k.Open(c, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
						k.Close()
					}
				})
			})
		}
	}
}

// BenchmarkRequest is what one request on an open connection costs.
func BenchmarkRequest(b *testing.B) {
	for name, l := range map[string]Limits{"off": {}, "on": {Enforce: true, Read: Limit{Max: 1 << 30}, Write: Limit{Max: 1 << 30}}} {
		b.Run(name, func(b *testing.B) {
			c := New(nil, nil)
			c.SetLimits(l)
			b.RunParallel(func(pb *testing.PB) {
				var k Conn
				k.Open(c, netip.AddrFrom4([4]byte{10, 0, byte(rand.Uint32()), byte(rand.Uint32())}))
				for pb.Next() {
					k.Set(Idle)
					k.Begin()
					k.Set(Writing)
				}
				k.Close()
			})
		})
	}
}
