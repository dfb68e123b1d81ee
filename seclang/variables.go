package seclang

import "strings"

// varID is a variable of the rule language.
type varID uint8

// The variables. A new one also needs a line in variableTable and a case in one of the variables_*.go files.
const (
	vNone varID = iota
	vArgs
	vArgsCombinedSize
	vArgsGet
	vArgsGetNames
	vArgsNames
	vArgsPost
	vArgsPostNames
	vAuthType
	vDuration
	vEnv
	vFiles
	vFilesCombinedSize
	vFilesNames
	vFilesSizes
	vFilesTmpNames
	vFilesTmpContent
	vFullRequest
	vFullRequestLength
	vGeo
	vGlobal
	vHighestSeverity
	vInboundDataError
	vIP
	vMatchedVar
	vMatchedVarName
	vMatchedVars
	vMatchedVarsNames
	vModsecBuild
	vPcreError
	vPcreLimitsExceeded
	vMultipartBoundaryQuoted
	vMultipartBoundaryWhitespace
	vMultipartCrlfLfLines
	vMultipartDataAfter
	vMultipartDataBefore
	vMultipartFileLimitExceeded
	vMultipartFilename
	vMultipartHeaderFolding
	vMultipartInvalidHeaderFolding
	vMultipartInvalidPart
	vMultipartInvalidQuoting
	vMultipartLfLine
	vMultipartMissingSemicolon
	vMultipartName
	vMultipartPartHeaders
	vMultipartStrictError
	vMultipartUnmatchedBoundary
	vOutboundDataError
	vPathInfo
	vPerfAll
	vPerfCombined
	vPerfGC
	vPerfLogging
	vPerfPhase1
	vPerfPhase2
	vPerfPhase3
	vPerfPhase4
	vPerfPhase5
	vPerfRules
	vPerfSread
	vPerfSwrite
	vQueryString
	vRemoteAddr
	vRemoteHost
	vRemotePort
	vRemoteUser
	vReqbodyError
	vReqbodyErrorMsg
	vReqbodyProcessorError
	vReqbodyProcessorErrorMsg
	vReqbodyProcessor
	vRequestBasename
	vRequestBody
	vRequestBodyLength
	vRequestCookies
	vRequestCookiesNames
	vRequestFilename
	vRequestHeaders
	vRequestHeadersNames
	vRequestLine
	vRequestMethod
	vRequestProtocol
	vRequestURI
	vRequestURIRaw
	vResource
	vResponseBody
	vResponseContentLength
	vResponseContentType
	vResponseHeaders
	vResponseHeadersNames
	vResponseProtocol
	vResponseStatus
	vRule
	vScriptBasename
	vScriptFilename
	vScriptGID
	vScriptGroupname
	vScriptMode
	vScriptUID
	vScriptUsername
	vSdbmDeleteError
	vServerAddr
	vServerName
	vServerPort
	vSession
	vSessionID
	vStatusLine
	vStreamInputBody
	vStreamOutputBody
	vTime
	vTimeDay
	vTimeEpoch
	vTimeHour
	vTimeMin
	vTimeMon
	vTimeSec
	vTimeWday
	vTimeYear
	vTX
	vUniqueID
	vUrlencodedError
	vUser
	vUseragentIP
	vUserID
	vWebappID
	vWebserverErrorLog
	vXML
	vCount // how many there are
)

// varKind says how a variable is read.
type varKind uint8

const (
	kindScalar  varKind = iota // one value that does not change once it is known
	kindMoving                 // one value that rules or the clock change
	kindMap                    // names and values that the request or the response brought
	kindRuleMap                // names and values that rules change
)

type variable struct {
	name string
	id   varID
	kind varKind
}

