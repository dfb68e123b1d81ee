package seclang

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/trapline/trapline/seclang/hash"
	"github.com/trapline/trapline/seclang/match"
)

// HashSettings are the directives of the hash engine, which signs links.
type HashSettings struct {
	Engine  bool   // SecHashEngine
	Key     string // of SecHashKey, "" for one made at random
	KeyAdd  string // "KeyOnly", "SessionID" or "RemoteIP"
	Param   string // SecHashParam
	Methods []HashMethod
}

// HashMethod is one SecHashMethodRx or SecHashMethodPm: the links of this kind that it matches are signed.
type HashMethod struct {
	Kind    hash.Kind
	Pattern string
	match   func(link string, a *match.Allowance) bool
}

func (h *HashSettings) named(k hash.Kind) bool {
	return slices.ContainsFunc(h.Methods, func(m HashMethod) bool { return m.Kind == k })
}

func (h *HashSettings) wants(k hash.Kind, link string, a *match.Allowance) bool {
	for i := range h.Methods {
		if h.Methods[i].Kind == k && h.Methods[i].match(link, a) {
			return true
		}
	}
	return false
}

func (s *Settings) hashSetter(name string) (setFunc, bool) {
	h := &s.Hash
	switch name {
	case "sechashengine":
		return boolTo(&h.Engine), true
	case "sechashparam":
		return func(a string, _ []string) error {
			if strings.ContainsAny(a, "?&=#%+;\"'<> ") || a == "" {
				return fmt.Errorf("found %q, expected the name of a parameter", a)
			}
			h.Param = a
			return nil
		}, true
	case "sechashkey":
		return func(a string, all []string) error {
			if len(all) != 2 || a == "" {
				return errors.New("expected a key or rand, and one of KeyOnly, SessionID, RemoteIP")
			}
			if h.Key = a; strings.EqualFold(a, "rand") {
				h.Key = ""
			}
			return oneOf(&h.KeyAdd, "KeyOnly", "SessionID", "RemoteIP")(all[1], nil)
		}, true
	case "sechashmethodrx", "sechashmethodpm":
		return func(_ string, all []string) error { return h.addMethod(name == "sechashmethodpm", all) }, true
	}
	return nil, false
}

func (h *HashSettings) addMethod(phrases bool, args []string) error {
	if len(args) != 2 || args[1] == "" {
		return errors.New("expected a kind of link and a pattern")
	}
	kind, ok := hash.KindOf(args[0])
	if !ok {
		return nil // idleHash says so
	}
	m := HashMethod{Kind: kind, Pattern: args[1]}
	if phrases {
		p := match.NewPhrases(strings.Fields(args[1]))
		m.match = func(link string, _ *match.Allowance) bool { _, _, ok := p.Find(link); return ok }
	} else {
		re, err := match.Compile(args[1], match.Options{})
		if err != nil {
			return err
		}
		m.match = func(link string, a *match.Allowance) bool {
			ok, err := re.Within(a).MatchString(link)
			return ok && err == nil
		}
	}
	h.Methods = append(slices.Clone(h.Methods), m)
	return nil
}

// idleHash is what to say about a method for links that nobody knows: mod_security2 loads it, and it signs nothing there, too.
func idleHash(d Directive) string {
	if _, ok := hash.KindOf(d.Args[0]); ok {
		return ""
	}
	return fmt.Sprintf("%s has no effect: %v", d.Name, unknown("kind of link", d.Args[0], hash.Kinds()))
}

// checkHash warns of a hash engine that would sign nothing, as mod_security2 does without a word.
func (c *compiler) checkHash() {
	s := &c.settings
	if !s.Hash.Engine {
		return
	}
	c.at = s.Origin["sechashengine"]
	if len(s.Hash.Methods) == 0 {
		c.warn("SecHashEngine signs no links: no SecHashMethodRx or SecHashMethodPm says which")
		return
	}
	pages := slices.ContainsFunc(s.Hash.Methods, func(m HashMethod) bool { return m.Kind != hash.Location })
	var missing []string
	for _, d := range []struct {
		name string
		on   bool
	}{{"SecResponseBodyAccess", s.ResponseBodyAccess}, {"SecContentInjection", s.ContentInjection}, {"SecStreamOutBodyInspection", s.StreamOutBody}} {
		if pages && !d.on {
			missing = append(missing, d.name+" On")
		}
	}
	if len(missing) > 0 {
		c.warn("SecHashEngine signs no links in pages: as in mod_security2 that needs " + strings.Join(missing, ", "))
	}
}

