//go:build peers && unix

package seclang_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// TestTrailerAgainstModSecurity2: part H has the lines of mod_security2 in their order and form; of times and names of programs
// only the form is compared.
func TestTrailerAgainstModSecurity2(t *testing.T) {
	const rules = `SecRuleEngine On
SecRulePerfTime 1
SecWebAppId shop
SecSensorId sensor
SecComponentSignature CRS/1
SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=1,setsid:s"
SecRule ARGS "@rx (a+)+$" "id:2,phase:2,pass,log"
SecRule PERF_ALL "@rx ^combined=" "id:3,phase:5,pass,log,msg:'%{PERF_ALL}'"
SecRule PERF_RULES "@gt 999999" "id:4,phase:5,pass,nolog"
`
	dir := t.TempDir()
	_ = os.Chmod(dir, 0o755)
	if err := os.WriteFile(filepath.Join(dir, "a.conf"), []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	port := peertest.Ports(t, 1)[0]
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	a := peertest.StartApache(t, "Listen "+address+"\nSecAuditLog {{dir}}/audit/audit.log\nSecDataDir {{dir}}/data\n"+rules+"SecAuditEngine On\nSecAuditLogParts AHZ\n", address)
	head := "GET /?a=" + strings.Repeat("a", 300) + "b HTTP/1.1\r\nHost: h\r\n\r\n"
	exchangeRaw(t, address, head, "")
	theirs := lastRecord(t, filepath.Join(a.Dir, "audit", "audit.log"), 0)
	mine, _ := ourRecord(compile(t, seclang.Config{Collections: store(t)}, rules+"SecAuditEngine On\n"), port, head, "", "")
	if d := cmp.Diff(trailerForm(theirs), trailerForm(mine)); d != "" {
		t.Errorf("-mod_security2 +ours:\n%s", d)
	}
}

// trailerForm is part H with numbers and names of programs left out.
func trailerForm(r *audit.Record) []string {
	numbers := regexp.MustCompile(`\d+`)
	slow := regexp.MustCompile(`("N=N"(, )?)+`) // which rules took a microsecond is chance
	program := regexp.MustCompile(`^Producer: [^;]*;`)
	var out []string
	for i := range r.Matches {
		if r.Matches[i].Message != "" {
			out = append(out, numbers.ReplaceAllString(r.Matches[i].Message, "N"))
		}
	}
	for _, f := range r.Trailer {
		if f.Name == "Apache-Error" || f.Name == "Server" || f.Name == "Stopwatch" || strings.HasPrefix(f.Name, "Trapline-") || f.Name == "Response-Body-Transformed" {
			continue // the messages once more; what SecServerSignature sets; what a record holds as Time and Duration
		}
		l := numbers.ReplaceAllString(f.Name+": "+f.Value, "N")
		out = append(out, program.ReplaceAllString(slow.ReplaceAllString(l, "RULES"), "Producer: PROGRAM;"))
	}
	return out
}
