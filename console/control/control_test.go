package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a settable time.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var (
	home     = netip.MustParseAddr("192.0.2.1")
	attacker = netip.MustParseAddr("198.51.100.66")
)

func openTest(t testing.TB, dir string) (*Control, *clock) {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	at := &clock{t: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	c, err := Open(Config{Dir: dir, Now: at.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, at
}

func TestFirstRunLoginSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	c, _ := openTest(t, dir)
	password, created, err := c.FirstRun()
	if err != nil || !created || len(password) != 24 {
		t.Fatal(password, created, err)
	}
	c.Close()
	c, _ = openTest(t, dir)
	if again, created, err := c.FirstRun(); err != nil || created || again != "" {
		t.Fatal("second start:", again, created, err)
	}
	if err := c.Authenticate(t.Context(), FirstUser, password, home); err != nil {
		t.Error(err)
	}
	for _, wrong := range []struct{ user, password string }{{FirstUser, password + "x"}, {FirstUser, ""}, {"root", password}, {"", ""}} {
		if err := c.Authenticate(t.Context(), wrong.user, wrong.password, home); !errors.Is(err, ErrWrong) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	logins, err := c.Logins(t.Context(), 10)
	if err != nil || len(logins) != 5 || logins[4].Outcome != "ok" || logins[0].Outcome != "wrong" || logins[0].Address != home.String() {
		t.Error(logins, err)
	}
	for _, name := range []string{c.Path(), c.Path() + "-wal", c.Path() + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	for _, name := range []string{c.Path(), c.Path() + "-wal"} {
		if b, err := os.ReadFile(name); err == nil && strings.Contains(string(b), password) {
			t.Error(name, "holds the password")
		}
	}
}

func TestSetPasswordEndsSessions(t *testing.T) {
	c, _ := openTest(t, "")
	if err := c.SetPassword(t.Context(), "ann", "short"); !errors.Is(err, ErrPassword) {
		t.Error(err)
	}
	if err := c.SetPassword(t.Context(), "an n", "long enough"); !errors.Is(err, ErrName) {
		t.Error(err)
	}
	if err := c.SetPassword(t.Context(), "ann", "long enough"); err != nil {
		t.Fatal(err)
	}
	token, err := c.NewSession(t.Context(), "ann", home, "agent")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Session(t.Context(), token); err != nil || s.User != "ann" {
		t.Error(s, err)
	}
	password, err := c.ResetPassword(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Session(t.Context(), token); !errors.Is(err, ErrNoSession) {
		t.Error("session survived the new password:", err)
	}
	if err := c.Authenticate(t.Context(), "ann", password, home); err != nil {
		t.Error(err)
	}
}

func TestSessionsEndIdleAndAtLast(t *testing.T) {
	dir := t.TempDir()
	c, at := openTest(t, dir)
	if _, _, err := c.FirstRun(); err != nil {
		t.Fatal(err)
	}
	idle, _ := c.NewSession(t.Context(), FirstUser, home, "")
	used, _ := c.NewSession(t.Context(), FirstUser, home, "")
	ended, _ := c.NewSession(t.Context(), FirstUser, home, "")
	if err := c.EndSession(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Session(t.Context(), ended); !errors.Is(err, ErrNoSession) {
		t.Error(err)
	}
	for range 20 {
		at.add(8 * time.Hour)
		if _, err := c.Session(t.Context(), used); err != nil {
			t.Fatal("used session:", err)
		}
		if err := c.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Session(t.Context(), idle); !errors.Is(err, ErrNoSession) {
		t.Error("idle session:", err)
	}
	at.add(8 * time.Hour) // 168 hours: the end of all
	if _, err := c.Session(t.Context(), used); !errors.Is(err, ErrNoSession) {
		t.Error("session after a week:", err)
	}
	if _, err := c.Session(t.Context(), "guess"); !errors.Is(err, ErrNoSession) {
		t.Error(err)
	}
}

func TestLoginLimitsSlowTheAttackerAndLetTheOwnerIn(t *testing.T) {
	c, at := openTest(t, "")
	password, _, err := c.FirstRun()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Authenticate(t.Context(), FirstUser, password, home); err != nil {
		t.Fatal(err)
	}
	var limited *LimitedError
	for n := range 12 {
		err := c.Authenticate(t.Context(), FirstUser, "guess", attacker)
		if got := errors.As(err, &limited); got != (n >= addressBurst) {
			t.Fatalf("attempt %d: %v", n, err)
		}
	}
	at.add(limited.Retry)
	if err := c.Authenticate(t.Context(), FirstUser, "guess", attacker); !errors.Is(err, ErrWrong) {
		t.Error("after the wait that was told:", err)
	}
	// From many addresses: the user's limit holds, IPv6 neighbours are one.
	many := 0
	for n := range 200 {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%x", n/20, n))
		if err := c.Authenticate(t.Context(), FirstUser, "guess", a); errors.Is(err, ErrWrong) {
			many++
		}
	}
	if many > userBurst {
		t.Errorf("%d guesses from many addresses", many)
	}
	if err := c.Authenticate(t.Context(), FirstUser, password, netip.MustParseAddr("203.0.113.9")); !errors.As(err, &limited) {
		t.Error("a new address during the attack:", err)
	}
	if err := c.Authenticate(t.Context(), FirstUser, password, home); err != nil {
		t.Error("the owner at the usual place:", err)
	}
	at.add(time.Hour)
	if err := c.Authenticate(t.Context(), FirstUser, password, netip.MustParseAddr("203.0.113.9")); err != nil {
		t.Error("a new address after the attack:", err)
	}
	for range 15 { // right passwords are never limited
		if err := c.Authenticate(t.Context(), FirstUser, password, home); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSensors(t *testing.T) {
	dir := t.TempDir()
	c, at := openTest(t, dir)
	ctx := t.Context()
	secret, err := c.AddSensor(ctx, "east-1")
	if err != nil || len(secret) != 43 {
		t.Fatal(secret, err)
	}
	if _, err := c.AddSensor(ctx, "east-1"); !errors.Is(err, ErrSensorExists) {
		t.Error(err)
	}
	for _, name := range []string{"", "a b", "..", "é", "a/b", "<b>", strings.Repeat("x", 65)} {
		if _, err := c.AddSensor(ctx, name); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if err := c.SetSensor(ctx, "honeypot-sensor", "test1234"); err != nil {
		t.Fatal(err)
	}
	check := func(c *Control, name, secret string, want error) {
		t.Helper()
		if _, err := c.AuthenticateSensor(ctx, name, secret, home); !errors.Is(err, want) {
			t.Errorf("%s %s: %v, want %v", name, secret, err, want)
		}
	}
	for range 2 { // the second time from memory
		check(c, "honeypot-sensor", "test1234", nil)
		check(c, "honeypot-sensor", "test1235", ErrWrong)
		check(c, "east-1", secret, nil)
		check(c, "east-1", secret[1:], ErrWrong)
		check(c, "east-1", "", ErrWrong)
		check(c, "nobody", secret, ErrWrong)
	}
	if err := c.SetSensor(ctx, "honeypot-sensor", "other"); err != nil {
		t.Fatal(err)
	}
	check(c, "honeypot-sensor", "test1234", ErrWrong)
	check(c, "honeypot-sensor", "other", nil)
	renewed, err := c.RenewSensor(ctx, "east-1")
	if err != nil {
		t.Fatal(err)
	}
	check(c, "east-1", secret, ErrWrong)
	at.add(time.Minute)
	check(c, "east-1", renewed, nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	seen := at.now()
	c, _ = openTest(t, dir)
	check(c, "honeypot-sensor", "test1234", ErrWrong)
	check(c, "honeypot-sensor", "other", nil)
	list := c.Sensors()
	if list[1].RefusedFrom != home.String() || list[1].Refused.IsZero() || !list[0].Refused.IsZero() {
		t.Errorf("wrong secrets: %+v", list)
	}
	if len(list) != 2 || list[0].Name != "east-1" || !list[0].Seen.Equal(seen) || list[0].Address != home.String() || list[0].Weak || !list[1].Weak {
		t.Errorf("%+v", list)
	}
	if err := c.RemoveSensor(ctx, "east-1"); err != nil {
		t.Fatal(err)
	}
	check(c, "east-1", renewed, ErrWrong)
	if err := c.RemoveSensor(ctx, "east-1"); !errors.Is(err, ErrNoSensor) {
		t.Error(err)
	}
	if _, err := c.RenewSensor(ctx, "east-1"); !errors.Is(err, ErrNoSensor) {
		t.Error(err)
	}
	for _, name := range []string{c.Path(), c.Path() + "-wal"} {
		if b, err := os.ReadFile(name); err == nil && (strings.Contains(string(b), secret) || strings.Contains(string(b), "test1234")) {
			t.Error(name, "holds a secret")
		}
	}
}

func TestDamagedControlDatabaseIsReported(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "backup") {
		t.Error(err)
	}
}

func TestPasswordHashesAreChecked(t *testing.T) {
	hash, err := hashPassword("right")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := verifyPassword(hash, "right"); !ok || err != nil {
		t.Error(ok, err)
	}
	for _, bad := range []string{"", "x", "$argon2id$v=19$m=1,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=1$!$AAAA", "$argon2id$v=19$m=8,t=1,p=1$AAAA$"} {
		if ok, err := verifyPassword(bad, ""); ok || err == nil {
			t.Errorf("%q: %v, %v", bad, ok, err)
		}
	}
}

func BenchmarkAuthenticateSensor(b *testing.B) {
	c, _ := openTest(b, "")
	secret, err := c.AddSensor(b.Context(), "s")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AuthenticateSensor(b.Context(), "s", secret, home); err != nil {
			b.Fatal(err)
		}
	}
}

func TestGuessingAChosenSecretIsSlow(t *testing.T) {
	c, at := openTest(t, "")
	if err := c.SetSensor(t.Context(), "honeypot-sensor", "test1234"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AuthenticateSensor(t.Context(), "honeypot-sensor", "test1234", home); err != nil {
		t.Fatal(err)
	}
	if err := c.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range addressBurst {
		if _, err := c.AuthenticateSensor(t.Context(), "honeypot-sensor", "guess", attacker); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	if _, err := c.AuthenticateSensor(t.Context(), "honeypot-sensor", "test1234", attacker); !errors.Is(err, ErrWrong) {
		t.Error("the eleventh guess was looked at:", err)
	}
	if _, err := c.AuthenticateSensor(t.Context(), "honeypot-sensor", "test1234", home); err != nil {
		t.Error("the sensor itself:", err)
	}
	at.add(time.Minute)
	if _, err := c.AuthenticateSensor(t.Context(), "honeypot-sensor", "test1234", attacker); err != nil {
		t.Error("a new place of the sensor, later:", err)
	}
}

func TestWhatAnotherProcessChangesIsSeen(t *testing.T) {
	dir := t.TempDir()
	console, at := openTest(t, dir)
	command, _ := openTest(t, dir)
	secret, err := command.AddSensor(t.Context(), "late")
	if err != nil {
		t.Fatal(err)
	}
	at.add(2 * time.Second)
	if _, err := console.AuthenticateSensor(t.Context(), "late", secret, home); err != nil {
		t.Error("added beside the console:", err)
	}
	if err := command.RemoveSensor(t.Context(), "late"); err != nil {
		t.Fatal(err)
	}
	at.add(10 * time.Second)
	if _, err := console.reloadSensors(t.Context()); err != nil { // as Run does
		t.Fatal(err)
	}
	if _, err := console.AuthenticateSensor(t.Context(), "late", secret, home); !errors.Is(err, ErrWrong) {
		t.Error("removed beside the console:", err)
	}
}
