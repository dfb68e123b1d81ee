package control

import "github.com/trapline/trapline/internal/dbfile"

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

func schema() *dbfile.Schema {
	return &dbfile.Schema{
		Article: "a", Name: "control database", Application: applicationID, Steps: migrations(), Elsewhere: "move the file away",
	}
}
