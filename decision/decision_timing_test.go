package decision

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkActive is asked for every request that an edge lets through.
func BenchmarkActive(b *testing.B) {
	for _, n := range []int{0, 1000, 100_000} {
		l, _ := open(b, Config{})
		for i := range n {
			x := uint32(i) * 2654435761
			bits := 32
			if i%100 == 0 {
				bits = 24
			}
			a := netip.AddrFrom4([4]byte{byte(x>>24) | 1, byte(x >> 16), byte(x >> 8), byte(x)})
			add(b, l, Decision{Value: netip.PrefixFrom(a, bits), Type: Ban, Scenario: fmt.Sprint(i % 3), Until: t0.Add(time.Hour)})
		}
		clean, banned := netip.MustParseAddr("198.51.100.7"), netip.Addr{}
		if n > 0 {
			banned = l.List(Filter{})[0].Value.Addr()
		}
		b.Run(fmt.Sprintf("bans=%d/clean", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Active(clean, t0)
			}
		})
		if n > 0 {
			b.Run(fmt.Sprintf("bans=%d/banned", n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := l.Active(banned, t0); !ok {
						b.Fatal(banned)
					}
				}
			})
		}
	}
}

// BenchmarkAdd makes new bans, each durable.
func BenchmarkAdd(b *testing.B) {
	l, _ := open(b, Config{Dir: b.TempDir()})
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if _, err := l.Add(context.Background(), Decision{Value: netip.PrefixFrom(a, 32), Type: Ban, Scenario: fmt.Sprint(i % 5), Until: t0.Add(time.Duration(i+1) * time.Hour)}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkOpen reads 100,000 bans back.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l, _ := open(b, Config{Dir: dir})
	for i := range 100_000 {
		l.mu.Lock()
		d := ban(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()+"/32", time.Hour)
		if err := d.clean(t0); err != nil {
			b.Fatal(err)
		}
		l.put(&d)
		l.mu.Unlock()
	}
	if err := l.Compact(); err != nil {
		b.Fatal(err)
	}
	_ = l.Close()
	for b.Loop() {
		l, _ := open(b, Config{Dir: dir})
		if l.Stats().Decisions != 100_000 {
			b.Fatal(l.Stats())
		}
		_ = l.Close()
	}
}
