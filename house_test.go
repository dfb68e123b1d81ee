// Package trapline_test holds the rules of the house: which room may know which.
package trapline_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/trapline/trapline/"

// rooms is the architecture: each room and the rooms it may import. A room's
// own sub-rooms are always allowed, and a sub-room that has no row of its own
// may import what its parent may. ARCHITECTURE.md explains the rows; the two change together.
var rooms = map[string][]string{
	"cmd/trapline":     {"app", "config"},
	"config":           {"seclang"},
	"seclang":          {"collection", "audit"},
	"collection":       {"internal/durable"},
	"audit":            {},
	"auditlog":         {"audit", "internal/durable"},
	"wire":             {},
	"trap":             {"audit", "seclang", "collection", "wire"},
	"gate":             {"audit", "seclang", "collection", "wire", "config"},
	"decision":         {"internal/durable"},
	"spool":            {"internal/durable"},
	"forward":          {"spool", "audit", "internal/durable"},
	"console/ingest":   {"audit", "console/store", "console/control"},
	"console/store":    {"audit", "internal/dbfile"},
	"console/control":  {"decision", "internal/dbfile"},
	"console/web":      {"audit", "console/store", "console/control"},
	"app":              nil, // all but cmd
	"internal/dbfile":  {},
	"internal/durable": {},
	"internal/tools":   {},
	"test":             nil, // black-box and peer tests may drive every room
}

func TestRoomsImportOnlyWhatTheirRowAllows(t *testing.T) {
	for _, f := range sources(t) {
		from := room(filepath.ToSlash(filepath.Dir(f.path)))
		allowed, known := rooms[from]
		if !known {
			if from != "." {
				t.Errorf("%s: the folder %q is no room: add a row to house_test.go and ARCHITECTURE.md", f.path, from)
			}
			continue
		}
		for _, spec := range f.file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			rest, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			to := room(rest)
			switch {
			case to == from:
			case allowed == nil && to != "cmd/trapline":
			case strings.HasSuffix(f.path, "_test.go") && from != "audit": // tests may drive neighbours
			case !slices.Contains(allowed, to):
				t.Errorf("%s imports %s: room %s may import only %v", f.path, rest, from, allowed)
			}
		}
	}
}

func TestEveryPackageHasOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	for _, f := range sources(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		dir := filepath.Dir(f.path)
		if _, seen := comments[dir]; !seen {
			comments[dir] = nil
		}
		if f.file.Doc != nil && strings.HasPrefix(f.file.Doc.Text(), "Package ") || f.file.Doc != nil && f.file.Name.Name == "main" {
			comments[dir] = append(comments[dir], f.path)
		}
	}
	for dir, in := range comments {
		if len(in) != 1 {
			t.Errorf("%s has %d package comments %v, want one", dir, len(in), in)
		}
	}
}

func TestNoRoomIsCalledAfterNothing(t *testing.T) {
	vague := []string{"util", "utils", "common", "helpers", "types", "models", "base", "core", "misc", "shared"}
	for _, f := range sources(t) {
		if slices.Contains(vague, f.file.Name.Name) {
			t.Errorf("%s: package %s says nothing about what it does", f.path, f.file.Name.Name)
		}
	}
}

type source struct {
	path string
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "dist" || strings.HasPrefix(name, ".") && name != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{path, file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found only %d Go files: the walk is broken", len(all))
	}
	return all
}

// room is the longest row that dir lies in.
func room(dir string) string {
	for d := dir; d != "." && d != "/"; d = filepath.ToSlash(filepath.Dir(d)) {
		if _, ok := rooms[d]; ok {
			return d
		}
	}
	return dir
}
