package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Errors of sensors.
var (
	// ErrSensorExists says that a sensor of this name is there already.
	ErrSensorExists = errors.New("a sensor of this name exists")
	// ErrNoSensor says that there is no sensor of this name.
	ErrNoSensor = errors.New("no such sensor")
	// ErrSecret says that a chosen secret is empty or too long.
	ErrSecret = errors.New("a sensor's secret has 1 to 256 characters")
)

// Sensor is a sender of records.
type Sensor struct {
	Name    string
	Created time.Time
	// Seen is when it last authenticated, zero for never; Address is where it was then.
	Seen    time.Time
	Address string
	// Weak is true when a person chose its secret.
	Weak bool
	// Refused is when somebody last used its name with a wrong secret since this
	// console started, zero for never; RefusedFrom is where that was. It helps to find a mistyped configuration.
	Refused     time.Time
	RefusedFrom string
}

// sensorTable is the whole table in memory, so that a request costs no query.
type sensorTable struct {
	mu   sync.RWMutex
	rows map[string]*sensorRow // guarded by mu
	seen map[string]seenAt     // guarded by seenMu
	// refused are wrong secrets by name of an existing sensor; guarded by seenMu.
	refused map[string]seenAt
	// seenMu is apart from mu: every request writes seen and only reads rows.
	seenMu sync.Mutex
	loaded time.Time // when rows were read; guarded by mu
}

type sensorRow struct {
	Sensor
	stored string // as in the column secret
	// known is the SHA-256 of the right secret: from the database, or after the
	// first success of a chosen secret. Guarded by sensorTable.mu.
	known *[32]byte
}

type seenAt struct {
	at      time.Time
	address string
}

const drawnPrefix = "sha256:"

// loadSensors reads the table: at Open, and later to see what another process
// changed (`trapline sensors add` beside a running console).
func (c *Control) loadSensors(ctx context.Context) error {
	t := &c.sensors
	t.mu.Lock()
	defer t.mu.Unlock()
	rows, err := c.db.QueryContext(ctx, "SELECT name, secret, created, seen, address FROM sensors")
	if err != nil {
		return err
	}
	defer rows.Close()
	fresh := make(map[string]*sensorRow)
	for rows.Next() {
		var r sensorRow
		var created, seen int64
		if err := rows.Scan(&r.Name, &r.stored, &created, &seen, &r.Address); err != nil {
			return err
		}
		r.Created = time.Unix(created, 0).UTC()
		if seen > 0 {
			r.Seen = time.Unix(seen, 0).UTC()
		}
		r.parse()
		if old := t.rows[r.Name]; old != nil && old.stored == r.stored {
			r.known = old.known
			if old.Seen.After(r.Seen) {
				r.Seen, r.Address = old.Seen, old.Address
			}
		}
		fresh[r.Name] = &r
	}
	if err := rows.Err(); err != nil {
		return err
	}
	t.rows, t.loaded = fresh, c.cfg.Now()
	return nil
}

// reloadSensors reads the table again unless that was done within the last
// second: wrong logins must not become load. It reports whether it did.
func (c *Control) reloadSensors(ctx context.Context) (bool, error) {
	c.sensors.mu.RLock()
	age := c.cfg.Now().Sub(c.sensors.loaded)
	c.sensors.mu.RUnlock()
	if age >= 0 && age < time.Second {
		return false, nil
	}
	if err := c.loadSensors(ctx); err != nil {
		return false, fmt.Errorf("read sensors: %w", c.explain(err))
	}
	return true, nil
}

func (r *sensorRow) parse() {
	text, drawn := strings.CutPrefix(r.stored, drawnPrefix)
	r.Weak, r.known = !drawn, nil
	if b, err := hex.DecodeString(text); drawn && err == nil && len(b) == 32 {
		r.known = (*[32]byte)(b)
	}
}

// AddSensor makes a sensor and returns its secret, 256 random bits in URL-safe text. Only a hash is kept.
func (c *Control) AddSensor(ctx context.Context, name string) (secret string, err error) {
	secret = randomText(32)
	sum := sha256.Sum256([]byte(secret))
	return secret, c.putSensor(ctx, name, drawnPrefix+hex.EncodeToString(sum[:]), false)
}

// RenewSensor gives a sensor a new secret; the old one ends at once.
func (c *Control) RenewSensor(ctx context.Context, name string) (secret string, err error) {
	secret = randomText(32)
	sum := sha256.Sum256([]byte(secret))
	return secret, c.putSensor(ctx, name, drawnPrefix+hex.EncodeToString(sum[:]), true)
}

// SetSensor makes a sensor with a secret that a person chose, or changes it: for
// sensors whose configuration exists already, such as mlogc's honeypot-sensor and test1234.
func (c *Control) SetSensor(ctx context.Context, name, secret string) error {
	if secret == "" || len(secret) > 256 {
		return ErrSecret
	}
	c.sensors.mu.RLock()
	_, exists := c.sensors.rows[name]
	c.sensors.mu.RUnlock()
	hash, err := hashPassword(secret)
	if err != nil {
		return err
	}
	return c.putSensor(ctx, name, hash, exists)
}

