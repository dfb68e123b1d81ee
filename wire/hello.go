package wire

import (
	"encoding/binary"
	"errors"
)

// The errors of ParseHello and JA4.
var (
	// ErrHelloShort means that the bytes end inside the ClientHello: more may complete it.
	ErrHelloShort = errors.New("client hello is incomplete")
	// ErrNotHello means that the bytes are not a TLS ClientHello, or a malformed one.
	ErrNotHello = errors.New("not a client hello")
)

// maxHello bounds a ClientHello over all its records, as crypto/tls does.
const maxHello = 64 << 10

// Hello is what a TLS ClientHello shows. Values are in the order sent, GREASE
// (RFC 8701) included, so that a caller may fingerprint in its own way.
type Hello struct {
	SNI                 string // host name as sent, "" when none
	ALPN                []string
	LegacyVersion       uint16   // of the hello itself
	Versions            []uint16 // of supported_versions, nil when absent
	Ciphers             []uint16
	Extensions          []uint16
	SignatureAlgorithms []uint16
	Groups              []uint16
	HasSNI              bool // the extension is there, whatever it holds
}

// HighestVersion is the highest version offered, such as 0x0304 for TLS 1.3.
func (h *Hello) HighestVersion() uint16 {
	best := uint16(0)
	for _, v := range h.Versions {
		if !isGREASE(v) && v > best {
			best = v
		}
	}
	if best == 0 {
		best = h.LegacyVersion
	}
	return best
}

// VersionName names a TLS version as audit records do: "1.3", "1.2", "SSL3"; "" when unknown.
func VersionName(v uint16) string {
	switch v {
	case 0x0304:
		return "1.3"
	case 0x0303:
		return "1.2"
	case 0x0302:
		return "1.1"
	case 0x0301:
		return "1.0"
	case 0x0300:
		return "SSL3"
	case 0x0002:
		return "SSL2"
	}
	return ""
}

// ParseHello parses a ClientHello from the first TLS records of a connection;
// it may be spread over several records, and bytes after it are ignored. With
// an error the Hello holds what was readable before the fault.
func ParseHello(records []byte) (Hello, error) {
	msg, err := handshake(records)
	if err != nil && len(msg) == 0 {
		return Hello{}, err
	}
	var h Hello
	if perr := h.parse(msg); perr != nil && err == nil {
		return h, perr
	}
	return h, err
}

// handshake joins the payloads of the records and returns the body of the
// first handshake message; what there is of it with ErrHelloShort.
func handshake(b []byte) ([]byte, error) {
	var msg []byte
	need := -1
	for {
		if need < 0 && len(msg) >= 4 {
			if msg[0] != 1 {
				return nil, ErrNotHello
			}
			need = 4 + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
			if need > maxHello {
				return nil, ErrNotHello
			}
		}
		if need >= 0 && len(msg) >= need {
			return msg[4:need], nil
		}
		if len(b) > 0 && b[0] != 22 || len(b) > 1 && b[1] != 3 {
			return nil, ErrNotHello
		}
		if len(b) <= 5 {
			break
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n == 0 || n > 1<<14+2048 {
			return nil, ErrNotHello
		}
		b = b[5:]
		n = min(n, len(b))
		msg = append(msg, b[:n]...)
		b = b[n:]
	}
	if len(msg) > 0 && msg[0] != 1 {
		return nil, ErrNotHello
	}
	return msg[min(4, len(msg)):], ErrHelloShort
}

func (h *Hello) parse(msg []byte) error {
	c := cursor{b: msg}
	h.LegacyVersion = c.u16()
	c.take(32)     // random
	c.take(c.u8()) // session id
	suites := cursor{b: c.take(c.u16int())}
	for len(suites.b) >= 2 {
		h.Ciphers = append(h.Ciphers, suites.u16())
	}
	c.take(c.u8()) // compression methods
	if c.bad {
		return ErrNotHello
	}
	if len(c.b) == 0 {
		return nil // no extensions: an old client
	}
	exts := cursor{b: c.take(c.u16int())}
	bad := c.bad
	for len(exts.b) > 0 && !exts.bad {
		id := exts.u16()
		body := cursor{b: exts.take(exts.u16int())}
		if exts.bad {
			break
		}
		h.Extensions = append(h.Extensions, id)
		h.extension(id, &body)
	}
	if bad || exts.bad {
		return ErrNotHello
	}
	return nil
}

func (h *Hello) extension(id uint16, c *cursor) {
	switch id {
	case 0: // server_name
		h.HasSNI = true
		list := cursor{b: c.take(c.u16int())}
		for len(list.b) > 0 && !list.bad {
			kind := list.u8()
			name := list.take(list.u16int())
			if kind == 0 && h.SNI == "" {
				h.SNI = string(name)
			}
		}
	case 10: // supported_groups
		h.Groups = c.u16list(c.u16int())
	case 13: // signature_algorithms
		h.SignatureAlgorithms = c.u16list(c.u16int())
	case 16: // application_layer_protocol_negotiation
		list := cursor{b: c.take(c.u16int())}
		for len(list.b) > 0 && !list.bad {
			if p := list.take(list.u8()); !list.bad {
				h.ALPN = append(h.ALPN, string(p))
			}
		}
	case 43: // supported_versions
		h.Versions = c.u16list(c.u8())
	}
}

// cursor walks bytes; after the first read past the end it is bad and yields zeros.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || n > len(c.b) {
		c.bad = true
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u8() int {
	if p := c.take(1); p != nil {
		return int(p[0])
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u16int() int { return int(c.u16()) }

func (c *cursor) u16list(n int) []uint16 {
	list := cursor{b: c.take(n)}
	var out []uint16
	for len(list.b) >= 2 {
		out = append(out, list.u16())
	}
	return out
}

// isGREASE reports whether v is one of the 16 reserved values of RFC 8701.
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
