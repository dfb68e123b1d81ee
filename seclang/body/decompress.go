package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// ErrEncoding means that Decompress does not know a content coding.
var ErrEncoding = errors.New("unknown content coding")

// Decompress undoes a Content-Encoding (gzip, x-gzip, deflate, zstd, identity
// or none) for inspection. It returns at most limit bytes; data that is cut or
// corrupt yields what could be decoded and an error.
func Decompress(encoding string, data []byte, limit int64) ([]byte, error) {
	var r io.Reader
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return data[:min(int64(len(data)), limit)], nil
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(data))
	case "deflate":
		// RFC 9110 means zlib; some servers send the bare deflate stream.
		if r, err = zlib.NewReader(bytes.NewReader(data)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(data)), nil
		}
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return nil, fmt.Errorf("%w: %q", ErrEncoding, encoding)
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", encoding, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		err = fmt.Errorf("decode %s: %w", encoding, err)
	}
	return out, err
}
