package gate

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/trapline/trapline/seclang"
)

// document is what SCRIPT_* and PATH_INFO are of, looked up once for each file that the path comes to mean: a folder, then its
// index. nil where no file answers.
func (x *exchange) document() *seclang.Document {
	if x.pass != nil {
		return x.upstreamDocument()
	}
	if x.doc != nil && x.docOf == x.file {
		return x.doc
	}
	if x.file == "" {
		return nil // the built-in page
	}
	x.doc, x.docOf = x.lookDocument(), x.file
	return x.doc
}

// upstreamDocument is the URL that answers; the query is part of it once the upstream was asked, as in Apache.
func (x *exchange) upstreamDocument() *seclang.Document {
	d := &seclang.Document{}
	if u, err := x.pass.urlFor(x); err == nil {
		if !x.judged {
			u.RawQuery, u.ForceQuery = "", false
		}
		d.Filename = "proxy:" + u.String()
	}
	return d
}

// lookDocument asks the file system. What openFile has found is not asked for once more.
func (x *exchange) lookDocument() *seclang.Document {
	d := &seclang.Document{Filename: x.file, HasPathInfo: !x.indexed, Owner: x.gate.owners.names}
	info := x.fileInfo
	if info == nil || x.indexed != x.infoOfIndex {
		var err error
		if info, err = os.Stat(x.file); err != nil {
			d.Filename, d.PathInfo, info = nearest(x.file)
		}
	}
	if strings.HasSuffix(x.path, "/") && info != nil && d.Filename == x.file {
		if info.IsDir() {
			d.Filename = strings.TrimSuffix(d.Filename, "/") + "/"
		} else {
			d.PathInfo = "/"
		}
	}
	if info != nil {
		d.Mode = info.Mode()
		d.UID, d.GID = ownerOf(info)
	}
	return d
}

// nearest follows a path that leads nowhere as Apache does: down to the first name that is not there, or the file that
// is no folder; the rest is PATH_INFO. The information is that of the last name that exists.
func nearest(file string) (name, rest string, info fs.FileInfo) {
	volume := filepath.VolumeName(file)
	at := volume + string(filepath.Separator)
	left := strings.TrimPrefix(file, at)
	info, _ = os.Stat(at)
	for left != "" {
		segment, after, more := strings.Cut(left, string(filepath.Separator))
		at = filepath.Join(at, segment)
		next, err := os.Stat(at)
		if err == nil {
			info = next
		}
		if err != nil || !next.IsDir() {
			if more {
				rest = "/" + filepath.ToSlash(after)
			}
			return at, rest, info
		}
		left = after
	}
	return at, "", info
}

// owners remembers the names of users and groups: looking one up reads files.
type owners struct {
	mu            sync.Mutex
	users, groups map[int]string // guarded by mu
}

// maxOwners bounds what is remembered.
const maxOwners = 1000

func (o *owners) names(uid, gid int) (u, g string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.users) > maxOwners || len(o.groups) > maxOwners || o.users == nil {
		o.users, o.groups = map[int]string{}, map[int]string{}
	}
	u, ok := o.users[uid]
	if !ok {
		if found, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			u = found.Username
		}
		o.users[uid] = u
	}
	if g, ok = o.groups[gid]; !ok {
		if found, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
			g = found.Name
		}
		o.groups[gid] = g
	}
	return u, g
}
