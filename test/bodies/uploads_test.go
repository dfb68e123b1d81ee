//go:build oracle

package bodies

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
	"github.com/trapline/trapline/test/peertest"
)

// upload has a file, an empty one, one with an empty name and a field.
const upload = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\r\n0123456789\r\n" +
	"--B\r\nContent-Disposition: form-data; name=\"e\"; filename=\"empty.txt\"\r\n\r\n\r\n--B--\r\n"

// uploadCase is a configuration of what happens to uploads.
type uploadCase struct{ name, directives string }

func uploadCases() []uploadCase {
	var out []uploadCase
	const tmp = "SecTmpDir {{dir}}/data/tmp\n"
	for _, keep := range []string{"Off", "On", "RelevantOnly"} {
		for _, relevant := range []string{"", "SecAction \"id:60,phase:2,pass,log,auditlog\"\n"} {
			name := keep
			if relevant != "" {
				name += ", relevant"
			}
			out = append(out, uploadCase{name, tmp + "SecUploadDir {{dir}}/data/up\nSecUploadKeepFiles " + keep + "\n" + relevant})
		}
	}
	return append(out,
		uploadCase{"no keep, no upload dir", tmp},
		uploadCase{"mode 0640", tmp + "SecUploadDir {{dir}}/data/up\nSecUploadKeepFiles On\nSecUploadFileMode 0640\n"},
		uploadCase{"mode default", tmp + "SecUploadDir {{dir}}/data/up\nSecUploadKeepFiles On\nSecUploadFileMode default\n"},
		uploadCase{"one directory", "SecTmpDir {{dir}}/data/up\nSecUploadDir {{dir}}/data/up\nSecUploadKeepFiles On\n"},
		uploadCase{"one file allowed", tmp + "SecUploadDir {{dir}}/data/up\nSecUploadKeepFiles On\nSecUploadFileLimit 1\n"},
	)
}

const uploadRules = `SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^5"
SecRule FILES_TMPNAMES "@rx ^(.*)/([0-9]{8})-[0-9]{6}-([^/]*)-file-([A-Za-z0-9]{6})" "id:61,phase:2,pass,nolog,t:none,capture,setvar:'tx.names=%{tx.names}|%{TX.1}'"
SecRule FILES_SIZES "@unconditionalMatch" "id:62,phase:2,pass,nolog,t:none,setvar:'tx.sizes=%{tx.sizes}|%{MATCHED_VAR}'"
SecAction "id:63,phase:2,pass,nolog,setenv:'line=tmp%{tx.names} sizes%{tx.sizes} limit%{MULTIPART_FILE_LIMIT_EXCEEDED}'"
`

// listing describes what lies in the directories, names in the form that ModSecurity gives them.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	form := regexp.MustCompile(`^[0-9]{8}-[0-9]{6}-[^/]+-file-[A-Za-z0-9]{6}$`)
	for _, d := range []string{"tmp", "up"} {
		files, err := os.ReadDir(filepath.Join(dir, d))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasPrefix(f.Name(), "trapline-") {
				continue // the lock of a living process
			}
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			name := "upload"
			if !form.MatchString(f.Name()) {
				name = f.Name()
			}
			out = append(out, fmt.Sprintf("%s/%s %d %v", d, name, info.Size(), info.Mode()))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func uploadDirs(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"tmp", "up"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(dir, d), 0o777)
	}
}

func uploadTheirs(t *testing.T, c uploadCase) (line, files string) {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", peertest.Ports(t, 1)[0])
	a := peertest.StartApache(t, "Listen "+addr+"\nSecDataDir {{dir}}/data\nSecAuditLog {{dir}}/audit/log\n"+uploadRules+c.directives+
		"Header always set X-Line \"%{line}e\"\n<Directory {{dir}}/htdocs>\nRequire all granted\n</Directory>\n", addr)
	defer a.Stop()
	data := filepath.Join(a.Dir, "data")
	uploadDirs(t, data)
	s := limitServer{url: "http://" + addr + "/", c: httpClient(t)}
	got := s.ask(t, limit{}, "multipart/form-data; boundary=B", upload, "", false)
	// The files go after the answer.
	last := ""
	var settled []bool
	peertest.Wait(t, "mod_security2 to tidy up", 5*time.Second, func() bool {
		before := last
		last = listing(t, data)
		settled = append(settled, before == last)
		return len(settled) > 5 && settled[len(settled)-1] && settled[len(settled)-2]
	})
	return strings.ReplaceAll(got.line, data, ""), last
}

func uploadOurs(t *testing.T, c uploadCase) (line, files string) {
	t.Helper()
	dir := t.TempDir()
	uploadDirs(t, filepath.Join(dir, "data"))
	ds, err := seclang.Lex("uploads.conf", []byte(strings.ReplaceAll(uploadRules+c.directives, "{{dir}}", dir)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := seclang.Compile(seclang.Config{Directives: ds})
	if err != nil {
		t.Fatal(err)
	}
	tx := e.NewTransaction(seclang.Conn{Peer: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("198.51.100.1:80")})
	oursDrive(tx, "multipart/form-data; boundary=B", upload, "", 1000)
	tx.Logging()
	for _, f := range tx.Env() {
		if f.Name == "line" {
			line = f.Value
		}
	}
	if err := tx.Close(); err != nil {
		t.Error(err)
	}
	return strings.ReplaceAll(line, filepath.Join(dir, "data"), ""), listing(t, filepath.Join(dir, "data"))
}

// TestUploadsAgainstModSecurity2 compares which files are left where, with which modes and names.
func TestUploadsAgainstModSecurity2(t *testing.T) {
	for _, c := range uploadCases() {
		theirs, theirFiles := uploadTheirs(t, c)
		mine, myFiles := uploadOurs(t, c)
		if strings.HasPrefix(theirs, "tmp sizes") {
			// Without @inspectFile and SecUploadKeepFiles mod_security2 makes no files; here one is there as soon as a rule reads its name.
			_, theirs, _ = strings.Cut(theirs, " ")
			_, mine, _ = strings.Cut(mine, " ")
		}
		if strings.TrimSpace(theirs) != strings.TrimSpace(mine) || theirFiles != myFiles {
			t.Errorf("%s:\n  theirs %s\n         %s\n  ours   %s\n         %s", c.name, theirs, theirFiles, mine, myFiles)
		}
	}
}
