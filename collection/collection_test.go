package collection

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Unix(1_795_000_000, 0)

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return t0 }
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func set(name, text string) Change         { return Change{Op: OpSet, Name: name, Text: text} }
func add(name string, n int64) Change      { return Change{Op: OpAdd, Name: name, N: n} }
func unset(name string) Change             { return Change{Op: OpUnset, Name: name} }
func expire(n string, at time.Time) Change { return Change{Op: OpExpire, Name: n, At: at} }

func wait(t testing.TB, k Ticket) {
	t.Helper()
	if err := k.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// at is seconds after t0.
func at(sec int) time.Time { return t0.Add(time.Duration(sec) * time.Second) }

func all(v View) map[string]string { return maps.Collect(v.All()) }

func TestNewRecordHasBuiltins(t *testing.T) {
	s := open(t, Config{})
	v, ok := s.Load("ip", "192.0.2.1", t0)
	if ok || !v.IsNew() {
		t.Fatal("unknown key is loaded")
	}
	want := map[string]string{
		"KEY": "192.0.2.1", "TIMEOUT": "600", "CREATE_TIME": "1795000000", "UPDATE_COUNTER": "0", "IS_NEW": "1",
		"__expire_KEY": "1795000600", "__key": "192.0.2.1", "__name": "ip",
	}
	if got := all(v.WithTimeout(600 * time.Second)); !maps.Equal(got, want) {
		t.Fatalf("got %v\nwant %v", got, want)
	}
}

func TestStoredRecordHasBuiltins(t *testing.T) {
	s := open(t, Config{})
	s.Apply("ip", "k", 100*time.Second, at(0), []Change{set("Malicious_Client", "1")})
	s.Apply("ip", "k", 7*time.Second, at(30), []Change{add("n", 2)})
	s.Continue("ip", "k", 7*time.Second, at(30), []Change{add("n", 3)})
	v, ok := s.Load("ip", "k", at(60))
	if !ok {
		t.Fatal("not found")
	}
	want := map[string]string{
		"KEY": "k", "TIMEOUT": "100", "CREATE_TIME": "1795000000", "UPDATE_COUNTER": "2", "UPDATE_RATE": "2", "LAST_UPDATE_TIME": "1795000030",
		"__expire_KEY": "1795000130", "__key": "k", "__name": "ip", "malicious_client": "1", "n": "5",
	}
	if got := all(v); !maps.Equal(got, want) {
		t.Fatalf("got %v\nwant %v", got, want)
	}
	for _, name := range []string{"MALICIOUS_CLIENT", "malicious_client"} {
		if got, ok := v.Get(name); !ok || got != "1" {
			t.Errorf("Get(%q) = %q, %v", name, got, ok)
		}
	}
	if got, ok := v.Get("update_rate"); !ok || got != "2" {
		t.Errorf("update_rate = %q", got)
	}
	if _, ok := v.Get("is_new"); ok {
		t.Error("a stored record is new")
	}
}

// Each step applies at a second and then says what must be loaded, as "name=value ..." in order, or "-" for no record.
func TestSteps(t *testing.T) {
	type step struct {
		at   int
		ch   []Change
		want string
	}
	cases := map[string][]step{
		"expirevar to the second": {
			{0, []Change{set("m", "1"), expire("m", at(3))}, "m=1"},
			{2, nil, "m=1"},
			{3, nil, ""},
		},
		"second touch renews": {
			{0, []Change{set("m", "1"), expire("m", at(3))}, "m=1"},
			{2, []Change{set("m", "1"), expire("m", at(5))}, "m=1"},
			{4, nil, "m=1"},
			{5, nil, ""},
		},
		"setvar keeps the expiry": {
			{0, []Change{set("m", "1"), expire("m", at(3))}, "m=1"},
			{2, []Change{set("m", "2")}, "m=2"},
			{3, nil, ""},
			{4, []Change{set("m", "3")}, "m=3"},
			{100, nil, "m=3"},
		},
		"expirevar before setvar": {
			{0, []Change{expire("m", at(3)), set("m", "1")}, "m=1"},
			{3, nil, ""},
		},
		"record timeout counts from the last store": {
			{0, []Change{set("m", "1")}, "m=1"},
			{99, []Change{add("c", 1)}, "m=1 c=1"},
			{198, nil, "m=1 c=1"},
			{199, nil, "-"},
			{199, []Change{add("c", 1)}, "c=1"},
		},
		"own timeout": {
			{0, []Change{set("m", "1"), set("timeout", "5")}, "m=1"},
			{4, nil, "m=1"},
			{5, nil, "-"},
		},
		"counters stop at 0": {
			{0, []Change{add("c", 3), add("c", -5)}, "c=0"},
			{0, []Change{add("c", -1), add("C", 2)}, "c=2"},
			{0, []Change{set("c", " 12abc"), add("c", 1)}, "c=13"},
			{0, []Change{set("c", "x"), add("c", 1)}, "c=1"},
			{0, []Change{set("c", "9223372036854775807"), add("c", 9)}, "c=9223372036854775807"},
			{0, []Change{set("c", "-5"), add("c", 3)}, "c=0"},
		},
		"counter after expiry begins at 0": {
			{0, []Change{add("c", 7), expire("c", at(3))}, "c=7"},
			{3, []Change{add("c", 1)}, "c=1"},
			{9, nil, "c=1"},
		},
		"unset": {
			{0, []Change{set("a", "1"), set("b", "2")}, "a=1 b=2"},
			{1, []Change{unset("A")}, "b=2"},
			{1, []Change{unset("missing")}, "b=2"},
			{1, []Change{unset("b")}, ""},
		},
		"empty value exists": {{0, []Change{set("a", "")}, "a="}},
		"built-ins are not set": {
			{0, []Change{set("KEY", "x"), set("update_counter", "9"), unset("create_time"), set("__key", "y"), set("a", "1")}, "a=1"},
		},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Config{Dir: dir})
			for i, st := range steps {
				wait(t, s.Apply("ip", "k", 100*time.Second, at(st.at), st.ch))
				for _, how := range []string{"live", "reopened"} {
					v, ok := s.Load("ip", "k", at(st.at))
					got := "-"
					if ok {
						got = userVars(v)
					}
					if got != st.want {
						t.Fatalf("step %d %s: got %q, want %q", i, how, got, st.want)
					}
					if how == "live" {
						if err := s.Close(); err != nil {
							t.Fatal(err)
						}
						s = open(t, Config{Dir: dir})
					}
				}
			}
		})
	}
}

