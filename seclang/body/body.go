// Package body turns request bodies into what rules look at.
//
// In come the bytes of a body and what the configuration says about it; out
// come arguments in the order they were sent, uploaded files, the flags of
// ModSecurity's strict checks and the text of REQBODY_ERROR_MSG. The four
// processors are URLENCODED, MULTIPART, JSON and XML. All of them are written
// for an attacker: they keep what was parsed before an error, stop at limits,
// never panic, and where a back end might read a body in another way than we
// do they raise a flag or an error instead of guessing. Uploads may be spooled
// to files; a crash leaves these in the temporary directory, for SweepTempFiles.
package body

import (
	"os"
	"strings"
)

// Arg is one argument, in the order of the body.
type Arg struct {
	Name, Value string
	// Offset is where the value begins, in bytes from the start of the parsed text; -1 when it was put together from several places.
	Offset int
}

// XMLArgs says what SecParseXmlIntoArgs does.
type XMLArgs uint8

// The values of SecParseXmlIntoArgs.
const (
	XMLArgsOff  XMLArgs = iota // no arguments from XML
	XMLArgsOn                  // arguments and the XML variable
	XMLArgsOnly                // arguments, and no XML variable
)

// JSONNames says how values in JSON are named.
type JSONNames uint8

// The ways to name values in JSON.
const (
	// NamesV3 names as ModSecurity 3: json.a.b, json.list.array_0.
	NamesV3 JSONNames = iota
	// NamesV2 names as ModSecurity 2: a.b, list.list.
	NamesV2
)

// Config says how bodies are parsed. The zero value has the defaults.
type Config struct {
	ContentType    string    // of the request: MULTIPART takes the boundary from it
	Separator      byte      // SecArgumentSeparator, '&'
	ArgumentsLimit int       // SecArgumentsLimit, 1000
	JSONDepth      int       // SecRequestBodyJsonDepthLimit, 10000
	JSONNames      JSONNames // names of JSON values
	NoFilesLimit   int64     // SecRequestBodyNoFilesLimit, 0: none
	XMLArgs        XMLArgs   // SecParseXmlIntoArgs
	Cut            bool      // a limit of ours cut the body (ProcessPartial): an early end is no error

	UploadFileLimit int         // SecUploadFileLimit, 100: files over it are not written to disk
	TmpDir          string      // SecTmpDir, the system's
	UploadDir       string      // SecUploadDir: where files that are kept go, "" for TmpDir
	Temp            *TempFiles  // makes the files in TmpDir; nil: they cannot be swept after a crash
	FileMode        os.FileMode // SecUploadFileMode, 0600
	KeepFiles       bool        // SecUploadKeepFiles On or RelevantOnly
	Extract         bool        // some rule reads uploaded files by name
	MemoryLimit     int64       // bytes of uploads kept in memory per request, 1 MiB; over it they go to disk
	ID              string      // unique id of the transaction, part of file names
	Fake            bool        // build Result.Fake (audit part I)
}

const (
	defaultArguments = 1000
	defaultDepth     = 10000
	defaultFiles     = 100
	defaultMemory    = 1 << 20
)

func (c *Config) fill() {
	if c.Separator == 0 {
		c.Separator = '&'
	}
	if c.ArgumentsLimit <= 0 {
		c.ArgumentsLimit = defaultArguments
	}
	if c.JSONDepth <= 0 {
		c.JSONDepth = defaultDepth
	}
	if c.UploadFileLimit <= 0 {
		c.UploadFileLimit = defaultFiles
	}
	if c.MemoryLimit <= 0 {
		c.MemoryLimit = defaultMemory
	}
	if c.TmpDir == "" {
		c.TmpDir = os.TempDir()
	}
	if c.FileMode == 0 {
		c.FileMode = 0o600
	}
}

// Result is what a processor found. The caller owns it and closes it.
type Result struct {
	// Processor is the name in upper case.
	Processor string
	// Args are the arguments of the body (ARGS_POST), in order.
	Args []Arg
	// Files are the uploads, in order.
	Files []File
	// PartHeaders are the header lines of multipart parts: the name of the part and the line (MULTIPART_PART_HEADERS).
	PartHeaders []Arg
	// Multipart holds the flags of MULTIPART_*.
	Multipart Flags
	// MultipartName and MultipartFilename are the last ones seen, as the variables of version 3 are.
	MultipartName, MultipartFilename string
	// Error is REQBODY_ERROR_MSG; "" when the body could be parsed.
	Error string
	// InvalidEncoding is true when a percent sign was not followed by two hexadecimal digits (URLENCODED_ERROR).
	InvalidEncoding bool
	// TooManyArgs is true when ArgumentsLimit cut Args.
	TooManyArgs bool
	// NoFilesLength is the size of the body without its files.
	NoFilesLength int64
	// Fake is the body of a multipart request as a form without its files (audit part I); nil unless asked for.
	Fake []byte
	// XML is the document of the XML processor, nil for the others and when it is malformed from its first byte.
	XML *XML

	kept      bool
	uploadDir string
}

// Known reports whether a processor of that name exists; the case does not matter.
func Known(processor string) bool {
	switch strings.ToUpper(processor) {
	case "URLENCODED", "MULTIPART", "JSON", "XML":
		return true
	}
	return false
}

// Parse parses a body that is in memory, whole or cut off by a limit. Strings
// of the Result may share the bytes of text. An unknown processor yields an error text.
func Parse(processor, text string, c Config) *Result {
	c.fill()
	r := &Result{Processor: strings.ToUpper(processor), NoFilesLength: int64(len(text))}
	switch r.Processor {
	case "URLENCODED":
		r.Args, r.InvalidEncoding, r.TooManyArgs = parseForm(text, c.Separator, 0, c.ArgumentsLimit)
	case "MULTIPART":
		m := NewMultipart(c)
		m.cut = c.Cut
		m.write(text)
		r = m.Result()
	case "JSON":
		parseJSON(r, text, &c)
	case "XML":
		parseXML(r, text, &c)
	default:
		r.Error = "Unknown request body processor: " + processor
	}
	if r.TooManyArgs && r.Error == "" {
		r.Error = tooManyText
	}
	if r.Error == "" && c.NoFilesLimit > 0 && r.NoFilesLength > c.NoFilesLimit {
		r.Error = noFilesText
	}
	return r
}

// tooManyText is for rules to see that arguments were left out: what is
// dropped without a sign hides an attack behind padding.
const tooManyText = "SecArgumentsLimit exceeded"

const noFilesText = "Request body excluding files is bigger than the maximum expected."
