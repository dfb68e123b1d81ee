package touch

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func expectContinue(c *net.TCPConn) error {
	_, _ = io.WriteString(c, "POST /f HTTP/1.1\r\n"+host+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	b := make([]byte, 25)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 100 Continue\r\n\r\n" {
		return fmt.Errorf("interim answer %q, %w", b, err)
	}
	_, _ = io.WriteString(c, "hello")
	return forbidden(c)
}

// forbidden reads an answer of HTTP/1.
func forbidden(c io.Reader) error {
	got, err := io.ReadAll(c)
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 403 ")) {
		return fmt.Errorf("answer %.100q", got)
	}
	return err
}

// slowly sends a byte every 30 ms, until it is cut.
func slowly(text string) func(*net.TCPConn) error {
	return func(c *net.TCPConn) error {
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return nil // being cut is one of the answers
			}
			<-tick.C
		}
		return nil
	}
}

func clientTLS(version uint16, protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "trap.example", NextProtos: protocols, MinVersion: tls.VersionTLS10, MaxVersion: version}
}

// tlsHello sends a ClientHello and leaves.
func tlsHello(c *net.TCPConn) error {
	server, client := net.Pipe()
	go func() { _ = tls.Client(client, clientTLS(0, "h2", "http/1.1")).Handshake() }()
	b := make([]byte, 4096)
	n, err := server.Read(b)
	_ = server.Close()
	if err == nil {
		_, err = c.Write(b[:n])
	}
	if err != nil {
		return err
	}
	return c.Close()
}

func tlsOnly(c *net.TCPConn) error {
	tc := tls.Client(c, clientTLS(0))
	if err := tc.Handshake(); err != nil {
		return err
	}
	return tc.Close()
}

// tlsGet asks through TLS of at most that version; 0 is the newest.
func tlsGet(version uint16, protocols ...string) func(*net.TCPConn) error {
	return func(c *net.TCPConn) error {
		tc := tls.Client(c, clientTLS(version, protocols...))
		if _, err := io.WriteString(tc, "GET /t HTTP/1.1\r\n"+host+"Connection: close\r\n\r\n"); err != nil {
			return err
		}
		return forbidden(tc)
	}
}

func tlsH2(c *net.TCPConn) error {
	tc := tls.Client(c, clientTLS(0, "h2"))
	if err := tc.Handshake(); err != nil {
		return err
	}
	if p := tc.ConnectionState().NegotiatedProtocol; p != "h2" {
		return fmt.Errorf("ALPN gave %q", p)
	}
	return h2Ask(tc)
}

func h2Get(c *net.TCPConn) error { return h2Ask(c) }

func h2Ask(c net.Conn) error {
	fr, err := h2Send(c, true, "GET", "/h2")
	if err != nil {
		return err
	}
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return err
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			if got := h.PseudoValue("status"); got != "403" {
				return fmt.Errorf("status %q", got)
			}
			return nil
		}
	}
}

func h2Half(c *net.TCPConn) error {
	if _, err := h2Send(c, false, "POST", "/half"); err != nil {
		return err
	}
	_ = c.CloseWrite()
	_, _ = io.ReadAll(c)
	return nil
}

// h2Send sends a preface and one request, pseudo-fields in an order of its own.
func h2Send(c net.Conn, end bool, method, path string) (*http2.Framer, error) {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	fr := http2.NewFramer(c, c)
	_ = fr.WriteSettings()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", method}, {":authority", "www.example.com"}, {":scheme", "http"}, {":path", path}, {"user-agent", "zgrab"}, {"accept", "*/*"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return fr, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end})
}