func userVars(v View) string {
	var out []string
	for name, value := range v.All() {
		if name == strings.ToLower(name) && !strings.HasPrefix(name, "__") {
			out = append(out, name+"="+value)
		}
	}
	return strings.Join(out, " ")
}

func TestApplyWithoutChangesStoresNothing(t *testing.T) {
	s := open(t, Config{})
	wait(t, s.Apply("ip", "k", 0, t0, nil))
	if _, ok := s.Load("ip", "k", t0); ok {
		t.Fatal("stored")
	}
}

func TestExcept(t *testing.T) {
	s := open(t, Config{Except: func(name, key string) bool { return name == "ip" && key == "192.0.2.1" }})
	for _, key := range []string{"192.0.2.1", "192.0.2.2"} {
		wait(t, s.Apply("ip", key, 0, t0, []Change{set("m", "1")}))
		if _, ok := s.Load("ip", key, t0); ok != (key == "192.0.2.2") {
			t.Errorf("%s tagged: %v", key, ok)
		}
	}
}

func TestLimitsOfOneRecord(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	big := strings.Repeat("x", MaxValue+1)
	wait(t, s.Apply("ip", "k", 0, t0, []Change{set("ua", big), set(strings.Repeat("n", MaxName+1), "1"), set("m", "1")}))
	v, _ := s.Load("ip", "k", t0)
	if got, _ := v.Get("ua"); len(got) != MaxValue {
		t.Errorf("value of %d bytes", len(got))
	}
	if got, _ := v.Get("m"); got != "1" {
		t.Error("tag beside a long value is lost")
	}
	if st := s.Stats(); st.ValuesCut != 1 || st.Refused != 1 {
		t.Errorf("stats %+v", st)
	}
	for i := range 2 * MaxVariables {
		wait0 := s.Apply("ip", "many", 0, t0, []Change{set(fmt.Sprint("v", i), "1")})
		_ = wait0
	}
	for i := range 64 {
		s.Apply("ip", "wide", 0, t0, []Change{set(fmt.Sprint("v", i), big)})
	}
	for _, key := range []string{"many", "wide"} {
		v, ok := s.Load("ip", key, t0)
		if n := len(all(v)); !ok || n > MaxVariables+12 {
			t.Errorf("%s has %d variables", key, n)
		}
	}
	long := strings.Repeat("k", 70_000)
	wait(t, s.Apply("session", long, 0, t0, []Change{set("a", "1")}))
	if v, ok := s.Load("session", long, t0); !ok || len(v.Key()) != MaxKey {
		t.Errorf("long key: %v, %d bytes", ok, len(v.Key()))
	}
	if _, ok := s.Load("session", long+"k", t0); ok {
		t.Error("another long key is the same record")
	}
}

