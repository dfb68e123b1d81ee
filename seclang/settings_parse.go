package seclang

import (
	"cmp"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func lower(s string) string { return strings.ToLower(s) }

// ignored are directives that load and do nothing, each with the reason a user should read once.
var ignored = map[string]string{
	"secchrootdir":             "a running server of ours cannot change its root: use the service manager (RootDirectory= of systemd)",
	"secgsblookupdb":           "Google ended the Safe Browsing service that this database came from",
	"seccachetransformations":  "", // results are always shared by value; the directive never changes an outcome
	"secrxprefilter":           "", // the literal scan is always on and exact
	"seccollectiongcfrequency": "", // the store sweeps by itself
	"secruleinheritance":       "", // whoever puts a host's text together asks InheritsRules
	"secauditlogprefix":        "no ModSecurity of the series 2.9 and 3.0 knows this name either",
	"secrequestencoding":       "character sets are not converted; t:utf8toUnicode and t:urlDecodeUni do so for a rule",
}

// setting applies a directive that is not a rule. known is false when it is not a setting at all.
func (s *Settings) setting(d Directive) (known bool, warn string, err error) {
	name := lower(d.Name)
	d.Args = withoutComment(d.Args)
	if err := checkWords(name, d); err != nil {
		return true, "", err
	}
	if why, ok := ignored[name]; ok {
		if why != "" {
			warn = d.Name + " has no effect: " + why
		}
		s.note(name, d)
		return true, warn, nil
	}
	if name == "secresponsebodymimetypesclear" {
		s.ResponseBodyMimeTypes = nil
		s.note(name, d)
		return true, "", nil
	}
	if isReadLimit(name) || isWriteLimit(name) {
		n, _, _, err := parseStateLimit(d, nil)
		if err != nil {
			return true, "", fmt.Errorf("%s: %w", d.Name, err)
		}
		if isReadLimit(name) {
			s.ConnReadStateLimit = n
		} else {
			s.ConnWriteStateLimit = n
		}
		s.note(name, d)
		return true, "", nil
	}
	set, ok := s.setter(name)
	if !ok {
		return false, "", nil
	}
	if len(d.Args) == 0 {
		return true, "", fmt.Errorf("%s without a value", d.Name)
	}
	doubt := ""
	if err := set(d.Args[0], d.Args); err != nil {
		n, counts := countsAs(name, d.Args[0])
		if !counts || set(n, d.Args) != nil {
			return true, "", fmt.Errorf("%s: %w", d.Name, err)
		}
		doubt = fmt.Sprintf("%s: %v (it counts as %s)", d.Name, err, n)
	}
	s.note(name, d)
	return true, cmp.Or(doubt, s.idle(name, d)), nil
}

// idle is what to say about a directive that is known and does nothing here with this value.
func (s *Settings) idle(name string, d Directive) string {
	switch {
	case name == "secstatusengine" && s.StatusEngine:
		return d.Name + " has no effect: nobody receives what it reported any more (since April 2022, says modsecurity.conf-recommended)"
	case name == "secxmlexternalentity" && s.XMLExternalEntity:
		return d.Name + " has no effect: external entities are never fetched"
	case strings.HasPrefix(name, "sechashmethod"):
		return idleHash(d)
	}
	return ""
}

func (s *Settings) note(name string, d Directive) {
	if s.Origin == nil {
		s.Origin = map[string]Directive{}
	}
	s.Origin[name] = d
}

type setFunc = func(arg string, all []string) error

// setter returns the function that applies the directive of this lower-case name.
func (s *Settings) setter(name string) (setFunc, bool) {
	for _, group := range []func(string) (setFunc, bool){s.engineSetter, s.auditSetter, s.bodySetter, s.hashSetter, s.otherSetter} {
		if f, ok := group(name); ok {
			return f, true
		}
	}
	return nil, false
}

func (s *Settings) engineSetter(name string) (setFunc, bool) {
	switch name {
	case "secruleengine":
		return func(a string, _ []string) (err error) {
			s.RuleEngine, err = parseMode(a, false)
			return err
		}, true
	case "secauditengine":
		return func(a string, _ []string) (err error) {
			s.AuditEngine, err = parseMode(a, true)
			return err
		}, true
	case "secconnengine":
		return func(a string, _ []string) (err error) {
			s.ConnEngine, err = parseMode(a, false)
			return err
		}, true
	case "secinterceptonerror":
		return boolTo(&s.InterceptOnErr), true
	case "secstatusengine":
		return boolTo(&s.StatusEngine), true
	case "seccontentinjection":
		return boolTo(&s.ContentInjection), true
	case "secdisablebackendcompression":
		return boolTo(&s.DisableBackendCompression), true
	case "secstreaminbodyinspection":
		return boolTo(&s.StreamInBody), true
	case "secstreamoutbodyinspection":
		return boolTo(&s.StreamOutBody), true
	case "secruleperftime":
		return func(a string, _ []string) error {
			n, err := strconv.ParseInt(strings.TrimSpace(a), 10, 32)
			if err != nil || n <= 0 {
				return fmt.Errorf("found %q, expected a number of microseconds, at least 1", a)
			}
			s.RulePerfTime = n
			return nil
		}, true
	case "secpcrematchlimit":
		return intTo(&s.PcreMatchLimit), true
	case "secpcrematchlimitrecursion":
		return intTo(&s.PcreMatchLimitRecursion), true
	case "secdebugloglevel":
		return func(a string, _ []string) (err error) {
			s.DebugLogLevel, err = validDebugLevel(a)
			return err
		}, true
	case "secdebuglog":
		return textTo(&s.DebugLog), true
	}
	return nil, false
}

func (s *Settings) auditSetter(name string) (setFunc, bool) {
	switch name {
	case "secauditlog":
		return textTo(&s.AuditLog), true
	case "secauditlog2":
		return textTo(&s.AuditLog2), true
	case "secguardianlog":
		return s.setGuardian, true
	case "secauditlogtype":
		return oneOf(&s.AuditLogType, "Serial", "Concurrent", "HTTPS", "Parallel"), true
	case "secauditlogformat":
		return oneOf(&s.AuditLogFormat, "Native", "JSON"), true
	case "secauditlogparts":
		return func(a string, _ []string) error {
			p, err := auditParts(a)
			s.AuditLogParts = p
			return err
		}, true
	case "secauditlogstoragedir":
		return textTo(&s.AuditLogStorageDir), true
	case "secauditlogdirmode":
		return modeTo(&s.AuditLogDirMode), true
	case "secauditlogfilemode":
		return modeTo(&s.AuditLogFileMode), true
	case "secauditlogrelevantstatus":
		return func(a string, _ []string) error {
			re, err := relevantStatus(a)
			if err != nil {
				return err
			}
			s.AuditLogRelevantStatus = re
			return nil
		}, true
	}
	return nil, false
}

// relevantStatus compiles the pattern of SecAuditLogRelevantStatus; `^(?:5|4(?!04))` of the recommended
// configuration needs a look-ahead, which is spelled out over the statuses that exist.
func relevantStatus(p string) (*regexp.Regexp, error) {
	if re, err := regexp.Compile(p); err == nil {
		return re, nil
	}
	m, err := compileSelectorPattern(p)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %v", p, err)
	}
	var codes []string
	for c := 100; c < 600; c++ {
		if m(strconv.Itoa(c)) {
			codes = append(codes, strconv.Itoa(c))
		}
	}
	if len(codes) == 0 {
		return regexp.MustCompile(`^\b\B`), nil
	}
	return regexp.Compile("^(?:" + strings.Join(codes, "|") + ")$")
}

