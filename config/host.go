package config

import (
	"net/netip"
	"time"

	"github.com/trapline/trapline/seclang"
)

// Host is the main server or one <VirtualHost>, with everything it inherits from the main server already in it.
type Host struct {
	File string // of the <VirtualHost> line, or of the line that made it a host
	Line int
	// Addresses are those of <VirtualHost>; none for the main server.
	Addresses []Address
	// Name is ServerName without port, "" when not given.
	Name    string
	Aliases []string
	Admin   string

	// DocumentRoot is an absolute folder, "" for none. Builtin (TrapSite builtin) serves the embedded site instead.
	DocumentRoot   string
	Builtin        bool
	DirectoryIndex []string
	Paths          []PathAlias
	Redirects      []Redirect
	// Sections are <Directory>, <Files> and <Location> in the order in which they merge into a request.
	Sections []*Section
	// Defaults holds what is set outside any section (Options, ErrorDocument, Header ... of the host).
	Defaults Section

	Proxies       []ProxyPass
	Reverses      []ProxyReverse
	PreserveHost  bool
	ProxyTimeout  time.Duration
	ErrorOverride bool
	ProxyInsecure bool // SSLProxyVerify none
	RemoteIP      RemoteIP
	TLS           TLS
	LogFormats    map[string]string
	CustomLogs    []CustomLog
	ErrorLog      string
	LogLevel      string
	Limits        Limits
	Timeouts      Timeouts

	// Sec are the ModSecurity directives in force: the main server's, then the host's own.
	Sec []seclang.Directive
	// Pipes are the piped programs of the SecAuditLog and SecAuditLog2 in force.
	Pipes []Pipe

	// Honeytrap says that the host has no legitimate visitor; Why says what in the file made it one.
	Honeytrap  bool
	Why        string
	TagConnect bool

	trapHost       trapSetting // TrapHost of this host, if any
	ownSec         []seclang.Directive
	noInheritRules bool
}

type trapSetting uint8

const (
	trapUnset trapSetting = iota
	trapOn
	trapOff
)

// PathAlias is Alias or AliasMatch.
type PathAlias struct {
	URL    string // prefix
	Regexp *Pattern
	Path   string // absolute; $1 stands for groups of Regexp
}

// Redirect is Redirect or RedirectMatch.
type Redirect struct {
	Status int
	Prefix string
	Regexp *Pattern
	URL    string
}

// SectionKind says what a section selects by.
type SectionKind uint8

// The kinds of section.
const (
	Directory SectionKind = iota
	Files
	Location
)

func (k SectionKind) String() string {
	return [...]string{"Directory", "Files", "Location"}[k]
}

// Section holds the settings of one <Directory>, <Files> or <Location>.
// Unset values (nil, zero) inherit from the section before it.
type Section struct {
	Kind SectionKind
	// Pattern is the folder, file name or URL prefix; wildcards as fnmatch(3). Regexp is set instead for ~ and ...Match.
	Pattern string
	Regexp  *Pattern
	File    string
	Line    int
	// Within is the section around this one (<Files> in <Directory>), nil for none.
	Within *Section

	Indexes        *bool // Options Indexes
	FollowSymLinks *bool // Options FollowSymLinks; SymLinksIfOwnerMatch counts as off
	Access         Access
	DirectoryIndex []string
	Headers        []HeaderOp
	RequestHeaders []HeaderOp
	SetEnv         []SetEnv
	ErrorDocuments map[int]string
	Types          map[string]string // AddType: ".ext" to MIME type
	ForceType      string
	DefaultCharset string
	BodyLimit      *int64 // LimitRequestBody
}

// Access is who may fetch a file: Require of Apache 2.4, and Order, Allow, Deny of 2.2.
type Access struct {
	// Require is nil when no Require was given.
	Require *Require
	// Order is "", "allow,deny", "deny,allow" or "mutual-failure".
	Order       string
	Allow, Deny []Who
	SatisfyAny  bool
	// Methods restrict the whole Access to some methods (<Limit>), or to all others (Except, <LimitExcept>).
	Methods []string
	Except  bool
	// Limited are further Access values given by <Limit> sections inside.
	Limited []Access
}

// IsZero is true when the section says nothing about access.
func (a *Access) IsZero() bool {
	return a.Require == nil && a.Order == "" && a.Allow == nil && a.Deny == nil && a.Limited == nil
}

// Require is one Require directive or a <RequireAll>, <RequireAny>, <RequireNone> container.
type Require struct {
	Not bool
	// Kind is "all", "any", "none" for containers, "granted", "denied", "who", "method" for single ones.
	Kind     string
	Children []Require
	Who      Who
	Methods  []string
}

// Who says which clients are meant.
type Who struct {
	All      bool
	Local    bool // loopback, or both ends have one address
	Prefixes []netip.Prefix
	Env      string // the environment variable is set
	EnvNot   bool
}

