package match

import "sync/atomic"

// Budget bounds the memory that the automata of many patterns take together.
// It is safe for concurrent use; nil is no bound.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// Used is the number of bytes taken so far.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// take reserves n bytes, or nothing and reports false.
func (b *Budget) take(n int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(n)) > b.max {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

func (b *Budget) free(n int) {
	if b != nil {
		b.used.Add(int64(-n))
	}
}
