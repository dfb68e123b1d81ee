// Package hash is the hash engine of mod_security2 2.9: links of a page get a
// parameter with an HMAC of the address that they lead to, and a request for
// such an address is checked against it. In come a page and the key, out goes
// the page with the values of those attributes changed and every other byte as
// it was. It knows nothing of rules and keeps no state, so nothing is lost in
// a crash; a page may be anything: its cost is linear in its size.
//
// What is hashed is the address as mod_security2 sees it in REQUEST_URI: the
// path decoded, without dot segments and doubled slashes, without its first
// slash, and the query as it is sent. Hashes made by either program are good
// for the other when both have the same key.
package hash

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is what mod_security2 makes and checks
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Kind is where a link stands.
type Kind uint8

// The kinds, in the words of SecHashMethodRx.
const (
	Href Kind = iota
	FormAction
	IframeSrc
	FrameSrc
	Location
	kinds
)

// Kinds are the names of all kinds as SecHashMethodRx and SecHashMethodPm take them.
func Kinds() []string {
	return []string{"HashHref", "HashFormAction", "HashIframeSrc", "HashFrameSrc", "HashLocation"}
}

// KindOf finds a kind by its name, in any case. mod_security2 2.9 knows these five and no others.
func KindOf(name string) (Kind, bool) {
	for i, n := range Kinds() {
		if strings.EqualFold(n, name) {
			return Kind(i), true
		}
	}
	return 0, false
}

// DefaultParam is the parameter's name without SecHashParam.
const DefaultParam = "crypt"

// Sum is the HMAC-SHA1 of an address in hexadecimal. uri is a path with its query, or a whole http or https address.
func Sum(key []byte, uri string) string {
	return sum(key, canonical(withoutOrigin(uri)))
}

func sum(key []byte, text string) string {
	m := hmac.New(sha1.New, key)
	m.Write([]byte(text))
	var d [sha1.Size]byte
	return hex.EncodeToString(m.Sum(d[:0]))
}

// State is what came of a check.
type State uint8

// The states.
const (
	Off     State = iota // nothing is checked
	Valid                // the address carries its hash
	Absent               // it does not carry the parameter
	Missing              // the parameter's name ends it: there is no value
	Wrong                // the hash is another one
)

// Verdict is the outcome of a check.
type Verdict struct {
	State State
	Got   string // what stands behind the parameter's name
	Want  string // what should
}

// Check says whether uri ends in the parameter with the hash of what stands before it. page is the address of the
// request, from which a uri that is relative starts.
func Check(key []byte, param, uri, page string) Verdict {
	at := strings.LastIndex(uri, "?"+param+"=")
	if i := strings.LastIndex(uri, "&"+param+"="); i > at {
		at = i
	}
	if at < 0 {
		return misplaced(key, param, uri, page)
	}
	v := Verdict{State: Wrong, Got: uri[at+len(param)+2:]}
	before := absolute(uri[:at], page)
	v.Want = Sum(key, before)
	ok := same(v.Got, v.Want)
	// mod_security2 hashes a Location as it is written.
	if plain := strings.TrimPrefix(withoutOrigin(before), "/"); !ok && same(v.Got, sum(key, plain)) {
		ok = true
	}
	if ok {
		v.State = Valid
	}
	return v
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// misplaced is the verdict about an address that has no such parameter. mod_security2 takes the name wherever it
// stands, and would let /page?id=1Zname=HASH pass with the hash of /page?id=1; here that is refused.
func misplaced(key []byte, param, uri, page string) Verdict {
	at := strings.Index(uri, param)
	if at < 0 {
		return Verdict{State: Absent}
	}
	if at+len(param)+1 > len(uri) {
		return Verdict{State: Missing}
	}
	return Verdict{State: Wrong, Got: uri[at+len(param)+1:], Want: Sum(key, absolute(uri[:max(at-1, 0)], page))}
}