// A client decides how long its User-Agent is; its tag is stored all the same.
func TestLongValuesDoNotKeepTheTagOut(t *testing.T) {
	for _, full := range []bool{false, true} {
		s := open(t, Config{MaxBytes: 1 << 20})
		if full {
			s.bytes.Add(600 << 10)
		}
		for i := range 40 {
			s.Apply("ip", "k", 0, t0, []Change{set(fmt.Sprint("ua", i), strings.Repeat("x", 100<<10))})
		}
		s.Apply("ip", "k", 0, t0, []Change{set("malicious_client", "1"), expire("malicious_client", at(60)), add("score", 5)})
		v, _ := s.Load("ip", "k", t0)
		if got, _ := v.Get("malicious_client"); got != "1" {
			t.Errorf("full %v: no tag", full)
		}
		if got, _ := v.Get("score"); got != "5" {
			t.Errorf("full %v: no score", full)
		}
		if n := len(v.vars); full && n > SmallRecord+1000 || n > MaxRecord+1000 {
			t.Errorf("full %v: record of %d bytes", full, n)
		}
	}
}

// Made-up session ids push out sessions, not the tags of addresses.
func TestFloodOfSessionsLeavesTags(t *testing.T) {
	s := open(t, Config{MaxRecords: 1000})
	for i := range 100 {
		s.Apply("ip", address(i), 0, t0, tag(t0))
	}
	for i := range 5000 {
		s.Apply("default_session", fmt.Sprint("made up ", i), 0, at(1), []Change{set("x", "1")})
	}
	for i := range 100 {
		if _, ok := s.Load("ip", address(i), at(1)); !ok {
			t.Fatalf("tag %d is gone", i)
		}
	}
	if n := s.Stats().Records; n > 1000 {
		t.Errorf("%d records", n)
	}
}

// Memory stays within its limit whatever is stored.
func TestMaxBytes(t *testing.T) {
	s := open(t, Config{MaxBytes: 2 << 20})
	for i := range 3000 {
		s.Apply("ip", address(i), 0, t0, []Change{set("ua", strings.Repeat("x", i*37%9000)), set("m", "1")})
		if got := s.Stats().Bytes; got > 2<<20 {
			t.Fatalf("%d bytes after %d", got, i)
		}
	}
	if st := s.Stats(); st.EvictedTagged == 0 || st.Records < 300 {
		t.Errorf("%+v", st)
	}
}

