//go:build peers

package variables

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
	"github.com/trapline/trapline/wire"
)

func scalars() []string {
	return []string{
		"REQUEST_LINE", "REQUEST_METHOD", "REQUEST_PROTOCOL", "REQUEST_URI", "REQUEST_URI_RAW", "REQUEST_FILENAME", "REQUEST_BASENAME", "QUERY_STRING",
		"ARGS_COMBINED_SIZE", "REQUEST_BODY", "REQUEST_BODY_LENGTH", "REQBODY_PROCESSOR", "REQBODY_ERROR", "URLENCODED_ERROR", "AUTH_TYPE", "REMOTE_USER",
		"FILES_COMBINED_SIZE", "SERVER_NAME", "PATH_INFO", "FULL_REQUEST_LENGTH", "MULTIPART_STRICT_ERROR",
	}
}

func collections() []string {
	return []string{
		"ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_GET_NAMES", "ARGS_POST", "ARGS_POST_NAMES", "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES", "REQUEST_HEADERS",
		"REQUEST_HEADERS_NAMES", "FILES", "FILES_NAMES", "FILES_SIZES", "MULTIPART_FILENAME", "MULTIPART_NAME",
	}
}

// rules copy each variable into the environment.
func rules() string {
	var b strings.Builder
	b.WriteString("SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 100000\nSecAuditEngine Off\n")
	id := 1000
	next := func() int { id++; return id }
	for _, v := range scalars() {
		fmt.Fprintf(&b, "SecRule %s \"@unconditionalMatch\" \"id:%d,phase:2,pass,nolog,t:hexEncode,setenv:'V-%s=%%{MATCHED_VAR}.'\"\n", v, next(), v)
	}
	for _, v := range collections() {
		fmt.Fprintf(&b, "SecRule %s \"@unconditionalMatch\" \"id:%d,phase:2,pass,nolog,t:hexEncode,setvar:'tx.c_%s=%%{tx.c_%s}|%%{MATCHED_VAR_NAME}=%%{MATCHED_VAR}'\"\n", v, next(), v, v)
		fmt.Fprintf(&b, "SecAction \"id:%d,phase:2,pass,nolog,setenv:'V-%s=%%{tx.c_%s}.'\"\n", next(), v, v)
		if strings.HasPrefix(v, "MULTIPART_") {
			continue // cannot be counted
		}
		fmt.Fprintf(&b, "SecRule &%s \"@unconditionalMatch\" \"id:%d,phase:2,pass,nolog,t:none,setenv:'N-%s=%%{MATCHED_VAR}'\"\n", v, next(), v)
	}
	return b.String()
}

func names() []string {
	var out []string
	for _, v := range scalars() {
		out = append(out, "V-"+v)
	}
	for _, v := range collections() {
		out = append(out, "V-"+v, "N-"+v)
	}
	return out
}

// apache asks mod_security2; nil when it refuses the request before the rules.
func apache(t *testing.T, addr, req string) map[string]string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprint(c, req)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.Header.Get("X-V-REQUEST_METHOD") == "" || resp.Header.Get("X-V-REQUEST_METHOD") == "(null)" {
		return nil
	}
	out := map[string]string{}
	for _, n := range names() {
		v := resp.Header.Get("X-" + n)
		if v == "(null)" {
			v = ""
		}
		out[n] = v
	}
	return out
}

func ours(e *seclang.Engine, server, req string) map[string]string {
	r := bufio.NewReader(strings.NewReader(req))
	h, _, _ := wire.ReadHead(r, wire.Limits{})
	body, _ := wire.NewBodyReader(r, h.Framing).ReadAll(1<<20, 1<<20)
	tx := e.NewTransaction(seclang.Conn{
		Peer: netip.MustParseAddrPort("127.0.0.1:4000"), Server: netip.MustParseAddrPort(server), ServerName: "localhost", Time: time.Now(),
	})
	defer tx.Close()
	tx.RequestHead(h.Raw)
	tx.RequestHeaders()
	tx.WriteRequestBody(body)
	tx.RequestBody()
	out := map[string]string{}
	for _, f := range tx.Env() {
		out[f.Name] = f.Value
	}
	return out
}

