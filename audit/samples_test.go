package audit

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// scanAll returns every entry of the files under the paths, checked to be whole and without doubt.
func scanAll(t *testing.T, paths ...string) (records []*Record, entries [][]byte) {
	t.Helper()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s := NewScanner(f, 0)
		for s.Scan() {
			e := s.Entry()
			if e.Doubt != "" {
				t.Errorf("%s: entry at %d in doubt: %s", path, e.Offset, e.Doubt)
			}
			b := bytes.Clone(e.Bytes)
			e.Bytes = b
			r, faults := e.Record()
			if len(faults) > 0 {
				t.Errorf("%s: entry at %d: %v", path, e.Offset, faults)
			}
			records, entries = append(records, r), append(entries, b)
		}
		if faults := s.Faults(); len(faults) > 0 || s.Err() != nil {
			t.Errorf("%s: %v %v", path, faults, s.Err())
		}
		f.Close()
	}
	return records, entries
}

// readEntries returns the entries of a file that are small enough to be seeds.
func readEntries(t testing.TB, path string) (entries [][]byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewScanner(bytes.NewReader(text), 0)
	for s.Scan() {
		if b := s.Entry().Bytes; len(b) < 16<<10 {
			entries = append(entries, bytes.Clone(b))
		}
	}
	return entries
}

func filesUnder(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sampleSetsOf(t testing.TB, dir string) map[string][]string {
	t.Helper()
	sets := map[string][]string{}
	folders, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range folders {
		folder := filepath.Join(dir, d.Name())
		if !d.IsDir() || !strings.HasPrefix(d.Name(), "v") {
			continue
		}
		for _, sub := range []string{"audit", "tree"} {
			if _, err := os.Stat(filepath.Join(folder, sub)); err == nil {
				sets[folder] = filesUnder(t, filepath.Join(folder, sub))
			}
		}
		if sets[folder] == nil {
			logs, _ := filepath.Glob(filepath.Join(folder, "audit*.log"))
			sets[folder] = logs
		}
	}
	return sets
}

// TestSamples reads every real event that is here: ids, clients and statuses are those of the labels, and
// what is written again is the same record.
func TestSamples(t *testing.T) {
	testSamples(t, samples(t))
}

// TestOwnSamples is the same on the few entries that are in the tree.
func TestOwnSamples(t *testing.T) {
	testSamples(t, "testdata/samples")
}

func testSamples(t *testing.T, dir string) {
	events := 0
	for folder, files := range sampleSetsOf(t, dir) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			want := labels(t, folder)
			records, entries := scanAll(t, files...)
			events += len(records)
			seen := map[string]bool{}
			for i, r := range records {
				l, ok := want[r.ID]
				if !ok || seen[r.ID] {
					t.Errorf("id %q is not labelled or came twice", r.ID)
					continue
				}
				seen[r.ID] = true
				checkLabel(t, r, l)
				b := roundTrip(t, r)
				if bytes.HasPrefix(entries[i], []byte("--")) && !bytes.HasPrefix(entries[i], []byte("---")) {
					sameBytes(t, entries[i], b)
				}
			}
			if len(seen) != len(want) {
				t.Errorf("%d events, %d labels", len(seen), len(want))
			}
		})
	}
	t.Logf("%d events", events)
	if events == 0 {
		t.Error("no samples in " + dir)
	}
}

func checkLabel(t *testing.T, r *Record, l label) {
	t.Helper()
	if r.Client.Addr().String() != l.Source || r.Client.Port() != l.Port && l.Port != 0 {
		t.Errorf("%s: client %v, want %s:%d", r.ID, r.Client, l.Source, l.Port)
	}
	if l.Status != "" && l.Status != "other" && l.Status != strconv.Itoa(r.Status) {
		t.Errorf("%s: status %d, want %s", r.ID, r.Status, l.Status)
	}
	if line, _, _ := bytes.Cut(r.RequestHead, []byte("\n")); !sameLine(string(line), l.Line) {
		t.Errorf("%s: request line %.100q, want %.100q", r.ID, line, l.Line)
	}
	if r.Time.Year() != 2026 || r.Time.Nanosecond()%1000 != 0 {
		t.Errorf("%s: time %v", r.ID, r.Time)
	}
	for _, m := range r.Matches {
		if m.ID == 0 || m.File == "" || m.Line == 0 || m.Operator == "" || m.Text != "" {
			t.Errorf("%s: match %+v", r.ID, m)
		}
	}
}

// sameLine: labels have the first 120 bytes of the line as Latin-1. nginx logs the path of an absolute URI only.
func sameLine(got, label string) bool {
	latin1 := make([]rune, len(got))
	for i := range len(got) {
		latin1[i] = rune(got[i])
	}
	return label == "" || strings.HasPrefix(string(latin1), label) || label == "GET ftp://example.com/x HTTP/1.1" && got == "GET /x HTTP/1.1"
}

