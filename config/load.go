package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trapline/trapline/seclang"
)

// Options say where text comes from. The zero value reads the disk and knows no environment.
type Options struct {
	// Defines are the names of -D.
	Defines []string
	// Env answers ${NAME} for names that no Define gave, and PassEnv.
	Env func(name string) (string, bool)
	// ReadFile reads a file to include.
	ReadFile func(path string) ([]byte, error)
	// Glob lists the files that an Include argument (a file, a folder or a pattern) means, sorted.
	Glob func(pattern string) ([]string, error)
	// Root is ServerRoot until the file says another; "" means the folder of the file.
	Root string
}

// Load reads the file at path. The Config is nil when there is an error. The error is *Faults, and joins one *seclang.Error
// per fault, in the order of file and line, unless the file cannot be read; warnings come with and without an error.
func Load(path string, opt Options) (*Config, []Warning, error) {
	opt = opt.withDefaults()
	text, err := opt.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	if opt.Root == "" {
		if abs, err := filepath.Abs(path); err == nil {
			opt.Root = filepath.Dir(abs)
		}
	}
	return Parse(path, text, opt)
}

// Parse reads text as Load does; name stands for the file in messages.
func Parse(name string, text []byte, opt Options) (*Config, []Warning, error) {
	opt = opt.withDefaults()
	p := &parser{
		opt:  opt,
		cfg:  &Config{File: name, Root: opt.Root, Trap: defaultTrap()},
		defs: map[string]string{},
	}
	for _, d := range opt.Defines {
		p.defs[d] = ""
	}
	nodes := p.file(name, text, 0)
	b := newBuilder(p)
	b.build(nodes)
	slices.SortStableFunc(p.warns, func(a, b Warning) int { return byPlace(a.File, a.Line, b.File, b.Line) })
	if err := p.err(); err != nil {
		return nil, p.warns, &Faults{Errs: err, Read: p.cfg}
	}
	return p.cfg, p.warns, nil
}

func (opt Options) withDefaults() Options {
	if opt.Env == nil {
		opt.Env = func(string) (string, bool) { return "", false }
	}
	if opt.ReadFile == nil {
		opt.ReadFile = os.ReadFile
	}
	if opt.Glob == nil {
		opt.Glob = globFiles
	}
	return opt
}

