package decision

import (
	"net/netip"
	"slices"
	"time"
)

// index finds the decisions for an address: one map per prefix length that is
// in use, longest first. Bans are nearly all /32, /128 and /64, so a look-up is
// one or two map accesses; the worst case is 33 for IPv4 and 129 for IPv6.
type index struct {
	v4, v6 []level // in falling order of bits
}

// level is the decisions of one prefix length.
type level struct {
	bits int
	at   map[netip.Addr][]*Decision // by the masked address
}

func (x *index) family(a netip.Addr) *[]level {
	if a.Is4() {
		return &x.v4
	}
	return &x.v6
}

func (x *index) add(d *Decision) {
	f := x.family(d.Value.Addr())
	i, ok := slices.BinarySearchFunc(*f, d.Value.Bits(), func(l level, bits int) int { return bits - l.bits })
	if !ok {
		*f = slices.Insert(*f, i, level{bits: d.Value.Bits(), at: make(map[netip.Addr][]*Decision)})
	}
	at := (*f)[i].at
	at[d.Value.Addr()] = append(at[d.Value.Addr()], d)
}

func (x *index) remove(d *Decision) {
	f := x.family(d.Value.Addr())
	i, ok := slices.BinarySearchFunc(*f, d.Value.Bits(), func(l level, bits int) int { return bits - l.bits })
	if !ok {
		return
	}
	at, addr := (*f)[i].at, d.Value.Addr()
	left := slices.DeleteFunc(at[addr], func(o *Decision) bool { return o.ID == d.ID })
	if len(left) > 0 {
		at[addr] = left
		return
	}
	delete(at, addr)
	if len(at) == 0 {
		*f = slices.Delete(*f, i, i+1)
	}
}

// match calls fn for every decision whose prefix holds addr.
func (x *index) match(addr netip.Addr, fn func(*Decision)) {
	if !addr.IsValid() {
		return
	}
	for _, l := range *x.family(addr) {
		p, err := addr.Prefix(l.bits)
		if err != nil {
			continue
		}
		for _, d := range l.at[p.Addr()] {
			fn(d)
		}
	}
}

// end is when the decision id ends; outdated when that one has another end by now.
type end struct {
	at time.Time
	id string
}

// endHeap has the next end first.
type endHeap struct{ items []end }

func (h *endHeap) Len() int           { return len(h.items) }
func (h *endHeap) Less(i, j int) bool { return h.items[i].at.Before(h.items[j].at) }
func (h *endHeap) Swap(i, j int)      { h.items[i], h.items[j] = h.items[j], h.items[i] }

// Push and Pop are for container/heap.
func (h *endHeap) Push(x any) { h.items = append(h.items, x.(end)) }

// Pop takes the last item, as container/heap wants it.
func (h *endHeap) Pop() any {
	n := len(h.items) - 1
	e := h.items[n]
	h.items = h.items[:n]
	return e
}
