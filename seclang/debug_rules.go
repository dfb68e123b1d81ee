package seclang

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang/match"
)

// debugRule runs one rule or chain member with its lines around it. Only a transaction whose log wants them comes here.
func (tx *Transaction) debugRule(r *rule) bool {
	text := " [file \"" + quotedText(r.file) + "\"] [line \"" + strconv.Itoa(r.last) + "\"]"
	if r == r.starter {
		text += ` [id "` + strconv.Itoa(r.id) + `"]`
	}
	if r.rev != "" {
		text += ` [rev "` + quotedText(r.rev) + `"]`
	}
	tx.debugf(4, "Recipe: Invoking rule %x;%s.", r.address(), text)
	tx.debugf(5, "Rule %x: %s", r.address(), plainText(r.raw))
	if r.kind == ruleNormal {
		tx.debugExpanded(r)
	}
	hit := tx.evaluate(r)
	if hit {
		tx.debugLine(4, "Rule returned 1.")
		tx.debugf(9, "%s", tx.outcome(r))
	} else {
		tx.debugLine(4, "Rule returned 0.")
		if r.next != nil {
			tx.debugLine(9, "No match, chained -> mode NEXT_CHAIN.")
		} else {
			tx.debugLine(9, "No match, not chained -> mode NEXT_RULE.")
		}
	}
	tx.debugVerdicts()
	return hit
}

// debugVerdicts writes the messages of interceptions that waited for the end of their rule.
func (tx *Transaction) debugVerdicts() {
	for _, v := range tx.verdicts {
		tx.debugLine(v.level, v.text)
	}
	tx.verdicts = tx.verdicts[:0]
}

// outcome is what a match leads to.
func (tx *Transaction) outcome(r *rule) string {
	s := r.starter
	switch {
	case r.next == nil && (tx.interruption != nil && tx.interruption.RuleID == s.id && tx.phase != 5 || s.disruptive == actAllow && tx.mode == ModeOn):
		return "Match, intercepted -> returning."
	case r.next == nil && s.skipAfter != "":
		return "Skipping after rule " + strconv.FormatUint(uint64(s.address()), 16) + ` id="` + s.skipAfter + `" -> mode SKIP_RULES.`
	}
	return "Match -> mode NEXT_RULE."
}

// address stands for the address of the rule in mod_security2's memory.
func (r *rule) address() uint32 { return number(r.file + ":" + strconv.Itoa(r.line)) }

// debugSkip writes where the walk goes on.
func (tx *Transaction) debugSkip(r *rule) {
	switch {
	case r.skipAfter != "":
		tx.debugf(4, `Continuing execution after rule id="%s".`, quotedText(r.skipAfter))
	case r.skip > 0:
		tx.debugf(4, "Skipping %d rules/chains.", r.skip)
	}
}

// debugRemoved writes why a rule does not run.
func (tx *Transaction) debugRemoved(r *rule) {
	tx.debugf(5, `Not processing rule id="%d": removed by ctl action`, r.id)
}

// maxExpanded is how many names the line about a rule's targets holds: a client may send a thousand arguments.
const maxExpanded = 100

// debugExpanded names the values of a variable that holds several.
func (tx *Transaction) debugExpanded(r *rule) {
	var names []string
	for i := range r.targets {
		t := &r.targets[i]
		if t.count {
			names = append(names, "&"+t.v.String())
			continue
		}
		for _, x := range tx.values(t.src) {
			if len(names) < maxExpanded && !tx.excluded(r, &x) {
				names = append(names, x.debugName())
			}
		}
	}
	if len(names) > 1 {
		tx.debugf(4, `Expanded "%s" to "%s".`, quotedText(r.targetText()), plainText(strings.Join(names, "|")))
	}
}

// targetText is the rule's first word, as it was written.
func (r *rule) targetText() string {
	_, rest, _ := strings.Cut(r.raw, `"`)
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

// debugName is the variable as the log names it.
func (x *ref) debugName() string {
	if x.v == vXML && x.key != "" {
		return "XML:" + plainText(x.key)
	}
	return x.spec()
}

// debugTransforms writes what each transformation makes of c, from step from to step to.
func (tx *Transaction) debugTransforms(r *rule, c *cell, from, to int) {
	for _, t := range r.chain.ids[from:to] {
		c = tx.transformed(c, t)
		if tx.debugLevel >= 9 {
			tx.debugf(9, `T (0) %s: "%s"`, tx.e.transforms[t].printed(), plainText(c.s))
		}
	}
}

// printed is the name of a transformation as the manual spells it.
func (t *usedTransform) printed() string {
	for _, n := range [...]string{
		"base64Decode", "base64DecodeExt", "base64Encode", "cmdLine", "compressWhitespace", "cssDecode", "escapeSeqDecode", "hexDecode",
		"hexEncode", "htmlEntityDecode", "jsDecode", "normalisePath", "normalizePath", "normalisePathWin", "normalizePathWin",
		"parityEven7bit", "parityOdd7bit", "parityZero7bit", "phpArgsNames", "removeComments", "removeCommentsChar", "removeNulls",
		"removeWhitespace", "replaceComments", "replaceNulls", "sqlHexDecode", "trimLeft", "trimRight", "urlDecode", "urlDecodeUni",
		"urlEncode", "utf8toUnicode",
	} {
		if strings.EqualFold(n, t.name) {
			return n
		}
	}
	return t.name
}

// debugTry writes what the operator is about to look at; began is when the transformations of the value began.
func (tx *Transaction) debugTry(r *rule, x *ref, value string, began time.Time) {
	tx.debugf(4, "Transformation completed in %d usec.", usec(tx.e.now().Sub(began)))
	not := ""
	if r.neg {
		not = "!"
	}
	tx.debugf(4, `Executing operator "%s%s" with param "%s" against %s.`, not, r.opName, plainText(r.opArg), x.debugName())
	tx.debugf(9, `Target value: "%s"`, plainText(value))
}

// debugTried writes what the operator found, and what it could not do.
func (tx *Transaction) debugTried(r *rule, matched bool, began time.Time) {
	if matched && r.capture && tx.debugLevel >= 9 {
		for i, c := range tx.result.Captures {
			tx.debugf(9, "Added regex subexpression to TX.%d: %s", i, plainText(c))
		}
	}
	tx.debugf(4, "Operator completed in %d usec.", usec(tx.e.now().Sub(began)))
}

// debugFault writes what an operator could not do. A limit that was hit is an alert, as in mod_security2.
func (tx *Transaction) debugFault(r *rule, err error) {
	switch {
	case errors.Is(err, match.ErrLimit):
		tx.debugLine(3, patternFault(r))
	default:
		tx.debugf(4, "Operator error: %s", plainText(err.Error()))
	}
}

// debugAlways writes the lines of a rule without an operator of its own: SecAction.
func (tx *Transaction) debugAlways() {
	tx.debugLine(4, "Transformation completed in 0 usec.")
	tx.debugLine(4, `Executing operator "unconditionalMatch" with param "" against REMOTE_ADDR.`)
	tx.debugf(9, `Target value: "%s"`, tx.client())
	tx.debugLine(4, "Operator completed in 0 usec.")
}

// debugScript writes what a Lua rule gave back.
func (tx *Transaction) debugScript(text string, matched bool, began time.Time) {
	if !matched {
		text = "(null)"
	}
	tx.debugf(8, "Lua: Script completed in %d usec, returning: %s.", usec(tx.e.now().Sub(began)), plainText(text))
}
