package seclang

import (
	"net/netip"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang/match"
	"github.com/trapline/trapline/seclang/operator"
)

// Conn is the connection of a transaction. Only the addresses are required.
type Conn struct {
	// Peer is the other end of the TCP connection, Client the address that rules see as REMOTE_ADDR (the zero value
	// means Peer), Server our end.
	Peer, Client, Server netip.AddrPort
	ServerName           string // name of the virtual host
	TLS                  *audit.TLS
	Time                 time.Time // zero: the engine's clock
	ID                   string    // unique id; made when empty
	Env                  func(name string) string
	RemoteUser           string
	AuthType             string
	// Document says what on the server answers, nil when it does not know; it is asked when a rule reads SCRIPT_* or PATH_INFO,
	// perhaps often. nil: there are no files here.
	Document func() *Document
}

// Interruption is what a disruptive action decided.
type Interruption struct {
	Action string // "deny", "drop", "redirect" or "proxy"
	Status int    // 0 for drop
	URL    string // of redirect and proxy
	Phase  int
	RuleID int
	Pause  time.Duration // wait before the answer
}

// Transaction is one request on its way through the rules. One goroutine at a time uses it; Close gives it back.
type Transaction struct {
	e          *Engine
	conn       Conn
	id         string
	clientText string // made when first asked for
	began      time.Time

	mode         EngineMode
	auditMode    EngineMode
	auditParts   string
	relevant     bool // the audit log wants it: a rule with auditlog matched, or a limit was hit
	phase        int
	phaseDone    [6]bool
	interruption *Interruption
	allowed      allowState

	request  request
	response response
	ver      [vCount]uint32 // of kindRuleMap and kindMap variables: moves with each change
	sources  []sourceCache
	groups   []groupCache
	refs     []ref
	cells    cells
	buf      []byte

	tx        txVars
	persist   []*persistent
	env       []audit.Field
	geo       []operator.Field
	matched   matchedVars
	result    operator.Result
	rule      *rule // being evaluated, for %{rule.x}
	ctl       ctlState
	severity  int // HIGHEST_SEVERITY
	userID    string
	sessionID string
	webAppID  string
	patterns  patternState

	matches         []audit.Match
	fired           []*rule // all rules that matched, for part K
	sanitise        []sanitiser
	notes           []string
	prepend, append string
	closed          bool
	tracer          func(Step)
	full            bool // every rule runs on every value, for the tracer or the debug log
	debugLevel      int  // highest level of the debug log that is written; 0 for none
	debugLines      int  // so far
	verdicts        []verdict
	watch           watch
	serverErrors    []string
	failed          bool // an operator of the rule being run could not do its work
}

type allowState uint8

const (
	allowNone allowState = iota
	allowPhase
	allowRequest
	allowAll
)

// NewTransaction starts a transaction. It must be closed.
func (e *Engine) NewTransaction(c Conn) *Transaction {
	tx, _ := e.pool.Get().(*Transaction)
	if tx == nil {
		tx = &Transaction{sources: make([]sourceCache, len(e.sources)), groups: make([]groupCache, e.groups)}
		tx.tx.slots = make([]txVar, len(e.txNames))
		tx.cells.reset()
		tx.result.Allowance = new(match.Allowance)
		tx.result.Inspect, tx.result.Expand, tx.result.Document = tx.inspect, tx.expandText, tx.document
		tx.result.Signed = tx.checkHash
	}
	tx.start(e, c)
	return tx
}

func (tx *Transaction) start(e *Engine, c Conn) {
	if !c.Client.IsValid() {
		c.Client = c.Peer
	}
	tx.e, tx.conn, tx.closed = e, c, false
	*tx.result.Allowance = match.NewAllowance(patternSteps)
	tx.began = c.Time
	if tx.began.IsZero() {
		tx.began = e.now()
	}
	tx.id = c.ID
	if tx.id == "" {
		tx.id = audit.NewID()
	}
	s := &e.settings
	tx.mode, tx.auditMode, tx.auditParts = s.RuleEngine, s.AuditEngine, s.AuditLogParts
	tx.webAppID = s.WebAppID
	tx.severity = 255
	tx.ctl.reset(e)
	tx.setDebugLevel(s.DebugLogLevel)
	tx.startWatch()
	for i := range tx.ver {
		tx.ver[i] = 1
	}
	if e.initIP && tx.mode != ModeOff {
		tx.openCollection(vIP, "ip", tx.client())
	}
	if e.openFirst && tx.mode != ModeOff {
		for _, o := range e.openers {
			o.run(tx, nil)
		}
	}
}

// Interruption returns what stopped the transaction, nil when nothing did.
func (tx *Transaction) Interruption() *Interruption { return tx.interruption }

// ID returns the transaction's unique id.
func (tx *Transaction) ID() string { return tx.id }

// SessionID returns what setsid named, "" before.
func (tx *Transaction) SessionID() string { return tx.sessionID }

// Env returns what setenv set, in order.
func (tx *Transaction) Env() []audit.Field { return tx.env }

// Close ends the transaction and gives its memory to later ones; what Fill put into a record stays good. After it the
// transaction must not be touched, nor closed once more.
func (tx *Transaction) Close() error {
	if tx.closed {
		return nil
	}
	tx.closed = true
	if p := tx.request.parsed; p != nil {
		if keep := tx.e.settings.UploadKeepFiles; keep == "On" || keep == "RelevantOnly" && tx.relevant {
			p.Keep()
		}
	}
	err := tx.request.close()
	pool := tx.e.pool
	tx.reset()
	pool.Put(tx)
	return err
}

func (tx *Transaction) reset() {
	keep := *tx
	*tx = Transaction{}
	tx.closed = true
	tx.sources, tx.groups, tx.cells, tx.buf, tx.tx = keep.sources, keep.groups, keep.cells, keep.buf[:0], keep.tx
	if cap(tx.buf) > maxExpansion/4 {
		tx.buf = nil
	}
	clear(tx.sources)
	clear(tx.groups)
	tx.cells.reset()
	tx.tx.reset()
	if cap(keep.refs) < 1<<14 {
		clear(keep.refs)
		tx.refs = keep.refs[:0]
	}
	tx.matched = keep.matched
	clear(tx.matched.all)
	tx.matched.last, tx.matched.any = ref{}, false
	tx.matched.reset()
	tx.request.reuse(&keep.request)
	tx.result = keep.result
	clear(tx.result.Captures)
	tx.result.Reset()
}

// client is the address that rules see as REMOTE_ADDR, as text.
func (tx *Transaction) client() string {
	if tx.clientText == "" && tx.conn.Client.IsValid() {
		tx.clientText = tx.conn.Client.Addr().Unmap().WithZone("").String()
	}
	return tx.clientText
}