// HeaderOp is one Header or RequestHeader directive.
type HeaderOp struct {
	Always  bool   // "always" table: error answers too
	Action  string // set append add merge unset edit edit* setifempty echo
	Name    string
	Value   string // format string: %{NAME}e %{NAME}s %t %D %%
	Regexp  *Pattern
	Replace string
	Env     string // "env=NAME": only when set
	EnvNot  bool   // "env=!NAME"
	File    string
	Line    int
}

// SetEnv is SetEnv, UnsetEnv, SetEnvIf, SetEnvIfNoCase, BrowserMatch.
type SetEnv struct {
	Attribute string // header name, Remote_Addr, Request_URI ...; "" for always
	AttrRegex *Pattern
	Regexp    *Pattern
	Vars      []EnvVar
}

// EnvVar is one variable of a SetEnv.
type EnvVar struct {
	Name, Value string // $1 stands for groups of the regexp
	Unset       bool
}

// ProxyPass is one ProxyPass or ProxyPassMatch.
type ProxyPass struct {
	Prefix string
	Regexp *Pattern
	URL    string // "!" means: do not proxy
	// Options after the URL.
	Timeout, ConnectTimeout time.Duration
	Retry                   time.Duration
	MaxConns                int
	Flush                   bool // flushpackets=on
	KeepAliveOff            bool // disablereuse=on
	Upgrade                 string
	File                    string
	Line                    int
}

// ProxyReverse is one ProxyPassReverse, or ...CookieDomain, ...CookiePath.
type ProxyReverse struct {
	Kind   string // "", "domain", "path"
	Prefix string // what the client sees
	URL    string // what the upstream says
}

// RemoteIP says whom to believe about the client's address.
type RemoteIP struct {
	Header   string // "" = nobody: the peer of the handshake counts
	Trusted  []netip.Prefix
	Internal []netip.Prefix // may also name private addresses
	// ProxyProtocol: connections of Trusted and Internal begin with a PROXY header.
	ProxyProtocol bool
}

// TLS of a host.
type TLS struct {
	On         bool
	MinVersion uint16 // crypto/tls constant, 0 = default
	Pairs      []KeyPair
	File       string
	Line       int
}

// KeyPair names the files of a certificate (chain) and its key.
type KeyPair struct{ Certificate, Key, Chain string }

// CustomLog is one CustomLog or TransferLog.
type CustomLog struct {
	Target string // absolute path, or "|program args"
	Format string // nickname resolved
	Env    string
	EnvNot bool
}

// Limits are Apache's LimitRequest* values. 0 = not given: Apache's default; -1 = no limit.
type Limits struct {
	BodyBytes  int64
	Fields     int
	FieldBytes int
	LineBytes  int
}

// Timeouts of connections.
type Timeouts struct {
	Request      time.Duration // Timeout
	KeepAlive    time.Duration
	KeepAliveOff bool
	MaxKeepAlive int
}

// Pipe is a program that an audit log is piped to.
type Pipe struct {
	Directive string // "SecAuditLog" or "SecAuditLog2"
	Command   string // as written after the |
	Program   string
	Args      []string
	// Mlogc is true when the program is mlogc (or "trapline mlogc"): it runs inside our process with the file Conf, an absolute path.
	Mlogc bool
	Conf  string
	File  string
	Line  int
}

// Trap holds the settings of the whole program.
type Trap struct {
	Console string // address of the console's pages; "" = Off
	// ConsoleNames are host names by which browsers reach the console; addresses and localhost always do.
	ConsoleNames []string
	Store        *Store // nil: events are kept in SQLite without a limit
	Report       []Peer
	Decisions    []Decision
	Allow        []netip.Prefix
	TagConnect   bool
	Limits       TrapLimits
	Data         string // absolute folder
	SpoolBytes   int64  // what records that wait for consoles may take on disk; 0 = the default of room spool
}

// Store says where a kind of data of the console lives.
type Store struct {
	What string // "events" or "control"
	URL  string // "sqlite"
	// MaxAge and MaxBytes bound what is kept (age=90d size=10G); 0 = not given.
	MaxAge   time.Duration
	MaxBytes int64
	File     string
	Line     int
}

// Peer is another console, to report to.
type Peer struct {
	URL      string
	User     string
	Password string
	Token    string
	Protocol string // "batch" or "mlogc"
	Insecure bool
	File     string
	Line     int
}

// Decision says what follows from a variable in a persistent collection.
type Decision struct {
	Collection string // "ip"
	Variable   string // "malicious_client"
	Type       string // "ban" or "watch"
	For        time.Duration
	File       string
	Line       int
}

// TrapLimits are the limits of honeytrap ports; 0 means the default of room trap.
type TrapLimits struct {
	HeaderBytes int64
	BodyBytes   int64
	Request     time.Duration
	Connection  time.Duration
	PerClient   int
	Connections int
	// ClientRecords are the records of a client a minute that go to consoles; -1 without a limit.
	ClientRecords int
}
