package bodies

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

// request is one body with what is said about it.
type request struct {
	name        string // of the case, or its seed
	contentType string
	processor   string // asked for with ctl:requestBodyProcessor, "" for none
	body        string
}

// view is what the rules see: the text of each variable, "" when it is not there.
type view map[string]string

// collections are seen as the sorted list of their values in hexadecimal: libmodsecurity keeps no order.
func collections() []string {
	return []string{"ARGS_NAMES", "ARGS", "FILES", "FILES_NAMES", "FILES_SIZES", "MULTIPART_PART_HEADERS"}
}

func scalars() []string {
	return []string{
		"REQBODY_ERROR", "REQBODY_ERROR_MSG", "FILES_COMBINED_SIZE", "MULTIPART_NAME", "MULTIPART_FILENAME", "REQBODY_PROCESSOR", "REQUEST_BODY", "REQUEST_BODY_LENGTH",
		"MULTIPART_STRICT_ERROR", "MULTIPART_BOUNDARY_QUOTED", "MULTIPART_BOUNDARY_WHITESPACE", "MULTIPART_DATA_BEFORE", "MULTIPART_DATA_AFTER",
		"MULTIPART_HEADER_FOLDING", "MULTIPART_LF_LINE", "MULTIPART_CRLF_LF_LINES", "MULTIPART_MISSING_SEMICOLON", "MULTIPART_INVALID_QUOTING",
		"MULTIPART_INVALID_PART", "MULTIPART_INVALID_HEADER_FOLDING", "MULTIPART_FILE_LIMIT_EXCEEDED", "MULTIPART_UNMATCHED_BOUNDARY", "URLENCODED_ERROR",
	}
}

// rules make one line of all variables: NAME=hex|hex;NAME=... and give it to last, an action.
func rules(last string, processors ...string) string {
	var b strings.Builder
	b.WriteString("SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 20000000\nSecRequestBodyNoFilesLimit 20000000\nSecAuditEngine Off\n")
	for i, p := range append(processors, "JSON", "XML", "URLENCODED") {
		fmt.Fprintf(&b, "SecRule REQUEST_HEADERS:X-Processor \"@streq %s\" \"id:%d,phase:1,pass,nolog,ctl:requestBodyProcessor=%s\"\n", p, i+1, p)
	}
	id := 100
	for _, v := range append(collections(), scalars()...) {
		id++
		fmt.Fprintf(&b, "SecRule %s \"@unconditionalMatch\" \"id:%d,phase:2,pass,nolog,t:hexEncode,setvar:'tx.v%d=%%{tx.v%d}|%%{MATCHED_VAR}'\"\n", v, id, id, id)
	}
	id++
	fmt.Fprintf(&b, "SecRule XML:/* \"@unconditionalMatch\" \"id:%d,phase:2,pass,nolog,t:hexEncode,setvar:'tx.xt=%%{tx.xt}|%%{MATCHED_VAR}'\"\n", id)
	id++
	fmt.Fprintf(&b, "SecRule XML://@* \"@unconditionalMatch\" \"id:%d,phase:2,pass,nolog,t:hexEncode,setvar:'tx.xa=%%{tx.xa}|%%{MATCHED_VAR}'\"\n", id)
	var line []string
	for i, v := range append(collections(), scalars()...) {
		line = append(line, fmt.Sprintf("%s=%%{tx.v%d}", v, 101+i))
	}
	line = append(line, "XML:/*=%{tx.xt}", "XML://@*=%{tx.xa}")
	fmt.Fprintf(&b, "SecAction \"id:99,phase:2,pass,%s\"\n", strings.ReplaceAll(last, "LINE", strings.Join(line, ";")))
	return b.String()
}

// parseLine reads what rules made.
func parseLine(line string) view {
	v := view{}
	lists := append(collections(), "XML:/*", "XML://@*")
	for one := range strings.SplitSeq(line, ";") {
		name, text, _ := strings.Cut(one, "=")
		values := strings.Split(strings.TrimPrefix(text, "|"), "|")
		for i := range values {
			b, _ := hex.DecodeString(values[i])
			values[i] = string(b)
		}
		if slices.Contains(lists, name) {
			if text == "" {
				values = nil
			}
			slices.Sort(values)
			v[name] = fmt.Sprintf("%q", values)
			continue
		}
		v[name] = values[len(values)-1]
		if name != "" && name[0] <= '9' {
			v[name] = strings.Join(values, "|") // an expression: all it found, in its order
		}
	}
	return v
}

// ours is this engine with the same rules.
type ours struct{ e *seclang.Engine }

func newOurs(t testing.TB, extra string) ours {
	t.Helper()
	return newOursWith(t, rules("nolog,setenv:'line=LINE'", "MULTIPART")+extra)
}

func newOursWith(t testing.TB, text string) ours {
	t.Helper()
	ds, err := seclang.Lex("rules.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds})
	if err != nil {
		t.Fatal(err)
	}
	return ours{e}
}

// ask sends a request; pieces says where the body is cut, nil for nowhere.
func (o ours) ask(r request, pieces []int) view {
	tx := o.e.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("198.51.100.1:80")})
	defer tx.Close()
	head := "POST / HTTP/1.1\r\nHost: localhost\r\n"
	if r.contentType != "" {
		head += "Content-Type: " + r.contentType + "\r\n"
	}
	if r.processor != "" {
		head += "X-Processor: " + r.processor + "\r\n"
	}
	tx.RequestHead(fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n", head, len(r.body)))
	tx.RequestHeaders()
	at := 0
	for _, p := range pieces {
		if p > at && p < len(r.body) {
			_, _ = tx.WriteRequestBody([]byte(r.body[at:p]))
			at = p
		}
	}
	if at < len(r.body) {
		_, _ = tx.WriteRequestBody([]byte(r.body[at:]))
	}
	tx.RequestBody()
	for _, f := range tx.Env() {
		if f.Name == "line" {
			return parseLine(f.Value)
		}
	}
	return nil
}
