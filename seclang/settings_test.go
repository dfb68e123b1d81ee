package seclang_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/trapline/trapline/seclang"
)

func TestSettings(t *testing.T) {
	s := compile(t, seclang.Config{}, `SecRuleEngine DetectionOnly
SecAuditEngine RelevantOnly
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecAuditLogParts BIZ
SecAuditLogType concurrent
SecAuditLogDirMode 0750
SecAuditLog "|/usr/bin/mlogc /etc/mlogc.conf"
SecRequestBodyLimit 1000
SecRequestBodyLimitAction ProcessPartial
SecResponseBodyMimeType text/plain text/html
SecResponseBodyMimeType Text/XML
SecCollectionTimeout 600
SecUploadKeepFiles RelevantOnly
SecCookieFormat 1
SecArgumentSeparator ;
SecDataDir /var/cache/x
`).Settings()
	for name, ok := range map[string]bool{
		"engine":     s.RuleEngine == seclang.ModeDetectionOnly && s.AuditEngine == seclang.ModeRelevantOnly,
		"parts":      s.AuditLogParts == "ABIZ",
		"type":       s.AuditLogType == "Concurrent" && s.AuditLogDirMode == 0o750 && strings.HasPrefix(s.AuditLog, "|/usr"),
		"limit":      s.RequestBodyLimit == 1000 && s.RequestBodyLimitAction == seclang.LimitProcessPartial,
		"mime":       strings.Join(s.ResponseBodyMimeTypes, " ") == "text/plain text/html text/xml",
		"collection": s.CollectionTimeout == 10*time.Minute && s.DataDir == "/var/cache/x",
		"upload":     s.UploadKeepFiles == "RelevantOnly" && s.CookieFormat == 1 && s.ArgumentSeparator == ';',
		"set":        s.Set("secdatadir") && !s.Set("SecTmpDir") && s.Origin["secdatadir"].Line == 16,
	} {
		if !ok {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for status, want := range map[string]bool{"500": true, "403": true, "404": false, "200": false} {
		if s.AuditLogRelevantStatus.MatchString(status) != want {
			t.Errorf("relevant status %s: %v", status, !want)
		}
	}
}

func TestDerive(t *testing.T) {
	e := compile(t, seclang.Config{}, "SecRuleEngine On\nSecRule ARGS \"@streq x\" \"id:1,phase:1,deny\"\n")
	d, err := e.Derive(lex(t, "host.conf", "SecRuleEngine DetectionOnly\nSecAuditEngine On\nSecWebAppId shop"))
	if err != nil {
		t.Fatal(err)
	}
	head := "GET /?a=x HTTP/1.1\r\nHost: h\r\n\r\n"
	if st, _ := get(e, conn("192.0.2.1", 80), head); st != 403 {
		t.Errorf("the first engine changed: %d", st)
	}
	if st, r := get(d, conn("192.0.2.1", 80), head); st != 200 || len(r.Matches) != 1 {
		t.Errorf("derived: %d %+v", st, r.Matches)
	}
	if s := d.Settings(); s.AuditEngine != seclang.ModeOn || s.WebAppID != "shop" || e.Settings().WebAppID != "default" {
		t.Errorf("settings: %+v", s)
	}
	if _, err := e.Derive(lex(t, "host.conf", "SecRuleRemoveById 1")); err == nil || !strings.Contains(err.Error(), "host.conf:1") {
		t.Errorf("a directive that changes rules: %v", err)
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	main := write("main.conf", "SecRuleEngine On\nInclude r*.conf\nIncludeOptional none.conf\n")
	write("r2.conf", "SecAction \"id:2,nolog,pass\"")
	write("r1.conf", "SecAction \"id:1,nolog,pass\"")
	ds, err := seclang.Load(main)
	if err != nil || len(ds) != 3 || !strings.HasSuffix(ds[1].File, "r1.conf") {
		t.Fatalf("%v %v", ds, err)
	}
	loop := write("loop.conf", "Include loop.conf")
	if _, err := seclang.Load(loop); err == nil || !strings.Contains(err.Error(), "files deep") {
		t.Errorf("loop: %v", err)
	}
	if _, err := seclang.Load(write("missing.conf", "\nInclude nowhere.conf")); err == nil || !strings.Contains(err.Error(), "missing.conf:2") {
		t.Errorf("missing: %v", err)
	}
}
