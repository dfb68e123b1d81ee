//go:build libmodsecurity

package libmodsec

/*
#cgo pkg-config: modsecurity
#include <stdlib.h>
#include <string.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <modsecurity/intervention.h>

typedef struct { char *text; size_t len; } said;

static void hear(void *data, const void *message) {
	said *s = (said *)data;
	size_t n = strlen((const char *)message);
	char *grown = realloc(s->text, s->len + n + 1);
	if (grown == NULL) return;
	memcpy(grown + s->len, message, n);
	grown[s->len + n] = '\n';
	s->text = grown;
	s->len += n + 1;
}

static void listen_to(ModSecurity *ms) { msc_set_log_cb(ms, hear); }

static void reset(ModSecurityIntervention *it) {
	it->status = 200; it->url = NULL; it->log = NULL; it->disruptive = 0; it->pause = 0;
}

static Transaction *begin(ModSecurity *ms, RulesSet *rules, said *s) { return msc_new_transaction(ms, rules, s); }

static void add_header(Transaction *t, const char *k, size_t kn, const char *v, size_t vn) {
	msc_add_n_request_header(t, (const unsigned char *)k, kn, (const unsigned char *)v, vn);
}

static void add_response_header(Transaction *t, const char *k, size_t kn, const char *v, size_t vn) {
	msc_add_n_response_header(t, (const unsigned char *)k, kn, (const unsigned char *)v, vn);
}
*/
import "C"

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unsafe"
)

// Theirs runs the case through libmodsecurity. Its errors are those of the test's own files.
func Theirs(c *Case) (Result, error) {
	var out Result
	dir, err := os.MkdirTemp("", "libmodsec-")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)
	log := filepath.Join(dir, "debug")
	text := c.Rules
	if c.Steps {
		text += "\n\nSecDebugLog " + log + "\nSecDebugLogLevel 9\n"
	}
	file := filepath.Join(dir, "case.conf")
	if c.Dir != "" {
		file = filepath.Join(c.Dir, "case.conf")
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return out, err
	}
	ms, rules := C.msc_init(), C.msc_create_rules_set()
	defer C.msc_cleanup(ms)
	defer C.msc_rules_cleanup(rules)
	C.listen_to(ms)
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	var msg *C.char
	if C.msc_rules_add_file(rules, name, &msg) < 0 {
		out.Load = strings.TrimSpace("refused: " + C.GoString(msg))
		C.free(unsafe.Pointer(msg))
		return out, nil
	}
	before := 0
	for i := range c.Requests {
		q := c.Requests[i].complete()
		a := theirs(ms, rules, &q)
		if c.Steps {
			b, err := os.ReadFile(log)
			if err != nil {
				return out, err
			}
			a.Log += string(b[before:])
			a.Steps = readSteps(string(b[before:]))
			before = len(b)
		}
		out.Answers = append(out.Answers, a)
	}
	return out, nil
}

func theirs(ms *C.ModSecurity, rules *C.RulesSet, q *Request) Answer {
	heard := (*C.said)(C.calloc(1, C.size_t(unsafe.Sizeof(C.said{}))))
	defer C.free(unsafe.Pointer(heard))
	t := C.begin(ms, rules, heard)
	a := Answer{Status: 200}
	asked := func() bool {
		var it C.ModSecurityIntervention
		C.reset(&it)
		if C.msc_intervention(t, &it) == 0 {
			return false
		}
		if it.status != 0 {
			a.Status = int(it.status)
		}
		if it.url != nil {
			a.URL = C.GoString(it.url)
			C.free(unsafe.Pointer(it.url))
		}
		if it.log != nil {
			C.hear(unsafe.Pointer(heard), unsafe.Pointer(it.log))
			C.free(unsafe.Pointer(it.log))
		}
		return a.Status != 200
	}
	walk(t, q, asked)
	C.msc_process_logging(t)
	C.msc_transaction_cleanup(t)
	if heard.text != nil {
		a.Log = C.GoStringN(heard.text, C.int(heard.len))
		C.free(unsafe.Pointer(heard.text))
	}
	for line := range strings.Lines(a.Log) {
		if m, ok := readMatch(line); ok {
			a.Matches = append(a.Matches, m)
		}
	}
	return a
}

