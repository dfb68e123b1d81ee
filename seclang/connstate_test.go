package seclang_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/trapline/trapline/seclang"
)

func TestConnLimits(t *testing.T) {
	read := func(name string) ([]byte, error) { return []byte("192.0.2.0/24 # " + name + "\n2001:db8::/32\n"), nil }
	ds, err := seclang.Lex("/etc/a.conf", []byte(`SecRuleEngine On
SecConnEngine DetectionOnly
SecConnEngine On
SecReadStateLimit 10
SecConnReadStateLimit 50 "!@ipMatch 127.0.0.1"
SecConnReadStateLimit 40 "!@ipMatch 10.0.0.0/8"
SecConnWriteStateLimit 7 "@ipMatchFromFile list"
`))
	if err != nil {
		t.Fatal(err)
	}
	l, warns, err := seclang.ConnLimits(ds, read)
	if err != nil || len(warns) > 0 {
		t.Fatal(err, warns)
	}
	at := netip.MustParseAddr
	if !l.Enforce || l.Read.Max != 40 || l.Write.Max != 7 || l.Read.Suspicious != nil || l.Write.Trusted != nil {
		t.Errorf("limits %+v", l)
	}
	for addr, trusted := range map[string]bool{"127.0.0.1": true, "10.9.9.9": true, "192.0.2.1": false} {
		if l.Read.Trusted(at(addr)) != trusted {
			t.Errorf("%s trusted: %v", addr, !trusted)
		}
	}
	if !l.Write.Suspicious(at("2001:db8::7")) || l.Write.Suspicious(at("127.0.0.1")) {
		t.Error("the list of the file is not the list of suspicious addresses")
	}
}

func TestConnLimitsWithoutEngine(t *testing.T) {
	for text, want := range map[string]string{
		"SecConnReadStateLimit 5":                              "a.conf:1: SecConnReadStateLimit writes to the log and refuses nobody",
		"SecWriteStateLimit 5":                                 "a.conf:1: SecWriteStateLimit writes to the log",
		"SecConnEngine DetectionOnly\nSecConnReadStateLimit 5": "",
		"SecConnEngine Off\nSecConnReadStateLimit 5":           "",
		"SecRuleEngine On":                                     "",
	} {
		ds, _ := seclang.Lex("a.conf", []byte(text))
		l, warns, err := seclang.ConnLimits(ds, nil)
		if err != nil || l.Enforce || want == "" && len(warns) > 0 || want != "" && (len(warns) != 1 || !strings.HasPrefix(warns[0].String(), want)) {
			t.Errorf("%s: %+v %v %v, want warning %q", text, l, warns, err, want)
		}
		if strings.Contains(text, "Off") && l.Read.Max != 0 {
			t.Errorf("SecConnEngine Off leaves the limit %+v", l)
		}
	}
	ds, _ := seclang.Lex("a.conf", []byte("SecRuleEngine On\nSecConnReadStateLimit 5 \"@ipMatchFromFile /none\""))
	if _, _, err := seclang.ConnLimits(ds, nil); err == nil || !strings.HasPrefix(err.Error(), "a.conf:2: SecConnReadStateLimit: @ipMatchFromFile: read address file: open /none") {
		t.Errorf("error %v", err)
	}
}
