package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed *.css *.js *.svg
var assetFiles embed.FS

//go:embed *.html
var pageFiles embed.FS

// assets are the embedded files that browsers load. Their address holds a hash
// of their content, so that browsers keep them for ever and never have an old one.
type assets struct {
	files map[string]asset
}

type asset struct {
	version string
	content []byte
}

func loadAssets() assets {
	a := assets{files: map[string]asset{}}
	names, err := fs.Glob(assetFiles, "*")
	if err != nil {
		panic("web: " + err.Error())
	}
	for _, name := range names {
		content, err := assetFiles.ReadFile(name)
		if err != nil {
			panic("web: " + err.Error())
		}
		sum := sha256.Sum256(content)
		a.files[name] = asset{hex.EncodeToString(sum[:8]), content}
	}
	return a
}

// url is the address of an asset. An unknown name is a mistake in one of our pages.
func (a assets) url(name string) string {
	f, ok := a.files[name]
	if !ok {
		panic("web: a page names the file " + name + " that is not embedded")
	}
	return "/static/" + f.version + "/" + name
}

// has reports whether there is an asset of this name.
func (a assets) has(name string) bool {
	_, ok := a.files[name]
	return ok
}

func (s *Site) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	f, ok := s.assets.files[name]
	if !ok || f.version != r.PathValue("version") {
		http.NotFound(w, r)
		return
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
