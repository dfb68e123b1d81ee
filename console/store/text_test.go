package store

import (
	"net/netip"
	"testing"

	"github.com/trapline/trapline/audit"
)

func TestSearchFindsWhatIsEncoded(t *testing.T) {
	s := openTest(t, Config{})
	for id, uri := range map[string]string{
		"plain": "/a?id=1 UNION SELECT 1", "once": "/a?id=1%20UNION%20SELECT%201", "twice": "/a?id=1%2520UNION%2520SELECT%25201",
		"broken": "/a?id=%&b=%4&c=%zz%00%ff%", "other": "/index.html",
	} {
		r := &audit.Record{
			ID: id, Time: testStart, Client: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort("192.0.2.2:8000"),
			RequestHead: []byte("GET " + uri + " HTTP/1.1\r\nHost: a\r\n"),
		}
		if _, err := s.Insert(t.Context(), []Event{{Sensor: "s", Entry: audit.AppendNative(nil, r), Record: r}}); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]int{"union select": 3, "20union": 1, "%20UNION%20SELECT": 1, "zz": 1, "index.html": 1} {
		got, _, err := s.Events(t.Context(), Filter{Text: text}, Page{})
		if err != nil || len(got) != want {
			t.Errorf("%q finds %d events, %v; want %d", text, len(got), err, want)
		}
	}
}
