package seclang

import (
	"time"

	"github.com/trapline/trapline/seclang/operator"
)

// rule is one compiled rule or chain member. It is immutable once Compile has returned.
type rule struct {
	index int // position in Engine.rules
	id    int // of the starter for chain members
	phase int
	file  string
	line  int
	last  int // last line of the directive, which messages name
	raw   string
	whole string // raw of the whole chain, on the starter
	kind  ruleKind
	label string // of a SecMarker

	targets []target
	except  []target // !VAR and what SecRuleUpdateTarget* took away
	neg     bool
	opName  string
	opArg   string
	op      operator.Operator
	argOf   *macro            // operator argument when it holds macros
	opEmpty operator.Operator // op for an argument whose macros expand to nothing
	chain   transChain
	multi   bool
	once    bool // the operator has effects outside, a script or a DNS query: it runs once, and explains itself then
	capture bool
	// needs are byte classes of which a value must have one, 0 for no condition.
	needs uint64
	// bit is the rule's pattern in Engine.scan, -1 when the literal scan cannot rule it out.
	bit int
	// always is true when even a rule without candidates must be evaluated (negation, counts, no literals).
	always bool
	script *script

	steps   []step // non-disruptive actions, in order
	starter *rule  // first member of the chain, itself when alone
	next    *rule  // next member of the chain

	disruptive disruptiveKind
	allow      string // "", "phase", "request"
	status     int
	location   *macro // of redirect and proxy
	pause      time.Duration
	pauseOf    *macro
	log        bool
	auditlog   bool
	noted      bool // a match is kept for the record: log or auditlog
	msg        *macro
	logdata    *macro
	rev, ver   string
	tags       []*macro
	severity   int // -1 when none
	maturity   int
	accuracy   int
	skip       int
	skipAfter  string
	jump       int  // index in the rules of the phase where skipAfter goes on
	sanMatched bool // sanitiseMatched
	sanBytes   *bytesRange

	// article is true for the rules whose meaning Defaults.Article guards: those that tag on a trap port and
	// those that look for the tag.
	article bool
	// connection is true for a starter whose whole chain looks at the connection only.
	connection bool
	text       *ruleText
}

type disruptiveKind uint8

const (
	actNone disruptiveKind = iota
	actPass
	actAllow
	actDeny
	actDrop
	actRedirect
	actProxy
)

func (k disruptiveKind) String() string {
	return [...]string{"", "pass", "allow", "deny", "drop", "redirect", "proxy"}[k]
}

// step is one non-disruptive action.
type step interface {
	run(tx *Transaction, r *rule)
}

// RuleView is one effective rule for people to read.
type RuleView struct {
	ID    int // 0 for markers
	Phase int
	File  string
	Line  int
	Raw   string // as part K of the audit log prints it; chain members follow on lines of their own
	Msg   string
	Tags  []string
	// Kind is "SecRule", "SecAction", "SecMarker" or "SecRuleScript".
	Kind string
	// Action is the disruptive action, with defaults applied.
	Action string
	// Connection is true when Touch runs the rule.
	Connection bool
	Chain      int // number of members after the first
}

func (r *rule) view() RuleView {
	v := RuleView{ID: r.id, Phase: r.phase, File: r.file, Line: r.line, Raw: r.whole, Connection: r.connection}
	v.Kind = [...]string{"SecRule", "SecAction", "SecMarker", "SecRuleScript"}[r.kind]
	v.Action = r.disruptive.String()
	if r.msg != nil {
		v.Msg = r.msg.text
	}
	for _, t := range r.tags {
		v.Tags = append(v.Tags, t.text)
	}
	for m := r.next; m != nil; m = m.next {
		v.Chain++
	}
	return v
}

// chainRaw is the text of the whole chain, members on lines of their own as mod_security2 writes them.
func (r *rule) chainRaw() string {
	if r.next == nil {
		return r.raw
	}
	s := r.raw
	for m := r.next; m != nil; m = m.next {
		s += "\n  " + m.raw
	}
	return s
}
