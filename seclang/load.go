package seclang

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// maxIncludeDepth bounds Include inside Include.
const maxIncludeDepth = 32

// Load reads configuration files from disk, resolves Include and IncludeOptional and returns the directives in order,
// for callers that have no configuration of their own. Patterns (*.conf) are taken in alphabetical order, as Apache
// does.
func Load(paths ...string) ([]Directive, error) {
	l := loader{
		read: defaultReadFile,
		glob: filepath.Glob,
		join: func(from, name string) string {
			if filepath.IsAbs(name) {
				return name
			}
			return filepath.Join(filepath.Dir(from), name)
		},
	}
	return l.all(paths)
}

// LoadFS is Load for files in fsys, such as rules that are embedded in a program.
func LoadFS(fsys fs.FS, paths ...string) ([]Directive, error) {
	l := loader{
		read: func(name string) ([]byte, error) { return fs.ReadFile(fsys, name) },
		glob: func(p string) ([]string, error) { return fs.Glob(fsys, p) },
		join: func(from, name string) string { return path.Join(path.Dir(from), name) },
	}
	return l.all(paths)
}

type loader struct {
	read func(string) ([]byte, error)
	glob func(string) ([]string, error)
	join func(from, name string) string
	out  []Directive
	errs []error
}

func (l *loader) all(paths []string) ([]Directive, error) {
	for _, p := range paths {
		l.include(p, Directive{File: p, Line: 1, Name: "Include"}, 0)
	}
	return l.out, errors.Join(l.errs...)
}

func (l *loader) fail(d Directive, err error) {
	l.errs = append(l.errs, &Error{d.File, d.Line, err.Error()})
}

func (l *loader) include(pattern string, d Directive, depth int) {
	names := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if names, err = l.glob(pattern); err != nil {
			l.fail(d, fmt.Errorf("%s %s: %w", d.Name, pattern, err))
			return
		}
		sort.Strings(names)
	}
	for _, n := range names {
		text, err := l.read(n)
		if err != nil {
			if !strings.EqualFold(d.Name, "IncludeOptional") {
				l.fail(d, fmt.Errorf("%s: %w", d.Name, err))
			}
			continue
		}
		l.file(n, text, depth)
	}
}

func (l *loader) file(name string, text []byte, depth int) {
	ds, err := Lex(name, text)
	if err != nil {
		l.errs = append(l.errs, err)
	}
	for _, d := range ds {
		if !strings.EqualFold(d.Name, "Include") && !strings.EqualFold(d.Name, "IncludeOptional") {
			l.out = append(l.out, d)
			continue
		}
		switch {
		case len(d.Args) != 1:
			l.fail(d, fmt.Errorf("%s has %d arguments, expected one path", d.Name, len(d.Args)))
		case depth >= maxIncludeDepth:
			l.fail(d, fmt.Errorf("%s %s: more than %d files deep", d.Name, d.Args[0], maxIncludeDepth))
		default:
			l.include(l.join(name, d.Args[0]), d, depth+1)
		}
	}
}
