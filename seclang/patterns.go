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
	limit    bool // MSC_PCRE_LIMITS_EXCEEDED and MSC_PCRE_ERROR
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
	if !errors.Is(err, match.ErrLimit) {
		return false
	}
	tx.patterns.limit = true
	tx.setTX(tx.e.limitSlot, "MSC_PCRE_LIMITS_EXCEEDED", "1")
	if tx.patterns.messages++; tx.patterns.messages > maxPatternMessages {
		return true
	}
	text := patternFault(tx.rule)
	if len(tx.matches) < maxMatches {
		tx.matches = append(tx.matches, audit.Match{Phase: tx.phase, Text: text})
	}
	return true
}

// patternFault is the message about a pattern that was given up, in the words of mod_security2 (with PCRE2).
func patternFault(r *rule) string {
	const text = "Execution error - PCRE limits exceeded (-47): (null)."
	if r == nil {
		return text
	}
	return fmt.Sprintf(`Rule %x [id "%d"][file "%s"][line "%d"] - `, r.address(), r.id, quotedText(r.file), r.last) + text
}
