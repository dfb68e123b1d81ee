package seclang

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang/body"
	"github.com/trapline/trapline/seclang/match"
	"github.com/trapline/trapline/seclang/transform"
)

// Config is what Compile needs. Only Directives is required.
type Config struct {
	// Directives in order, Include already resolved (Load resolves it for callers that start from a file).
	Directives []Directive
	// Collections keeps IP, SESSION and the others; nil: they live for one transaction only.
	Collections *collection.Store
	// ReadFile reads data files such as those of @pmFromFile; nil: os.ReadFile. Relative names have been joined
	// to the folder of the rule's file.
	ReadFile func(path string) ([]byte, error)
	// Fetch gets the text that a SecRemoteRules line asks for, bounded in time and size by whoever writes it; nil: none
	// is fetched, which is an error or a warning as SecRemoteRulesFailAction says.
	Fetch  func(Remote) ([]byte, error)
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	// Defaults says what to assume where the rules are silent.
	Defaults Defaults
	// Honeytrap tells that this host has no legitimate visitor: Logging then runs the connection rules that an
	// earlier interruption kept from running.
	Honeytrap bool
	// Debug is where SecDebugLog and the messages of the error log go.
	Debug DebugOutput
	// Secret is what SecHashKey rand makes its key of: engines with the same secret have the same key. Nil: each Compile makes a key.
	Secret []byte
	// NoLua refuses SecRuleScript, exec and @inspectFile of Lua files.
	NoLua bool
	// NoExec refuses exec and @inspectFile of other programs.
	NoExec bool
}

// Defaults says what to assume where the rules are silent. Each use yields an Assumption.
type Defaults struct {
	// Article makes rules written as the article prints them do what the article says: SecRuleEngine absent is On;
	// `block` of a honeytrap rule is "deny,status:403" unless a SecDefaultAction of the same file says otherwise;
	// the collection ip is that of the client's address, opened before every rule, unless an initcol of the same
	// file says otherwise.
	Article bool
}

// Engine is a compiled set of rules. It is immutable and safe for concurrent transactions.
type Engine struct {
	luaTime time.Duration // luaTime, less in tests

	settings    Settings
	rules       []*rule    // starters, in order of the text
	members     []*rule    // chain members, numbered after the starters
	phases      [6][]*rule // starters and markers by phase, in order
	touch       []*rule    // connection rules, in order
	tags        bool       // some connection rule writes a persistent collection
	warnings    []Warning
	assumptions []Assumption

	transforms  []usedTransform
	activeBytes [256]uint64 // transformations that a byte can set off
	byteDriven  uint64      // transformations that only certain bytes set off
	chains      []transChain
	scan        *match.Set
	sources     []source
	txNames     []string // names of TX variables that the rules mention, by slot
	txSlots     map[string]int32
	groups      int // number of (source, chain) pairs with literal-driven rules
	txCaptures  [10]int32
	limitSlot   int32 // of TX:MSC_PCRE_LIMITS_EXCEEDED

	collections *collection.Store
	blank       *collection.Store  // always empty: every record is new
	scripts     map[string]*script // Lua files of @inspectFile, by path
	unicode     *transform.UnicodeMap
	logger      *slog.Logger
	now         func() time.Time
	readFile    func(string) ([]byte, error)
	honeytrap   bool

	initIP    bool           // Defaults.Article opens ip before every rule
	openFirst bool           // openers run before every rule
	openers   []*initcolStep // unconditional initcol of the honeytrap rules' own files

	readsPerf bool // some rule reads PERF_*

	debug       DebugOutput
	debugTo     io.Writer // what SecDebugLog has opened, nil for nothing
	debugOpened string    // place of the SecDebugLog that debugTo is of

	inspectsBody   bool // request bodies are looked at
	inspectsAnswer bool // response bodies that are given are looked at
	rejectsBody    bool // a request body over its limit is refused
	bodyLimitSet   bool // SecRequestBodyLimit stands in the text: it then holds for bodies that nobody looks at, too
	respLimitSet   bool // the same of SecResponseBodyLimit
	mimeListed     bool // the text says which MIME types to inspect
	extractFiles   bool // some rule reads uploads by their file name

	hashKey   string // of SecHashKey
	randomKey string // of SecHashKey rand
	hashPages bool   // some method names links of pages, and what it takes to change pages is on

	pool *sync.Pool      // of transactions
	temp *body.TempFiles // of uploads
}