// variableTable maps every accepted name to its variable; the first name of an id is the one that is printed.
var variableTable = []variable{
	{"ARGS", vArgs, kindMap},
	{"ARGS_COMBINED_SIZE", vArgsCombinedSize, kindMoving},
	{"ARGS_GET", vArgsGet, kindMap},
	{"ARGS_GET_NAMES", vArgsGetNames, kindMap},
	{"ARGS_NAMES", vArgsNames, kindMap},
	{"ARGS_POST", vArgsPost, kindMap},
	{"ARGS_POST_NAMES", vArgsPostNames, kindMap},
	{"AUTH_TYPE", vAuthType, kindScalar},
	{"DURATION", vDuration, kindMoving},
	{"ENV", vEnv, kindRuleMap},
	{"FILES", vFiles, kindMap},
	{"FILES_COMBINED_SIZE", vFilesCombinedSize, kindMoving},
	{"FILES_NAMES", vFilesNames, kindMap},
	{"FILES_SIZES", vFilesSizes, kindMap},
	{"FILES_TMPNAMES", vFilesTmpNames, kindMap},
	{"FILES_TMP_CONTENT", vFilesTmpContent, kindMap},
	{"FULL_REQUEST", vFullRequest, kindMoving},
	{"FULL_REQUEST_LENGTH", vFullRequestLength, kindMoving},
	{"GEO", vGeo, kindRuleMap},
	{"GLOBAL", vGlobal, kindRuleMap},
	{"HIGHEST_SEVERITY", vHighestSeverity, kindMoving},
	{"INBOUND_DATA_ERROR", vInboundDataError, kindMoving},
	{"IP", vIP, kindRuleMap},
	{"MATCHED_VAR", vMatchedVar, kindMoving},
	{"MATCHED_VAR_NAME", vMatchedVarName, kindMoving},
	{"MATCHED_VARS", vMatchedVars, kindRuleMap},
	{"MATCHED_VARS_NAMES", vMatchedVarsNames, kindRuleMap},
	{"MODSEC_BUILD", vModsecBuild, kindScalar},
	{"MSC_PCRE_ERROR", vPcreError, kindMoving},
	{"MSC_PCRE_LIMITS_EXCEEDED", vPcreLimitsExceeded, kindMoving},
	{"MULTIPART_BOUNDARY_QUOTED", vMultipartBoundaryQuoted, kindMoving},
	{"MULTIPART_BOUNDARY_WHITESPACE", vMultipartBoundaryWhitespace, kindMoving},
	{"MULTIPART_CRLF_LF_LINES", vMultipartCrlfLfLines, kindMoving},
	{"MULTIPART_DATA_AFTER", vMultipartDataAfter, kindMoving},
	{"MULTIPART_DATA_BEFORE", vMultipartDataBefore, kindMoving},
	{"MULTIPART_FILE_LIMIT_EXCEEDED", vMultipartFileLimitExceeded, kindMoving},
	{"MULTIPART_FILENAME", vMultipartFilename, kindMap},
	{"MULTIPART_HEADER_FOLDING", vMultipartHeaderFolding, kindMoving},
	{"MULTIPART_INVALID_HEADER_FOLDING", vMultipartInvalidHeaderFolding, kindMoving},
	{"MULTIPART_INVALID_PART", vMultipartInvalidPart, kindMoving},
	{"MULTIPART_INVALID_QUOTING", vMultipartInvalidQuoting, kindMoving},
	{"MULTIPART_LF_LINE", vMultipartLfLine, kindMoving},
	{"MULTIPART_MISSING_SEMICOLON", vMultipartMissingSemicolon, kindMoving},
	{"MULTIPART_SEMICOLON_MISSING", vMultipartMissingSemicolon, kindMoving},
	{"MULTIPART_NAME", vMultipartName, kindMap},
	{"MULTIPART_PART_HEADERS", vMultipartPartHeaders, kindMap},
	{"MULTIPART_STRICT_ERROR", vMultipartStrictError, kindMoving},
	{"MULTIPART_UNMATCHED_BOUNDARY", vMultipartUnmatchedBoundary, kindMoving},
	{"OUTBOUND_DATA_ERROR", vOutboundDataError, kindMoving},
	{"PATH_INFO", vPathInfo, kindMoving},
	{"PERF_ALL", vPerfAll, kindMoving},
	{"PERF_COMBINED", vPerfCombined, kindMoving},
	{"PERF_GC", vPerfGC, kindMoving},
	{"PERF_LOGGING", vPerfLogging, kindMoving},
	{"PERF_PHASE1", vPerfPhase1, kindMoving},
	{"PERF_PHASE2", vPerfPhase2, kindMoving},
	{"PERF_PHASE3", vPerfPhase3, kindMoving},
	{"PERF_PHASE4", vPerfPhase4, kindMoving},
	{"PERF_PHASE5", vPerfPhase5, kindMoving},
	{"PERF_RULES", vPerfRules, kindRuleMap},
	{"PERF_SREAD", vPerfSread, kindMoving},
	{"PERF_SWRITE", vPerfSwrite, kindMoving},
	{"QUERY_STRING", vQueryString, kindScalar},
	{"REMOTE_ADDR", vRemoteAddr, kindScalar},
	{"REMOTE_HOST", vRemoteHost, kindScalar},
	{"REMOTE_PORT", vRemotePort, kindScalar},
	{"REMOTE_USER", vRemoteUser, kindScalar},
	{"REQBODY_ERROR", vReqbodyError, kindMoving},
	{"REQBODY_ERROR_MSG", vReqbodyErrorMsg, kindMoving},
	{"REQBODY_PROCESSOR_ERROR", vReqbodyProcessorError, kindMoving},
	{"REQBODY_PROCESSOR_ERROR_MSG", vReqbodyProcessorErrorMsg, kindMoving},
	{"REQBODY_PROCESSOR", vReqbodyProcessor, kindMoving},
	{"REQUEST_BASENAME", vRequestBasename, kindScalar},
	{"REQUEST_BODY", vRequestBody, kindMoving},
	{"REQUEST_BODY_LENGTH", vRequestBodyLength, kindMoving},
	{"REQUEST_COOKIES", vRequestCookies, kindMap},
	{"REQUEST_COOKIES_NAMES", vRequestCookiesNames, kindMap},
	{"REQUEST_FILENAME", vRequestFilename, kindScalar},
	{"REQUEST_HEADERS", vRequestHeaders, kindMap},
	{"REQUEST_HEADERS_NAMES", vRequestHeadersNames, kindMap},
	{"REQUEST_LINE", vRequestLine, kindScalar},
	{"REQUEST_METHOD", vRequestMethod, kindScalar},
	{"REQUEST_PROTOCOL", vRequestProtocol, kindScalar},
	{"REQUEST_URI", vRequestURI, kindScalar},
	{"REQUEST_URI_RAW", vRequestURIRaw, kindScalar},
	{"RESOURCE", vResource, kindRuleMap},
	{"RESPONSE_BODY", vResponseBody, kindMoving},
	{"RESPONSE_CONTENT_LENGTH", vResponseContentLength, kindMoving},
	{"RESPONSE_CONTENT_TYPE", vResponseContentType, kindMoving},
	{"RESPONSE_HEADERS", vResponseHeaders, kindMap},
	{"RESPONSE_HEADERS_NAMES", vResponseHeadersNames, kindMap},
	{"RESPONSE_PROTOCOL", vResponseProtocol, kindMoving},
	{"RESPONSE_STATUS", vResponseStatus, kindMoving},
	{"STATUS", vResponseStatus, kindMoving},
	{"RULE", vRule, kindRuleMap},
	{"SCRIPT_BASENAME", vScriptBasename, kindMoving},
	{"SCRIPT_FILENAME", vScriptFilename, kindMoving},
	{"SCRIPT_GID", vScriptGID, kindMoving},
	{"SCRIPT_GROUPNAME", vScriptGroupname, kindMoving},
	{"SCRIPT_MODE", vScriptMode, kindMoving},
	{"SCRIPT_UID", vScriptUID, kindMoving},
	{"SCRIPT_USERNAME", vScriptUsername, kindMoving},
	{"SDBM_DELETE_ERROR", vSdbmDeleteError, kindMoving},
	{"MSC_SDBM_DELETE_ERROR", vSdbmDeleteError, kindMoving},
	{"SERVER_ADDR", vServerAddr, kindScalar},
	{"SERVER_NAME", vServerName, kindScalar},
	{"SERVER_PORT", vServerPort, kindScalar},
	{"SESSION", vSession, kindRuleMap},
	{"SESSIONID", vSessionID, kindMoving},
	{"STATUS_LINE", vStatusLine, kindMoving},
	{"STREAM_INPUT_BODY", vStreamInputBody, kindMoving},
	{"STREAM_OUTPUT_BODY", vStreamOutputBody, kindMoving},
	{"TIME", vTime, kindMoving},
	{"TIME_DAY", vTimeDay, kindMoving},
	{"TIME_EPOCH", vTimeEpoch, kindMoving},
	{"TIME_HOUR", vTimeHour, kindMoving},
	{"TIME_MIN", vTimeMin, kindMoving},
	{"TIME_MON", vTimeMon, kindMoving},
	{"TIME_SEC", vTimeSec, kindMoving},
	{"TIME_WDAY", vTimeWday, kindMoving},
	{"TIME_YEAR", vTimeYear, kindMoving},
	{"TX", vTX, kindRuleMap},
	{"UNIQUE_ID", vUniqueID, kindScalar},
	{"URLENCODED_ERROR", vUrlencodedError, kindMoving},
	{"USER", vUser, kindRuleMap},
	{"USERAGENT_IP", vUseragentIP, kindScalar},
	{"USERID", vUserID, kindMoving},
	{"WEBAPPID", vWebappID, kindMoving},
	{"WEBSERVER_ERROR_LOG", vWebserverErrorLog, kindRuleMap},
	{"XML", vXML, kindMap},
}