// sameBytes: what mod_security2 wrote and what we write differ in the boundary and in our own lines only.
// The number of a file in part J is that of the part of the body, which no record keeps.
func sameBytes(t *testing.T, theirs, ours []byte) {
	t.Helper()
	a, b := normalize(theirs), normalize(ours)
	if a != b {
		i := 0
		for i < len(a) && i < len(b) && a[i] == b[i] {
			i++
		}
		t.Errorf("written otherwise from %d:\n%.300q\n%.300q", i, a[max(0, i-60):], b[max(0, i-60):])
	}
}

func normalize(entry []byte) string {
	prefix := entry[:11]
	s := strings.ReplaceAll(string(entry), string(prefix), "--boundary-")
	s = strings.Replace(s, "\n--boundary-E--\n\n--", "\n--", 1) // they write an empty part E for an answer without a head (HTTP/0.9)
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "Trapline-Parts: ") {
			continue
		}
		if strings.HasPrefix(line, "2,") && strings.Contains(line, "Unknown ContentType") {
			line = "1," + line[2:]
		}
		out.WriteString(line)
	}
	return strings.TrimRight(out.String(), "\n")
}

// TestJSONSamples writes version 2's JSON again: the same bytes but for three things. What a rule looks like inside
// matched_rules is not in a record, only its text; empty bodies are left out; bytes that are not UTF-8 become valid JSON.
func TestJSONSamples(t *testing.T) {
	dir := samples(t)
	_, entries := scanAll(t, append(filesUnder(t, dir+"/v2-honeytrap-seed-json-concurrent/audit"), dir+"/v2-prod-crs-json-k/audit.json.log")...)
	invalid := 0
	for _, e := range entries {
		r, _ := ParseJSON(e)
		got := string(AppendJSON(nil, r))
		if !json.Valid([]byte(got)) {
			t.Fatalf("%s: not valid JSON", r.ID)
		}
		if !utf8.Valid(e) {
			invalid++
			continue
		}
		if a, b := withoutListed(string(e)), withoutListed(got); a != b {
			i := 0
			for i < len(a) && i < len(b) && a[i] == b[i] {
				i++
			}
			t.Errorf("%s: written otherwise from %d:\n%.200q\n%.200q", r.ID, i, a[max(0, i-60):], b[max(0, i-60):])
		}
	}
	t.Logf("%d entries, %d of them not UTF-8", len(entries), invalid)
}

func withoutListed(s string) string {
	s, _, _ = strings.Cut(s, `,"matched_rules":`)
	s = strings.NewReplacer(`,"body":[""]`, "", `"response":{"body":""}`, `"response":{}`, `,"body":""`, "").Replace(s)
	return strings.TrimRight(s, "}\n")
}

func TestIndexSamples(t *testing.T) {
	dir := samples(t)
	count := 0
	for _, log := range []string{"v2-honeytrap-seed-concurrent/index.log", "v2-honeytrap-seed-json-concurrent/index.log", "v3-honeytrap-crs-parallel/audit.log"} {
		text, err := os.ReadFile(filepath.Join(dir, log))
		if err != nil {
			t.Fatal(err)
		}
		want := labels(t, filepath.Dir(filepath.Join(dir, log)))
		version := int(log[1] - '0')
		for line := range bytes.Lines(text) {
			count++
			l, err := ParseIndex(string(line))
			if err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			label, ok := want[l.ID]
			if !ok || l.Version != version || l.Client != label.Source || strconv.Itoa(l.Status) != label.Status {
				t.Errorf("%+v\nlabel %+v", l, label)
			}
			if !l.Limited && !sameLine(l.Request, label.Line) && version == 2 {
				t.Errorf("%s: request %q, want %q", l.ID, l.Request, label.Line)
			}
			if version == 2 {
				if got := AppendIndex(nil, &l); !bytes.Equal(got, line) {
					t.Errorf("written otherwise:\n%s%s", line, got)
				}
				if l.Limited { // cut again, from the whole request line, at the same place
					l.Limited = false
					l.Request = label.Line + strings.Repeat("a", 8000)
					if got := AppendIndex(nil, &l); len(got) != IndexLimit+3 {
						t.Errorf("cut to %d bytes", len(got))
					}
				}
			}
		}
	}
	t.Logf("%d lines", count)
}

