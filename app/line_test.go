package app

import (
	"testing"

	"github.com/trapline/trapline/audit"
)

// TestLargeBodiesGoToTheConsole: with SecRequestBodyLimit at its default a body may have 128 MiB, an entry of a console 8.
func TestLargeBodiesGoToTheConsole(t *testing.T) {
	r := &audit.Record{
		ID: "awKnED4pRdIt3ksS1Lm49QAAAEA", Parts: audit.NativeParts, RequestHead: []byte("POST / HTTP/1.1\r\nHost: x"),
		RequestBody: make([]byte, 40<<20), ResponseBody: make([]byte, 40<<20), RequestBodySize: 40 << 20,
	}
	entry := audit.AppendNative(nil, fitting(r))
	if len(entry) > 8<<20 || len(r.RequestBody) != 40<<20 || len(r.Trailer) != 0 {
		t.Errorf("entry of %d bytes, record of %d", len(entry), len(r.RequestBody))
	}
	if back, _ := audit.ParseNative(entry); back.ID != r.ID || len(back.RequestBody) == 0 {
		t.Errorf("%+v", back.ID)
	}
	small := &audit.Record{RequestBody: []byte("a=1")}
	if fitting(small) != small {
		t.Error("a small record was copied")
	}
}
