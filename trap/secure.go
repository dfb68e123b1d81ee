package trap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/wire"
)

// secure answers a ClientHello. It returns true when the handshake ended and
// requests can be read through it; else the hello has become a record.
func (c *conn) secure(ctx context.Context, x *exchange) bool {
	hello, parsed, err := c.readHello(x.br)
	c.helloBytes = hello
	c.hello = &audit.TLS{Version: wire.VersionName(parsed.HighestVersion()), Server: parsed.SNI, ALPN: parsed.ALPN}
	if err != nil {
		c.unread = true
		c.helloOnly(ctx, "not a whole ClientHello")
		return false
	}
	c.hello.JA4 = parsed.JA4()
	tc := tls.Server(&prefixed{Conn: c.nc, prefix: bytes.NewReader(hello)}, c.trap.tls)
	_ = c.nc.SetWriteDeadline(c.begun.Add(c.trap.limits.RequestTime))
	if err := tc.HandshakeContext(ctx); err != nil {
		c.unread = true
		c.helloOnly(ctx, "handshake: "+err.Error())
		return false
	}
	c.hello.Version = wire.VersionName(tc.ConnectionState().Version)
	c.rw = tc
	return true
}

// closeNotify ends a TLS connection as RFC 8446, section 6.1, asks; a client
// could else take the end of an answer for an attack.
func (c *conn) closeNotify() {
	if tc, ok := c.rw.(*tls.Conn); ok && c.cutReason() == cutNot {
		_ = c.nc.SetWriteDeadline(now().Add(grace))
		_ = tc.CloseWrite()
	}
}

// readHello reads the TLS records of one ClientHello.
func (c *conn) readHello(br *bufio.Reader) (raw []byte, hello wire.Hello, err error) {
	for {
		_, perr := br.Peek(1)
		if perr == nil {
			b, _ := br.Peek(br.Buffered())
			raw = append(raw, b...)
			_, _ = br.Discard(len(b))
		}
		if hello, err = wire.ParseHello(raw); !errors.Is(err, wire.ErrHelloShort) || perr != nil || len(raw) >= c.trap.limits.Raw {
			return raw, hello, err
		}
	}
}

// helloOnly records a TLS connection without a request.
func (c *conn) helloOnly(ctx context.Context, why string) {
	x := c.trap.take()
	defer c.trap.release(x)
	x.begin(c, c.host, c.begun)
	defer x.done()
	x.rec.Kind = audit.KindTLS
	x.rec.RequestHead = c.helloBytes
	c.helloBytes = nil
	x.note("tls", why)
	if why := c.cutReason(); why != cutNot {
		x.note("cut", why.String())
	}
	x.settle(ctx, true)
}

// prefixed is a connection of which some bytes have been read already.
type prefixed struct {
	net.Conn
	prefix *bytes.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if p.prefix.Len() > 0 {
		return p.prefix.Read(b)
	}
	return p.Conn.Read(b)
}

// tlsConfig accepts whatever a scanner may offer: a trap protects nothing by being strict.
func tlsConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	cfg := &tls.Config{
		MinVersion:     tls.VersionTLS10, //nolint:gosec // old clients are to be seen, not refused
		NextProtos:     []string{"h2", "http/1.1", "http/1.0"},
		GetCertificate: certificate,
		// Tickets would tie connections of one client together; a trap wants whole handshakes.
		SessionTicketsDisabled: true,
	}
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			cfg.CipherSuites = append(cfg.CipherSuites, s.ID)
		}
	}
	// A client that offers protocols of which we have none is still let in: its request is what we want.
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, p := range h.SupportedProtos {
			for _, ours := range cfg.NextProtos {
				if p == ours {
					return nil, nil //nolint:nilnil // crypto/tls: nil means the original config
				}
			}
		}
		open := cfg.Clone()
		open.NextProtos, open.GetConfigForClient = nil, nil
		return open, nil
	}
	return cfg
}

// selfSigned makes the certificate of a host whose owner never made a real one.
func selfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make trap key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make trap certificate: %w", err)
	}
	// As `openssl req -x509 -days 3650` in a distribution's install script leaves it.
	made := now().Add(-97 * 24 * time.Hour).Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost.localdomain"},
		DNSNames:     []string{"localhost.localdomain", "localhost"},
		NotBefore:    made, NotAfter: made.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make trap certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