func (c *Control) putSensor(ctx context.Context, name, stored string, replace bool) error {
	if !validName(name) {
		return ErrName
	}
	now := c.cfg.Now()
	t := &c.sensors
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &sensorRow{Sensor: Sensor{Name: name, Created: now.UTC().Truncate(time.Second)}}
	if old, exists := t.rows[name]; exists {
		if !replace {
			return ErrSensorExists
		}
		copied := *old
		r = &copied
	} else if replace {
		return ErrNoSensor
	}
	_, err := c.db.ExecContext(ctx, `INSERT INTO sensors (name, secret, created, seen, address) VALUES (?, ?, ?, 0, '')
		ON CONFLICT (name) DO UPDATE SET secret = excluded.secret`, name, stored, now.Unix())
	if err != nil {
		return fmt.Errorf("write sensor %s: %w", name, c.explain(err))
	}
	r.stored = stored
	r.parse()
	t.rows[name] = r
	return nil
}

// RemoveSensor ends a sensor's right to send; its events stay.
func (c *Control) RemoveSensor(ctx context.Context, name string) error {
	t := &c.sensors
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.rows[name]; !ok {
		return ErrNoSensor
	}
	if _, err := c.db.ExecContext(ctx, "DELETE FROM sensors WHERE name = ?", name); err != nil {
		return fmt.Errorf("remove sensor %s: %w", name, c.explain(err))
	}
	delete(t.rows, name)
	return nil
}

// Sensors are all sensors by name.
func (c *Control) Sensors() []Sensor {
	t := &c.sensors
	t.mu.RLock()
	defer t.mu.RUnlock()
	t.seenMu.Lock()
	defer t.seenMu.Unlock()
	out := make([]Sensor, 0, len(t.rows))
	for _, r := range t.rows {
		s := r.Sensor
		if at, ok := t.seen[s.Name]; ok {
			s.Seen, s.Address = at.at.UTC(), at.address
		}
		if at, ok := t.refused[s.Name]; ok {
			s.Refused, s.RefusedFrom = at.at.UTC(), at.address
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Sensor) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// AuthenticateSensor checks a sensor's secret in constant time and notes that
// it was seen at address. It costs one SHA-256 but for the first time a chosen
// secret is used after a start. Wrong name and wrong secret both give ErrWrong.
//
// A chosen secret can be guessed: an address from which its sensor has not
// come has ten wrong guesses, then one more every half minute, and gets ErrWrong whatever it sends in between.
func (c *Control) AuthenticateSensor(ctx context.Context, name, secret string, address netip.Addr) (Sensor, error) {
	sensor, err := c.checkSensor(ctx, name, secret, address)
	if errors.Is(err, ErrWrong) {
		if again, loadErr := c.reloadSensors(ctx); loadErr != nil {
			return Sensor{}, loadErr
		} else if again {
			sensor, err = c.checkSensor(ctx, name, secret, address)
		}
	}
	return sensor, err
}

func (c *Control) checkSensor(ctx context.Context, name, secret string, address netip.Addr) (Sensor, error) {
	t := &c.sensors
	got := sha256.Sum256([]byte(secret))
	t.mu.RLock()
	r := t.rows[name]
	var known *[32]byte
	var sensor Sensor
	var stored string
	if r != nil {
		known, sensor, stored = r.known, r.Sensor, r.stored
	}
	t.mu.RUnlock()
	if r == nil {
		return Sensor{}, ErrWrong
	}
	from := address.Unmap().WithZone("").String()
	guessing := sensor.Weak && from != sensor.Address
	if guessing && c.guesses.full(address, c.cfg.Now()) {
		return Sensor{}, ErrWrong
	}
	right := false
	if known != nil {
		right = subtle.ConstantTimeCompare(got[:], known[:]) == 1
	} else {
		var err error
		if right, err = c.learnSecret(ctx, name, stored, secret, got); err != nil {
			return Sensor{}, err
		}
	}
	if !right {
		if guessing {
			c.guesses.add(address, c.cfg.Now())
		}
		t.seenMu.Lock()
		t.refused[name] = seenAt{c.cfg.Now(), from}
		t.seenMu.Unlock()
		return Sensor{}, ErrWrong
	}
	t.seenMu.Lock()
	t.seen[name] = seenAt{c.cfg.Now(), from}
	t.seenMu.Unlock()
	return sensor, nil
}

// learnSecret checks a chosen secret the slow way and remembers it when right.
func (c *Control) learnSecret(ctx context.Context, name, stored, secret string, sum [32]byte) (bool, error) {
	select {
	case c.learning <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-c.learning }()
	t := &c.sensors
	// A sensor comes with many connections at once: what the first learned while the others waited serves them all.
	t.mu.RLock()
	var known *[32]byte
	if r := t.rows[name]; r != nil && r.stored == stored {
		known = r.known
	}
	t.mu.RUnlock()
	if known != nil {
		return subtle.ConstantTimeCompare(sum[:], known[:]) == 1, nil
	}
	right, err := verifyPassword(stored, secret)
	if err != nil || !right {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// The secret may have been changed while we computed.
	if r := t.rows[name]; r != nil && r.stored == stored {
		r.known = &sum
		return true, nil
	}
	return false, nil
}

// takeSeen moves what is to be written into the table and returns it.
func (t *sensorTable) takeSeen() map[string]seenAt {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seenMu.Lock()
	defer t.seenMu.Unlock()
	out := t.seen
	t.seen = make(map[string]seenAt)
	for name, s := range out {
		if r := t.rows[name]; r != nil {
			r.Seen, r.Address = s.at.UTC(), s.address
		}
	}
	return out
}
