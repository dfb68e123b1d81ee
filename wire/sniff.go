package wire

import "bytes"

// Sniff names the protocol that bytes without HTTP begin with: "tls", "ssh",
// "h2" (the preface of HTTP/2), "rdp", "smb", "socks4", "socks5" and a few
// more; "" when it knows none. More bytes may give a name where fewer gave none.
func Sniff(b []byte) string {
	if len(b) < 1 {
		return ""
	}
	is := func(prefix string) bool { return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix }
	// Most requests are decided by this switch: no protocol here begins with G, H, O or D and a letter after it.
	switch b[0] {
	case 'P':
		if is("PRI * HTTP/2.0") {
			return "h2"
		}
	case 'S':
		if is("SSH-") {
			return "ssh"
		}
	case 't':
		if is("t3 ") || is("t3s ") {
			return "t3"
		}
	case 's':
		if is("stats\r\n") {
			return "memcached"
		}
	case '*':
		if is("*1\r\n") || is("*2\r\n") || is("*3\r\n") {
			return "redis"
		}
	case 'J', 'G', 'A':
		return sniffWord(b)
	}
	if b[0] < ' ' || b[0] >= 0x7f {
		return sniffBinary(b)
	}
	return ""
}

func sniffWord(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("JRMI")):
		return "java-rmi"
	case bytes.HasPrefix(b, []byte("GIOP")):
		return "giop"
	case bytes.HasPrefix(b, []byte("AMQP")):
		return "amqp"
	}
	return ""
}

func sniffBinary(b []byte) string {
	at := func(i int, s string) bool { return len(b) >= i+len(s) && string(b[i:i+len(s)]) == s }
	switch {
	case at(0, "\x16\x03"):
		return "tls"
	case at(0, "\x03\x00\x00"):
		return "rdp"
	case len(b) > 1 && b[0] == 5 && b[1] >= 1 && b[1] <= 3:
		return "socks5"
	case len(b) > 1 && b[0] == 4 && b[1] >= 1 && b[1] <= 2:
		return "socks4"
	case at(0, "\xffSMB"), at(0, "\xfeSMB"):
		return "smb"
	case at(0, "\r\n\r\n\x00\r\nQUIT\n"):
		return "proxy-v2"
	case b[0] == 0x10:
		return "mqtt"
	case b[0] == 0 && at(5, "SMB") && b[4] >= 0xfd: // NetBIOS session: type 0, three bytes of length
		return "smb"
	case b[0]&0x80 != 0 && len(b) >= 5 && b[2] == 1 && (b[3] == 0 && b[4] == 2 || b[3] == 3): // the hello of SSL 2.0
		return "sslv2"
	}
	return ""
}
