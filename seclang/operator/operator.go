// Package operator holds the operators of the ModSecurity rule language (@rx,
// @pm, @eq, @ipMatch ...). New reads an operator's argument once; Match then
// looks at one value and says whether it matches, what it captured, and the
// sentence that mod_security2 prints about it. Operators are safe for
// concurrent use, take any bytes, and keep nothing between calls, so there is
// nothing to lose in a crash. What needs the world outside (files, DNS, GEO
// databases, scripts) comes in through Env and Result.
package operator

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/trapline/trapline/seclang/hash"
	"github.com/trapline/trapline/seclang/match"
)

// Env is what an operator may use. The zero value is useful: files are read
// from disk as named, and lookups do not match.
type Env struct {
	// ReadFile reads a data file, such as that of @pmFromFile; nil is os.ReadFile.
	// The engine resolves names relative to the rule's file here.
	ReadFile func(name string) ([]byte, error)
	// Match is how patterns are compiled.
	Match match.Options
	// Resolver answers @rbl; nil: @rbl never matches. A *net.Resolver is one.
	Resolver Resolver
	// RBLTimeout bounds one lookup; 0 is DefaultRBLTimeout.
	RBLTimeout time.Duration
	// HTTPBLKey is SecHttpBlKey, asked for when the value is looked up.
	HTTPBLKey func() string
	// Geo looks an address up for @geoLookup (GeoDB.Lookup does); nil: it never matches.
	Geo func(netip.Addr) ([]Field, bool)
	// Warn is told, while New runs, what of a rule cannot work here. It may be nil.
	Warn func(text string)
}

// Resolver looks up the addresses of a host name.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// Field is a name and a value.
type Field struct{ Name, Value string }

// Operator is one operator with its argument.
type Operator interface {
	// Match reports whether in matches. arg is the argument with its macros
	// expanded; "" stands for the argument as it was given to New. m may not be nil.
	Match(in, arg string, m *Result) bool
}

// Literaler is implemented by operators that can only match a value which
// contains certain strings. The literals are for match.Set; without a
// condition (macros in the argument, say) they are empty.
type Literaler interface {
	Literals() match.Literals
}

// Result is what the caller wants to know of one match, and what it learns.
// The strings share memory with the value. It may be reused: see Reset.
type Result struct {
	// Capture is set by the caller when the rule has the action capture.
	Capture bool
	// Explain is set by the caller when it will use Text.
	Explain bool
	// Target is the name of the variable as the sentence shows it: "ARGS:a".
	Target string
	// Expand expands macros, for operators whose argument has parts (@rsub). May be nil.
	Expand func(string) string
	// Allowance is what patterns may still spend on backtracking. Nil: each match has only its own limits.
	Allowance *match.Allowance
	// Inspect runs the script of @inspectFile on a file: a Lua script matches
	// when it returns a value, whose text it gives; any other program when the
	// first byte of its output is not 1. Nil: @inspectFile never matches.
	Inspect func(script, file string) (text string, matched bool, err error)

	// Signed tells @validateHash whether a URI carries its hash. Nil: it never matches.
	Signed func(uri string) hash.Verdict

	// Document gives the XML body to @validateDTD and @validateSchema. Nil: they never match.
	Document func() Document

	// Captures are TX:0 and following.
	Captures []string
	// Text is the whole sentence, such as `Operator EQ matched 1 at ARGS:a.`
	Text string
	// Output is the value that @rsub made; Replaced says that there is one.
	Output   string
	Replaced bool
	// Geo is what @geoLookup found, for the collection GEO.
	Geo []Field
	// Err is why the answer is not certain: match.ErrLimit, a failed script.
	Err error
}

// Document is the body of a transaction as the XML processor saw it.
type Document struct {
	Text       string
	Parsed     bool // the XML processor ran
	WellFormed bool
	Failed     bool // something else went wrong with the body
}

// Reset clears what the last match left and keeps what the caller had set.
func (m *Result) Reset() {
	m.Captures = m.Captures[:0]
	m.Text, m.Output, m.Replaced, m.Geo, m.Err = "", "", false, nil, nil
}

