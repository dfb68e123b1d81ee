package control

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks our files ("TLct").
const applicationID = 0x544c6374

// migrations lead from an empty file to the present schema; entry i leads to
// user_version i+1. An entry never changes once released. Times are seconds since 1970.
func migrations() []string {
	return []string{`
CREATE TABLE users (
	name TEXT PRIMARY KEY,
	password TEXT NOT NULL,     -- argon2id, PHC string
	created INTEGER NOT NULL
) STRICT;
CREATE TABLE sessions (
	hash BLOB PRIMARY KEY,      -- SHA-256 of the token
	user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
	created INTEGER NOT NULL,
	seen INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	address TEXT NOT NULL,
	agent TEXT NOT NULL
) STRICT;
CREATE TABLE logins (
	time INTEGER NOT NULL,
	user TEXT NOT NULL,
	address TEXT NOT NULL,
	outcome TEXT NOT NULL       -- ok, wrong, limited
) STRICT;
CREATE INDEX logins_time ON logins (time);
CREATE INDEX logins_user ON logins (user, address, outcome);
CREATE TABLE sensors (
	name TEXT PRIMARY KEY,
	secret TEXT NOT NULL,       -- sha256:hex of a drawn secret, or argon2id of a chosen one
	created INTEGER NOT NULL,
	seen INTEGER NOT NULL,
	address TEXT NOT NULL
) STRICT;
`}
}

// migrate brings the database on conn to the present schema in one transaction,
// within which the version is read: of two processes that open a new file at once one makes the tables.
func migrate(ctx context.Context, conn *sql.Conn) (err error) {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	var app, version, tables int
	if err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&app, &version, &tables); err != nil {
		return err
	}
	if app != applicationID && tables > 0 {
		return fmt.Errorf("not a control database of Trapline (application id %#x); move the file away", app)
	}
	steps := migrations()
	if version > len(steps) {
		return fmt.Errorf("control database has schema %d, this program knows up to %d: it was written by a newer Trapline; run that version", version, len(steps))
	}
	for v := version; v < len(steps); v++ {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("%s; PRAGMA application_id=%d; PRAGMA user_version=%d", steps[v], applicationID, v+1)); err != nil {
			return fmt.Errorf("upgrade control database to schema %d: %w", v+1, err)
		}
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}
