package trap

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/collection"
	"github.com/trapline/trapline/seclang"
	touches "github.com/trapline/trapline/test/touch"
)

// FuzzConnection gives a connection any bytes, in two pieces, and checks what
// the trap promises: no panic, at least one record, and no answer without one.
func FuzzConnection(f *testing.F) {
	for _, k := range touches.Kinds() {
		if len(k.Bytes) < 1000 {
			f.Add([]byte(k.Bytes), uint16(len(k.Bytes)/2))
		}
	}
	f.Add([]byte(preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x00"), uint16(30))
	f.Add([]byte(preface+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01"), uint16(1))
	store, err := collection.Open(collection.Config{})
	if err != nil {
		f.Fatal(err)
	}
	engine := compileFuzz(f, store)
	var records atomic.Int64
	h := &Host{Name: "fuzz", Engine: engine, TagConnect: true, Handle: func(_ context.Context, r *audit.Record, _ collection.Ticket) error {
		if r.ID == "" || len(audit.AppendNative(nil, r)) == 0 {
			panic("record without an id")
		}
		records.Add(1)
		return nil
	}}
	tr, err := New(Config{
		Host: func(netip.AddrPort, string) *Host { return h },
		Limits: Limits{
			Head: 4096, Body: 1024, Drain: 4096, Raw: 1024, RequestTime: 10 * time.Millisecond, ConnTime: 30 * time.Millisecond,
			KeepAlive: 2 * time.Millisecond, Quiet: time.Millisecond,
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		before := records.Load() + int64(tr.Stats().Summed)
		began := time.Now()
		client, server := net.Pipe()
		answered := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(io.Discard, client)
			answered <- n
		}()
		go func() {
			at := min(int(cut), len(data))
			_, _ = client.Write(data[:at])
			_, _ = client.Write(data[at:])
			if len(data)%2 == 0 {
				_ = client.Close()
			}
		}()
		tr.ServeConn(context.Background(), piped{server})
		n := <-answered
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("took %v", d)
		}
		st := tr.Stats()
		if st.Panics != 0 {
			t.Fatal("panic in the connection")
		}
		if records.Load()+int64(st.Summed) == before {
			t.Fatalf("no record; %d bytes answered", n)
		}
		if st.Open != 0 || tr.live.Load() != 0 {
			t.Fatalf("connection still counted: %+v", st)
		}
	})
}

// piped gives a pipe the addresses of a trap port.
type piped struct{ net.Conn }

func (piped) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1234"))
}

func (piped) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.2:8000"))
}

func compileFuzz(f *testing.F, store *collection.Store) *seclang.Engine {
	return compile(f, `
SecRequestBodyAccess On
SecAuditLogParts ABCEFHIJKZ
SecRule SERVER_PORT "^8000$" "id:'999004',phase:2,t:none,log,block,msg:'%{REQUEST_LINE}',setvar:ip.malicious_client=1"
`, store)
}
