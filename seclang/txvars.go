package seclang

// txVars is the collection TX: names that rules mention have fixed slots, others get one when they are first set.
type txVars struct {
	slots []txVar
	extra map[string]int32 // lower-case name to slot, beyond the fixed ones
	order []int32          // slots in the order in which they were set
	fixed int
}

type txVar struct {
	name  string // as it was set
	value string
	set   bool
}

// maxTX bounds variables whose names come from what a client sent.
const maxTX = 10000

func (t *txVars) reset() {
	if t.fixed == 0 {
		t.fixed = len(t.slots)
	}
	clear(t.slots)
	t.slots = t.slots[:t.fixed]
	clear(t.extra)
	t.order = t.order[:0]
}

func (t *txVars) get(slot int32) (string, bool) {
	v := &t.slots[slot]
	return v.value, v.set
}

// slot finds the slot of a name; it makes one when asked to.
func (t *txVars) slot(e *Engine, name string, create bool) int32 {
	k := lower(name)
	if s, ok := e.txSlots[k]; ok {
		return s
	}
	if s, ok := t.extra[k]; ok {
		return s
	}
	if !create || len(t.slots) >= maxTX+len(e.txNames) {
		return -1
	}
	if t.extra == nil {
		t.extra = map[string]int32{}
	}
	if t.fixed == 0 {
		t.fixed = len(t.slots)
	}
	s := int32(len(t.slots))
	t.slots = append(t.slots, txVar{})
	t.extra[k] = s
	return s
}

func (tx *Transaction) setTX(slot int32, name, value string) {
	if slot < 0 {
		return
	}
	v := &tx.tx.slots[slot]
	if !v.set {
		tx.tx.order = append(tx.tx.order, slot)
		v.name, v.set = name, true
	}
	v.value = value
	tx.ver[vTX]++
}

func (tx *Transaction) unsetTX(slot int32) {
	if slot < 0 || !tx.tx.slots[slot].set {
		return
	}
	tx.tx.slots[slot] = txVar{}
	for i, s := range tx.tx.order {
		if s == slot {
			tx.tx.order = append(tx.tx.order[:i], tx.tx.order[i+1:]...)
			break
		}
	}
	tx.ver[vTX]++
}

var captureNames = [10]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// setCaptures fills TX:0 to TX:9; those that this match did not capture are gone. An operator that captures nothing
// leaves them all as an earlier rule has set them.
func (tx *Transaction) setCaptures(c []string) {
	if len(c) == 0 {
		return
	}
	for i, slot := range tx.e.txCaptures {
		if i < len(c) {
			tx.setTX(slot, captureNames[i], c[i])
		} else {
			tx.unsetTX(slot)
		}
	}
}
