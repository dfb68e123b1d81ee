package seclang

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/trapline/trapline/audit"
)

// sanitiser is something that must not be readable in the audit record.
type sanitiser struct {
	kind, name string // sanitisearg password
	value      string // or a value itself
	keepHead   int    // bytes of value that stay
	keepTail   int
}

// bytesRange is the argument of sanitiseMatchedBytes: keep so many bytes at both ends.
type bytesRange struct{ head, tail int }

func parseBytesRange(a string) (*bytesRange, error) {
	if a == "" {
		return &bytesRange{}, nil
	}
	h, t, ok := strings.Cut(a, "/")
	x, err1 := strconv.Atoi(h)
	y, err2 := strconv.Atoi(t)
	if !ok || err1 != nil || err2 != nil || x < 0 || y < 0 {
		return nil, noEffect("expected bytes to keep such as 2/4")
	}
	return &bytesRange{x, y}, nil
}

type sanitiseStep struct{ kind, name string }

func (s *sanitiseStep) run(tx *Transaction, _ *rule) {
	tx.sanitise = append(tx.sanitise, sanitiser{kind: s.kind, name: s.name})
}

const maxSanitise = 1000

func (tx *Transaction) sanitiseValue(r *rule, x ref) {
	if len(tx.sanitise) >= maxSanitise || x.val == "" {
		return
	}
	s := sanitiser{value: x.val}
	b := r.sanBytes
	if b == nil {
		b = r.starter.sanBytes
	}
	if b != nil {
		s.keepHead, s.keepTail = b.head, b.tail
	}
	tx.sanitise = append(tx.sanitise, s)
}

// mask overwrites sanitised values with asterisks, in copies of r's bytes: the originals may be on their way.
func (tx *Transaction) mask(r *audit.Record) {
	if len(tx.sanitise) == 0 {
		return
	}
	r.RequestHead, r.RequestBody = bytes.Clone(r.RequestHead), bytes.Clone(r.RequestBody)
	r.ResponseHead, r.FakeBody = bytes.Clone(r.ResponseHead), bytes.Clone(r.FakeBody)
	for _, s := range tx.sanitise {
		switch s.kind {
		case "":
			for _, b := range [][]byte{r.RequestHead, r.RequestBody, r.FakeBody} {
				maskValue(b, s.value, s.keepHead, s.keepTail)
			}
		case "sanitisearg":
			maskArg(r.RequestHead[:lineEnd(r.RequestHead)], s.name)
			maskArg(r.RequestBody, s.name)
			maskArg(r.FakeBody, s.name)
			for _, l := range [][]field{tx.request.argsGet, tx.request.args} {
				for i := range l {
					if strings.EqualFold(l[i].name, s.name) {
						maskValue(r.RequestBody, l[i].value, 0, 0)
					}
				}
			}
		case "sanitiserequestheader":
			maskHeader(r.RequestHead, s.name)
		case "sanitiseresponseheader":
			maskHeader(r.ResponseHead, s.name)
		}
	}
}

func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i
	}
	return len(b)
}

func stars(b []byte) {
	for i := range b {
		b[i] = '*'
	}
}

func maskValue(b []byte, value string, head, tail int) {
	if value == "" {
		return
	}
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte(value))
		if i < 0 {
			return
		}
		lo, hi := at+i+min(head, len(value)), at+i+len(value)-min(tail, len(value))
		if lo < hi {
			stars(b[lo:hi])
		}
		at += i + len(value)
	}
}

// maskArg masks name=VALUE in a query string or form.
func maskArg(b []byte, name string) {
	key := asciiLower([]byte(name + "="))
	low := asciiLower(b)
	for at := 0; at < len(low); {
		i := bytes.Index(low[at:], key)
		if i < 0 {
			return
		}
		start := at + i
		end := start + len(key)
		at = end
		if start > 0 && bytes.IndexByte([]byte("?&; \n"), b[start-1]) < 0 {
			continue
		}
		stop := end
		for stop < len(b) && bytes.IndexByte([]byte("&; \r\n"), b[stop]) < 0 {
			stop++
		}
		stars(b[end:stop])
		at = stop
	}
}

// asciiLower keeps every byte in its place, which bytes.ToLower does not.
func asciiLower(b []byte) []byte {
	low := bytes.Clone(b)
	for i, c := range low {
		if c >= 'A' && c <= 'Z' {
			low[i] = c + 32
		}
	}
	return low
}

// maskHeader masks the value of every header of that name.
func maskHeader(b []byte, name string) {
	for at := lineEnd(b) + 1; at < len(b); {
		end := at + lineEnd(b[at:])
		if n, _, ok := bytes.Cut(b[at:end], []byte(":")); ok && strings.EqualFold(strings.TrimSpace(string(n)), name) {
			lo := at + len(n) + 1
			for lo < end && b[lo] == ' ' {
				lo++
			}
			hi := end
			if hi > lo && b[hi-1] == '\r' {
				hi--
			}
			stars(b[lo:hi])
		}
		at = end + 1
	}
}
