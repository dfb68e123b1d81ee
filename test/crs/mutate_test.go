//go:build peers

package crs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// payloads are the values that the tests send, decoded.
func payloads(t *testing.T) []string {
	var out []string
	files := load(t)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		f := files[path]
		for i := range f.Tests {
			for k := range f.Tests[i].Stages {
				in := &f.Tests[i].Stages[k].Input
				for _, s := range []*string{in.Data, in.URI} {
					if s == nil || len(*s) > 2000 {
						continue
					}
					if u, err := url.QueryUnescape(*s); err == nil {
						out = append(out, u)
					}
				}
			}
		}
	}
	return out
}

// mutate puts payloads together and changes bytes in them.
func mutate(r *rand.Rand, all []string) string {
	const alphabet = "'\"`<>()[]{};:|&$#@!%*+-=/\\?.,~^_ \t\n\r\x00\x01\x0b\x7f\x80\xa0\xc2\xe2\xff0aAxuZ"
	s := []byte(all[r.IntN(len(all))])
	for range 1 + r.IntN(4) {
		at := 0
		if len(s) > 0 {
			at = r.IntN(len(s))
		}
		switch r.IntN(7) {
		case 0:
			s = slices.Insert(s, at, alphabet[r.IntN(len(alphabet))])
		case 1:
			s = slices.Insert(s, at, bytes.Repeat([]byte{alphabet[r.IntN(len(alphabet))]}, 1+r.IntN(5))...)
		case 2:
			s = append(s[:at:at], s[min(len(s), at+1+r.IntN(4)):]...)
		case 3:
			other := all[r.IntN(len(all))]
			s = append(append(s[:at:at], other...), s[at:]...)
		case 4:
			s = bytes.ToUpper(s)
		case 5:
			if len(s) > 0 {
				s = append(append(s[:at:at], fmt.Sprintf("%%%02x", s[at])...), s[at+1:]...)
			}
		case 6:
			if len(s) > 0 {
				s = append(append(s[:at:at], fmt.Sprintf("\\x%02x", s[at])...), s[at+1:]...)
			}
		}
	}
	return string(s[:min(len(s), 3000)])
}

// mutated makes requests of which no test thought.
func mutated(t *testing.T, n int, seed uint64) []namedRequest {
	all := payloads(t)
	r := rand.New(rand.NewPCG(seed, 0))
	var out []namedRequest
	const tail = "Host: localhost\r\nAccept: */*\r\nConnection: close\r\n"
	post := func(contentType, body string) string {
		return fmt.Sprintf("POST /post HTTP/1.1\r\n%sUser-Agent: test\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", tail, contentType, len(body), body)
	}
	for i := range n {
		plain := mutate(r, all)
		p := url.QueryEscape(plain)
		req := ""
		switch r.IntN(7) {
		case 0:
			req = "GET /get?a=" + p + " HTTP/1.1\r\n" + tail + "User-Agent: test\r\n\r\n"
		case 1:
			req = "GET /get?" + p + "=1 HTTP/1.1\r\n" + tail + "User-Agent: test\r\n\r\n"
		case 2:
			req = "GET / HTTP/1.1\r\nCookie: a=" + p + "\r\n" + tail + "User-Agent: test\r\n\r\n"
		case 3:
			req = post("application/x-www-form-urlencoded", "a="+p)
		case 4:
			quoted, _ := json.Marshal(plain)
			req = post("application/json", `{"a":`+string(quoted)+"}")
		case 5:
			req = post("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"+plain+"\r\n--B--\r\n")
		case 6:
			req = "GET / HTTP/1.1\r\n" + tail + "User-Agent: " + printable(plain) + "\r\nReferer: " + printable(plain) + "\r\n\r\n"
		}
		out = append(out, namedRequest{"mutation " + strconv.Itoa(i), []byte(req)})
	}
	return out
}

// printable is what of s may stand in a header.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s))
}

// TestMutationsAgainstApache compares the rules that match in requests of which
// no test thought. CRS_SEED and CRS_MUTATIONS choose others.
func TestMutationsAgainstApache(t *testing.T) {
	n, seed := 1000, uint64(1)
	if s := os.Getenv("CRS_MUTATIONS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("CRS_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	same, meant := 0, 0
	for _, r := range both(t, settings, mutated(t, n, seed)) {
		missing, extra := minus(ids(r.theirs), ids(r.ours)), minus(ids(r.ours), ids(r.theirs))
		if len(missing)+len(extra) == 0 || len(r.theirs) == 0 && r.status == 400 {
			same++
			continue
		}
		if theirOwn(append(missing, extra...), &r) {
			meant++
			continue
		}
		t.Errorf("%s\tstatus %d\tmissing %v\textra %v\t%q", r.name, r.status, missing, extra, r.req)
	}
	t.Logf("%d of %d requests match the same rules, %d differ for known reasons", same, n, meant)
}

// theirOwn reports whether a difference comes from mod_security2: another
// version of libinjection; a pattern that PCRE gave up on, where ours come to an
// end; a message cut before its rule's id; or a NUL, because it keeps the values of
// MATCHED_VARS as C strings, whose length is that of the value and whose rest is whatever was there.
func theirOwn(rules []int, r *result) bool {
	for _, m := range r.theirs {
		if strings.Contains(m, "PCRE limits exceeded") || len(m) > 900 && !idOf.MatchString(m) {
			return true
		}
	}
	for _, id := range rules {
		switch {
		case id == 941100, id == 941101, id == 942100, id == 942101, id == 949110, id == 980170:
		case bytes.Contains(r.req, []byte("%00")), bytes.Contains(r.req, []byte(`\u0000`)), bytes.IndexByte(r.req, 0) >= 0:
		default:
			return false
		}
	}
	return true
}