func TestConcurrentAddsLoseNothing(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	done := make(chan error)
	for range 16 {
		go func() {
			var err error
			for range 100 {
				if e := s.Apply("ip", "k", 0, t0, []Change{add("c", 1)}).Wait(context.Background()); e != nil {
					err = e
				}
			}
			done <- err
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	v, _ := s.Load("ip", "k", t0)
	if got, _ := v.Get("c"); got != "1600" {
		t.Fatalf("c = %s", got)
	}
	if st := s.Stats(); st.Log.Syncs > 1200 {
		t.Errorf("%d syncs for 1600 applies by 16: they are not shared", st.Log.Syncs)
	}
}

func TestWatchAndEach(t *testing.T) {
	s := open(t, Config{})
	var events []string
	s.Watch(func(e Event) {
		v, _ := e.View.Get("m")
		events = append(events, e.Name+" "+e.Key+" "+v)
		s.Load(e.Name, e.Key, t0) // no lock is held
	})
	for i := range 1000 {
		s.Apply("ip", fmt.Sprintf("192.0.2.%d", i), 0, t0, []Change{set("m", fmt.Sprint(i))})
	}
	if len(events) != 1000 || events[7] != "ip 192.0.2.7 7" {
		t.Fatalf("%d events", len(events))
	}
	var keys []string
	s.Each("ip", func(key string, v View) bool { keys = append(keys, key); return len(keys) < 900 })
	slices.Sort(keys)
	if len(slices.Compact(keys)) != 900 {
		t.Fatalf("%d keys", len(keys))
	}
}

func TestSweepAndEviction(t *testing.T) {
	now := t0
	s := open(t, Config{Now: func() time.Time { return now }, MaxRecords: 500, MaxPerNet: 10})
	for i := range 500 {
		ch := add("c", 1)
		if i%2 == 0 {
			ch = set("tag", "1")
		}
		s.Apply("ip", fmt.Sprintf("198.51.%d.%d", i/250, i%250), 100*time.Second, now, []Change{ch})
	}
	for i := range 200 {
		s.Apply("ip", fmt.Sprintf("203.0.113.%d", i), 100*time.Second, now.Add(time.Second), []Change{set("tag", "1")})
	}
	st := s.Stats()
	if st.Records > 500 || st.EvictedUntagged < 170 || st.EvictedTagged > 30 {
		t.Errorf("%+v", st)
	}
	for i := range 100 {
		s.Apply("ip", fmt.Sprintf("2001:db8::%x", i), 100*time.Second, now.Add(time.Second), []Change{set("tag", "1")})
		s.Apply("ip", fmt.Sprintf("192.0.2.1_%x", i), 100*time.Second, now.Add(time.Second), []Change{set("tag", "1")})
	}
	if got := s.Stats().EvictedCrowd; got != 180 {
		t.Errorf("%d evicted for crowding, want 180", got)
	}
	if _, ok := s.Load("ip", "2001:db8::63", now); !ok {
		t.Error("newest of a crowd is gone")
	}
	now = now.Add(101 * time.Second)
	if n := s.Sweep(); n == 0 || s.Stats().Records != 0 || s.Stats().Bytes != 0 {
		t.Errorf("swept %d, left %+v", n, s.Stats())
	}
}

func TestCompactKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	for i := range 2000 {
		s.Apply("ip", fmt.Sprintf("k%d", i%700), 0, t0, []Change{add("c", 1)})
	}
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
	wait(t, s.Apply("ip", "k1", 0, t0, []Change{add("c", 1)}))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, Config{Dir: dir})
		if len(s.Faults()) > 0 {
			t.Fatal(s.Faults())
		}
		v, _ := s.Load("ip", "k1", t0)
		if got, _ := v.Get("c"); got != "4" || s.Stats().Records != 700 {
			t.Fatalf("c = %s, %d records", got, s.Stats().Records)
		}
	}
}