// Compile turns directives into an Engine. Its error joins one *Error for each fault, with what was found and expected.
func Compile(cfg Config) (*Engine, error) {
	c := newCompiler(cfg)
	c.fetchRemote()
	c.readDirectives()
	c.applyUpdates()
	c.unmatched()
	c.checkIDs()
	c.resolveDefaults()
	c.checkHash()
	c.compileRules()
	c.compileFaulty()
	c.assumeBodies()
	c.warnAnswers()
	c.fail(c.e.openDebugLog())
	c.sortFaults()
	if len(c.errs) > 0 {
		errs := make([]error, len(c.errs))
		for i, err := range c.errs {
			errs[i] = err
		}
		return nil, errors.Join(errs...)
	}
	return c.finish(), nil
}

// Warnings returns what loaded but does not do what it says, in order of the text.
func (e *Engine) Warnings() []Warning { return slices.Clone(e.warnings) }

// Assumptions returns what Defaults decided.
func (e *Engine) Assumptions() []Assumption { return slices.Clone(e.assumptions) }

// Settings returns the Sec* directives that are not rules.
func (e *Engine) Settings() Settings { return e.settings.clone() }

// Rules returns the effective rules in order of the text, markers included.
func (e *Engine) Rules() []RuleView {
	out := make([]RuleView, 0, len(e.rules))
	for _, r := range e.rules {
		out = append(out, r.view())
	}
	return out
}

// TagsOnConnect says whether a connection rule writes a persistent collection: a bare connection then leaves a tag.
func (e *Engine) TagsOnConnect() bool { return e.tags }

// Derive returns an engine with the same compiled rules and other settings: a virtual host that only changes audit
// and limits shares the rules of the main server. It is an error when a directive would change rules.
func (e *Engine) Derive(ds []Directive) (*Engine, error) {
	d := *e
	d.settings = e.settings.clone()
	d.warnings = slices.Clone(e.warnings)
	d.pool = &sync.Pool{}
	var errs []error
	for _, dir := range ds {
		known, warn, err := d.settings.setting(dir)
		switch {
		case err != nil:
			errs = append(errs, &Error{dir.File, dir.Line, err.Error()})
		case !known:
			errs = append(errs, &Error{dir.File, dir.Line, dir.Name + " changes rules: this host needs an engine of its own"})
		case warn != "":
			d.warnings = append(d.warnings, Warning{dir.File, dir.Line, warn, dir.Name})
		}
	}
	if err := errors.Join(append(errs, d.openDebugLog())...); err != nil {
		return nil, err
	}
	d.learnSettings()
	return &d, nil
}

// ForHoneytrap returns an engine with the same rules and settings for a host that has no legitimate visitor, as
// Config.Honeytrap makes one. The two share their compiled rules.
func (e *Engine) ForHoneytrap() *Engine {
	d := *e
	d.settings = e.settings.clone()
	d.honeytrap = true
	d.pool = &sync.Pool{}
	return &d
}

// SweepTempFiles removes from SecTmpDir the uploads that processes of this user left there when they were killed, and
// returns how many. Files of living processes and of other programs stay. It is meant for the start of a server.
func (e *Engine) SweepTempFiles() (removed int, err error) {
	return body.SweepTempFiles(cmp.Or(e.settings.TmpDir, os.TempDir()))
}

func defaultReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Now returns the time by the engine's clock.
func (e *Engine) Now() time.Time { return e.now() }
