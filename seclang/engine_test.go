package seclang_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// TestConcurrent counts with one engine from many goroutines: no change may be lost.
func TestConcurrent(t *testing.T) {
	s := store(t)
	e := compile(t, seclang.Config{Collections: s}, `SecRuleEngine On
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},initcol:global=all,setvar:tx.a=1"
SecAction "id:2,phase:2,nolog,pass,setvar:ip.n=+1,setvar:global.n=+1"
SecRule ARGS "@rx ^(x\d+)$" "id:3,phase:2,log,pass,capture,msg:'%{TX.1}'"
`)
	const workers, each = 8, 100
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				want := fmt.Sprintf("x%d", w*1000+i)
				_, r := get(e, conn(fmt.Sprintf("192.0.2.%d", w%4+1), 80), "GET /?a="+want+" HTTP/1.1\r\n\r\n")
				if len(r.Matches) != 1 || r.Matches[0].Message != want {
					t.Errorf("matches %+v, want %s", r.Matches, want)
				}
			}
		})
	}
	wg.Wait()
	if v, _ := s.Load("global", "all", e.Now()); v.Key() != "all" {
		t.Error("no record")
	} else if n, _ := v.Get("n"); n != fmt.Sprint(workers*each) {
		t.Errorf("global.n = %s, want %d", n, workers*each)
	}
	v, _ := s.Load("ip", "192.0.2.1", e.Now())
	if n, _ := v.Get("n"); n != fmt.Sprint(workers/4*each) {
		t.Errorf("ip.n = %s", n)
	}
	if n, _ := v.Get("UPDATE_COUNTER"); n != fmt.Sprint(workers/4*each) {
		t.Errorf("UPDATE_COUNTER = %s", n)
	}
}

// TestDeterministic holds two runs of one request to the same record, but for time and id.
func TestDeterministic(t *testing.T) {
	e := crs4(t, strings.ReplaceAll(setup4, "PL", "4"))
	var first audit.Record
	for i := range 20 {
		head := "POST /a?z=1'or'1&y=<script>&x=../../etc/passwd&w=%00 HTTP/1.1\r\nHost: h\r\nCookie: b=1; a=2\r\nContent-Type: application/json\r\n\r\n"
		tx := e.NewTransaction(conn("192.0.2.1", 80))
		tx.RequestHead([]byte(head))
		if tx.RequestHeaders() == nil {
			tx.WriteRequestBody([]byte(`{"b":"union select","a":["x","<img src=x onerror=1>"]}`))
			tx.RequestBody()
		}
		tx.Logging()
		var r audit.Record
		tx.Fill(&r)
		tx.Close()
		r.Trailer = slices.DeleteFunc(r.Trailer, func(f audit.Field) bool { return f.Name == "Stopwatch2" }) // times
		if i == 0 {
			first = r
			if len(r.Matches) < 5 {
				t.Fatalf("only %d matches", len(r.Matches))
			}
			continue
		}
		if d := cmp.Diff(first, r, cmpopts.IgnoreFields(audit.Record{}, "ID", "Time", "Duration"), cmpopts.EquateComparable(first.Peer)); d != "" {
			t.Fatal(d)
		}
	}
}

// TestCommitTwice applies what is new only, and moves UPDATE_COUNTER once per transaction.
func TestCommitTwice(t *testing.T) {
	s := store(t)
	e := compile(t, seclang.Config{Collections: s}, `SecRuleEngine On
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1"
SecAction "id:2,phase:5,nolog,pass,setvar:ip.n=+1"
`)
	tx := e.NewTransaction(conn("192.0.2.1", 80))
	tx.RequestLine("GET", "/", "HTTP/1.1")
	tx.RequestHeaders()
	tx.Commit()
	tx.Commit()
	tx.Logging()
	tx.Commit()
	tx.Close()
	v, _ := s.Load("ip", "192.0.2.1", time.Now())
	n, _ := v.Get("n")
	c, _ := v.Get("UPDATE_COUNTER")
	if n != "2" || c != "1" {
		t.Errorf("n = %s, UPDATE_COUNTER = %s", n, c)
	}
}

// TestPrograms starts programs as exec and @inspectFile do.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script("note.sh", "#!/bin/sh\necho \"$REMOTE_ADDR $REQUEST_METHOD $UNIQUE_ID\" > "+dir+"/note\necho 1\n")
	script("scan.sh", "#!/bin/sh\nif grep -q virus \"$1\"; then echo 0 found a virus; else echo 1 clean; fi\n")
	file := filepath.Join(dir, "rules.conf")
	script("rules.conf", `SecRuleEngine On
SecRequestBodyAccess On
SecTmpDir `+dir+`
SecAction "id:1,phase:1,nolog,pass,exec:note.sh"
SecRule FILES_TMPNAMES "@inspectFile scan.sh" "id:2,phase:2,deny,msg:'virus'"
`)
	ds, err := seclang.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	e := compile(t, seclang.Config{Directives: ds})
	upload := func(content string) int {
		tx := e.NewTransaction(seclang.Conn{Peer: conn("192.0.2.1", 80).Peer, Server: conn("192.0.2.1", 80).Server, ID: "abc"})
		defer tx.Close()
		tx.RequestHead([]byte("POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n"))
		tx.RequestHeaders()
		tx.WriteRequestBody([]byte("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + content + "\r\n--B--\r\n"))
		if it := tx.RequestBody(); it != nil {
			return it.Status
		}
		return 200
	}
	if st := upload("a virus inside"); st != 403 {
		t.Errorf("virus: %d", st)
	}
	if st := upload("harmless"); st != 200 {
		t.Errorf("harmless: %d", st)
	}
	if b, err := os.ReadFile(dir + "/note"); err != nil || string(b) != "192.0.2.1 POST abc\n" {
		t.Errorf("note: %q %v", b, err)
	}
	left, _ := filepath.Glob(dir + "/*abc*")
	if len(left) > 0 {
		t.Errorf("uploads left behind: %v", left)
	}
}

// TestKeepFiles leaves uploads in SecUploadDir when SecUploadKeepFiles says so, whether or not there is a record.
func TestKeepFiles(t *testing.T) {
	for mode, want := range map[string]int{"Off": 0, "On": 2, "RelevantOnly": 1} {
		dir := t.TempDir()
		e := compile(t, seclang.Config{}, "SecRuleEngine On\nSecRequestBodyAccess On\nSecUploadDir "+dir+"\nSecTmpDir "+dir+"\nSecUploadKeepFiles "+mode+
			"\nSecRule FILES \"@contains bad\" \"id:1,phase:2,log,pass\"\n")
		for _, name := range []string{"good", "bad"} {
			tx := e.NewTransaction(conn("192.0.2.1", 80))
			tx.RequestHead([]byte("POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n"))
			tx.RequestHeaders()
			tx.WriteRequestBody([]byte("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" + name + "\"\r\n\r\nx\r\n--B--\r\n"))
			tx.RequestBody()
			tx.Logging()
			tx.Close()
		}
		if left, _ := filepath.Glob(dir + "/*-file-*"); len(left) != want {
			t.Errorf("SecUploadKeepFiles %s: %d files left, want %d", mode, len(left), want)
		}
	}
}
