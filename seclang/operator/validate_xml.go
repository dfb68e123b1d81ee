//go:build libxml2 && cgo

package operator

/*
#cgo pkg-config: libxml-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libxml/parser.h>
#include <libxml/valid.h>
#include <libxml/xmlschemas.h>

// The first complaint of a validator.
typedef struct { char text[512]; } complaint;

static void note(void *ctx, const char *format, ...) {
	complaint *c = ctx;
	if (c->text[0] != 0) return;
	va_list args;
	va_start(args, format);
	vsnprintf(c->text, sizeof c->text, format, args);
	va_end(args);
}

static void quiet(void *ctx, xmlErrorPtr error) {}

static void begin(void) {
	xmlInitParser();
	xmlSetStructuredErrorFunc(NULL, quiet);
}

// No network, and no entities or DTDs from outside: the document is a client's.
static xmlDocPtr readDocument(const char *text, int len, const char *url) {
	return xmlReadMemory(text, len, url, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

// The schema keeps parts of *doc, which therefore lives as long.
static xmlSchemaPtr loadSchema(const char *text, int len, const char *url, xmlDocPtr *doc, complaint *c) {
	*doc = readDocument(text, len, url);
	if (*doc == NULL) return NULL;
	xmlSchemaParserCtxtPtr p = xmlSchemaNewDocParserCtxt(*doc);
	xmlSchemaPtr schema = NULL;
	if (p != NULL) {
		xmlSetStructuredErrorFunc(NULL, NULL);
		xmlSchemaSetParserErrors(p, note, note, c);
		schema = xmlSchemaParse(p);
		xmlSchemaFreeParserCtxt(p);
		xmlSetStructuredErrorFunc(NULL, quiet);
	}
	return schema;
}

static void freeAll(xmlSchemaPtr schema, xmlDocPtr doc, xmlDtdPtr dtd, char *url) {
	if (schema != NULL) xmlSchemaFree(schema);
	if (doc != NULL) xmlFreeDoc(doc);
	if (dtd != NULL) xmlFreeDtd(dtd);
	free(url);
}

static int checkSchema(xmlSchemaPtr schema, const char *text, int len, complaint *c) {
	xmlDocPtr doc = readDocument(text, len, NULL);
	if (doc == NULL) return -1;
	int rc = -1;
	xmlSchemaValidCtxtPtr v = xmlSchemaNewValidCtxt(schema);
	if (v != NULL) {
		xmlSetStructuredErrorFunc(NULL, NULL);
		xmlSchemaSetValidErrors(v, note, note, c);
		rc = xmlSchemaValidateDoc(v, doc);
		xmlSchemaFreeValidCtxt(v);
		xmlSetStructuredErrorFunc(NULL, quiet);
	}
	xmlFreeDoc(doc);
	return rc;
}

static xmlDtdPtr loadDTD(const char *text, int len) {
	xmlParserInputBufferPtr in = xmlParserInputBufferCreateMem(text, len, XML_CHAR_ENCODING_NONE);
	return in == NULL ? NULL : xmlIOParseDTD(NULL, in, XML_CHAR_ENCODING_NONE);
}

static int checkDTD(xmlDtdPtr dtd, const char *text, int len, complaint *c) {
	xmlDocPtr doc = readDocument(text, len, NULL);
	if (doc == NULL) return -1;
	int rc = -1;
	xmlValidCtxtPtr v = xmlNewValidCtxt();
	if (v != NULL) {
		xmlSetStructuredErrorFunc(NULL, NULL);
		v->error = note;
		v->warning = note;
		v->userData = c;
		rc = xmlValidateDtd(v, doc, dtd) ? 0 : 1;
		xmlFreeValidCtxt(v);
		xmlSetStructuredErrorFunc(NULL, quiet);
	}
	xmlFreeDoc(doc);
	return rc;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// xmlCheck is @validateSchema and @validateDTD on libxml2.
type xmlCheck struct {
	what, file string
	fault      string // why the schema could not be loaded
	// mu serializes: libxml2 completes DTDs while it uses them.
	mu sync.Mutex
	grammar
}

// grammar is memory of libxml2. It is freed when nothing refers to the operator any more.
type grammar struct {
	schema C.xmlSchemaPtr
	doc    C.xmlDocPtr // of the schema
	dtd    C.xmlDtdPtr
	url    *C.char
}

func (g grammar) free() { C.freeAll(g.schema, g.doc, g.dtd, g.url) }

func newValidateSchema(arg string, env Env) (Operator, error) {
	return newXMLCheck("Schema", arg, env, func(o *xmlCheck, text []byte) (fault string) {
		var c C.complaint
		o.url = C.CString(arg)
		o.schema = C.loadSchema((*C.char)(unsafe.Pointer(unsafe.SliceData(text))), C.int(len(text)), o.url, &o.doc, &c)
		if o.schema == nil {
			return complained(&c)
		}
		return ""
	})
}

func newValidateDTD(arg string, env Env) (Operator, error) {
	return newXMLCheck("DTD", arg, env, func(o *xmlCheck, text []byte) (fault string) {
		if o.dtd = C.loadDTD((*C.char)(unsafe.Pointer(unsafe.SliceData(text))), C.int(len(text))); o.dtd == nil {
			return "it is no DTD"
		}
		return ""
	})
}

func newXMLCheck(what, arg string, env Env, load func(*xmlCheck, []byte) string) (Operator, error) {
	if strings.TrimSpace(arg) == "" {
		return idle("validate"+what, "expected the path of a file", env), nil
	}
	o := &xmlCheck{what: what, file: arg}
	text, err := env.ReadFile(arg)
	if err != nil {
		o.fault = err.Error()
	} else {
		runtime.LockOSThread() // libxml2 keeps its error handler per thread
		C.begin()
		o.fault = load(o, append(text, 0)[:len(text)])
		runtime.UnlockOSThread()
	}
	runtime.AddCleanup(o, grammar.free, o.grammar)
	if o.fault != "" && env.Warn != nil {
		env.Warn(fmt.Sprintf("@validate%s: %s cannot be loaded, so that every XML body matches: %s", what, arg, o.fault))
	}
	return o, nil
}

func (o *xmlCheck) Match(_, _ string, m *Result) bool {
	if m.Document == nil {
		return false
	}
	doc := m.Document()
	if !doc.Parsed {
		m.Err = fmt.Errorf("XML document tree could not be found for %s validation", o.what)
		return false
	}
	text := ""
	switch {
	case o.fault != "":
		text = fmt.Sprintf("XML: Failed to load %s: %s", o.what, o.file)
	case !doc.WellFormed:
		text = fmt.Sprintf("XML: %s validation failed because content is not well formed.", o.what)
	case doc.Failed:
		text = fmt.Sprintf("XML: %s validation could not proceed due to previous processing errors.", o.what)
	case !o.valid(doc.Text, m):
		text = fmt.Sprintf("XML: %s validation failed.", o.what)
	default:
		return false
	}
	if m.Explain {
		m.Text = text
	}
	return true
}

func (o *xmlCheck) valid(text string, m *Result) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.begin()
	var c C.complaint
	p, n := (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.int(len(text))
	var rc C.int
	if o.schema != nil {
		rc = C.checkSchema(o.schema, p, n, &c)
	} else {
		rc = C.checkDTD(o.dtd, p, n, &c)
	}
	runtime.KeepAlive(o)
	if rc != 0 && c.text[0] != 0 {
		m.Err = errors.New("XML Error: " + complained(&c))
	}
	return rc == 0
}

func complained(c *C.complaint) string {
	if s := strings.TrimSpace(C.GoString(&c.text[0])); s != "" {
		return s
	}
	return "it is not well-formed XML"
}
