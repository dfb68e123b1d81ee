package audit

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func entryOf(id, body string) string {
	return string(AppendNative(nil, &Record{ID: id, RequestHead: []byte("POST / HTTP/1.1\n"), RequestBody: []byte(body)}))
}

// cutEnd takes off the end marker of an entry, as a server that is killed does.
func cutEnd(entry string) string { return entry[:strings.LastIndex(entry, "\n--")] + "\n" }

func TestScanner(t *testing.T) {
	a, b, c := entryOf("a", "x=1"), entryOf("b", "y=2"), entryOf("c", "z=3")
	forged := entryOf("forged", "evil")
	json := string(AppendJSON(nil, &Record{ID: "j"}))
	for _, test := range []struct {
		name, log string
		limit     int
		want      string // ids; in brackets those in doubt
		faults    int
	}{
		{"empty", "", 0, "", 0},
		{"plain", a + b + c, 0, "a b c", 0},
		{"without last empty line", a + strings.TrimRight(b, "\n"), 0, "a b", 0},
		{"json between", a + json + b + json, 0, "a j b j", 0},
		{"junk", "hello\n" + a + "there\n" + b, 0, "a b", 2},
		{"forged inside", entryOf("a", "\n"+forged+forged+"\n") + b, 0, "a b", 0},
		{"forged json inside", entryOf("a", "\n"+json) + b, 0, "a b", 0},
		{"last one cut", a + cutEnd(b), 0, "a", 1},
		{"cut in the middle", a + cutEnd(b) + c, 0, "a (c)", 1},
		{"cut with forged inside", cutEnd(entryOf("a", "\n"+forged)) + b, 0, "(forged) (b)", 1},
		{"over the limit", entryOf("a", strings.Repeat("long\n", 100000)) + b + c, 200000, "b c", 1},
		{"over the limit, one line", entryOf("a", strings.Repeat("long", 100000)) + b + c, 200000, "b c", 2},
		{"over the limit, forged inside", entryOf("a", strings.Repeat("long\n", 60000)+forged+strings.Repeat("long\n", 60000)) + b, 200000, "(forged) b", 1},
		{"forged end of a wrong boundary", entryOf("a", "\n--00000000-Z--\n\n") + b, 0, "a b", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, chunk := range []string{"whole", "one byte"} {
				if chunk == "one byte" && len(test.log) > 100000 {
					continue
				}
				var got []string
				s := NewScanner(strings.NewReader(test.log), test.limit)
				if chunk == "one byte" {
					s = NewScanner(iotest.OneByteReader(strings.NewReader(test.log)), test.limit)
				}
				for s.Scan() {
					e := s.Entry()
					r, faults := e.Record()
					if len(faults) > 0 {
						t.Errorf("entry %s: %v", r.ID, faults)
					}
					if !strings.HasPrefix(test.log[e.Offset:], string(e.Bytes)) {
						t.Errorf("entry %s is not at %d", r.ID, e.Offset)
					}
					id := r.ID
					if e.Doubt != "" {
						id = "(" + id + ")"
					}
					got = append(got, id)
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("%s: got %v, want %s", chunk, got, test.want)
				}
				if f := s.Faults(); len(f) != test.faults || s.Err() != nil {
					t.Errorf("%s: faults %v, want %d; error %v", chunk, f, test.faults, s.Err())
				}
			}
		})
	}
}

// TestScannerLinear: an open entry full of A markers must not cost the square of its size.
func TestScannerLinear(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("--00000000-A--\n")
	for i := range 200000 {
		fmt.Fprintf(&b, "--%08x-A--\n", i+1)
	}
	s := NewScanner(&b, 1<<20)
	for s.Scan() {
		t.Fatal("an entry")
	}
}

// TestHostileEntriesAreLinear: two megabytes of anything must not stop a console for longer than a moment.
func TestHostileEntriesAreLinear(t *testing.T) {
	const size = 2 << 20
	for _, unit := range []string{` [file "`, ` [file "a"]`, `"]`, `\"]`, `\\`, " [id \"1\"]", "--00000000-B--\n", "\n--00000000-", "Message: x [file \"\n", "ModSecurity: x [file \"a\"] [line \"1\"]\n", "id:", "Trapline-Match: 0 0\n", "1,1,\"", "\n\n"} {
		for _, head := range []string{"--00000000-A--\n[22/Nov/2026:08:26:22 +0000] a - 0 - 0\n--00000000-H--\nMessage: ", "---00000000---A--\n\n---00000000---H--\nModSecurity: ", "--00000000-A--\n\n--00000000-K--\n", "--00000000-A--\n\n--00000000-J--\n", ""} {
			entry := []byte(head + strings.Repeat(unit, size/len(unit)))
			start := time.Now()
			r, _ := ParseNative(entry)
			AppendNative(nil, r)
			for s := NewScanner(bytes.NewReader(entry), 0); s.Scan(); {
			}
			ParseIndex(string(entry[:64<<10]))
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("%d bytes of %q behind %.40q took %v", size, unit, head, d)
			}
		}
	}
	for _, unit := range []string{"[", `{"a":`, `"\u0000`, `{"a":[1,2],`, `"`, `\"`, "0,"} {
		start := time.Now()
		ParseJSON([]byte(`{"transaction":` + strings.Repeat(unit, size/len(unit))))
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("JSON of %q took %v", unit, d)
		}
	}
}

