package wire

import (
	"bufio"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBodyReader(t *testing.T) {
	chunked := Framing{ContentLength: -1, Chunked: true}
	tests := []struct {
		name, in   string
		f          Framing
		body       string
		size       int64
		faults, at string
		failed     bool
	}{
		{"none", "GET", Framing{ContentLength: -1}, "", 0, "", "GET", false},
		{"length", "abcdefGET", Framing{ContentLength: 6}, "abcde", 6, "", "GET", false},
		{"short", "abc", Framing{ContentLength: 6}, "abc", 3, "body ended early", "", true},
		{"chunks", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET", chunked, "abcde", 5, "", "GET", false},
		{"upper hex", "A\r\n0123456789\r\n0\r\n\r\n", chunked, "01234", 10, "", "", false},
		{"bare lf", "3\nabc\n0\n\nGET", chunked, "abc", 3, "bare LF in chunked body", "GET", false},
		{"trailer", "1\r\na\r\n0\r\nX: y\r\n\r\nGET", chunked, "a", 1, "", "GET", false},
		{"bad size", "zz\r\nabc", chunked, "zz\r\na", 7, "bad chunk size", "", false},
		{"negative", "-1\r\nabc", chunked, "-1\r\na", 7, "bad chunk size", "", false},
		{"huge", "ffffffffffffffffff\r\nabc", chunked, "fffff", 23, "bad chunk size", "", false},
		{"no end", "3\r\nabcdef\r\n0\r\n\r\n", chunked, "abcde", 13, "no CRLF after chunk", "", false},
		{"cut", "5\r\nab", chunked, "ab", 2, "body ended early", "", true},
		{"unknown", "abcdefg", Framing{ContentLength: -1, Unknown: true}, "abcde", 7, "body of unknown length", "", false},
		{"long size line", strings.Repeat("0", 5000) + "\r\n", chunked, "00000", 4096, "chunk size line too long", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(tt.in))
			_, _ = r.Peek(1)
			b := NewBodyReader(r, tt.f)
			got, err := b.ReadAll(5, 0)
			var faults []string
			for _, f := range b.Faults() {
				faults = append(faults, string(f))
			}
			if string(got) != tt.body || b.Size() != tt.size || strings.Join(faults, "|") != tt.faults || (err != nil) != tt.failed {
				t.Errorf("got %q, size %d, %q, %v", got, b.Size(), faults, err)
			}
			if tt.at != "" {
				if rest, _ := r.Peek(r.Buffered()); string(rest) != tt.at {
					t.Errorf("left %q, want %q", rest, tt.at)
				}
			}
		})
	}
}

func TestBodyReaderBounds(t *testing.T) {
	src := strings.NewReader(strings.Repeat("a", 1<<20))
	b := NewBodyReader(bufio.NewReader(src), Framing{ContentLength: 1 << 40})
	kept, err := b.ReadAll(10, 1000)
	if err != nil || len(kept) != 10 || b.Size() < 1000 || b.Size() > 9000 || len(b.Faults()) != 1 {
		t.Errorf("%d %v size %d %q", len(kept), err, b.Size(), b.Faults())
	}
	one := NewBodyReader(bufio.NewReader(iotest.OneByteReader(strings.NewReader("3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n"))), Framing{Chunked: true})
	kept, err = one.ReadAll(10, 0)
	if string(kept) != "abc" || err != nil || len(one.Faults()) != 0 || string(one.Trailer()) != "A: b\r\nC: d" {
		t.Errorf("%q %v %q %q", kept, err, one.Faults(), one.Trailer())
	}
}
