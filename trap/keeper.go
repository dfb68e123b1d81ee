package trap

import "sync/atomic"

// freeBytes of every body are kept without asking the budget.
const freeBytes = 4 << 10

// budgetStep is how much a keeper takes from the budget at a time.
const budgetStep = 64 << 10

// budget is the memory that request bodies of all connections may take together.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

// keeper keeps the beginning of one body: up to limit bytes, and no more than
// the budget allows. It counts the rest.
type keeper struct {
	budget *budget
	limit  int
	kept   []byte
	size   int64 // bytes that came
	held   int64 // taken from the budget
}

// add keeps what it may of p and returns how many bytes it dropped.
func (k *keeper) add(p []byte) (dropped int) {
	k.size += int64(len(p))
	if k.size > int64(len(k.kept)+len(p)) {
		return len(p) // something was dropped before: what is kept is a beginning, not a sieve
	}
	n := min(len(p), k.limit-len(k.kept))
	for len(k.kept)+n > freeBytes+int(k.held) {
		if !k.budget.take(budgetStep) {
			n = max(0, min(n, freeBytes+int(k.held)-len(k.kept)))
			break
		}
		k.held += budgetStep
	}
	k.kept = append(k.kept, p[:n]...)
	return len(p) - n
}

// free gives back what was taken from the budget; the kept bytes are no longer the keeper's.
func (k *keeper) free() {
	k.budget.left.Add(k.held)
	k.held, k.kept = 0, nil
}
