package seclang_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
)

// Two transactions: whoever asks a honeytrap port is remembered in the persistent IP collection, and the real site
// denies that client.
func Example() {
	rules, err := seclang.Lex("trap.conf", []byte(`
SecRuleEngine On
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
SecRule SERVER_PORT "@streq 8000" "id:2,phase:1,pass,log,msg:'touched a trap',setvar:ip.malicious_client=1"
SecRule IP:malicious_client "@eq 1" "id:3,phase:1,deny,status:403,log,msg:'known malicious client'"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	clients, err := collection.Open(collection.Config{}) // no Dir: in memory
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clients.Close()
	engine, err := seclang.Compile(seclang.Config{Directives: rules, Collections: clients})
	if err != nil {
		fmt.Println(err) // one line for each fault: file:line, what was found, what was expected
		return
	}
	visit := func(client, server string) {
		tx := engine.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)})
		defer tx.Close()
		tx.RequestHead([]byte("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"))
		verdict := tx.RequestHeaders()
		if verdict == nil {
			verdict = tx.RequestBody()
		}
		tx.Logging()
		tx.Commit() // its Ticket waits for the disk, where there is one
		var record audit.Record
		tx.Fill(&record)
		fmt.Print(client, " asks ", server, ":")
		for _, m := range record.Matches {
			fmt.Print(" ", m.Message, ";")
		}
		if verdict == nil {
			fmt.Println(" pass")
			return
		}
		fmt.Println("", verdict.Action, "with", verdict.Status)
	}
	visit("192.0.2.1:40000", "198.51.100.1:443")
	visit("192.0.2.1:40001", "198.51.100.1:8000")
	visit("192.0.2.1:40002", "198.51.100.1:443")
	visit("192.0.2.2:40003", "198.51.100.1:443")
	// Output:
	// 192.0.2.1:40000 asks 198.51.100.1:443: pass
	// 192.0.2.1:40001 asks 198.51.100.1:8000: touched a trap; known malicious client; deny with 403
	// 192.0.2.1:40002 asks 198.51.100.1:443: known malicious client; deny with 403
	// 192.0.2.2:40003 asks 198.51.100.1:443: pass
}

// protect is the smallest server around an engine: request phases before next, and no response phases.
func protect(engine *seclang.Engine, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		tx := engine.NewTransaction(seclang.Conn{Peer: peer, ServerName: r.Host})
		defer tx.Close()
		tx.RequestLine(r.Method, r.RequestURI, r.Proto)
		tx.AddRequestHeader("Host", r.Host)
		for name, values := range r.Header { // net/http has lost their order; give RequestHead the raw bytes where you have them
			for _, v := range values {
				tx.AddRequestHeader(name, v)
			}
		}
		verdict := tx.RequestHeaders()
		if verdict == nil {
			body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
			if _, verdict = tx.WriteRequestBody(body); verdict == nil {
				verdict = tx.RequestBody()
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		if verdict != nil {
			http.Error(w, http.StatusText(verdict.Status), verdict.Status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// A handler of net/http behind rules.
func ExampleTransaction() {
	rules, err := seclang.Lex("site.conf", []byte(`
SecRuleEngine On
SecRequestBodyAccess On
SecRule ARGS "@detectSQLi" "id:1,phase:2,t:urlDecodeUni,deny,status:403,log,msg:'SQL injection'"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := seclang.Compile(seclang.Config{Directives: rules})
	if err != nil {
		fmt.Println(err)
		return
	}
	site := protect(engine, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.FormValue("name"))
	}))
	for _, body := range []string{"name=Johanna", "name=1'+or+'1'='1"} {
		r := httptest.NewRequest("POST", "/greet", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		fmt.Fprintln(os.Stdout, w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 200 hello Johanna
	// 403 Forbidden
}
