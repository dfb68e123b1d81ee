package body

// Flags are what ModSecurity's strict checks of multipart bodies found.
type Flags struct {
	// Error is true when the body or the boundary in Content-Type is malformed (the parser gave up).
	Error bool
	// BoundaryQuoted to FileLimitExceeded are the variables MULTIPART_<NAME>.
	BoundaryQuoted       bool
	BoundaryWhitespace   bool
	DataBefore           bool
	DataAfter            bool
	HeaderFolding        bool
	LFLine               bool
	CRLFLine             bool // some line ends in CRLF; with LFLine it is MULTIPART_CRLF_LF_LINES
	SemicolonMissing     bool
	InvalidQuoting       bool
	InvalidPart          bool
	InvalidHeaderFolding bool
	FileLimitExceeded    bool
	// UnmatchedBoundary is 1 when a line looks like a boundary and is none.
	UnmatchedBoundary int
}

// CRLFAndLF is MULTIPART_CRLF_LF_LINES: line ends of both kinds.
func (f Flags) CRLFAndLF() bool { return f.CRLFLine && f.LFLine }

// Strict is MULTIPART_STRICT_ERROR: any of the flags that a well-formed body
// does not raise, UnmatchedBoundary excepted.
func (f Flags) Strict() bool {
	return f.Error || f.BoundaryQuoted || f.BoundaryWhitespace || f.DataBefore || f.DataAfter || f.HeaderFolding ||
		f.LFLine || f.SemicolonMissing || f.InvalidQuoting || f.InvalidPart || f.InvalidHeaderFolding || f.FileLimitExceeded
}
