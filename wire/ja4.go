package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// JA4 returns the JA4 fingerprint (FoxIO, BSD-3-Clause part of the suite) of a
// client from the raw TLS records of its hello over TCP, and what else the
// hello shows. With an error the fingerprint is "" and the Hello holds what
// was readable.
func JA4(clientHello []byte) (ja4 string, info Hello, err error) {
	info, err = ParseHello(clientHello)
	if err != nil {
		return "", info, err
	}
	return info.JA4(), info, nil
}

// JA4 returns the fingerprint of the hello, for TLS over TCP.
func (h *Hello) JA4() string {
	ciphers := hexList(h.Ciphers, nil)
	count := 0
	for _, e := range h.Extensions {
		if !isGREASE(e) {
			count++
		}
	}
	// SNI and ALPN are in the first part already; they vary with the target, not with the client.
	extensions := hexList(h.Extensions, []uint16{0, 16})
	slices.Sort(ciphers)
	slices.Sort(extensions)
	sni := "i"
	if h.HasSNI {
		sni = "d"
	}
	text := strings.Join(extensions, ",")
	if algorithms := hexList(h.SignatureAlgorithms, nil); len(algorithms) > 0 {
		text += "_" + strings.Join(algorithms, ",")
	}
	if len(extensions) == 0 {
		text = ""
	}
	return fmt.Sprintf("t%s%s%02d%02d%s_%s_%s", ja4Version(h.HighestVersion()), sni, min(len(ciphers), 99), min(count, 99),
		ja4ALPN(h.ALPN), shortHash(strings.Join(ciphers, ",")), shortHash(text))
}

func hexList(values, without []uint16) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if !isGREASE(v) && !slices.Contains(without, v) {
			out = append(out, fmt.Sprintf("%04x", v))
		}
	}
	return out
}

func shortHash(text string) string {
	if text == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

func ja4Version(v uint16) string {
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

func ja4ALPN(protocols []string) string {
	if len(protocols) == 0 || protocols[0] == "" {
		return "00"
	}
	p := protocols[0]
	first, last := p[0], p[len(p)-1]
	if !isAlnum(first) || !isAlnum(last) {
		x := hex.EncodeToString([]byte(p))
		first, last = x[0], x[len(x)-1]
	}
	return string([]byte{first, last})
}

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
