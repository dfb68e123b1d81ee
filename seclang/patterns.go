package seclang

import (
	"errors"
	"fmt"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang/match"
)

// patternSteps is what all patterns of one transaction may spend on backtracking, over all rules and values: about
// 0.1 s of one core, however many arguments a client sends.
const patternSteps = 20_000_000

// patternState is what patterns could not do in a transaction.
type patternState struct {
	failed   bool // MSC_PCRE_ERROR
	limit    bool // MSC_PCRE_LIMITS_EXCEEDED
	messages int
}

// maxPatternMessages is how many messages about limits one record holds.
const maxPatternMessages = 20

// patternOptions are how the patterns of rules are compiled.
func (c *compiler) patternOptions() match.Options {
	return match.Options{
		Budget: match.NewBudget(automatonBudget),
		Limits: match.Limits{Ways: c.settings.PcreMatchLimit, Depth: c.settings.PcreMatchLimitRecursion},
	}
}

// patternError keeps that a pattern was given up, and reports whether err says so.
func (tx *Transaction) patternError(err error) bool {
	limit := errors.Is(err, match.ErrLimit)
	if !limit && !errors.Is(err, match.ErrRecursion) {
		return false
	}
	tx.patterns.failed = true
	if limit {
		tx.patterns.limit = true
		tx.setTX(tx.e.limitSlot, "MSC_PCRE_LIMITS_EXCEEDED", "1")
	}
	if tx.patterns.messages++; tx.patterns.messages > maxPatternMessages {
		return true
	}
	text := patternFault(tx.rule, err)
	if len(tx.matches) < maxMatches {
		tx.matches = append(tx.matches, audit.Match{Phase: tx.phase, Text: text})
	}
	return true
}

// patternFault is the message about a pattern that was given up, in the words of mod_security2 (with PCRE2).
func patternFault(r *rule, err error) string {
	head := ""
	if r != nil {
		head = fmt.Sprintf(`Rule %x [id "%d"][file "%s"][line "%d"] - `, r.address(), r.id, quotedText(r.file), r.last)
	}
	if errors.Is(err, match.ErrLimit) {
		return head + "Execution error - PCRE limits exceeded (-47): (null)."
	}
	return head + "Execution error - " + err.Error() + "."
}
