package trap

import (
	"net/netip"
	"testing"
)

func TestClientKey(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7":              "192.0.2.7",
		"::ffff:192.0.2.7":       "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::",
		"2001:db8:1:2:ffff::1":   "2001:db8:1:2::",
		"fe80::1%eth0":           "fe80::",
		"2001:db8:1:3:3:4:5:6":   "2001:db8:1:3::",
		"::1":                    "::",
		"::ffff:198.51.100.1%lo": "198.51.100.1",
	} {
		a, err := netip.ParseAddr(from)
		if err != nil {
			continue // a zone on a mapped address is not an address
		}
		if got := clientKey(a); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

// TestClientsKeepCount walks connections through every order of wait, work, cut and leave.
func TestClientsKeepCount(t *testing.T) {
	cs := newClients(3, 5)
	all := make([]*conn, 200)
	for i := range all {
		all[i] = &conn{touch: touch{peer: netip.AddrPortFrom(addr(i%7), 1)}}
	}
	for i, c := range all {
		victim, how := cs.admit(c)
		if victim == c {
			t.Fatal("a connection made room for itself")
		}
		if how == admitted && i%3 != 0 {
			cs.wait(c)
			cs.wait(c) // no difference
		}
		if i%5 == 0 {
			cs.work(all[i/2])
		}
		if i%4 == 0 {
			cs.leave(all[i/2])
			cs.leave(all[i/2])
		}
		if open, owners := cs.counts(); open > 5 || owners > open {
			t.Fatalf("after %d: %d open of %d clients", i, open, owners)
		}
	}
	for _, c := range all {
		cs.leave(c)
	}
	if open, owners := cs.counts(); open != 0 || owners != 0 || len(cs.idleConns()) != 0 {
		t.Errorf("%d open of %d clients, %d idle", open, owners, len(cs.idleConns()))
	}
}