// DefaultRBLTimeout is how long @rbl waits for an answer.
const DefaultRBLTimeout = time.Second

// entry is one operator of the language.
type entry struct {
	name string
	make func(arg string, env Env) (Operator, error)
}

// New makes the operator of that name (without @, in any case) with its
// argument. Errors say what was found and what was expected.
func New(name, arg string, env Env) (Operator, error) {
	if env.ReadFile == nil {
		env.ReadFile = os.ReadFile
	}
	for _, e := range table() {
		if strings.EqualFold(e.name, name) {
			o, err := e.make(arg, env)
			if err != nil {
				return nil, fmt.Errorf("@%s: %w", e.name, err)
			}
			return o, nil
		}
	}
	return nil, fmt.Errorf("@%s: no such operator: expected one of %s", name, strings.Join(Names(), " "))
}

// Known reports whether there is an operator of that name.
func Known(name string) bool {
	return slices.ContainsFunc(table(), func(e entry) bool { return strings.EqualFold(e.name, name) })
}

// Names are the operators in alphabetical order.
func Names() []string {
	var names []string
	for _, e := range table() {
		names = append(names, e.name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return names
}

// Canonical is the name as the reference manual spells it, or name itself.
func Canonical(name string) string {
	for _, e := range table() {
		if strings.EqualFold(e.name, name) {
			return e.name
		}
	}
	return name
}

// table lists the operators of ModSecurity 2.9 and 3.0.
func table() []entry {
	return []entry{
		{"beginsWith", newBeginsWith},
		{"contains", newContains},
		{"containsWord", newContainsWord},
		{"endsWith", newEndsWith},
		{"streq", newStreq},
		{"strmatch", newStrmatch},
		{"within", newWithin},
		{"eq", newNumber("EQ", func(l, r int64) bool { return l == r })},
		{"ge", newNumber("GE", func(l, r int64) bool { return l >= r })},
		{"gt", newNumber("GT", func(l, r int64) bool { return l > r })},
		{"le", newNumber("LE", func(l, r int64) bool { return l <= r })},
		{"lt", newNumber("LT", func(l, r int64) bool { return l < r })},
		{"rx", newRx},
		{"rxGlobal", newRxGlobal},
		{"rsub", newRsub},
		{"pm", newPm},
		{"pmFromFile", newPmFromFile},
		{"pmf", newPmFromFile},
		{"ipMatch", newIPMatch},
		{"ipMatchFromFile", newIPMatchFromFile},
		{"ipMatchF", newIPMatchFromFile},
		{"detectSQLi", newDetectSQLi},
		{"detectXSS", newDetectXSS},
		{"validateByteRange", newByteRange},
		{"validateUrlEncoding", newURLEncoding},
		{"validateUtf8Encoding", newUTF8Encoding},
		{"verifyCC", newVerify("CC#", validCC)},
		{"verifyCPF", newVerify("CPF#", validCPF)},
		{"verifySSN", newVerify("SSN#", validSSN)},
		{"verifySVNR", newVerify("SVNR#", validSVNR)},
		{"geoLookup", newGeoLookup},
		{"rbl", newRBL},
		{"inspectFile", newInspectFile},
		{"fuzzyHash", newFuzzyHash},
		{"noMatch", newNoMatch},
		{"unconditionalMatch", newUnconditionalMatch},
		{"gsbLookup", newAbsent("gsbLookup", "Google Safe Browsing's database no longer exists")},
		{"validateHash", newValidateHash},
		{"validateDTD", newValidateDTD},
		{"validateSchema", newValidateSchema},
	}
}

// hasMacro reports whether the argument must be expanded for every transaction.
func hasMacro(arg string) bool { return strings.Contains(arg, "%{") }

// Required is the sentence about a negated operator that did not match, which
// makes its rule match: op and arg are as the rule gives them.
func Required(op, arg, target string) string {
	// Only the argument is cut, and the name of the variable is escaped a second time, as mod_security2 does.
	return fmt.Sprintf("Match of \"%s\" against \"%s\" required.", escape(op)+" "+shown(arg), escape(target))
}
