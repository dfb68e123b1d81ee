package store

import "github.com/trapline/trapline/internal/dbfile"

// applicationID marks our files ("TLev"), so that another program's database is not taken for an event store.
const applicationID = 0x544c6576

// migrations lead from an empty file to the present schema; entry i leads to
// user_version i+1. An entry never changes once released.
//
//	events   one row per event: what lists show and filter on (about 300 bytes)
//	entries  the native entry of each event, compressed: apart, so that scans of events read few pages
//	matched  one row per event and rule id, for the filter by rule
//	events_text  full-text index over uri, agent, host and message; holds no text itself
//	hours    counts by hour, kept exact in the transaction that stores the events
func migrations() []string {
	return []string{`
CREATE TABLE sensors (
	n INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE events (
	seq INTEGER PRIMARY KEY,    -- order of arrival
	time INTEGER NOT NULL,      -- microseconds since 1970
	received INTEGER NOT NULL,  -- the same
	sensor INTEGER NOT NULL,
	id TEXT NOT NULL,
	client BLOB NOT NULL,       -- 16 bytes, IPv4 mapped; empty when unknown
	client_port INTEGER NOT NULL,
	port INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	honeytrap INTEGER NOT NULL,
	method TEXT NOT NULL,
	uri TEXT NOT NULL,
	host TEXT NOT NULL,
	status INTEGER NOT NULL,
	action TEXT NOT NULL,
	severity INTEGER NOT NULL,
	rules TEXT NOT NULL,        -- ids separated by a space
	message TEXT NOT NULL,
	agent TEXT NOT NULL,
	ja4 TEXT NOT NULL,
	hash INTEGER NOT NULL,
	size INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_id ON events (sensor, id);
CREATE INDEX events_time ON events (time);
CREATE INDEX events_client ON events (client, time);
CREATE INDEX events_port ON events (port, time);
CREATE INDEX events_sensor ON events (sensor, time);
CREATE INDEX events_hash ON events (hash, time);
CREATE INDEX events_ja4 ON events (ja4, time) WHERE ja4 <> '';
CREATE TABLE entries (
	seq INTEGER PRIMARY KEY,
	entry BLOB NOT NULL
) STRICT;
CREATE TABLE matched (
	rule INTEGER NOT NULL,
	time INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	PRIMARY KEY (rule, time, seq)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE events_text USING fts5 (
	uri, agent, host, message,
	content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 2"
);
CREATE TABLE hours (
	hour INTEGER NOT NULL,      -- hours since 1970
	sensor INTEGER NOT NULL,
	port INTEGER NOT NULL,
	kind INTEGER NOT NULL,
	events INTEGER NOT NULL,
	PRIMARY KEY (hour, sensor, port, kind)
) STRICT, WITHOUT ROWID;
`, `
-- GET and HTTP are most of all events: to find them no index is needed, and each event would pay for it.
CREATE INDEX events_host ON events (host, time) WHERE host <> '';
CREATE INDEX events_method ON events (method, time) WHERE method <> '' AND method <> 'GET';
CREATE INDEX events_status ON events (status, time);
CREATE INDEX events_kind ON events (kind, time) WHERE kind <> 0;
`}
}

func schema() *dbfile.Schema {
	return &dbfile.Schema{
		Article: "an", Name: "event store", Application: applicationID, Steps: migrations(),
		Elsewhere: "move the file away or give TrapStore another folder",
	}
}
