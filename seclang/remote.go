package seclang

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the key derivation that mod_security2 prescribes
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxRemote bounds the rules of one SecRemoteRules line.
const maxRemote = 16 << 20

// Remote is what a SecRemoteRules line asks for. ModSecurity sends Key as the header ModSec-key, and who asks as
// ModSec-unique-id and ModSec-status.
type Remote struct {
	URL string // https://...
	Key string
}

// errNoFetch is the answer of a program that has no Config.Fetch.
var errNoFetch = errors.New("this program fetches no rules over the network; download them and Include the file")

// fetchRemote puts the rules that SecRemoteRules lines name where the lines stand. As in mod_security2,
// SecRemoteRulesFailAction holds for the lines after it.
func (c *compiler) fetchRemote() {
	isRemote := func(d Directive) bool { return strings.EqualFold(d.Name, "SecRemoteRules") }
	if !slices.ContainsFunc(c.cfg.Directives, isRemote) {
		return
	}
	var out []Directive
	abort := true // the manual: "the default action is to Abort"
	for _, d := range c.cfg.Directives {
		if strings.EqualFold(d.Name, "SecRemoteRulesFailAction") && len(d.Args) > 0 {
			abort = !strings.EqualFold(d.Args[0], "warn")
		}
		out = append(out, d)
		if isRemote(d) {
			c.at = d
			out = append(out, c.fetchOne(d, abort)...)
		}
	}
	c.cfg.Directives = out
}

func (c *compiler) fetchOne(d Directive, abort bool) []Directive {
	r, encrypted, err := parseRemote(d)
	if err != nil {
		c.fail(err)
		return nil
	}
	var text []byte
	if err = errNoFetch; c.cfg.Fetch != nil {
		text, err = c.cfg.Fetch(r)
	}
	if err == nil && len(text) > maxRemote {
		err = fmt.Errorf("%d bytes of rules, expected at most %d", len(text), maxRemote)
	}
	name := shownURL(r.URL)
	if err != nil {
		err = fmt.Errorf("SecRemoteRules %s: %w", name, err)
		if abort {
			c.fail(fmt.Errorf("%w; SecRemoteRulesFailAction is Abort", err))
		} else {
			c.warn(err.Error() + "; SecRemoteRulesFailAction is Warn: the configuration loads without these rules")
		}
		return nil
	}
	if encrypted {
		// A text that cannot be decrypted is no failed download: mod_security2 stops whatever SecRemoteRulesFailAction says.
		if text, err = decryptRemote(text, r.Key); err != nil {
			c.fail(fmt.Errorf("SecRemoteRules %s: %w", name, err))
			return nil
		}
	}
	ds, err := Lex(name, text)
	for _, e := range unjoin(err) {
		var at *Error
		if errors.As(e, &at) {
			c.errs = append(c.errs, at)
		}
	}
	if c.fetched == nil {
		c.fetched = map[string]string{}
	}
	c.fetched[name] = d.File
	return ds
}

// parseRemote reads the arguments of SecRemoteRules: [crypto] KEY URL.
func parseRemote(d Directive) (r Remote, encrypted bool, err error) {
	args := d.Args
	if encrypted = len(args) == 3 && strings.EqualFold(args[0], "crypto"); encrypted {
		args = args[1:]
	}
	if len(args) != 2 || args[0] == "" {
		return r, false, fmt.Errorf("SecRemoteRules: found %d arguments, expected [crypto] KEY https://HOST/PATH", len(d.Args))
	}
	u, err := url.Parse(args[1])
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.Host == "" {
		return r, false, fmt.Errorf("SecRemoteRules: found the address %q, expected https://HOST/PATH", args[1])
	}
	if strings.ContainsAny(args[0], "\r\n\x00") {
		return r, false, errors.New("SecRemoteRules: the key has a line break, expected one line")
	}
	return Remote{URL: args[1], Key: args[0]}, encrypted, nil
}

// shownURL is the address as it stands in messages and records: without a password.
func shownURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	return u.Redacted()
}

// localOnly are directives that a fetched text may not hold. Whoever serves the rules says what requests are, not what
// runs on this host and where it writes.
var localOnly = []string{
	"include", "includeoptional", "secremoterules", "secremoterulesfailaction", "secrulescript", "secauditlog", "secauditlog2", "secauditlogstoragedir",
	"secguardianlog", "secdebuglog", "secdatadir", "sectmpdir", "secuploaddir", "secchrootdir",
	"secconnengine", "secconnreadstatelimit", "secreadstatelimit", "secconnwritestatelimit", "secwritestatelimit",
}

// mayHold refuses in a fetched text what only the owner of this host may say; everything else may stand where it does.
func (c *compiler) mayHold(d Directive) bool {
	if _, fetched := c.fetched[d.File]; !fetched {
		return true
	}
	switch name := lower(d.Name); {
	case slices.Contains(localOnly, name):
		c.fail(fmt.Errorf("%s in fetched rules, expected rules, and settings about requests", d.Name))
		return false
	case strings.HasPrefix(d.Name, "<"):
		c.fail(fmt.Errorf("section %s in fetched rules, expected Sec directives only", d.Name))
		return false
	case startsProgram(d):
		c.fail(fmt.Errorf("%s starts a program, which fetched rules may not: expected no exec and no @inspectFile", d.Name))
		return false
	}
	return true
}

// startsProgram says whether a rule, or a list of actions, has exec or @inspectFile.
func startsProgram(d Directive) bool {
	if len(d.Args) == 0 {
		return false
	}
	switch lower(d.Name) {
	case "secrule", "secaction", "secdefaultaction", "secruleupdateactionbyid":
	default:
		return false
	}
	if strings.EqualFold(d.Name, "SecRule") && len(d.Args) > 1 {
		if _, op, _ := splitOperator(d.Args[1]); strings.EqualFold(op, "inspectFile") {
			return true
		}
	}
	acts, err := parseActions(d.Args[len(d.Args)-1])
	return err == nil && slices.ContainsFunc(acts, func(a actionText) bool { return a.name == "exec" })
}

// origin is the file to whose folder the relative names in file belong: for a fetched text that of its SecRemoteRules.
func (c *compiler) origin(file string) string {
	if local, ok := c.fetched[file]; ok {
		return local
	}
	return file
}

// decryptRemote reads a text for SecRemoteRules crypto: 16 bytes IV, 16 bytes salt, AES-256-CBC with PKCS #7 padding under
// PBKDF2-HMAC-SHA1 of the key with 4,096 rounds.
func decryptRemote(text []byte, key string) ([]byte, error) {
	const size = aes.BlockSize
	failed := errors.New("the text cannot be decrypted with this key")
	if len(text) < 3*size || len(text)%size != 0 {
		return nil, failed
	}
	derived, err := pbkdf2.Key(sha1.New, key, text[size:2*size], 4096, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(text)-2*size)
	cipher.NewCBCDecrypter(block, text[:size]).CryptBlocks(out, text[2*size:])
	n := int(out[len(out)-1])
	if n < 1 || n > size || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, failed
	}
	return out[:len(out)-n], nil
}
