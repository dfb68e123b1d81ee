package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// ErrEncoding means that Decompress does not know a content coding.
var ErrEncoding = errors.New("unknown content coding")

// ErrDecodedSize means that a decoded body was cut at the limit.
var ErrDecodedSize = errors.New("decoded body is over the limit")

// maxCodings is how many codings on top of each other are undone; servers apply one.
const maxCodings = 4

// Decompress undoes a Content-Encoding for inspection: gzip, x-gzip, deflate,
// br, zstd, identity, and lists of these in the order in which they were
// applied. It returns at most limit bytes, and no coding of a list makes more
// than that, whatever the data says: work and memory are bounded by limit.
// Data that is cut, corrupt or larger than limit yields what could be decoded
// and an error.
func Decompress(encoding string, data []byte, limit int64) ([]byte, error) {
	var codings []string
	for c := range strings.SplitSeq(encoding, ",") {
		if c = lowerASCII(strings.TrimSpace(c)); c != "" && c != "identity" {
			codings = append(codings, c)
		}
	}
	if len(codings) > maxCodings {
		return nil, fmt.Errorf("%w: %d of them", ErrEncoding, len(codings))
	}
	for _, c := range codings {
		switch c {
		case "gzip", "x-gzip", "deflate", "br", "zstd":
		default:
			return nil, fmt.Errorf("%w: %q", ErrEncoding, c)
		}
	}
	var faults []error
	for i := len(codings) - 1; i >= 0; i-- {
		out, err := decode(codings[i], data, limit)
		if err != nil {
			faults = append(faults, fmt.Errorf("decode %s: %w", codings[i], err))
		}
		data = out
	}
	if int64(len(data)) > limit {
		return data[:limit], errors.Join(append(faults, ErrDecodedSize)...)
	}
	return data, errors.Join(faults...)
}

func decode(coding string, data []byte, limit int64) ([]byte, error) {
	in := bytes.NewReader(data)
	var r io.Reader
	var err error
	switch coding {
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(in)
	case "deflate":
		// RFC 9110 means zlib; some servers send the bare deflate stream.
		if r, err = zlib.NewReader(in); err != nil {
			r, err = flate.NewReader(bytes.NewReader(data)), nil
		}
	case "br":
		r = brotli.NewReader(in)
	case "zstd":
		// RFC 8878 and RFC 9659: no window over 8 MiB over HTTP.
		var d *zstd.Decoder
		if d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20)); err == nil {
			defer d.Close()
			r = d
		}
	}
	if err != nil {
		return nil, err
	}
	out, err := readUpTo(r, limit)
	if err == nil && int64(len(out)) > limit {
		return out[:limit], ErrDecodedSize
	}
	return out, err
}

// readUpTo reads up to limit+1 bytes. io.ReadAll would grow in steps that copy a large body many times.
func readUpTo(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	_, err := b.ReadFrom(io.LimitReader(r, limit+1))
	return b.Bytes(), err
}
