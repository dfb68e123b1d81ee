package wire

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"testing"
)

// helloBytes builds a ClientHello in records of at most size bytes.
func helloBytes(legacy uint16, ciphers []uint16, exts []ext, size int) []byte {
	body := binary.BigEndian.AppendUint16(nil, legacy)
	body = append(body, make([]byte, 32)...)
	body = append(body, 0)
	body = binary.BigEndian.AppendUint16(body, uint16(2*len(ciphers)))
	for _, c := range ciphers {
		body = binary.BigEndian.AppendUint16(body, c)
	}
	body = append(body, 1, 0)
	var list []byte
	for _, e := range exts {
		list = binary.BigEndian.AppendUint16(list, e.id)
		list = binary.BigEndian.AppendUint16(list, uint16(len(e.body)))
		list = append(list, e.body...)
	}
	body = binary.BigEndian.AppendUint16(body, uint16(len(list)))
	body = append(body, list...)
	msg := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	var out []byte
	for len(msg) > 0 {
		n := min(size, len(msg))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out = append(out, msg[:n]...)
		msg = msg[n:]
	}
	return out
}

type ext struct {
	id   uint16
	body string
}

// The examples of FoxIO's JA4 specification (technical_details/JA4.md).
func TestJA4Published(t *testing.T) {
	chrome := []uint16{
		0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
	}
	algs := "\x00\x10\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05\x01\x08\x06\x06\x01"
	exts := []ext{
		{0x2a2a, ""},
		{0x001b, "\x02\x00\x02"},
		{0x0000, "\x00\x0e\x00\x00\x0bexample.org"},
		{0x0033, ""},
		{0x0010, "\x00\x0c\x02h2\x08http/1.1"},
		{0x4469, ""},
		{0x0017, ""},
		{0x002d, ""},
		{0x000d, algs},
		{0x0005, ""},
		{0x0023, ""},
		{0x0012, ""},
		{0x002b, "\x06\x6a\x6a\x03\x04\x03\x03"},
		{0xff01, ""},
		{0x000b, ""},
		{0x000a, "\x00\x02\x00\x1d"},
		{0x0015, ""},
		{0x1a1a, "\x00"},
	}
	for _, size := range []int{16384, 100, 7} {
		got, info, err := JA4(helloBytes(0x0303, chrome, exts, size))
		if err != nil || got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
			t.Errorf("records of %d: %q, %v", size, got, err)
		}
		if info.SNI != "example.org" || len(info.ALPN) != 2 || VersionName(info.HighestVersion()) != "1.3" {
			t.Errorf("%+v", info)
		}
	}
	// Without signature algorithms the third part has no underscore at its end;
	// the sum of the extension list alone is in the specification too.
	var plain []ext
	for _, e := range exts {
		if e.id != 0x000d {
			plain = append(plain, e)
		}
	}
	if got := (&Hello{Extensions: []uint16{0x0005, 0x000a, 0x000b, 0x000d, 0x0012, 0x0015, 0x0017, 0x001b, 0x0023, 0x002b, 0x002d, 0x0033, 0x4469, 0xff01}}).JA4(); got[len(got)-12:] != "6d807ffa2a79" {
		t.Errorf("no algorithms: %q", got)
	}
	if _, _, err := JA4(helloBytes(0x0303, chrome, plain, 500)); err != nil {
		t.Error(err)
	}
}

func TestJA4Edges(t *testing.T) {
	for _, tt := range []struct {
		alpn []string
		want string
	}{{nil, "00"}, {[]string{""}, "00"}, {[]string{"h2"}, "h2"}, {[]string{"http/1.1"}, "h1"}, {[]string{"x"}, "xx"}, {[]string{"\xab"}, "ab"}, {[]string{"\xab\xcd"}, "ad"}, {[]string{"0\xab"}, "3b"}, {[]string{"01\xab\xcd23"}, "03"}} {
		if got := ja4ALPN(tt.alpn); got != tt.want {
			t.Errorf("ALPN %q: %q, want %q", tt.alpn, got, tt.want)
		}
	}
	if got := (&Hello{LegacyVersion: 0x0301, Ciphers: []uint16{0x0a0a}}).JA4(); got != "t10i000000_000000000000_000000000000" {
		t.Errorf("empty: %q", got)
	}
}

func TestJA4OfGo(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: "trap.example", NextProtos: []string{"h2"}}).Handshake()
	}()
	buf := make([]byte, 4096)
	n, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	ja4, info, err := JA4(buf[:n])
	if err != nil || info.SNI != "trap.example" || ja4[:4] != "t13d" || ja4[8:10] != "h2" {
		t.Errorf("%q %+v %v", ja4, info, err)
	}
	for i := range n {
		if _, _, err := JA4(buf[:i]); !errors.Is(err, ErrHelloShort) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, _, err := JA4([]byte("GET / HTTP/1.0")); !errors.Is(err, ErrNotHello) {
		t.Error(err)
	}
}

func FuzzJA4(f *testing.F) {
	f.Add(helloBytes(0x0303, []uint16{0x1301}, []ext{{0, "\x00\x04\x00\x00\x01x"}, {16, "\x00\x03\x02h2"}, {13, "\x00\x02\x04\x03"}, {43, "\x02\x03\x04"}}, 20))
	f.Fuzz(func(t *testing.T, in []byte) {
		ja4, _, err := JA4(in)
		if err == nil && len(ja4) != 36 {
			t.Fatalf("%q", ja4)
		}
	})
}