// randomKey is the key of SecHashKey rand. Engines made with the same secret have the same, so a reload spoils no page that is out.
func randomKey(secret []byte) string {
	if len(secret) == 0 {
		return rand.Text()
	}
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("SecHashKey rand"))
	return hex.EncodeToString(m.Sum(nil))
}

// learnHash notes what the hash engine may do at all: without methods it costs nothing.
func (e *Engine) learnHash() {
	h := &e.settings.Hash
	e.hashKey = h.Key
	if e.hashKey == "" {
		e.hashKey = e.randomKey
	}
	for k := hash.Href; k < hash.Location; k++ {
		e.hashPages = e.hashPages || h.named(k)
	}
	e.hashPages = e.hashPages && e.settings.ContentInjection && e.settings.StreamOutBody
}

// hashSecret is the key of this transaction: what SecHashKey says and the session or the client's address.
func (tx *Transaction) hashSecret() []byte {
	key := tx.e.hashKey
	switch tx.e.settings.Hash.KeyAdd {
	case "RemoteIP":
		key += tx.client()
	case "SessionID":
		if tx.sessionID != "" {
			key += tx.sessionID
		} else {
			key += tx.client()
		}
	}
	return []byte(key)
}

func (tx *Transaction) signer() *hash.Signer {
	h := &tx.e.settings.Hash
	s := &hash.Signer{Key: tx.hashSecret(), Param: h.Param, Page: tx.request.uri}
	s.Wants = func(k hash.Kind, link string) bool { return h.wants(k, link, tx.result.Allowance) }
	for k := range s.Named {
		s.Named[k] = h.named(hash.Kind(k))
	}
	return s
}

// checkHash is what @validateHash asks: whether uri carries its hash.
func (tx *Transaction) checkHash(uri string) hash.Verdict {
	if !tx.ctl.hashEngine || !tx.ctl.hashEnforcement {
		return hash.Verdict{}
	}
	return hash.Check(tx.hashSecret(), tx.e.settings.Hash.Param, uri, tx.request.uri)
}

// SignsPage says whether links in the body of this answer will be signed: its length and validators are not those of
// the application's answer then, even when only its head is asked for.
func (tx *Transaction) SignsPage() bool {
	if !tx.e.hashPages || !tx.ctl.hashEngine || tx.mode == ModeOff || tx.interruption != nil || tx.response.status == http.StatusPartialContent {
		return false
	}
	if mime, _, _ := strings.Cut(tx.response.header("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(mime), "text/html") {
		return false
	}
	return tx.ctl.responseBodyAccess && (tx.e.settings.ResponseBodyAccess || tx.ctl.askedResponse) && tx.mimeWanted()
}

// signPage signs the links of the body before phase 4, whose rules see the outcome in STREAM_OUTPUT_BODY and what the
// application sent in RESPONSE_BODY.
func (tx *Transaction) signPage() {
	a := &tx.response
	if tx.phaseDone[4] || a.partial || len(a.body) == 0 || !tx.SignsPage() {
		return
	}
	text, whole := tx.decodedBody()
	if !whole {
		return
	}
	if out, n := tx.signer().HTML([]byte(text), a.header("Content-Type")); n > 0 {
		a.out, a.changed = string(out), true
	}
}

// signLocation signs the address of a redirect before phase 3. mod_security2 does so for 301 and 302 alone, and refuses where 303,
// 307 and 308 lead.
func (tx *Transaction) signLocation() {
	a := &tx.response
	if tx.phaseDone[3] || tx.mode == ModeOff || tx.interruption != nil {
		return
	}
	switch a.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return
	}
	for i := range a.headers {
		if f := &a.headers[i]; strings.EqualFold(f.name, "Location") {
			if signed, ok := tx.signer().Header(f.value); ok {
				f.value, a.location = signed, signed
				tx.changed(vResponseHeaders)
			}
			return
		}
	}
}

// LocationToSend returns the value of the Location header to send after phase 3; changed is false when it is the one that came.
func (tx *Transaction) LocationToSend() (value string, changed bool) {
	return tx.response.location, tx.response.location != ""
}