func (s *Settings) bodySetter(name string) (setFunc, bool) {
	switch name {
	case "secrequestbodyaccess":
		return boolTo(&s.RequestBodyAccess), true
	case "secrequestbodylimit":
		return int64To(&s.RequestBodyLimit), true
	case "secrequestbodynofileslimit":
		return int64To(&s.RequestBodyNoFilesLimit), true
	case "secrequestbodyinmemorylimit":
		return int64To(&s.RequestBodyInMemoryLimit), true
	case "secrequestbodylimitaction":
		return limitTo(&s.RequestBodyLimitAction), true
	case "secrequestbodyjsondepthlimit":
		return intTo(&s.RequestBodyJSONDepthLimit), true
	case "secresponsebodyaccess":
		return boolTo(&s.ResponseBodyAccess), true
	case "secresponsebodylimit":
		return int64To(&s.ResponseBodyLimit), true
	case "secresponsebodylimitaction":
		return limitTo(&s.ResponseBodyLimitAction), true
	case "secresponsebodymimetype":
		return func(_ string, all []string) error {
			if !s.mimeTypesSet() {
				s.ResponseBodyMimeTypes = nil // the first line replaces the default, later ones add to it
			}
			for _, a := range all {
				for _, t := range strings.Fields(a) {
					s.ResponseBodyMimeTypes = append(s.ResponseBodyMimeTypes, lower(t))
				}
			}
			return nil
		}, true
	case "secargumentseparator":
		return byteTo(&s.ArgumentSeparator), true
	case "secargumentslimit":
		return intTo(&s.ArgumentsLimit), true
	case "seccookieformat":
		return func(a string, _ []string) error {
			if a != "0" && a != "1" {
				return fmt.Errorf("found %q, expected 0 or 1", a)
			}
			s.CookieFormat = int(a[0] - '0')
			return nil
		}, true
	case "seccookiev0separator":
		return byteTo(&s.CookieV0Separator), true
	case "secparsexmlintoargs":
		return oneOf(&s.ParseXMLIntoArgs, "Off", "On", "OnlyArgs"), true
	case "secxmlexternalentity":
		return boolTo(&s.XMLExternalEntity), true
	}
	return nil, false
}

