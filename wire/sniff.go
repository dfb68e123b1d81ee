package wire

import "bytes"

// signature is how a protocol's first message begins.
type signature struct{ prefix, protocol string }

func signatures() [21]signature {
	return [21]signature{
		{"PRI * HTTP/2.0", "h2"},
		{"SSH-", "ssh"},
		{"\x03\x00\x00", "rdp"},
		{"\x05\x01", "socks5"},
		{"\x05\x02", "socks5"},
		{"\x05\x03", "socks5"},
		{"\x04\x01", "socks4"},
		{"\x04\x02", "socks4"},
		{"\xffSMB", "smb"},
		{"\xfeSMB", "smb"},
		{"JRMI", "java-rmi"},
		{"GIOP", "giop"},
		{"AMQP", "amqp"},
		{"\r\n\r\n\x00\r\nQUIT\n", "proxy-v2"},
		{"*1\r\n", "redis"},
		{"*2\r\n", "redis"},
		{"*3\r\n", "redis"},
		{"t3 ", "t3"},
		{"t3s ", "t3"},
		{"stats\r\n", "memcached"},
		{"\x10", "mqtt"},
	}
}

// Sniff names the protocol that bytes without HTTP begin with: "tls", "ssh",
// "h2" (the preface of HTTP/2), "rdp", "smb", "socks4", "socks5" and a few
// more; "" when it knows none. More bytes may give a name where fewer gave none.
func Sniff(b []byte) string {
	if len(b) >= 2 && b[0] == 0x16 && b[1] == 3 {
		return "tls"
	}
	// SSL 2.0 hello, as old scanners send it: length with high bit, type 1, version.
	if len(b) >= 5 && b[0]&0x80 != 0 && b[2] == 1 && (b[3] == 0 && b[4] == 2 || b[3] == 3) {
		return "sslv2"
	}
	// NetBIOS session: type 0, three bytes of length, then SMB 1, 2 or encrypted.
	if len(b) >= 8 && b[0] == 0 && (bytes.Equal(b[5:8], []byte("SMB")) && (b[4] == 0xff || b[4] == 0xfe || b[4] == 0xfd)) {
		return "smb"
	}
	for _, s := range signatures() {
		if len(b) >= len(s.prefix) && string(b[:len(s.prefix)]) == s.prefix {
			return s.protocol
		}
	}
	return ""
}