// globFiles lists what an Include argument means on disk: the file, all files below a folder, or what the pattern matches.
func globFiles(pattern string) ([]string, error) {
	matches := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if matches, err = filepath.Glob(pattern); err != nil {
			return nil, err
		}
	}
	var files []string
	for _, m := range matches {
		err := filepath.WalkDir(m, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return files, nil
}

// Limits that no sane configuration reaches; they stop include loops and hostile input.
const (
	maxDepth = 64   // nesting of sections and includes
	maxFiles = 5000 // files included in all
)

// parser turns text into a tree: Include, Define and the <If...> sections are resolved on the way, as Apache does, in reading order.
type parser struct {
	opt   Options
	cfg   *Config
	defs  map[string]string
	errs  []*seclang.Error
	warns []Warning
	files int
	open  []string // the files being read, outermost first
}

// node is a directive, or a section with its content.
type node struct {
	d        seclang.Directive
	section  string // lower-case section name, "" for a directive
	children []node
}

func (p *parser) errorf(d seclang.Directive, format string, args ...any) {
	p.errs = append(p.errs, &seclang.Error{File: d.File, Line: d.Line, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) warnf(d seclang.Directive, format string, args ...any) {
	p.warns = append(p.warns, Warning{File: d.File, Line: d.Line, Directive: strings.Trim(d.Name, "<>"), Text: fmt.Sprintf(format, args...)})
}

func (p *parser) assume(file string, line int, what, why, directive string) {
	p.cfg.Assumptions = append(p.cfg.Assumptions, Assumption{File: file, Line: line, What: what, Why: why, Directive: directive})
}

func (p *parser) err() error {
	if len(p.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(p.errs, func(a, b *seclang.Error) int { return byPlace(a.File, a.Line, b.File, b.Line) })
	// A line that several hosts inherit is wrong once.
	p.errs = slices.CompactFunc(p.errs, func(a, b *seclang.Error) bool { return *a == *b })
	errs := make([]error, len(p.errs))
	for i, e := range p.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

func (p *parser) file(name string, text []byte, depth int) []node {
	p.files++
	p.open = append(p.open, p.cfg.path(name))
	defer func() { p.open = p.open[:len(p.open)-1] }()
	ds, err := seclang.Lex(name, text)
	if err != nil {
		p.lexErrors(name, err)
	}
	r := &reader{p: p, ds: ds, depth: depth}
	return r.block("", seclang.Directive{})
}

func (p *parser) lexErrors(name string, err error) {
	switch e := err.(type) { //nolint:errorlint // the joined errors are walked one by one, not searched for a cause
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			p.lexErrors(name, one)
		}
	case *seclang.Error:
		p.errs = append(p.errs, e)
	default:
		p.errs = append(p.errs, &seclang.Error{File: name, Text: err.Error()})
	}
}

// reader walks the directives of one file.
type reader struct {
	p     *parser
	ds    []seclang.Directive
	next  int
	depth int
}

// sectionName splits "<VirtualHost" or "</VirtualHost>" into its name and whether it closes.
func sectionName(d seclang.Directive) (name string, closes, ok bool) {
	name, ok = strings.CutPrefix(d.Name, "<")
	if !ok {
		return "", false, false
	}
	name, closes = strings.CutPrefix(name, "/")
	return strings.ToLower(strings.TrimSuffix(name, ">")), closes, true
}

// block reads up to the end of the section, or of the file when section is "".
func (r *reader) block(section string, opened seclang.Directive) []node {
	var nodes []node
	for r.next < len(r.ds) {
		d := r.p.expand(r.ds[r.next])
		r.next++
		name, closes, isSection := sectionName(d)
		switch {
		case !isSection:
			nodes = append(nodes, r.directive(d)...)
		case closes && name == section:
			return nodes
		case closes:
			r.p.errorf(d, "found </%s>, expected %s", name, expectedClose(section, opened))
			if section != "" {
				return nodes // most likely a misspelt end: report it once
			}
		case r.depth >= maxDepth:
			r.p.errorf(d, "sections and includes are nested more than %d deep", maxDepth)
			r.next = len(r.ds)
		default:
			nodes = append(nodes, r.section(name, d)...)
		}
	}
	if section != "" {
		r.p.errorf(opened, "found the end of the file, expected </%s>", sectionTitle(section))
	}
	return nodes
}

func expectedClose(section string, opened seclang.Directive) string {
	if section == "" {
		return "a section that is open"
	}
	return fmt.Sprintf("</%s> for the section opened in line %d", sectionTitle(section), opened.Line)
}

// section reads one section. The content of a conditional one joins what is around it, or is skipped unread.
func (r *reader) section(name string, d seclang.Directive) []node {
	holds, conditional := r.p.condition(name, d)
	if conditional && !holds {
		r.skip(name, d)
		return nil
	}
	r.depth++
	children := r.block(name, d)
	r.depth--
	if conditional {
		return children
	}
	return []node{{d: d, section: name, children: children}}
}

// skip moves behind the end of a section without acting on its content.
func (r *reader) skip(name string, opened seclang.Directive) {
	open := 1
	for r.next < len(r.ds) {
		inner, closes, ok := sectionName(r.ds[r.next])
		r.next++
		switch {
		case !ok || inner != name:
		case closes:
			open--
		default:
			open++
		}
		if open == 0 {
			return
		}
	}
	r.p.errorf(opened, "found the end of the file, expected </%s>", sectionTitle(name))
}

// directive resolves the directives that act while reading.
func (r *reader) directive(d seclang.Directive) []node {
	switch strings.ToLower(d.Name) {
	case "include", "includeoptional":
		return r.include(d, strings.EqualFold(d.Name, "IncludeOptional"))
	case "serverroot":
		if r.p.arity(d, 1, 1, "a folder") {
			r.p.cfg.Root = r.p.cfg.path(d.Args[0])
		}
	case "define":
		r.define(d)
	case "undefine":
		if r.p.arity(d, 1, 1, "a name") {
			delete(r.p.defs, d.Args[0])
		}
	case "error":
		r.p.errorf(d, "%s", strings.Join(d.Args, " "))
	case "warning":
		r.p.warnf(d, "%s", strings.Join(d.Args, " "))
	default:
		return []node{{d: d}}
	}
	return nil
}

func (r *reader) define(d seclang.Directive) {
	if !r.p.arity(d, 1, 2, "a name and a value") {
		return
	}
	name, value := d.Args[0], ""
	if strings.ContainsAny(name, ":}") {
		r.p.errorf(d, "found the name %q, expected a name without ':' and '}'", name)
		return
	}
	if len(d.Args) == 2 {
		value = d.Args[1]
	}
	r.p.defs[name] = value
}

func (r *reader) include(d seclang.Directive, optional bool) []node {
	p := r.p
	if !p.arity(d, 1, 1, "a file, a folder or a pattern") {
		return nil
	}
	pattern := p.cfg.path(d.Args[0])
	files, err := p.opt.Glob(pattern)
	missing := errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0
	switch {
	case optional && missing:
		return nil
	case missing:
		p.errorf(d, "found no file for %s, expected at least one (IncludeOptional allows none)", pattern)
		return nil
	case err != nil:
		p.errorf(d, "include %s: %v", pattern, err)
		return nil
	case r.depth >= maxDepth:
		p.errorf(d, "sections and includes are nested more than %d deep", maxDepth)
		return nil
	}
	var nodes []node
	for _, name := range files {
		if p.files >= maxFiles {
			p.errorf(d, "more than %d files are included", maxFiles)
			return nodes
		}
		if slices.Contains(p.open, name) {
			p.errorf(d, "%s includes itself", name)
			continue
		}
		text, err := p.opt.ReadFile(name)
		if err != nil {
			p.errorf(d, "include %s: %v", name, err)
			continue
		}
		nodes = append(nodes, p.file(name, text, r.depth+1)...)
	}
	return nodes
}

// arity checks the number of arguments and reports what was expected. A most of -1 is no limit.
func (p *parser) arity(d seclang.Directive, least, most int, expected string) bool {
	if n := len(d.Args); n < least || most >= 0 && n > most {
		found := "nothing"
		if n > 0 {
			found = strings.Join(d.Args, " ")
			if len(found) > 80 {
				found = found[:80] + "..."
			}
		}
		p.errorf(d, "%s: found %s, expected %s", strings.TrimPrefix(d.Name, "<"), found, expected)
		return false
	}
	return true
}
