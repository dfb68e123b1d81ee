package body

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// encode applies one content coding.
func encode(t testing.TB, coding string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "bare deflate":
		w, _ = flate.NewWriter(&b, 6)
	case "br":
		w = brotli.NewWriterLevel(&b, 5)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	default:
		t.Fatal(coding)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecompress(t *testing.T) {
	text := []byte(strings.Repeat("an answer with a secret in it. ", 100))
	gz, br := encode(t, "gzip", text), encode(t, "br", text)
	half := len(text) / 2
	for name, tt := range map[string]struct {
		encoding string
		data     []byte
		want     string // exactly, or
		prefix   bool   // only the beginning of it
		fault    bool
	}{
		"none":                    {"", text, string(text), false, false},
		"identity":                {"Identity", text, string(text), false, false},
		"gzip":                    {"gzip", gz, string(text), false, false},
		"x-gzip in capitals":      {" X-GZIP ", gz, string(text), false, false},
		"deflate":                 {"deflate", encode(t, "deflate", text), string(text), false, false},
		"deflate without zlib":    {"deflate", encode(t, "bare deflate", text), string(text), false, false},
		"br":                      {"br", br, string(text), false, false},
		"zstd":                    {"zstd", encode(t, "zstd", text), string(text), false, false},
		"gzip, then br":           {"gzip, br", encode(t, "br", gz), string(text), false, false},
		"br, then gzip, with air": {"br ,, identity,\tgzip", encode(t, "gzip", br), string(text), false, false},
		"gzip twice":              {"gzip,gzip", encode(t, "gzip", gz), string(text), false, false},
		"gzip of two members":     {"gzip", append(encode(t, "gzip", text[:half]), encode(t, "gzip", text[half:])...), string(text), false, false},
		"zstd of two frames":      {"zstd", append(encode(t, "zstd", text[:half]), encode(t, "zstd", text[half:])...), string(text), false, false},
		"gzip with more behind":   {"gzip", append(bytes.Clone(gz), "garbage"...), string(text), false, true},
		"gzip cut off":            {"gzip", gz[:len(gz)-12], "", true, true},
		"gzip with a wrong sum":   {"gzip", append(bytes.Clone(gz[:len(gz)-8]), "12345678"...), string(text), false, true},
		"br cut off":              {"br", br[:len(br)-3], "", true, true},
		"no gzip at all":          {"gzip", text, "", false, true},
		"nothing":                 {"gzip", nil, "", false, true},
		"unknown":                 {"compress", text, "", false, true},
		"unknown in a list":       {"gzip, sdch", gz, "", false, true},
		"too many":                {"gzip,gzip,gzip,gzip,gzip", gz, "", false, true},
	} {
		got, err := Decompress(tt.encoding, tt.data, 1<<20)
		if (err != nil) != tt.fault || !tt.prefix && string(got) != tt.want || tt.prefix && (len(got) == 0 || !bytes.HasPrefix(text, got)) {
			t.Errorf("%s: %d bytes %.40q, %v", name, len(got), got, err)
		}
	}
	for _, coding := range []string{"", "gzip", "deflate", "br", "zstd"} {
		data := text
		if coding != "" {
			data = encode(t, coding, text)
		}
		for _, limit := range []int64{0, 1, int64(len(text)) - 1} {
			if got, err := Decompress(coding, data, limit); int64(len(got)) != limit || !errors.Is(err, ErrDecodedSize) {
				t.Errorf("%q limited to %d: %d bytes, %v", coding, limit, len(got), err)
			}
		}
		if got, err := Decompress(coding, data, int64(len(text))); len(got) != len(text) || err != nil {
			t.Errorf("%q at the limit: %d bytes, %v", coding, len(got), err)
		}
	}
}

// TestTrapBombs: what a small answer decodes to is bounded, and so is the work, in each coding and in several at once.
func TestTrapBombs(t *testing.T) {
	const limit = 512 << 10
	zeros := make([]byte, 64<<20)
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"br"}, {"zstd"}, {"gzip", "gzip"}, {"zstd", "br"}, {"br", "gzip", "zstd"}} {
		data := zeros
		for _, c := range codings {
			data = encode(t, c, data)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		got, err := Decompress(strings.Join(codings, ","), data, limit)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		memory := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%v: %d bytes for 64 MiB, %d out, %v, %d MiB allocated", codings, len(data), len(got), took, memory)
		if len(got) != limit || !errors.Is(err, ErrDecodedSize) {
			t.Errorf("%v: %d bytes, %v", codings, len(got), err)
		}
		if took > 2*time.Second || memory > 64 {
			t.Errorf("%v: %v and %d MiB", codings, took, memory)
		}
	}
	// Streams that decode to nothing: members without content.
	for coding, one := range map[string][]byte{"gzip": encode(t, "gzip", nil), "zstd": {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}} {
		data := bytes.Repeat(one, limit/len(one))
		start := time.Now()
		got, _ := Decompress(coding, data, limit)
		t.Logf("%s: %d bytes of nothing, %v", coding, len(data), time.Since(start))
		if took := time.Since(start); len(got) != 0 || took > 2*time.Second {
			t.Errorf("%s: %d bytes, %v", coding, len(got), took)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	for _, c := range []string{"gzip", "deflate", "br", "zstd"} {
		f.Add(c, encode(f, c, []byte("some text, some text")))
	}
	f.Add("gzip,br", []byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, encoding string, data []byte) {
		if got, _ := Decompress(encoding, data, 1000); len(got) > 1000 {
			t.Fatal(len(got))
		}
	})
}
