package seclang_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

// encrypted makes a text for SecRemoteRules crypto.
func encrypted(t testing.TB, key, text string) []byte {
	t.Helper()
	derived, err := pbkdf2.Key(sha1.New, key, []byte(strings.Repeat("s", 16)), 4096, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	out := []byte(strings.Repeat("i", 16) + strings.Repeat("s", 16) + text)
	n := 16 - len(text)%16
	out = append(out, bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, out[:16]).CryptBlocks(out[32:], out[32:])
	return out
}

func remoteRules(t testing.TB, conf string, answer []byte) (*seclang.Engine, error) {
	t.Helper()
	ds, err := seclang.Lex("a.conf", []byte(conf))
	if err != nil {
		t.Fatal(err)
	}
	return seclang.Compile(seclang.Config{Directives: ds, Fetch: func(seclang.Remote) ([]byte, error) { return answer, nil }})
}

func TestRemoteRulesEncrypted(t *testing.T) {
	const conf = "SecRemoteRules crypto some-key https://rules.example/r\n"
	e, err := remoteRules(t, conf, encrypted(t, "some-key", "SecAction \"id:7,phase:1,pass\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if rules := e.Rules(); len(rules) != 1 || rules[0].ID != 7 || rules[0].File != "https://rules.example/r" {
		t.Errorf("rules %+v, want rule 7 of the address", rules)
	}
	for name, text := range map[string][]byte{
		"another key": encrypted(t, "other-key", "SecAction \"id:7,phase:1,pass\"\n"), "plain text": []byte("SecAction \"id:7,phase:1,pass\"\n"),
		"nothing": nil, "no block": make([]byte, 32),
	} {
		if _, err := remoteRules(t, "SecRemoteRulesFailAction Warn\n"+conf, text); err == nil || !strings.Contains(err.Error(), "a.conf:2: SecRemoteRules https://rules.example/r: the text cannot be decrypted") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestRemoteRulesWithoutFetch(t *testing.T) {
	ds, _ := seclang.Lex("a.conf", []byte("SecRemoteRules k https://rules.example/r\n"))
	if _, err := seclang.Compile(seclang.Config{Directives: ds}); err == nil || !strings.HasPrefix(err.Error(), "a.conf:1: SecRemoteRules https://rules.example/r: this program fetches no rules") {
		t.Errorf("error %v", err)
	}
}

func TestRemoteRulesTooLarge(t *testing.T) {
	_, err := remoteRules(t, "SecRemoteRules k https://rules.example/r\n", make([]byte, 16<<20+1))
	if err == nil || !strings.Contains(err.Error(), "expected at most 16777216") {
		t.Errorf("error %v", err)
	}
}

// A host that adds SecRemoteRules to the main server's rules cannot share them.
func TestRemoteRulesAreNoSetting(t *testing.T) {
	e, err := remoteRules(t, "SecRuleEngine On\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	ds, _ := seclang.Lex("b.conf", []byte("SecRemoteRules k https://rules.example/r\n"))
	if _, err := e.Derive(ds); err == nil {
		t.Error("Derive took a directive that brings rules")
	}
}

func FuzzRemoteRules(f *testing.F) {
	f.Add([]byte("SecRule ARGS \"@rx a\" \"id:1,phase:1,deny\"\n"), false)
	f.Add([]byte("SecAction \"id:1,exec:/bin/sh\"\n<If>\nInclude x\n"), false)
	f.Add(encrypted(f, "k", "SecAction \"id:7,phase:1,pass\"\n"), true)
	f.Add(make([]byte, 48), true)
	f.Fuzz(func(t *testing.T, text []byte, crypto bool) {
		conf := "SecRemoteRules k https://rules.example/r\n"
		if crypto {
			conf = "SecRemoteRules crypto k https://rules.example/r\n"
		}
		ds, _ := seclang.Lex("a.conf", []byte(conf))
		_, _ = seclang.Compile(seclang.Config{
			Directives: ds, ReadFile: func(string) ([]byte, error) { return nil, nil }, Fetch: func(seclang.Remote) ([]byte, error) { return text, nil },
		})
	})
}