func (s *Settings) otherSetter(name string) (setFunc, bool) {
	switch name {
	case "secunicodecodepage":
		return intTo(&s.UnicodeCodePage), true
	case "secunicodemapfile", "secunicodemap":
		return func(a string, all []string) error {
			s.UnicodeMapFile = a
			if len(all) > 1 {
				n, err := strconv.Atoi(all[1])
				if err != nil {
					return fmt.Errorf("code page %q is not a number", all[1])
				}
				s.UnicodeCodePage = n
			}
			return nil
		}, true
	case "seccollectiontimeout":
		return func(a string, _ []string) error {
			n, err := strconv.ParseInt(strings.TrimSpace(a), 10, 32)
			if err != nil || n < 0 {
				return fmt.Errorf("found %q, expected a number of seconds", a)
			}
			s.CollectionTimeout = time.Duration(n) * time.Second
			return nil
		}, true
	case "secdatadir":
		return textTo(&s.DataDir), true
	case "sectmpdir":
		return textTo(&s.TmpDir), true
	case "secuploaddir":
		return textTo(&s.UploadDir), true
	case "secuploadfilelimit":
		return intTo(&s.UploadFileLimit), true
	case "secuploadfilemode":
		return modeTo(&s.UploadFileMode), true
	case "secuploadkeepfiles":
		return oneOf(&s.UploadKeepFiles, "Off", "On", "RelevantOnly"), true
	case "sectmpsaveuploadedfiles":
		return boolTo(&s.TmpSaveUploads), true
	case "secwebappid":
		return textTo(&s.WebAppID), true
	case "secsensorid":
		return textTo(&s.SensorID), true
	case "secserversignature":
		return textTo(&s.ServerSignature), true
	case "seccomponentsignature":
		return func(a string, _ []string) error {
			s.ComponentSignatures = append(s.ComponentSignatures, a)
			return nil
		}, true
	case "secremoterulesfailaction":
		return func(a string, _ []string) error {
			if strings.EqualFold(a, "warn") || strings.EqualFold(a, "abort") {
				return nil // what it says holds for the SecRemoteRules lines after it: fetchRemote
			}
			return fmt.Errorf("found %q, expected Abort or Warn", a)
		}, true
	case "secgeolookupdb":
		return textTo(&s.GeoLookupDB), true
	case "sechttpblkey":
		return textTo(&s.HTTPBlKey), true
	}
	return nil, false
}

