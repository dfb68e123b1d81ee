package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"
)

// FirstUser is the name of the user that FirstRun makes.
const FirstUser = "admin"

// MinPassword is the least number of characters of a password a person chooses.
const MinPassword = 10

// loginsKept is how long the log of logins goes back.
const loginsKept = 400 * 24 * time.Hour

// Errors that callers test for.
var (
	// ErrWrong says that user or password is wrong; which of them is not told.
	ErrWrong = errors.New("wrong user or password")
	// ErrPassword says that a new password is too short or too long.
	ErrPassword = fmt.Errorf("a password has %d to 1024 characters", MinPassword)
	// ErrName says that a name has characters that are not allowed.
	ErrName = errors.New("a name has 1 to 64 of the characters a-z A-Z 0-9 . _ -")
)

// LimitedError says that login attempts come too fast.
type LimitedError struct{ Retry time.Duration }

func (e *LimitedError) Error() string {
	return fmt.Sprintf("too many attempts; wait %s", e.Retry.Round(time.Second))
}

// FirstRun makes the user "admin" with a drawn password when there is no user
// yet. The password is returned this once; only its hash is kept, so the login
// stays valid over restarts. SetPassword gives a new one when it was lost.
func (c *Control) FirstRun() (password string, created bool, err error) {
	password = easyPassword()
	hash, err := hashPassword(password)
	if err != nil {
		return "", false, err
	}
	// One statement: of two consoles started at once on one folder only one makes the user.
	res, err := c.db.ExecContext(context.Background(), `INSERT INTO users (name, password, created) SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM users)`,
		FirstUser, hash, c.cfg.Now().Unix())
	if err != nil {
		return "", false, fmt.Errorf("make first user: %w", c.explain(err))
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return "", false, err
	}
	return password, true, nil
}

// SetPassword sets a user's password, making the user when new, and ends all of the user's sessions.
func (c *Control) SetPassword(ctx context.Context, user, password string) error {
	if !validName(user) {
		return ErrName
	}
	if n := utf8.RuneCountInString(password); n < MinPassword || n > 1024 {
		return ErrPassword
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("set password of %s: %w", user, c.explain(err))
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing, before it the error at hand counts
	_, err = tx.ExecContext(ctx, `INSERT INTO users (name, password, created) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET password = excluded.password`, user, hash, c.cfg.Now().Unix())
	if err == nil {
		_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE user = ?", user)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("set password of %s: %w", user, c.explain(err))
	}
	return nil
}

// HasUser says whether there is a user of this name.
func (c *Control) HasUser(ctx context.Context, user string) (bool, error) {
	var n int
	if err := c.db.QueryRowContext(ctx, "SELECT count(*) FROM users WHERE name = ?", user).Scan(&n); err != nil {
		return false, fmt.Errorf("read user: %w", c.explain(err))
	}
	return n > 0, nil
}

// ResetPassword gives a user a drawn password and returns it: the way back in for who has the machine.
func (c *Control) ResetPassword(ctx context.Context, user string) (string, error) {
	password := easyPassword()
	return password, c.SetPassword(ctx, user, password)
}

// Authenticate checks a login from address. The errors are ErrWrong, a
// *LimitedError, or trouble of our own. Every attempt is in the log of logins.
//
// Limits: each address (IPv6: each /64) has ten failures, then one more every
// half minute; each user has fifty failures over all addresses that never
// logged in as that user, then one more every ten seconds. An address from
// which the user has logged in before is under the first limit only: nobody
// can lock the owner out of the owner's usual place.
func (c *Control) Authenticate(ctx context.Context, user, password string, address netip.Addr) error {
	if len(user) > 64 || len(password) > 4096 {
		return ErrWrong
	}
	now := c.cfg.Now()
	usual, err := c.hasLoggedIn(ctx, user, address)
	if err != nil {
		return err
	}
	if wait := c.limits.take(user, address, usual, now); wait > 0 {
		return errors.Join(&LimitedError{wait}, c.logLogin(ctx, user, address, "limited"))
	}
	select {
	case c.hashing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.hashing }()
	hash, known := c.decoy, true
	err = c.db.QueryRowContext(ctx, "SELECT password FROM users WHERE name = ?", user).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		known, err = false, nil
	}
	if err != nil {
		return fmt.Errorf("read user: %w", c.explain(err))
	}
	right, err := verifyPassword(hash, password)
	if err != nil {
		return fmt.Errorf("check password of %s: %w", user, err)
	}
	if !known || !right {
		return errors.Join(ErrWrong, c.logLogin(ctx, user, address, "wrong"))
	}
	c.limits.giveBack(user, address, usual)
	return c.logLogin(ctx, user, address, "ok")
}

// Login is one line of the log of logins.
type Login struct {
	Time    time.Time
	User    string // as typed: may be anything
	Address string
	Outcome string // "ok", "wrong", "limited"
}

// Logins are the newest attempts to sign in, newest first.
func (c *Control) Logins(ctx context.Context, limit int) ([]Login, error) {
	rows, err := c.db.QueryContext(ctx, "SELECT time, user, address, outcome FROM logins ORDER BY time DESC, rowid DESC LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("read logins: %w", c.explain(err))
	}
	defer rows.Close()
	var out []Login
	for rows.Next() {
		var l Login
		var at int64
		if err := rows.Scan(&at, &l.User, &l.Address, &l.Outcome); err != nil {
			return nil, fmt.Errorf("read logins: %w", c.explain(err))
		}
		l.Time = time.Unix(at, 0).UTC()
		out = append(out, l)
	}
	return out, rows.Err()
}

func (c *Control) hasLoggedIn(ctx context.Context, user string, address netip.Addr) (bool, error) {
	var yes bool
	err := c.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM logins WHERE user = ? AND address = ? AND outcome = 'ok')",
		user, address.Unmap().WithZone("").String()).Scan(&yes)
	if err != nil {
		return false, fmt.Errorf("read logins: %w", c.explain(err))
	}
	return yes, nil
}

// logLogin keeps an attempt. Only the first limited attempt after others is
// kept, so that a flood does not fill the disk.
func (c *Control) logLogin(ctx context.Context, user string, address netip.Addr, outcome string) error {
	at := address.Unmap().WithZone("").String()
	_, err := c.db.ExecContext(ctx, `INSERT INTO logins (time, user, address, outcome) SELECT ?1, ?2, ?3, ?4
		WHERE ?4 <> 'limited' OR NOT EXISTS (SELECT 1 FROM logins WHERE user = ?2 AND address = ?3 AND outcome = 'limited' AND time > ?1 - 3600)`,
		c.cfg.Now().Unix(), user, at, outcome)
	if err != nil {
		return fmt.Errorf("log login: %w", c.explain(err))
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}
