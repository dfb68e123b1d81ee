package gate

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"github.com/trapline/trapline/seclang/connlimit"
)

// FuzzHTTP2Streams feeds bytes of a client and of the server in any order: the sums are those of the streams, and
// nothing is left when the connection is closed.
func FuzzHTTP2Streams(f *testing.F) {
	preface := []byte(http2.ClientPreface)
	head := []byte{0, 0, 6, 1, 4, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 1, 'h'}
	data := []byte{0, 0, 2, 0, 1, 0, 0, 0, 1, 'a', 'b'}
	answer := []byte{0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88}
	f.Add(slices.Concat(preface, head, data), answer, uint8(3))
	f.Add(slices.Concat(preface, head[:12]), []byte{}, uint8(1))
	f.Add(slices.Concat(preface, head, []byte{0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8}), answer[:4], uint8(40))
	f.Add(slices.Concat(preface, []byte{0, 0, 2, 1, 9, 0, 0, 0, 1, 9, 9}), []byte{0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8}, uint8(2))
	f.Fuzz(func(t *testing.T, in, out []byte, step uint8) {
		if len(in)+len(out) > 4096 {
			return // the sums are looked at after each step
		}
		counter := connlimit.New(nil, nil)
		counter.SetLimits(connlimit.Limits{Enforce: true, Read: connlimit.Limit{Max: 10}, Write: connlimit.Limit{Max: 10}})
		var place connlimit.Conn
		place.Open(counter, netip.MustParseAddr("192.0.2.1"))
		c := newH2Conn(nil)
		c.streams.place = &place
		for len(in)+len(out) > 0 {
			n := min(int(step)+1, len(in))
			if !c.look(in[:n]) {
				t.Fatal("one connection is over a limit of ten")
			}
			in = in[n:]
			n = min(int(step)+1, len(out))
			c.streams.sent(out[:n])
			out = out[n:]
			reading, writing := 0, 0
			for _, s := range c.streams.open {
				reading += int(s & connlimit.Reading)
				writing += int(s & connlimit.Writing / connlimit.Writing)
			}
			if reading != c.streams.reading || writing != c.streams.writing || len(c.streams.open) > maxStreams {
				t.Fatalf("%d read and %d write, counted are %d and %d", reading, writing, c.streams.reading, c.streams.writing)
			}
		}
		if s := counter.Stats(); s.Reading > 1 || s.Writing > 1 {
			t.Fatalf("one connection counts as %+v", s)
		}
		place.Close()
		if s := counter.Stats(); s != (connlimit.Stats{}) {
			t.Fatalf("left behind: %+v", s)
		}
	})
}