// walk takes the transaction through its phases, up to the first intervention.
func walk(t *C.Transaction, q *Request, stop func() bool) {
	var held []*C.char
	text := func(s string) *C.char {
		p := C.CString(s)
		held = append(held, p)
		return p
	}
	defer func() {
		for _, p := range held {
			C.free(unsafe.Pointer(p))
		}
	}()
	if C.msc_process_connection(t, text(q.Client), C.int(q.ClientPort), text(q.Server), C.int(q.ServerPort)); stop() {
		return
	}
	if C.msc_process_uri(t, text(q.URI), text(q.Method), text(q.Proto)); stop() {
		return
	}
	for _, h := range q.Headers {
		C.add_header(t, chars(h[0]), C.size_t(len(h[0])), chars(h[1]), C.size_t(len(h[1])))
	}
	if C.msc_process_request_headers(t); stop() {
		return
	}
	for _, b := range q.Body {
		if C.msc_append_request_body(t, (*C.uchar)(unsafe.Pointer(chars(b))), C.size_t(len(b))); stop() {
			return
		}
	}
	if C.msc_process_request_body(t); stop() {
		return
	}
	for _, h := range q.ResponseHeaders {
		C.add_response_header(t, chars(h[0]), C.size_t(len(h[0])), chars(h[1]), C.size_t(len(h[1])))
	}
	if C.msc_process_response_headers(t, C.int(q.Status), text(q.ResponseProto)); stop() {
		return
	}
	if b := q.ResponseBody; b != "" {
		if C.msc_append_response_body(t, (*C.uchar)(unsafe.Pointer(chars(b))), C.size_t(len(b))); stop() {
			return
		}
	}
	C.msc_process_response_body(t)
	stop()
}

// chars lends the bytes of s to a call that copies them.
func chars(s string) *C.char {
	if s == "" {
		s = "\x00"
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s)))
}

var (
	// Quotes in a message are not escaped; what follows tells its end.
	field = regexp.MustCompile(`\[(id|msg|data|severity|ver|rev|tag) "(.*?)"\](?: \[[a-z_]+ "|$)`)
	value = regexp.MustCompile(`\] Target value: "(.*)" \(Variable: (.*)\)$`)
	rule  = regexp.MustCompile(`\] \(Rule: (\d+)\) Executing`)
)

// readMatch reads one line of the error log.
func readMatch(line string) (m Match, ok bool) {
	// The value that matched stands before the fields and may look like one.
	if i := strings.Index(line, `[file "`); i > 0 {
		line = line[i:]
	}
	for line = strings.TrimSpace(line); line != ""; {
		at := field.FindStringSubmatchIndex(line)
		if at == nil {
			break
		}
		f := []string{"", line[at[2]:at[3]], line[at[4]:at[5]]}
		line = line[at[5]+2:]
		switch f[1] {
		case "id":
			m.ID, _ = strconv.Atoi(f[2])
			ok = true
		case "msg":
			m.Msg = f[2]
		case "data":
			m.Data = f[2]
		case "severity":
			m.Severity = f[2]
		case "ver":
			m.Ver = f[2]
		case "rev":
			m.Rev = f[2]
		case "tag":
			m.Tags = append(m.Tags, f[2])
		}
	}
	return m, ok
}

// readSteps reads a debug log of level 9.
func readSteps(log string) (steps []Step) {
	id := 0
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		if f := rule.FindStringSubmatch(line); f != nil {
			if n, _ := strconv.Atoi(f[1]); n != 0 { // a chained rule has no id of its own there
				id = n
			}
		} else if f := value.FindStringSubmatch(line); f != nil {
			name := f[2]
			// A persistent variable is shown as IP:192.0.2.1::::name.
			if collection, rest, ok := strings.Cut(name, ":"); ok {
				if _, key, ok := strings.Cut(rest, "::::"); ok {
					name = collection + ":" + key
				}
			}
			// The selector of a count is shown as it is kept.
			if base, key, ok := strings.Cut(name, ":regex("); ok && strings.HasSuffix(key, ")") {
				name = base + ":" + strings.TrimSuffix(key, ")")
			}
			steps = append(steps, Step{id, name, f[1]})
		}
	}
	return steps
}
