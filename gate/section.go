package gate

import (
	"net/http"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/trapline/trapline/config"
)

// merged is what the sections that hold for a request add up to.
type merged struct {
	indexes        bool
	noFollow       bool // FollowSymLinks was switched off
	access         *config.Access
	index          []string
	headers        []config.HeaderOp
	requestHeaders []config.HeaderOp
	setEnv         []config.SetEnv
	errorDocuments map[int]string
	types          map[string]string
	forceType      string
	charset        string
	bodyLimit      int64
}

// section is a config.Section ready to match.
type section struct {
	*config.Section
	glob *regexp.Regexp // of a pattern with wildcards
}

func newSection(s *config.Section) *section {
	out := &section{Section: s}
	if s.Regexp == nil && strings.ContainsAny(s.Pattern, "*?[") {
		pattern := config.GlobPattern(s.Pattern)
		switch s.Kind {
		case config.Files:
			pattern = "^" + pattern + "$"
		case config.Directory, config.Location:
			pattern = "^" + strings.TrimSuffix(pattern, "/") + "(?:/|$)"
		}
		// GlobPattern's output compiles, but for a class in odd order ([z-a]), which then matches nothing.
		out.glob, _ = regexp.Compile(pattern)
	}
	return out
}

// holds says whether the section applies to a URL path and the file that it maps to ("" when none).
func (s *section) holds(urlPath, file string) bool {
	if s.Within != nil && !newSection(s.Within).holds(urlPath, file) {
		return false
	}
	subject := urlPath
	switch s.Kind {
	case config.Location:
	case config.Directory:
		if file == "" {
			return false
		}
		subject = filepath.ToSlash(file)
	case config.Files:
		subject = path.Base(urlPath)
		if strings.HasSuffix(urlPath, "/") {
			subject = ""
		}
	}
	switch {
	case s.Regexp != nil && s.Kind == config.Directory:
		return s.Regexp.MatchString(subject) || s.Regexp.MatchString(path.Dir(subject))
	case s.Regexp != nil:
		return s.Regexp.MatchString(subject)
	case s.glob != nil:
		return s.glob.MatchString(subject)
	case s.Kind == config.Files:
		return subject == s.Pattern
	}
	return below(subject, filepath.ToSlash(s.Pattern))
}

// below says whether a path is the prefix or beneath it.
func below(p, prefix string) bool {
	rest, ok := strings.CutPrefix(p, prefix)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(prefix, "/"))
}

// merge adds up the sections of a request.
func (s *site) merge(urlPath, file string) *merged {
	m := s.plain
	for _, sec := range s.sections {
		if sec.holds(urlPath, file) {
			m = mergeSection(m, sec.Section)
		}
	}
	return m
}

// mergeSection returns base with the values of s on top; base stays as it is.
func mergeSection(base *merged, s *config.Section) *merged {
	m := *base
	if s.Indexes != nil {
		m.indexes = *s.Indexes
	}
	if s.FollowSymLinks != nil {
		m.noFollow = !*s.FollowSymLinks
	}
	if !s.Access.IsZero() {
		m.access = &s.Access
	}
	if s.DirectoryIndex != nil {
		m.index = s.DirectoryIndex
	}
	m.headers = join(m.headers, s.Headers)
	m.requestHeaders = join(m.requestHeaders, s.RequestHeaders)
	m.setEnv = join(m.setEnv, s.SetEnv)
	m.errorDocuments = joinMap(m.errorDocuments, s.ErrorDocuments)
	m.types = joinMap(m.types, s.Types)
	if s.ForceType != "" {
		m.forceType = s.ForceType
	}
	if s.DefaultCharset != "" {
		m.charset = s.DefaultCharset
	}
	if s.BodyLimit != nil {
		m.bodyLimit = *s.BodyLimit
	}
	return &m
}

func join[T any](a, b []T) []T {
	if len(b) == 0 {
		return a
	}
	return append(a[:len(a):len(a)], b...)
}

func joinMap[K comparable, V any](a, b map[K]V) map[K]V {
	if len(b) == 0 {
		return a
	}
	out := make(map[K]V, len(a)+len(b))
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

// cleanPath is the decoded path of a request without dot segments and doubled slashes; a final slash stays.
func cleanPath(r *http.Request) string {
	p := r.URL.Path
	if p == "" || p[0] != '/' {
		return "/"
	}
	if !strings.Contains(p, "//") && !strings.Contains(p, "/.") {
		return p
	}
	c := path.Clean(p)
	if c != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		c += "/"
	}
	return c
}
