package seclang

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestLuaBounds runs scripts that do not know an end: the request goes on without them.
func TestLuaBounds(t *testing.T) {
	for name, c := range map[string]struct{ script, note string }{
		"endless loop":        {"function main() while true do end end", "context deadline exceeded"},
		"endless loop before": {"while true do end function main() end", "context deadline exceeded"},
		"endless protected":   {"function main() while true do pcall(function() while true do end end) end end", "context deadline exceeded"},
		"recursion":           {"function f() return 1 + f() end function main() return f() end", "stack overflow"},
		"long text":           {"function main() return #(m.getvar('ARGS.a'):rep(m.getvar('ARGS.n'))) end", "string.rep: the text would be longer"},
		"many arguments":      {"function main() return select('#', unpack({}, 1, 1e7)) end", "registry"},
	} {
		t.Run(name, func(t *testing.T) {
			ds, err := Lex("a.conf", []byte("SecRuleEngine On\nSecRuleScript a.lua \"id:1,phase:1,deny\"\nSecAction \"id:2,phase:1,pass,log\"\n"))
			if err != nil {
				t.Fatal(err)
			}
			e, err := Compile(Config{Directives: ds, ReadFile: func(path string) ([]byte, error) {
				if path != "a.lua" {
					return nil, errors.New("no such file")
				}
				return []byte(c.script), nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			e.luaTime = 100 * time.Millisecond
			tx := e.NewTransaction(Conn{Peer: netip.MustParseAddrPort("192.0.2.1:1")})
			defer tx.Close()
			tx.RequestHead([]byte("GET /?a=xxxxxxxx&n=1e12 HTTP/1.1\r\nHost: h\r\n\r\n"))
			began := time.Now()
			if it := tx.RequestHeaders(); it != nil {
				t.Errorf("interrupted: %+v", it)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(tx.matches) != 1 || tx.matches[0].ID != 2 {
				t.Errorf("matches %+v", tx.matches)
			}
			if !strings.Contains(strings.Join(tx.notes, " "), c.note) {
				t.Errorf("notes %q, expected %q", tx.notes, c.note)
			}
		})
	}
}
