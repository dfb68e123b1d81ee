package seclang

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trapline/trapline/audit"
)

// ServerError is what the web server says about a request in its error log, for WEBSERVER_ERROR_LOG and the Apache-Error lines
// of part H.
type ServerError struct {
	File  string // source file of the server
	Line  int
	Level int    // Apache's: 3 error, 4 warn, 6 info
	Errno int    // cause in the system, 0 for none
	Text  string // such as "AH00128: File does not exist: /var/www/none"
}

// Bounds of what one request may make the server say.
const (
	maxServerErrors = 20
	maxServerText   = 1023
)

// AddServerError gives the transaction a message of the server about it; rules of later phases see it. Messages of the rules
// themselves are matches, and not repeated here as mod_security2 does.
func (tx *Transaction) AddServerError(e ServerError) {
	if len(tx.serverErrors) >= maxServerErrors {
		return
	}
	text := fmt.Sprintf(`[file "%s"] [line %d] [level %d] `, filepath.Base(e.File), e.Line, e.Level)
	if e.Errno != 0 {
		text += "[status " + strconv.Itoa(e.Errno) + "] "
	}
	text += string(appendLogText(nil, e.Text[:min(len(e.Text), maxServerText)], false))
	tx.serverErrors = append(tx.serverErrors, text)
	tx.changed(vWebserverErrorLog)
}

func (tx *Transaction) fillServerErrors(r *audit.Record) {
	for _, text := range tx.serverErrors {
		r.Trailer = append(r.Trailer, audit.Field{Name: "Apache-Error", Value: text})
	}
}

// Document is what on the server answers a request, for SCRIPT_* and PATH_INFO.
type Document struct {
	// Filename is a file or a folder, with a slash when the path has one; "proxy:" and the URL for what an upstream answers. Of
	// a path that leads nowhere it is the first name that is not there.
	Filename string
	// PathInfo is the rest of the path; HasPathInfo is false where Apache knows none: upstreams, the index of a folder.
	PathInfo    string
	HasPathInfo bool
	// Mode, UID and GID are those of the file, or of the last folder on the way to what is not there.
	Mode     fs.FileMode
	UID, GID int
	// Owner names UID and GID.
	Owner func(uid, gid int) (user, group string)
}

// documentScalar is SCRIPT_* and PATH_INFO. In phase 1 mod_security2 runs before Apache has looked for the file: its user,
// group and permissions are those of nothing.
func (tx *Transaction) documentScalar(v varID) (string, bool) {
	var d *Document
	if tx.conn.Document == nil {
		return tx.applicationScalar(v)
	}
	if tx.phase > 1 {
		if d = tx.conn.Document(); d == nil {
			return tx.applicationScalar(v)
		}
	} else if v == vScriptFilename || v == vScriptBasename || v == vPathInfo {
		return "", false
	} else {
		d = &Document{}
	}
	switch v {
	case vPathInfo:
		return d.PathInfo, d.HasPathInfo
	case vScriptFilename:
		return d.Filename, true
	case vScriptBasename:
		return d.Filename[strings.LastIndexByte(d.Filename, '/')+1:], true
	case vScriptUID:
		return formatInt(int64(d.UID)), true
	case vScriptGID:
		return formatInt(int64(d.GID)), true
	case vScriptMode:
		return fmt.Sprintf("%04o", d.Mode.Perm()), true
	}
	user, group := "root", "root"
	if d.Owner != nil {
		user, group = d.Owner(d.UID, d.GID)
	}
	if v == vScriptGroupname {
		return group, group != ""
	}
	return user, user != ""
}

// applicationScalar are these variables where no file answers: all of the path is for the application, as in version 3.
func (tx *Transaction) applicationScalar(v varID) (string, bool) {
	q := &tx.request
	switch v {
	case vPathInfo:
		return percentDecode(q.filename), true
	case vScriptFilename:
		return q.filename, true
	case vScriptBasename:
		return basename(q.filename), true
	}
	return "", false
}