// TestIndexFromRecord makes mod_security2's index lines from its audit files: all but the time, which is taken twice.
func TestIndexFromRecord(t *testing.T) {
	for _, set := range []string{samplesDir + "/v2-honeytrap-seed-concurrent", samplesDir + "/v2-honeytrap-seed-json-concurrent", "testdata/samples/v2-honeytrap-seed-concurrent"} {
		text, err := os.ReadFile(filepath.Join(set, "index.log"))
		if err != nil {
			t.Logf("SKIPPED, NOT TESTED: %v", err)
			continue
		}
		for line := range bytes.Lines(text) {
			l, err := ParseIndex(string(line))
			if err != nil {
				t.Fatal(err)
			}
			records, entries := scanAll(t, filepath.Join(set, "audit", l.File))
			size, sum := l.Size, md5.Sum(entries[0])
			if set == samplesDir+"/v2-honeytrap-seed-json-concurrent" {
				copy(sum[:], hexBytes(l.MD5)) // of the line with its newline
			}
			records[0].Host = "www.example1.com" // ServerName, for the request without a Host header
			made := Index(records[0], l.File, size, hex.EncodeToString(sum[:]))
			made.Time = l.Time
			if got := AppendIndex(nil, &made); !bytes.Equal(got, line) {
				t.Errorf("%s\nmade %.300s\nreal %.300s", set, got, line)
			}
		}
	}
}

func hexBytes(s string) []byte {
	b, _ := hex.DecodeString(s)
	return b
}

func TestParseIndex(t *testing.T) {
	const tail = ` 0 1790 md5:c629e48681ffc359c849280df10acb69`
	for name, test := range map[string]struct {
		line string
		want IndexLine
	}{
		"ipv6": {
			`[2001:db8::2] 2001:db8::1 - - [22/Nov/2026:08:25:52.226415 +0100] "GET / HTTP/1.1" 403 239 "-" "-" awKn@D4p-dIt_ksS1Lm49QAAAEA "-" /u/a` + tail + " ",
			IndexLine{Version: 2, Host: "[2001:db8::2]", Client: "2001:db8::1", Request: "GET / HTTP/1.1", Status: 403, Bytes: 239, ID: "awKn@D4p-dIt_ksS1Lm49QAAAEA", File: "/u/a"},
		},
		"escapes": {
			`h 192.0.2.1 joe\x20d - [22/Nov/2026:08:25:52 +0100] "G\"ET /\x00\\ x" 200 - "r\"" "u a" id "s \" 1" /u/a` + tail + " L",
			IndexLine{Version: 2, Host: "h", Client: "192.0.2.1", RemoteUser: "joe d", Request: "G\"ET /\x00\\ x", Status: 200, Referer: `r"`, UserAgent: "u a", ID: "id", Session: `s " 1`, File: "/u/a", Limited: true},
		},
		"user with blank": {
			`h 192.0.2.1 joe doe - [22/Nov/2026:08:25:52 +0100] "GET /" 200 5 "-" "-" id "-" /u/a` + tail,
			IndexLine{Version: 2, Host: "h", Client: "192.0.2.1", RemoteUser: "joe doe", Request: "GET /", Status: 200, Bytes: 5, ID: "id", File: "/u/a"},
		},
		"3 forged": {
			`h ::1 - [22/Nov/2026:08:25:52 +0100] "GET /a"b HTTP/1.1" 404 5 http://r/" 1 2 " "x" 666 - /etc/passwd 0 1 md5:0" 17953.1 http://r/" 1 2 " /t/20261122-082552-17953.1 0 1790.000000 md5:c629e48681ffc359c849280df10acb69`,
			IndexLine{Version: 3, Host: "h", Client: "::1", Request: `GET /a"b HTTP/1.1`, Status: 404, Bytes: 5, Referer: `http://r/" 1 2 "`, UserAgent: `x" 666 - /etc/passwd 0 1 md5:0`, ID: "17953.1", File: "/t/20261122-082552-17953.1"},
		},
		"3 other file name": {
			`h ::1 - [22/Nov/2026:08:25:52 +0100] "GET / HTTP/1.1" 404 5 - "x" 17953.1 - /t/a 0 1790.000000 md5:c629e48681ffc359c849280df10acb69`,
			IndexLine{Version: 3, Host: "h", Client: "::1", Request: `GET / HTTP/1.1`, Status: 404, Bytes: 5, UserAgent: `x`, ID: "17953.1", File: "/t/a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseIndex(test.line)
			test.want.Time, test.want.Size, test.want.MD5 = got.Time, 1790, "c629e48681ffc359c849280df10acb69"
			if err != nil || got != test.want {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, test.want)
			}
			if _, offset := got.Time.Zone(); offset != 3600 || got.Time.Minute() != 25 {
				t.Error(got.Time)
			}
		})
	}
	for _, line := range []string{"", "a b c", `h 1 - - [now] "x" 1 2 "-" "-" id "-" /f` + tail, `h 1 - - [22/Nov/2026:08:25:52 +0100] "x" 1 2 "-" "-" id "-" /f 0 1790 md5:xyz`} {
		if l, err := ParseIndex(line); !errors.Is(err, ErrIndexLine) {
			t.Errorf("%q: %v %+v", line, err, l)
		}
	}
}