func FuzzParseNative(f *testing.F) {
	for _, e := range seeds(f) {
		f.Add(e)
	}
	f.Add(AppendNative(nil, fullRecord()))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _ := ParseNative(b)
		if r.ID == "" {
			return
		}
		again, _ := ParseNative(AppendNative(nil, r)) // must not panic, must not lose what identifies it
		if again.ID != r.ID || !bytes.Equal(again.RequestBody, r.RequestBody) || !bytes.Equal(again.ResponseBody, r.ResponseBody) || len(again.Matches) != len(r.Matches) {
			t.Errorf("changed: %+v\n%+v", r, again)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, e := range seeds(f) {
		f.Add(e)
	}
	f.Add(AppendJSON(nil, fullRecord()))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, _ := ParseJSON(b)
		again, _ := ParseNative(AppendNative(nil, r))
		if again.ID != r.ID || !bytes.Equal(again.RequestBody, r.RequestBody) {
			t.Errorf("changed: %+v\n%+v", r, again)
		}
		AppendJSON(nil, r)
	})
}

func FuzzScanner(f *testing.F) {
	for _, e := range seeds(f) {
		f.Add(e)
	}
	f.Add([]byte(cutEnd(entryOf("a", "\n"+entryOf("b", "c"))) + entryOf("d", "e")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, limit := range []int{0, 100} {
			s := NewScanner(bytes.NewReader(b), limit)
			n := 0
			for s.Scan() {
				e := s.Entry()
				if int(e.Offset)+len(e.Bytes) > len(b) || !bytes.Equal(b[e.Offset:int(e.Offset)+len(e.Bytes)], e.Bytes) {
					t.Fatalf("entry is not at its offset %d", e.Offset)
				}
				if n++; n > len(b)+1 {
					t.Fatal("more entries than bytes")
				}
			}
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add(`www.example1.com 127.40.0.1 - - [22/Nov/2026:08:25:52.226415 +0000] "GET /a?b=\"c HTTP/1.1" 403 239 "-" "-" awKnED4pRdIt3ksS1Lm49QAAAEA "-" /www-data/20261122/20261122-0825/20261122-082552-awKnED4pRdIt3ksS1Lm49QAAAEA 0 1790 md5:c629e48681ffc359c849280df10acb69 L`)
	f.Add(`- 2001:db8::1 - [22/Nov/2026:08:26:56 +0000] "GET / HTTP/1.0" 403 153 - "x "y" z" 179533601640.667400 - /tree/20261122-082656-179533601640.667400 0 2063.000000 md5:af5114a8580e4ec8593687149e9f1a23`)
	f.Fuzz(func(t *testing.T, line string) {
		l, err := ParseIndex(line)
		if err != nil {
			return
		}
		text := AppendIndex(nil, &l)
		if bytes.Count(text, []byte("\n")) != 1 || len(text) > IndexLimit+3 && len(l.Request) > 0 && len(line) < IndexLimit {
			t.Errorf("not a line, or too long: %q", text)
		}
		again, err := ParseIndex(string(text))
		if err != nil || again.ID != l.ID || again.File != l.File || again.Size != l.Size || again.MD5 != l.MD5 {
			t.Errorf("changed: %v\n%+v\n%+v", err, l, again)
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	f.Add(`Warning. Pattern match "x" at ARGS:a. [file "a"] [line "1"] [id "2"] [msg "\"x"]`)
	f.Add(`Access denied with redirection to http://x/ using status 302 (phase 2). Operator EQ matched 0 at X.`)
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") {
			return
		}
		m, a := ParseMessage(line)
		again, b := ParseMessage(string(AppendMessage(nil, &m, a)))
		if again.ID != m.ID || again.Message != m.Message || again.Operator != m.Operator || (a == nil) != (b == nil) || again.Text != m.Text {
			t.Errorf("changed:\n%+v\n%+v", m, again)
		}
	})
}

// seeds are the entries of the samples in the tree, without the biggest.
func seeds(f *testing.F) (entries [][]byte) {
	for _, files := range sampleSetsOf(f, "testdata/samples") {
		for _, file := range files {
			entries = append(entries, readEntries(f, file)...)
		}
	}
	return entries
}

// TestUnfinished: with the missing ends a log that was cut can be read on without a doubt.
func TestUnfinished(t *testing.T) {
	a, b := entryOf("a", "x"), entryOf("b", "y")
	forged := entryOf("f", "z")
	for name, test := range map[string]struct {
		log  string
		ids  string
		ends int
	}{
		"whole":                {a + b, "a b next", 0},
		"cut":                  {a + cutEnd(b), "a b next", 1},
		"cut in its marker":    {a + b[:len(b)-4] + "\n", "a b next", 1},
		"forged inside, whole": {entryOf("a", "\n"+forged) + b, "a b next", 0},
		"forged inside, cut":   {a + cutEnd(entryOf("b", "\n"+forged)), "a b next", 1},
		"forged head, cut":     {a + cutEnd(entryOf("b", "\n"+cutEnd(forged))), "a b next", 2},
		"begins in an entry":   {a[30:] + cutEnd(b), "b next", 1},
	} {
		t.Run(name, func(t *testing.T) {
			ends := Unfinished([]byte(test.log))
			if n := bytes.Count(ends, []byte("Z--")); n != test.ends {
				t.Errorf("%d ends: %q", n, ends)
			}
			var got []string
			s := NewScanner(strings.NewReader(test.log+string(ends)+entryOf("next", "")), 0)
			for s.Scan() {
				if s.Entry().Doubt != "" {
					t.Errorf("in doubt: %s", s.Entry().Doubt)
				}
				r, _ := s.Entry().Record()
				got = append(got, r.ID)
			}
			if strings.Join(got, " ") != test.ids {
				t.Errorf("got %v", got)
			}
		})
	}
}
