package seclang

import (
	"slices"
	"strings"
)

// directiveNames are all Sec* directives of mod_security2 2.9 and libmodsecurity 3.
var directiveNames = []string{
	"SecAction", "SecArgumentSeparator", "SecArgumentsLimit", "SecAuditEngine", "SecAuditLog", "SecAuditLog2",
	"SecAuditLogDirMode", "SecAuditLogFileMode", "SecAuditLogFormat", "SecAuditLogParts", "SecAuditLogPrefix",
	"SecAuditLogRelevantStatus", "SecAuditLogStorageDir", "SecAuditLogType", "SecCacheTransformations", "SecChrootDir",
	"SecCollectionTimeout", "SecComponentSignature", "SecCollectionGCFrequency", "SecConnEngine", "SecConnReadStateLimit", "SecConnWriteStateLimit", "SecContentInjection",
	"SecCookieFormat", "SecCookieV0Separator", "SecDataDir", "SecDebugLog", "SecDebugLogLevel", "SecDefaultAction",
	"SecDisableBackendCompression", "SecGeoLookupDb", "SecGsbLookupDb", "SecGuardianLog", "SecHashEngine", "SecHashKey",
	"SecHashParam", "SecHashMethodRx", "SecHashMethodPm", "SecHttpBlKey", "SecInterceptOnError", "SecMarker",
	"SecParseXmlIntoArgs", "SecPcreMatchLimit", "SecPcreMatchLimitRecursion", "SecReadStateLimit", "SecRemoteRules",
	"SecRemoteRulesFailAction", "SecRequestBodyAccess", "SecRequestBodyInMemoryLimit", "SecRequestBodyJsonDepthLimit",
	"SecRequestBodyLimit", "SecRequestBodyLimitAction", "SecRequestBodyNoFilesLimit", "SecResponseBodyAccess",
	"SecResponseBodyLimit", "SecResponseBodyLimitAction", "SecResponseBodyMimeType", "SecResponseBodyMimeTypesClear",
	"SecRule", "SecRuleEngine", "SecRuleInheritance", "SecRulePerfTime", "SecRuleRemoveById", "SecRuleRemoveByMsg",
	"SecRuleRemoveByTag", "SecRuleScript", "SecRuleUpdateActionById", "SecRuleUpdateTargetById",
	"SecRuleUpdateTargetByMsg", "SecRuleUpdateTargetByTag", "SecSensorId", "SecServerSignature", "SecStatusEngine",
	"SecStreamInBodyInspection", "SecStreamOutBodyInspection", "SecTmpDir", "SecTmpSaveUploadedFiles",
	"SecUnicodeCodePage", "SecUnicodeMap", "SecUnicodeMapFile", "SecUploadDir", "SecUploadFileLimit",
	"SecUploadFileMode", "SecUploadKeepFiles", "SecWebAppId", "SecWriteStateLimit", "SecXmlExternalEntity",
	"SecRequestEncoding", "SecRxPreFilter",
}

// DirectiveNames returns the names of all Sec* directives that Compile knows.
func DirectiveNames() []string { return slices.Clone(directiveNames) }

// IsDirective says whether name is a Sec* directive that Compile knows; case does not matter.
func IsDirective(name string) bool {
	for _, d := range directiveNames {
		if strings.EqualFold(d, name) {
			return true
		}
	}
	return false
}
