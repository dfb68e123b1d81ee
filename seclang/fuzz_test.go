package seclang_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
)

// caseTexts are the rules and the requests of the case files, as seeds.
func caseTexts(f *testing.F) (rules, requests [][]byte) {
	files, _ := filepath.Glob("testdata/cases/*.txtar")
	for _, name := range files {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range ar.Files {
			switch {
			case filepath.Ext(s.Name) == ".conf":
				rules = append(rules, s.Data)
			case len(s.Name) > 7 && s.Name[:7] == "request":
				requests = append(requests, s.Data)
			}
		}
	}
	return rules, requests
}

func FuzzLex(f *testing.F) {
	rules, _ := caseTexts(f)
	for _, r := range rules {
		f.Add(r)
	}
	f.Add([]byte("<VirtualHost *:80>\n\\\n\"'\\\n</VirtualHost>\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ds, _ := seclang.Lex("f", text)
		for _, d := range ds {
			if d.Name == "" || d.Line < 1 || d.Last < d.Line {
				t.Fatalf("directive %+v", d)
			}
		}
	})
}

func FuzzCompile(f *testing.F) {
	rules, _ := caseTexts(f)
	for _, r := range rules {
		f.Add(string(r))
	}
	f.Fuzz(func(t *testing.T, text string) {
		ds, err := seclang.Lex("f", []byte(text))
		if err != nil || len(text) > 4096 {
			return
		}
		start := time.Now()
		defer func() {
			if d := time.Since(start); d > 5*time.Second {
				t.Fatalf("took %v", d)
			}
		}()
		e, err := seclang.Compile(seclang.Config{
			Directives: ds, NoLua: true, NoExec: true, Defaults: seclang.Defaults{Article: true},
			ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist },
		})
		if err != nil {
			return
		}
		// Whatever compiles must run.
		get(e, conn("192.0.2.1", 8000), "GET /?a=1&b=%00 HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
		e.Touch(conn("192.0.2.1", 8000))
		e.Rules()
	})
}

// FuzzTransaction gives any head and body to rules that look at everything.
func FuzzTransaction(f *testing.F) {
	_, requests := caseTexts(f)
	for _, r := range requests {
		f.Add(r, []byte("a=1&b=2"), byte(0))
	}
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"), []byte(`{"a":[1,{"b":null}]}`), byte(1))
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Type: text/xml\r\n\r\n"), []byte(`<a b="c">d</a>`), byte(2))
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"), []byte("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"), byte(3))
	e := compile(f, seclang.Config{Collections: store(f), Honeytrap: true, Defaults: seclang.Defaults{Article: true}}, fuzzRules, articleRules)
	f.Fuzz(func(t *testing.T, head, body []byte, kind byte) {
		tx := e.NewTransaction(conn("192.0.2.1", 8000))
		defer tx.Close()
		tx.RequestHead(head)
		tx.RequestHeaders()
		n := int(kind)%7 + 1
		for b := body; len(b) > 0; {
			k := min(n, len(b))
			tx.WriteRequestBody(b[:k])
			b = b[k:]
		}
		tx.RequestBody()
		tx.ResponseLine(200+int(kind), "HTTP/1.1")
		tx.AddResponseHeader("Content-Type", "text/html")
		tx.ResponseHeaders()
		tx.WriteResponseBody(body)
		tx.ResponseBody()
		tx.BodyToSend()
		tx.RequestBodyToSend()
		tx.Logging()
		tx.Commit()
		r := &audit.Record{RequestHead: head, RequestBody: body}
		before := string(head) + string(body)
		tx.Fill(r)
		if string(head)+string(body) != before {
			t.Fatal("Fill changed the caller's bytes")
		}
		if len(r.Matches) == 0 {
			t.Fatal("the connection rule is not in the record")
		}
	})
}

const fuzzRules = `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecStreamInBodyInspection On
SecStreamOutBodyInspection On
SecRequestBodyLimit 1000
SecRequestBodyLimitAction ProcessPartial
SecContentInjection On
SecHashEngine On
SecHashKey rand RemoteIP
SecHashMethodRx HashHref "a"
SecHashMethodPm HashLocation "a"
SecRule REQUEST_URI "@validateHash a" "id:9,phase:1,pass,log"
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@contains xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_HEADERS|FILES|XML:/*|XML://@*|MULTIPART_PART_HEADERS "@rx (.)(.)" "id:3,phase:2,pass,log,capture,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:lowercase,multiMatch,setvar:'tx.%{MATCHED_VAR_NAME}=%{TX.1}',setvar:tx.n=+%{TX.2},logdata:'%{MATCHED_VAR}',sanitiseMatched"
SecRule ARGS|REQUEST_URI|REQUEST_BODY|FULL_REQUEST "@detectSQLi" "id:4,phase:2,pass,log,t:removeNulls,t:cmdLine,t:normalizePathWin"
SecRule TX:/ARGS/|MATCHED_VARS "@contains %{ARGS.a}" "id:5,phase:2,pass,log,chain"
  SecRule MATCHED_VARS_NAMES "@rx ." "setvar:ip.n=+1,setenv:'X=%{MATCHED_VAR}'"
SecRule STREAM_INPUT_BODY "@rsub s/a/bb/" "id:6,phase:2,pass,nolog"
SecRule STREAM_OUTPUT_BODY "@rsub s/a/bb/" "id:7,phase:4,pass,nolog"
SecAction "id:8,phase:1,pass,nolog,sanitiseArg:a,sanitiseRequestHeader:Cookie,ctl:auditLogParts=+I"
`