func TestVariables(t *testing.T) {
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	conf := "Listen " + addr + "\nKeepAlive Off\nAllowEncodedSlashes NoDecode\nHttpProtocolOptions Unsafe\nSecDataDir {{dir}}/data\nSecTmpDir {{dir}}/data\n" + rules()
	for _, n := range names() {
		conf += fmt.Sprintf("Header always set X-%s \"%%{%s}e\"\n", n, n)
	}
	conf += "<Directory {{dir}}/htdocs>\nRequire all granted\n</Directory>\n"
	if f := os.Getenv("VARIABLES_CONF"); f != "" {
		_ = os.WriteFile(f, []byte(conf), 0o644)
	}
	peertest.StartApache(t, conf, addr)
	ds, err := seclang.Lex("rules.conf", []byte(rules()))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds})
	if err != nil {
		t.Fatal(err)
	}
	asked, refused, equal := 0, 0, 0
	for _, c := range requests() {
		theirs := apache(t, addr, c.text)
		if theirs == nil {
			refused++
			continue
		}
		asked++
		mine := ours(e, addr, c.text)
		for _, n := range names() {
			if theirs[n] == mine[n] {
				equal++
				continue
			}
			if reason := tolerated(c.name, n, theirs[n], mine[n]); reason == "" {
				t.Errorf("%s: %s\ntheirs %s\nours   %s", c.name, n, readable(theirs[n]), readable(mine[n]))
			}
		}
	}
	t.Logf("%d requests, %d variables equal; %d requests are refused by Apache", asked, equal, refused)
}

// readable undoes the hex encoding where it finds it.
func readable(s string) string {
	if s == "" {
		return "(none)"
	}
	parts := strings.Split(strings.TrimSuffix(s, "."), "|")
	for i, p := range parts {
		at := strings.LastIndexByte(p, '=') + 1
		if b, err := hex.DecodeString(p[at:]); err == nil {
			parts[i] = fmt.Sprintf("%s%q", p[:at], b)
		}
	}
	return strings.Join(parts, " | ")
}

// plain is a value as it was before the rules encoded it.
func plain(v string) string {
	b, _ := hex.DecodeString(strings.TrimSuffix(v, "."))
	return string(b)
}

// asApache does to a target what Apache does before phase 2.
func asApache(target string) string {
	p, query, found := strings.Cut(target, "?")
	if u, err := url.PathUnescape(p); err == nil {
		p = u
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	if found {
		clean += "?" + query
	}
	return clean
}

// tolerated tells why a variable differs: Apache did something to the request
// before mod_security2 saw it, or we show more on purpose.
func tolerated(name, variable, theirs, mine string) string {
	switch variable {
	case "V-FULL_REQUEST_LENGTH":
		return "mod_security2 2.9.7 counts without the target and the headers"
	case "V-PATH_INFO":
		return "what Apache found no file for; we have no files to map to, so all of the path"
	case "V-AUTH_TYPE", "V-REMOTE_USER":
		return "Apache sets them when it checks the password; we show what the client claims, as version 3"
	case "V-REQUEST_URI", "V-REQUEST_FILENAME", "V-REQUEST_BASENAME":
		switch {
		case strings.Contains(name, "%2f"):
			return "AllowEncodedSlashes NoDecode leaves %2f"
		case plain(theirs) == "" && strings.Contains(name, "http://localhost"):
			return "without a path Apache has no REQUEST_BASENAME, and mod_security2 loses REQUEST_URI"
		case asApache(plain(mine)) == plain(theirs):
			return "Apache merges slashes, removes dots and decodes before phase 2; rules want to see them"
		}
	case "V-REQUEST_BODY":
		return "we show the text of a body that no processor takes, as version 3"
	case "V-SERVER_NAME":
		return "of two Host headers the first"
	}
	if strings.HasPrefix(variable[2:], "REQUEST_HEADERS") {
		return "Apache joins headers of one name; we keep them as they came"
	}
	if strings.HasPrefix(variable[2:], "MULTIPART_") && strings.Contains(mine, ":") {
		return "the name of the part is shown too"
	}
	switch name {
	case "cookie a=1 ; b = 2", "cookie a=\t1\t", "cookie =b":
		return "blanks and controls around names and values are taken away and cookies without a name are kept, because back ends do so (GHSA-g4qm-m288-5cp9)"
	case "cookie a=1, b=2":
		return "a comma does not separate cookies (RFC 6265); the value is looked at whole"
	case "line GET  /  HTTP/1.1", "line GET / HTTP/1.1 ", "line GET / http/1.1":
		return "Apache writes the request line anew; we show it as it came"
	}
	return ""
}