func parseMode(a string, audit bool) (EngineMode, error) {
	switch lower(a) {
	case "on":
		return ModeOn, nil
	case "off":
		return ModeOff, nil
	case "detectiononly":
		if !audit {
			return ModeDetectionOnly, nil
		}
	case "relevantonly":
		if audit {
			return ModeRelevantOnly, nil
		}
	}
	if audit {
		return 0, fmt.Errorf("found %q, expected On, Off or RelevantOnly", a)
	}
	return 0, fmt.Errorf("found %q, expected On, Off or DetectionOnly", a)
}

func boolTo(p *bool) setFunc {
	return func(a string, _ []string) error {
		on, ok := parseBool(a)
		if !ok {
			return fmt.Errorf("found %q, expected On or Off", a)
		}
		*p = on
		return nil
	}
}

// parseBool reads what mod_security2's parse_boolean does.
func parseBool(s string) (on, ok bool) {
	switch {
	case strings.EqualFold(s, "on"), strings.EqualFold(s, "true"), s == "1":
		return true, true
	case strings.EqualFold(s, "off"), strings.EqualFold(s, "false"), s == "0":
		return false, true
	}
	return false, false
}

func intTo(p *int) setFunc {
	return func(a string, _ []string) error {
		n, err := strconv.ParseInt(strings.TrimSpace(a), 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("found %q, expected a number from 0 to 2147483647", a)
		}
		*p = int(n)
		return nil
	}
}

func int64To(p *int64) setFunc {
	return func(a string, _ []string) error {
		n, err := strconv.ParseInt(strings.TrimSpace(a), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("found %q, expected a number of bytes", a)
		}
		*p = n
		return nil
	}
}

func textTo(p *string) setFunc {
	return func(a string, _ []string) error {
		*p = a
		return nil
	}
}

func byteTo(p *byte) setFunc {
	return func(a string, _ []string) error {
		if len(a) != 1 {
			return fmt.Errorf("found %q, expected one character", a)
		}
		*p = a[0]
		return nil
	}
}

func oneOf(p *string, among ...string) setFunc {
	return func(a string, _ []string) error {
		for _, x := range among {
			if strings.EqualFold(x, a) {
				*p = x
				return nil
			}
		}
		return fmt.Errorf("found %q, expected %s", a, strings.Join(among, ", "))
	}
}

func limitTo(p *LimitAction) setFunc {
	return func(a string, _ []string) error {
		switch lower(a) {
		case "reject":
			*p = LimitReject
		case "processpartial":
			*p = LimitProcessPartial
		default:
			return fmt.Errorf("found %q, expected Reject or ProcessPartial", a)
		}
		return nil
	}
}

func modeTo(p *fs.FileMode) setFunc {
	return func(a string, _ []string) error {
		if strings.EqualFold(a, "default") {
			*p = 0
			return nil
		}
		n, err := strconv.ParseUint(a, 8, 12)
		if err != nil {
			return fmt.Errorf("found %q, expected octal permissions or default", a)
		}
		*p = fs.FileMode(n)
		return nil
	}
}

func auditParts(a string) (string, error) {
	a = strings.TrimSpace(a)
	for i := 0; i < len(a); i++ {
		if strings.IndexByte("ABCDEFGHIJKZ", a[i]) < 0 {
			return "", fmt.Errorf("part %q, expected letters of ABCDEFGHIJKZ", a[i:i+1])
		}
	}
	if !strings.HasPrefix(a, "A") {
		a = "A" + a
	}
	if !strings.HasSuffix(a, "Z") {
		a += "Z"
	}
	return a, nil
}

func (s *Settings) mimeTypesSet() bool {
	return s.Set("SecResponseBodyMimeType") || s.Set("SecResponseBodyMimeTypesClear")
}
