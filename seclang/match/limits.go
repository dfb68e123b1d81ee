package match

import (
	"errors"
	"fmt"
)

// ErrLimit says that a match was given up because it took too much work; the
// rule language shows it as MSC_PCRE_LIMITS_EXCEEDED.
var ErrLimit = errors.New("pattern match limit exceeded")

// errLoop says that a group called itself where it began, which would go on for
// ever. mod_security2 counts until its limit; the outcome is the same.
var errLoop = fmt.Errorf("recursion loop: %w", ErrLimit)

// Limits bound one match on the backtracking matcher. They count, and do not
// look at the clock: a match comes to the same end in every run.
type Limits struct {
	// Ways is how often the matcher may go back to a choice from one place where a
	// match may start, as SecPcreMatchLimit; 0 is PCRE's own limit. A number that grows
	// with the length of the value is allowed anyway: see linear.
	Ways int
	// Depth is how many choices may be open at a time, as SecPcreMatchLimitRecursion; 0
	// is PCRE's own limit. What PCRE's JIT has room for on its stack is allowed anyway,
	// because it does not count there.
	Depth int
	// Steps is how much work a match may be in all; 0 is MaxSteps.
	Steps int64
}

const (
	defaultWays = 10_000_000 // MATCH_LIMIT of PCRE

	// minWays is what every match may go back. PCRE's JIT counts fewer of the steps that
	// lead on than a matcher without it, so below this ordinary matches would be given
	// up here and found there (TestLimitsAgainstPCRE2).
	minWays = 100
	// linear is how many ways back each byte of a value allows besides: work that only
	// grows with the value is no danger, and most of it PCRE's JIT does not count.
	linear = 16

	// framesPerChoice is how many frames a choice and what it undoes take.
	framesPerChoice = 8
	// minDepth is about what fits on the 32 KiB stack of PCRE's JIT.
	minDepth = 4096
	// maxDepth bounds the stack to 20 MiB.
	maxDepth = 100_000

	// MaxSteps is how many steps one match may take, whatever the limits: 0.2 s or less.
	MaxSteps = 20_000_000
)

// Allowance is what the patterns of one transaction may still spend on
// backtracking, in steps: many rules and many values share it. It is not safe
// for concurrent use.
type Allowance struct{ left int64 }

// NewAllowance is an allowance of so many steps.
func NewAllowance(steps int64) Allowance { return Allowance{steps} }

// Spent reports whether nothing is left.
func (a *Allowance) Spent() bool { return a.left <= 0 }

// setLimits keeps the limits; own is that of (*LIMIT_MATCH=), which can only lower them.
func (re *Regexp) setLimits(l Limits, own int) {
	if l.Ways <= 0 {
		l.Ways = defaultWays
	}
	l.Ways = max(l.Ways, minWays)
	if own > 0 {
		l.Ways = min(l.Ways, own)
	}
	if l.Depth <= 0 || l.Depth > maxDepth {
		l.Depth = maxDepth
	}
	l.Depth = max(l.Depth, minDepth)
	if l.Steps <= 0 || l.Steps > MaxSteps {
		l.Steps = MaxSteps
	}
	re.limits = l
}

// keptFrames is the largest stack that is kept for the next match.
const keptFrames = 1 << 14

// machine takes a machine for one or more searches and says what it may spend.
func (re *Regexp) machine(a *Allowance) *machine {
	m, _ := re.machines.Get().(*machine)
	if m == nil {
		m = &machine{p: re.program}
	}
	m.work, m.depth = re.limits.Steps, framesPerChoice*re.limits.Depth
	if a != nil {
		m.work = min(m.work, a.left)
	}
	m.begun = m.work
	return m
}

// done charges what m has spent and keeps it for the next match.
func (re *Regexp) done(m *machine, a *Allowance) {
	if a != nil {
		a.left -= m.begun - m.work
	}
	m.s = ""
	if cap(m.stack) <= keptFrames && cap(m.saved) <= keptFrames {
		re.machines.Put(m)
	}
}
