package seclang

import (
	"strconv"
	"strings"
)

// scalar returns the value of a variable that has no names; false when it is absent.
func (tx *Transaction) scalar(v varID) (string, bool) {
	q := &tx.request
	switch v {
	case vRemoteAddr, vUseragentIP, vRemoteHost:
		if v == vRemoteHost { // the address of what has connected, also where a proxy names a client: no names are looked up
			return tx.conn.Peer.Addr().Unmap().WithZone("").String(), tx.conn.Peer.IsValid()
		}
		return tx.client(), tx.conn.Client.IsValid()
	case vRemotePort:
		if p := tx.conn.Client.Port(); p != 0 || !tx.conn.Peer.IsValid() {
			return formatInt(int64(p)), true
		}
		return formatInt(int64(tx.conn.Peer.Port())), true // a proxy names the address only
	case vServerAddr:
		return tx.conn.Server.Addr().Unmap().WithZone("").String(), tx.conn.Server.IsValid()
	case vServerPort:
		return formatInt(int64(tx.conn.Server.Port())), true
	case vServerName:
		return tx.serverName(), true
	case vRequestLine:
		return q.line, true
	case vRequestMethod:
		return q.method, true
	case vRequestProtocol:
		return q.proto, true
	case vRequestURI:
		return q.uri, true
	case vRequestURIRaw:
		return q.uriRaw, true
	case vRequestFilename:
		return q.filename, true
	case vRequestBasename:
		return basename(q.filename), true
	case vQueryString:
		return q.query, q.hasQuery
	case vRemoteUser:
		u := tx.remoteUser()
		return u, u != ""
	case vAuthType:
		a := tx.authType()
		return a, a != ""
	case vUniqueID:
		return tx.id, true
	case vModsecBuild:
		return "030014000", true // two digits each of major, minor, patch: what rules need of 2.9 and of 3 is here
	case vPathInfo, vScriptFilename, vScriptBasename, vScriptGID, vScriptGroupname, vScriptMode, vScriptUID, vScriptUsername:
		return tx.documentScalar(v)
	}
	return tx.movingScalar(v)
}

func (tx *Transaction) serverName() string {
	host := authority(tx.request.uriRaw) // of an absolute target, which goes before Host (RFC 9112 3.2.2)
	if host == "" {
		host = tx.request.header("Host")
	}
	if host == "" {
		return tx.conn.ServerName
	}
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return host
}

// percentDecode undoes %XX and nothing else.
func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// basename is what follows the last slash (or backslash) of a path.
func basename(p string) string {
	return p[strings.LastIndexAny(p, `/\`)+1:]
}

func (tx *Transaction) movingScalar(v varID) (string, bool) {
	switch v {
	case vMatchedVar:
		return tx.matched.last.val, tx.matched.any
	case vMatchedVarName:
		return tx.matched.last.name(), tx.matched.any
	case vHighestSeverity:
		return formatInt(int64(tx.severity)), true
	case vWebappID:
		return tx.webAppID, true
	case vUserID:
		return tx.userID, tx.userID != ""
	case vSessionID:
		return tx.sessionID, tx.sessionID != ""
	case vPcreLimitsExceeded, vPcreError:
		return flag(tx.patterns.limit), true
	case vSdbmDeleteError:
		return "0", true
	case vOutboundDataError:
		return flag(tx.response.partial || tx.decodedTooLarge()), true
	case vArgsCombinedSize:
		return formatInt(int64(tx.argsSize())), true
	case vResponseStatus:
		return formatInt(int64(tx.response.status)), tx.response.status != 0
	case vResponseProtocol:
		return tx.response.proto, tx.response.proto != ""
	case vStatusLine:
		if tx.response.status == 0 {
			return "", false
		}
		return tx.response.proto + " " + strconv.Itoa(tx.response.status), true
	case vResponseContentType:
		return tx.response.header("Content-Type"), true
	case vResponseContentLength:
		if tx.phase < 4 {
			return tx.response.header("Content-Length"), true
		}
		return formatInt(int64(len(tx.response.body))), true
	case vResponseBody, vStreamOutputBody:
		return tx.responseText(v)
	}
	if s, ok := tx.bodyScalar(v); ok {
		return s, true
	}
	return tx.clockScalar(v)
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func (tx *Transaction) argsSize() int {
	n := 0
	for _, l := range [][]field{tx.request.argsGet, tx.request.args} {
		for i := range l {
			n += len(l[i].name) + len(l[i].value)
		}
	}
	return n
}

// clockScalar are TIME_*, DURATION and PERF_*.
func (tx *Transaction) clockScalar(v varID) (string, bool) {
	t := tx.began
	switch v {
	case vDuration:
		return strconv.FormatInt(max(tx.e.now().Sub(tx.began).Microseconds(), 0), 10), true // as version 2.9 does; version 3 counts in seconds
	case vTime:
		return t.Format("15:04:05"), true
	case vTimeDay:
		return formatInt(int64(t.Day())), true
	case vTimeEpoch:
		return strconv.FormatInt(t.Unix(), 10), true
	case vTimeHour:
		return formatInt(int64(t.Hour())), true
	case vTimeMin:
		return formatInt(int64(t.Minute())), true
	case vTimeMon:
		return formatInt(int64(t.Month()) - 1), true // 0 to 11, as in C
	case vTimeSec:
		return formatInt(int64(t.Second())), true
	case vTimeWday:
		return formatInt(int64(t.Weekday())), true
	case vTimeYear:
		return strconv.Itoa(t.Year()), true
	case vPerfAll, vPerfCombined, vPerfGC, vPerfLogging, vPerfPhase1, vPerfPhase2, vPerfPhase3, vPerfPhase4, vPerfPhase5,
		vPerfSread, vPerfSwrite:
		return tx.watch.perf(v), true
	}
	return "", false
}
