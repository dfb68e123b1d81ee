//go:build libmodsecurity

// Package libmodsecurity drives libmodsecurity 3 through cgo, for benchmarks that pair our engine with it in one
// process. It is built with the tag libmodsecurity only, and needs Debian's libmodsecurity-dev.
package libmodsecurity

/*
#cgo pkg-config: modsecurity
#include <stdlib.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <modsecurity/intervention.h>

static void quiet(void *data, const void *message) { (void)data; (void)message; }

static void silence(ModSecurity *ms) { msc_set_log_cb(ms, quiet); }

static int disrupted(Transaction *t) {
	ModSecurityIntervention it;
	it.status = 200; it.url = NULL; it.log = NULL; it.disruptive = 0; it.pause = 0;
	int hit = msc_intervention(t, &it);
	free(it.url); free(it.log);
	return hit;
}

static int add_header(Transaction *t, const char *k, size_t kn, const char *v, size_t vn) {
	return msc_add_n_request_header(t, (const unsigned char *)k, kn, (const unsigned char *)v, vn);
}

static int add_response_header(Transaction *t, const char *k, size_t kn, const char *v, size_t vn) {
	return msc_add_n_response_header(t, (const unsigned char *)k, kn, (const unsigned char *)v, vn);
}
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Engine is a set of rules. It is never freed: a benchmark has a few.
type Engine struct {
	ms    *C.ModSecurity
	rules *C.RulesSet
}

// New loads the rules of a file.
func New(file string) (*Engine, error) {
	e := &Engine{ms: C.msc_init(), rules: C.msc_create_rules_set()}
	C.silence(e.ms)
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	var msg *C.char
	if C.msc_rules_add_file(e.rules, name, &msg) < 0 {
		return nil, errors.New(C.GoString(msg))
	}
	return e, nil
}

// Request is what Run sends through the phases.
type Request struct {
	Method, URI string
	Headers     [][2]string
	Body        []byte
	AnswerType  string
	Answer      []byte
}

// Run sends one request through all phases and says whether it was interrupted.
func (e *Engine) Run(r *Request) bool {
	t := C.msc_new_transaction(e.ms, e.rules, nil)
	defer C.msc_transaction_cleanup(t)
	hit := run(t, r)
	C.msc_process_logging(t)
	return hit
}

func run(t *C.Transaction, r *Request) bool {
	text := func(s string) *C.char { return C.CString(s) }
	client, server := text("192.0.2.7"), text("198.51.100.1")
	uri, method, proto := text(r.URI), text(r.Method), text("1.1")
	for _, p := range []*C.char{client, server, uri, method, proto} {
		defer C.free(unsafe.Pointer(p))
	}
	C.msc_process_connection(t, client, 40000, server, 443)
	C.msc_process_uri(t, uri, method, proto)
	for _, h := range r.Headers {
		C.add_header(t, chars(h[0]), C.size_t(len(h[0])), chars(h[1]), C.size_t(len(h[1])))
	}
	if C.msc_process_request_headers(t); C.disrupted(t) != 0 {
		return true
	}
	if len(r.Body) > 0 {
		C.msc_append_request_body(t, (*C.uchar)(unsafe.Pointer(&r.Body[0])), C.size_t(len(r.Body)))
	}
	if C.msc_process_request_body(t); C.disrupted(t) != 0 {
		return true
	}
	C.add_response_header(t, chars("Content-Type"), 12, chars(r.AnswerType), C.size_t(len(r.AnswerType)))
	if C.msc_process_response_headers(t, 200, proto); C.disrupted(t) != 0 {
		return true
	}
	if len(r.Answer) > 0 {
		C.msc_append_response_body(t, (*C.uchar)(unsafe.Pointer(&r.Answer[0])), C.size_t(len(r.Answer)))
	}
	C.msc_process_response_body(t)
	return C.disrupted(t) != 0
}

// chars lends the bytes of s to a call that copies them.
func chars(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }
