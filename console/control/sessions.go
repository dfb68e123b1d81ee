package control

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrNoSession says that a token names no session that is still valid.
var ErrNoSession = errors.New("no such session")

// Session is a person signed in.
type Session struct {
	User    string
	Created time.Time
	// Expires is the end whatever happens; the session ends earlier when it is idle for long.
	Expires time.Time
	Address string
	Agent   string
}

// NewSession starts a session and returns its token, 256 random bits in
// URL-safe text, which is not kept: the database holds its hash.
func (c *Control) NewSession(ctx context.Context, user string, address netip.Addr, agent string) (token string, err error) {
	token = randomText(32)
	hash := sha256.Sum256([]byte(token))
	now := c.cfg.Now()
	if len(agent) > 256 {
		agent = agent[:256]
	}
	_, err = c.db.ExecContext(ctx, "INSERT INTO sessions (hash, user, created, seen, expires, address, agent) VALUES (?,?,?,?,?,?,?)",
		hash[:], user, now.Unix(), now.Unix(), now.Add(c.cfg.SessionMax).Unix(), address.Unmap().WithZone("").String(), agent)
	if err != nil {
		return "", fmt.Errorf("start session of %s: %w", user, c.explain(err))
	}
	return token, nil
}

// Session finds the session of a token and counts it as used now. ErrNoSession when there is none or it has expired.
func (c *Control) Session(ctx context.Context, token string) (Session, error) {
	hash := sha256.Sum256([]byte(token))
	var s Session
	var created, seen, expires int64
	err := c.db.QueryRowContext(ctx, "SELECT user, created, seen, expires, address, agent FROM sessions WHERE hash = ?", hash[:]).
		Scan(&s.User, &created, &seen, &expires, &s.Address, &s.Agent)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, fmt.Errorf("read session: %w", c.explain(err))
	}
	now := c.cfg.Now()
	s.Created, s.Expires = time.Unix(created, 0).UTC(), time.Unix(expires, 0).UTC()
	c.seen.Lock()
	defer c.seen.Unlock()
	last := time.Unix(seen, 0)
	if at, ok := c.seen.sessions[string(hash[:])]; ok && at.After(last) {
		last = at
	}
	if !now.Before(s.Expires) || now.Sub(last) > c.cfg.SessionIdle {
		return Session{}, ErrNoSession
	}
	c.seen.sessions[string(hash[:])] = now
	return s, nil
}

// EndSession ends the session of a token; a token without a session is no error.
func (c *Control) EndSession(ctx context.Context, token string) error {
	hash := sha256.Sum256([]byte(token))
	if _, err := c.db.ExecContext(ctx, "DELETE FROM sessions WHERE hash = ?", hash[:]); err != nil {
		return fmt.Errorf("end session: %w", c.explain(err))
	}
	return nil
}
