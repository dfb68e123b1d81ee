package gate

import (
	"embed"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

//go:embed builtin
var builtinFiles embed.FS

// folder is what DocumentRoot names, or the built-in site.
type folder struct {
	path  string
	files fs.FS // of the built-in site
}

func builtinFolder() *folder {
	// The folder is part of the program: Sub of a constant valid name cannot fail.
	sub, _ := fs.Sub(builtinFiles, "builtin")
	return &folder{files: sub}
}

// serveFile answers from files.
func (x *exchange) serveFile() {
	if m := x.r.Method; m != http.MethodGet && m != http.MethodHead && m != http.MethodPost {
		x.w.Header().Set("Allow", "GET, HEAD, POST, OPTIONS")
		if m == http.MethodOptions {
			x.w.Header().Set("Content-Length", "0")
			x.WriteHeader(http.StatusOK)
			return
		}
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	f, info, status := x.openFile()
	if f != nil {
		defer func() { _ = f.Close() }()
	}
	switch {
	case status != 0:
		x.fail(status)
	case f != nil && info.IsDir():
		x.list(f)
	case f != nil:
		x.sendFile(f, info)
	}
}

// file is what http.ServeContent and a listing need; *os.File and files of an embed.FS have it.
type file interface {
	io.ReadSeeker
	io.Closer
	Readdir(n int) ([]fs.FileInfo, error)
}

// openFile opens what the path means: a file, the index of a folder, or the folder itself when it may be listed.
// With neither file nor status the request has been answered.
func (x *exchange) openFile() (file, fs.FileInfo, int) {
	f, info, err := x.open(x.path)
	if err != nil {
		x.tellFile(err)
		return nil, nil, statusOfError(err)
	}
	x.fileInfo = info
	slash := strings.HasSuffix(x.path, "/")
	switch {
	case info.IsDir() && !slash:
		_ = f.Close()
		target := escapePath(x.path + "/")
		if q := x.r.URL.RawQuery; q != "" {
			target += "?" + q
		}
		x.redirect(http.StatusMovedPermanently, x.absolute(target))
		return nil, nil, 0
	case !info.IsDir() && slash:
		_ = f.Close()
		x.tellFile(syscall.ENOTDIR)
		return nil, nil, http.StatusNotFound
	case !info.IsDir():
		return f, info, 0
	}
	index := x.merged.index
	if index == nil {
		index = []string{"index.html"}
	}
	for _, name := range index {
		p := path.Join(x.path, name)
		if strings.HasPrefix(name, "/") {
			p = path.Clean(name)
		}
		g, ginfo, err := x.open(p)
		if err != nil {
			continue
		}
		if ginfo.IsDir() {
			_ = g.Close()
			continue
		}
		_ = f.Close()
		// The sections of the index file hold as well: <Files index.html>.
		x.path, x.file = p, x.site.mapPath(p)
		x.fileInfo, x.indexed, x.infoOfIndex = ginfo, true, true
		x.merged = x.site.merge(x.path, x.file)
		if !x.allowed() {
			_ = g.Close()
			return nil, nil, http.StatusForbidden
		}
		return g, ginfo, 0
	}
	if !x.merged.indexes {
		_ = f.Close()
		x.tell(levelError, nil, "AH01276: Cannot serve directory ", strings.TrimSuffix(x.place(), "/"), "/: No matching DirectoryIndex (",
			strings.Join(index, ","), ") found, and server-generated directory index forbidden by Options directive")
		return nil, nil, http.StatusForbidden
	}
	return f, info, 0
}

func statusOfError(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	default:
		return http.StatusNotFound
	}
}

func (x *exchange) open(p string) (file, fs.FileInfo, error) {
	root := x.site.root
	if root != nil && root.files != nil && x.site.mapPath(p) == "" {
		return openFS(root.files, p)
	}
	name := x.site.mapPath(p)
	if name == "" {
		return nil, nil, fs.ErrNotExist
	}
	if x.merged.noFollow {
		if err := refuseLinks(name); err != nil {
			return nil, nil, err
		}
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, nil, fs.ErrPermission // a FIFO or device would block or never end
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}

func openFS(files fs.FS, p string) (file, fs.FileInfo, error) {
	name := strings.Trim(p, "/")
	if name == "" {
		name = "."
	}
	f, err := http.FS(files).Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// errLink is what Options without FollowSymLinks forbids.
var errLink = fmt.Errorf("symbolic link: %w", fs.ErrPermission)

// refuseLinks is Options without FollowSymLinks: no part of the name may be a symbolic link.
func refuseLinks(name string) error {
	for p := name; ; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return errLink
		}
		if parent := filepath.Dir(p); parent == p {
			return nil
		}
	}
}

func (x *exchange) sendFile(f file, info fs.FileInfo) {
	h := x.w.Header()
	h["Content-Type"] = nil // no type rather than a guess
	if t := x.contentType(info.Name()); t != "" {
		h.Set("Content-Type", t)
	}
	if h.Get("ETag") == "" && !info.ModTime().IsZero() {
		h.Set("ETag", `"`+strconv.FormatInt(info.Size(), 16)+"-"+strconv.FormatInt(info.ModTime().UnixMicro(), 16)+`"`)
	}
	http.ServeContent(x, x.r, info.Name(), info.ModTime(), f)
}

func (x *exchange) contentType(name string) string {
	t := x.merged.forceType
	if ext := strings.ToLower(filepath.Ext(name)); t == "" && ext != "" {
		if t = x.merged.types[ext]; t == "" {
			t = mime.TypeByExtension(ext)
		}
	}
	if c := x.merged.charset; c != "" && !strings.EqualFold(c, "off") && (strings.HasPrefix(t, "text/html") || strings.HasPrefix(t, "text/plain")) {
		t, _, _ = strings.Cut(t, ";")
		t += "; charset=" + c
	}
	return t
}

// list is the listing of a folder with Options Indexes. Names that <Files> hides are left out.
func (x *exchange) list(f file) {
	infos, err := f.Readdir(10_000)
	if err != nil && !errors.Is(err, io.EOF) {
		x.fail(http.StatusForbidden)
		return
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	var b strings.Builder
	title := html.EscapeString("Index of " + x.path)
	b.WriteString("<!DOCTYPE html>\n<html><head><title>" + title + "</title></head>\n<body><h1>" + title + "</h1>\n<ul>")
	if x.path != "/" {
		b.WriteString(`<li><a href="../">Parent Directory</a></li>` + "\n")
	}
	v := visitor{method: x.r.Method, client: x.client.Addr(), local: x.conn.local.Addr(), env: x.getenv}
	for _, info := range infos {
		name := info.Name()
		p := path.Join(x.path, name)
		if strings.HasPrefix(name, ".") || !allowed(x.site.merge(p, x.site.mapPath(p)).access, &v) {
			continue
		}
		if info.IsDir() {
			name += "/"
		}
		href := (&url.URL{Path: "./" + name}).EscapedPath()
		b.WriteString(`<li><a href="` + html.EscapeString(href) + `">` + html.EscapeString(name) + "</a></li>\n")
	}
	b.WriteString("</ul>\n</body></html>\n")
	x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	x.w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	x.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(x, b.String())
}

// ReadFrom keeps sendfile for files that no rule reads.
func (x *exchange) ReadFrom(src io.Reader) (int64, error) {
	if to, ok := x.w.(io.ReaderFrom); ok && x.sent && !x.buffering && !x.site.keepResponse {
		n, err := to.ReadFrom(src)
		x.size += n
		return n, err
	}
	block := x.gate.blocks.Get()
	defer x.gate.blocks.Put(block)
	return io.CopyBuffer(struct{ io.Writer }{x}, src, block)
}
