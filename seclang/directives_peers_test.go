//go:build peers && unix

package seclang_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trapline/trapline/test/peertest"
)

// directivesUnlike are lines that one of the two accepts and the other refuses, each with the reason.
func directivesUnlike() map[string]string {
	const (
		three = "version 3 loads it"
	)
	return map[string]string{
		"SecAuditLogPrefix":                     "2.9.7 does not know it; the list of names has it",
		"SecUnicodeMap":                         "2.9.7 does not know it; the list of names has it",
		"SecParseXmlIntoArgs":                   "newer than 2.9.7",
		"SecRxPreFilter":                        "Coraza's",
		"SecCollectionGCFrequency":              "of a version before 2.9",
		"SecAuditLogType HTTPS":                 three,
		"SecAuditLog2":                          "a second log may stand alone here",
		"SecPcreMatchLimit 0":                   three,
		"SecPcreMatchLimitRecursion 0":          three,
		"SecRequestBodyLimit 0":                 three,
		"SecResponseBodyLimit 0":                three,
		"SecResponseBodyLimit 9999999999":       three,
		"SecArgumentsLimit 0":                   three,
		"SecGsbLookupDb":                        "the file is not opened: the service has ended",
		"SecUnicodeMapFile unicode.mapping":     "the recommended configuration names it, and people copy the one without the other",
		"SecRuleUpdateTargetById 5 \"!ARGS:a\"": "2.9.7 refuses an update of a rule that is not there",
	}
}

// TestDirectivesAgainstModSecurity2: what a real mod_security2 accepts loads here, and what it refuses does not.
func TestDirectivesAgainstModSecurity2(t *testing.T) {
	apache := peertest.Program(t, "apache2", "/usr/sbin/apache2")
	modules := "/usr/lib/apache2/modules/"
	if _, err := os.Stat(modules + "mod_security2.so"); err != nil {
		t.Skip("PEER MISSING: libapache2-mod-security2 is not installed; make test installs it")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "httpd.conf")
	head := "ServerRoot " + dir + "\nServerName localhost\nListen 127.0.0.1:9\nErrorLog /dev/null\n"
	for _, m := range []string{"mpm_event", "authz_core", "unique_id", "security2"} {
		head += "LoadModule " + m + "_module " + modules + "mod_" + m + ".so\n"
	}
	lines, _ := directiveLines(t)
	compared := 0
	for _, line := range lines {
		if err := os.WriteFile(conf, []byte(head+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		text, _ := exec.Command(apache, "-t", "-f", conf).CombinedOutput()
		theirs := strings.Contains(string(text), "Syntax OK")
		ours := !strings.HasPrefix(comesOf(line), "error:")
		why := ""
		for known, reason := range directivesUnlike() {
			if line == known || strings.HasPrefix(line, known+" ") {
				why = reason
			}
		}
		switch {
		case theirs == ours && why != "":
			t.Errorf("%s: agrees now, accepted %v; take it from the list", line, ours)
		case theirs != ours && why == "":
			t.Errorf("%s: accepted there %v, here %v\n%s%s", line, theirs, ours, text, comesOf(line))
		case why == "":
			compared++
		}
	}
	if compared < 80 {
		t.Errorf("only %d lines are compared", compared)
	}
}
