package config

// unused is a directive of common Apache files that has no bearing here.
type unused struct {
	name   string
	reason string
	warn   bool // once per name
	refuse bool // leaving it out would change what the site does: an error
}

// unusedDirectives is the literal list, by reason.
func unusedDirectives() []unused {
	var out []unused
	add := func(reason string, warn, refuse bool, names ...string) {
		for _, n := range names {
			out = append(out, unused{n, reason, warn, refuse})
		}
	}
	const silent, warns, accepted, refused = false, true, false, true
	add("modules are not loaded here", silent, accepted, "LoadModule", "LoadFile")
	add("one process with goroutines serves everything", silent, accepted,
		"StartServers", "MinSpareServers", "MaxSpareServers", "MinSpareThreads", "MaxSpareThreads", "ThreadLimit", "ThreadsPerChild", "ThreadStackSize",
		"ServerLimit", "MaxRequestWorkers", "MaxClients", "MaxConnectionsPerChild", "MaxRequestsPerChild", "AsyncRequestWorkerFactor", "MaxMemFree",
		"GracefulShutdownTimeout", "ListenBacklog", "ListenCoresBucketsRatio", "AcceptFilter", "AcceptMutex", "Mutex", "LockFile", "ScoreBoardFile",
		"CoreDumpDirectory", "EnableMMAP", "EnableSendfile", "SendBufferSize", "ReceiveBufferSize", "ReadBufferSize", "FlushMaxThreshold", "FlushMaxPipelined",
		"EnableExceptionHook", "SSLSessionCache", "SSLSessionCacheTimeout", "SSLRandomSeed", "SSLMutex", "SSLPassPhraseDialog", "SSLStaplingCache")
	add("start it as the user it shall run as (systemd: User=)", silent, accepted, "User", "Group", "SuexecUserGroup", "ChrootDir", "Suexec")
	add("the service manager knows the process", silent, accepted, "PidFile", "DefaultRuntimeDir")
	add("names of clients are not looked up", silent, accepted, "HostnameLookups", "IdentityCheck", "IdentityCheckTimeout", "DNSTimeout")
	add("the answer names the server as SecServerSignature says", silent, accepted, "ServerTokens", "ServerSignature")
	add("TRACE is always refused", silent, accepted, "TraceEnable")
	add("links are built from the request", silent, accepted, "UseCanonicalName", "UseCanonicalPhysicalPort")
	add("virtual hosts are always chosen by name as well", silent, accepted, "NameVirtualHost", "SSLStrictSNIVHostCheck")
	add("HTTP/1.1 and HTTP/2 are always offered", silent, accepted,
		"Protocols", "ProtocolsHonorOrder", "H2Direct", "H2MaxSessionStreams", "H2ModernTLSOnly", "H2Push", "H2PushResource", "H2PushPriority", "H2Upgrade",
		"H2WindowSize", "H2StreamMaxMemSize", "H2MinWorkers", "H2MaxWorkers", "H2SerializeHeaders", "H2EarlyHints", "H2CopyFiles", "H2TLSCoolDownSecs",
		"H2TLSWarmUpSize", "H2Padding", "H2OutputBuffering", "H2ProxyRequests", "H2WebSockets", "H2StreamTimeout")
	add("crypto/tls chooses ciphers and curves", silent, accepted, "SSLCipherSuite", "SSLHonorCipherOrder", "SSLOpenSSLConfCmd", "SSLCompression",
		"SSLSessionTickets", "SSLUseStapling", "SSLStaplingResponderTimeout", "SSLStaplingReturnResponderErrors", "SSLStaplingStandardCacheTimeout",
		"SSLInsecureRenegotiation", "SSLOptions", "SSLCryptoDevice", "SSLFIPS", "SSLProxyEngine", "SSLProxyProtocol", "SSLProxyCipherSuite",
		"SSLProxyCheckPeerCN", "SSLProxyCheckPeerName", "SSLProxyCheckPeerExpire", "SSLProxyCACertificatePath")
	add("types come from a built-in table and AddType", silent, accepted, "TypesConfig", "DefaultType", "MimeMagicFile", "MIMEMagicFile", "AddCharset",
		"AddLanguage", "DefaultLanguage", "LanguagePriority", "ForceLanguagePriority", "AddEncoding", "RemoveType", "RemoveEncoding", "RemoveHandler", "ModMimeUsePathInfo", "MultiviewsMatch")
	add("folders are listed without icons", silent, accepted, "IndexOptions", "AddIcon", "AddIconByType", "AddIconByEncoding", "DefaultIcon", "AddDescription",
		"AddAlt", "AddAltByType", "AddAltByEncoding", "HeaderName", "ReadmeName", "IndexIgnore", "IndexIgnoreReset", "IndexOrderDefault", "IndexStyleSheet", "IndexHeadInsert")
	add("answers are passed on as they are", silent, accepted, "AddOutputFilter", "AddOutputFilterByType", "SetOutputFilter", "SetInputFilter", "AddInputFilter",
		"FilterDeclare", "FilterProvider", "FilterChain", "FilterProtocol", "DeflateCompressionLevel", "DeflateFilterNote", "DeflateBufferSize", "DeflateMemLevel", "DeflateWindowSize",
		"BrotliCompressionQuality", "XBitHack", "SSIEndTag", "SSIStartTag")
	add("Last-Modified and ETag are always sent", silent, accepted, "FileETag", "ContentDigest")
	add("nothing reads .htaccess files", silent, accepted, "AccessFileName")
	add("paths that do not exist are not found", silent, accepted, "AcceptPathInfo", "DirectorySlash", "DirectoryCheckHandler", "DirectoryIndexRedirect")
	add("the pool of connections to upstreams tunes itself", silent, accepted, "ProxyVia", "ProxyIOBufferSize", "ProxyReceiveBufferSize", "ProxyMaxForwards", "ProxyBadHeader",
		"ProxyAddHeaders", "ProxyPassInherit", "ProxyPassInterpolateEnv", "ProxyStatus", "ProxySet", "ProxyWebsocketFallbackToProxyHttp", "ProxyDomain", "ProxyBlock", "ProxyRemote", "NoProxy")
	add("request heads are always judged by the strict rules of RFC 9112 and recorded when refused", silent, accepted,
		"HttpProtocolOptions", "AllowEncodedSlashes", "MergeSlashes", "LimitInternalRecursion", "LimitXMLRequestBody", "RegisterHttpMethod", "UnsafeAllow3F", "MergeTrailers", "QualifyRedirectURL", "StrictHostCheck")
	add("slow clients are cut by Timeout and by the limit on request heads", silent, accepted, "RequestReadTimeout")
	add("there is no status page", silent, accepted, "ExtendedStatus", "SeeRequestTail", "ModStatus")
	add("nothing is cached here", silent, accepted, "CacheRoot", "CacheEnable", "CacheDisable", "CacheDirLevels", "CacheDirLength", "CacheQuickHandler", "CacheLock", "CacheIgnoreHeaders")
	add("unique ids are always made", silent, accepted, "UniqueIDFormat")
	add("error lines have one form", silent, accepted, "ErrorLogFormat", "GlobalLog", "BufferedLogs", "CookieTracking", "ForensicLog", "LogIOTrackTTFB", "DumpIOInput", "DumpIOOutput")
	add("mod_security of version 3 is switched by SecRuleEngine", warns, accepted, "modsecurity")
	add("certificates of clients are not asked for", warns, accepted, "SSLCACertificateFile", "SSLCACertificatePath", "SSLCADNRequestFile", "SSLCARevocationFile", "SSLCARevocationPath", "SSLCARevocationCheck",
		"SSLVerifyDepth", "SSLUserName", "SSLProxyCACertificateFile", "SSLProxyMachineCertificateFile")
	add("expiry dates are not added; use Header set Cache-Control", warns, accepted, "ExpiresActive", "ExpiresByType", "ExpiresDefault")
	add("no handler of Apache's runs here; an application goes behind ProxyPass", warns, accepted, "AddHandler", "SetHandler", "Action", "ScriptSock", "ScriptLog",
		"php_value", "php_flag", "php_admin_value", "php_admin_flag", "PHPIniDir", "WSGIDaemonProcess", "WSGIProcessGroup", "PassengerRoot", "PassengerRuby", "PassengerEnabled", "CGIMapExtension", "CGIPassAuth")
	add("links inside pages are not rewritten", warns, accepted, "ProxyHTMLLinks", "ProxyHTMLEvents", "ProxyHTMLEnable", "ProxyHTMLURLMap", "ProxyHTMLMeta",
		"ProxyHTMLExtended", "ProxyHTMLInterp", "ProxyHTMLDocType", "ProxyHTMLFixups", "ProxyHTMLBufSize", "ProxyHTMLCharsetOut", "ProxyHTMLStripComments")
	add("upstreams speak HTTP", silent, accepted, "ProxyFtpDirCharset", "ProxyFtpEscapeWildcards", "ProxyFtpListOnWildcard", "ProxyExpressDBMType")
	add("files cannot be written through the site", silent, accepted, "DAVLockDB", "DAVMinTimeout", "DAVDepthInfinity")
	add("files cannot be written through the site; put a WebDAV server behind ProxyPass", silent, refused, "DAV")
	add("user folders are not served", warns, accepted, "UserDir")
	add("only proxies named in RemoteIPInternalProxy and RemoteIPTrustedProxy are asked for a PROXY header", silent, refused, "RemoteIPProxyProtocolExceptions")
	add("programs are not run here; put the application behind ProxyPass", silent, refused, "ScriptAlias", "ScriptAliasMatch", "WSGIScriptAlias", "FcgidWrapper")
	add("rewriting is not offered; use Redirect, RedirectMatch, Alias or ProxyPassMatch, or keep it inside <IfModule mod_rewrite.c>", silent, refused,
		"RewriteEngine", "RewriteRule", "RewriteCond", "RewriteBase", "RewriteMap", "RewriteOptions", "FallbackResource")
	add("passwords are not checked here; leave that to the application behind ProxyPass", silent, refused, "AuthType", "AuthName", "AuthUserFile", "AuthGroupFile",
		"AuthBasicProvider", "AuthDigestProvider", "AuthLDAPURL", "AuthMerging")
	add("certificates of clients are not asked for", silent, refused, "SSLVerifyClient", "SSLRequire", "SSLRequireSSL")
	add("name one upstream in ProxyPass", silent, refused, "BalancerMember", "BalancerGrowth")
	return out
}
