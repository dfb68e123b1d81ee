package seclang

import (
	"io/fs"
	"regexp"
	"slices"
	"time"

	"github.com/trapline/trapline/seclang/hash"
)

// EngineMode is the value of SecRuleEngine, and of SecAuditEngine with ModeRelevantOnly.
type EngineMode uint8

// The modes of SecRuleEngine and SecAuditEngine.
const (
	ModeOff EngineMode = iota
	ModeOn
	ModeDetectionOnly
	ModeRelevantOnly
)

// LimitAction is what happens to a body above its limit.
type LimitAction uint8

// The values of SecRequestBodyLimitAction and SecResponseBodyLimitAction.
const (
	LimitReject LimitAction = iota
	LimitProcessPartial
)

// Settings are the Sec* directives that are not rules, typed, with ModSecurity's defaults where the text is silent.
// Paths are as written: a relative one is relative to the folder of the file at Origin[directive].
type Settings struct {
	RuleEngine      EngineMode
	RuleInheritance bool
	RulePerfTime    int64
	InterceptOnErr  bool
	StatusEngine    bool

	AuditEngine         EngineMode
	AuditLog, AuditLog2 string
	AuditLogType        string // "Serial", "Concurrent" or "HTTPS"
	AuditLogFormat      string // "Native" or "JSON"
	AuditLogParts       string
	AuditLogStorageDir  string
	// AuditLogRelevantStatus is nil when the directive is absent.
	AuditLogRelevantStatus *regexp.Regexp
	AuditLogDirMode        fs.FileMode // 0: the process's default
	AuditLogFileMode       fs.FileMode
	// GuardianLog is a file, or "|program arguments"; it gets a line for every request, with GuardianIf "NAME" or "!NAME"
	// only for those that have, or have not, the environment variable.
	GuardianLog, GuardianIf string

	RequestBodyAccess         bool
	RequestBodyLimit          int64
	RequestBodyNoFilesLimit   int64
	RequestBodyInMemoryLimit  int64
	RequestBodyLimitAction    LimitAction
	RequestBodyJSONDepthLimit int
	ResponseBodyAccess        bool
	ResponseBodyMimeTypes     []string
	ResponseBodyLimit         int64
	ResponseBodyLimitAction   LimitAction
	DisableBackendCompression bool

	ArgumentSeparator byte
	ArgumentsLimit    int
	CookieFormat      int
	CookieV0Separator byte
	ParseXMLIntoArgs  string // "Off", "On" or "OnlyArgs"
	XMLExternalEntity bool
	UnicodeMapFile    string
	UnicodeCodePage   int

	PcreMatchLimit          int
	PcreMatchLimitRecursion int

	CollectionTimeout time.Duration
	DataDir           string
	TmpDir            string
	UploadDir         string
	UploadFileLimit   int
	UploadFileMode    fs.FileMode
	UploadKeepFiles   string // "Off", "On" or "RelevantOnly"
	TmpSaveUploads    bool

	WebAppID, SensorID, ServerSignature string
	ComponentSignatures                 []string
	ContentInjection                    bool
	StreamInBody, StreamOutBody         bool
	Hash                                HashSettings

	DebugLog      string
	DebugLogLevel int
	GeoLookupDB   string
	HTTPBlKey     string

	// The limits of connections hold for a whole server: ConnLimits reads them, with their lists.
	ConnEngine                              EngineMode
	ConnReadStateLimit, ConnWriteStateLimit int

	// Origin tells where a directive was last set, by its lower-case name.
	Origin map[string]Directive
}

// Set says whether the text sets a directive (any case).
func (s *Settings) Set(directive string) bool {
	_, ok := s.Origin[lower(directive)]
	return ok
}

// defaultSettings are those of mod_security2 without any directive.
func defaultSettings() Settings {
	return Settings{
		RuleInheritance: true, AuditLogType: "Serial", AuditLogFormat: "Native", AuditLogParts: "ABCFHZ",
		RequestBodyLimit: 134217728, RequestBodyNoFilesLimit: 1048576, RequestBodyInMemoryLimit: 131072,
		RequestBodyJSONDepthLimit: 10000,
		ResponseBodyLimit:         524288, ResponseBodyMimeTypes: []string{"text/plain", "text/html"},
		ArgumentSeparator: '&', ArgumentsLimit: 1000, CookieV0Separator: ';', ParseXMLIntoArgs: "Off",
		PcreMatchLimit: 1500, PcreMatchLimitRecursion: 1500, CollectionTimeout: 3600 * time.Second,
		UploadFileLimit: 100, UploadFileMode: 0o600, UploadKeepFiles: "Off", TmpSaveUploads: true, WebAppID: "default",
		Hash: HashSettings{KeyAdd: "KeyOnly", Param: hash.DefaultParam},
	}
}

// ServerSettings are the settings that directives make, without their rules: for what holds for a whole server, whichever
// hosts it has. It does not judge: faults are reported by Compile.
func ServerSettings(ds []Directive) Settings {
	s := defaultSettings()
	for _, d := range ds {
		_, _, _ = s.setting(d)
	}
	return s
}

func (s *Settings) clone() Settings {
	c := *s
	c.ResponseBodyMimeTypes = slices.Clone(s.ResponseBodyMimeTypes)
	c.ComponentSignatures = slices.Clone(s.ComponentSignatures)
	c.Origin = make(map[string]Directive, len(s.Origin)+4)
	for k, v := range s.Origin {
		c.Origin[k] = v
	}
	return c
}