// variableAliases are further names that versions of ModSecurity accept.
var variableAliases = []variable{
	{"GEOIP", vGeo, kindRuleMap},
	{"MULTIPART_INVALID_QUOTE", vMultipartInvalidQuoting, kindMoving},
	{"REQUEST_BODY_PROCESSOR", vReqbodyProcessor, kindMoving},
	{"RESPONSE_HTTP_PROTOCOL", vResponseProtocol, kindMoving},
}

func lookupVariable(name string) (variable, bool) {
	for _, t := range [][]variable{variableTable, variableAliases} {
		for _, v := range t {
			if strings.EqualFold(v.name, name) {
				return v, true
			}
		}
	}
	return variable{}, false
}

// varNames are the printed names by id.
var varNames = func() (n [vCount]string) {
	for _, v := range variableTable {
		if n[v.id] == "" {
			n[v.id] = v.name
		}
	}
	return n
}()

// varKinds are the kinds by id.
var varKinds = func() (k [vCount]varKind) {
	for _, v := range variableTable {
		k[v.id] = v.kind
	}
	return k
}()

func (v varID) String() string { return varNames[v] }

// keyed says whether the variable has names and values rather than one value.
func (v varID) keyed() bool { return varKinds[v] == kindMap || varKinds[v] == kindRuleMap }

func variableNames() []string {
	out := make([]string, 0, len(variableTable))
	for _, v := range variableTable {
		out = append(out, v.name)
	}
	return out
}
