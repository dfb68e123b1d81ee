package dbfile

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// migrated opens a file with a schema and returns what Migrate says.
func migrated(t *testing.T, path string, s *Schema) (*sql.DB, error) {
	t.Helper()
	if err := Make(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(Driver, Source(path, "busy_timeout(1000)", "journal_mode(WAL)"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return db, errors.Join(s.Migrate(context.Background(), conn), conn.Close())
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder #1?", "ü%41.db")
	s := &Schema{Article: "an", Name: "odd store", Application: 4711, Elsewhere: "move it away", Steps: []string{"CREATE TABLE a (n)"}}
	for range 2 {
		if _, err := migrated(t, path, s); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	// A step that fails leaves the file as it was.
	broken := *s
	broken.Steps = append(s.Steps[:1:1], "CREATE TABLE b (n)", "CREATE TABLE b (n)")
	if _, err := migrated(t, path, &broken); err == nil || !strings.Contains(err.Error(), "upgrade odd store to schema 3") {
		t.Errorf("%v", err)
	}
	next := *s
	next.Steps = append(s.Steps[:1:1], "CREATE TABLE b (n)")
	db, err := migrated(t, path, &next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO b VALUES (1)"); err != nil {
		t.Error(err)
	}
	if _, err := migrated(t, path, s); err == nil || !strings.Contains(err.Error(), "odd store has schema 2, this program knows up to 1") {
		t.Errorf("%v", err)
	}
	foreign := *s
	foreign.Application++
	if _, err := migrated(t, path, &foreign); err == nil || !strings.Contains(err.Error(), "not an odd store of Trapline (application id 0x1267); move it away") {
		t.Errorf("%v", err)
	}
}

func TestExplain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := errors.New("damaged")
	a := &Advice{Damaged: damaged, Repair: func(path string) string { return "restore " + path }}
	db, err := sql.Open(Driver, Source(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.Exec("CREATE TABLE a (n)")
	if err = a.Explain(path, err); !errors.Is(err, damaged) || !strings.HasSuffix(err.Error(), "restore "+path) {
		t.Errorf("%v", err)
	}
	if err := a.Explain(path, os.ErrExist); err != os.ErrExist { //nolint:errorlint // it must be the very same
		t.Errorf("%v", err)
	}
	if a.Explain(path, nil) != nil {
		t.Error("nil is an error")
	}
}
