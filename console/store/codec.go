package store

import (
	_ "embed"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Every stored entry starts with one byte that says how the rest is coded.
// A dictionary file never changes once released: a better one gets the next number.
const (
	codePlain = 0 // the entry itself
	codeDict1 = 1 // zstd with dict_1.txt as raw dictionary
)

// maxEntry bounds what one stored entry may unpack to: a damaged frame must not take the memory.
const maxEntry = 64 << 20

//go:embed dict_1.txt
var dict1 []byte

func newCodec() (*zstd.Encoder, *zstd.Decoder, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithEncoderDictRaw(1, dict1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, nil, fmt.Errorf("make entry encoder: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(1, dict1), zstd.WithDecoderMaxMemory(maxEntry), zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, nil, fmt.Errorf("make entry decoder: %w", err)
	}
	return enc, dec, nil
}

// pack codes an entry for the database.
func (s *Store) pack(entry []byte) []byte {
	out := make([]byte, 1, 1+len(entry)/2+64)
	out[0] = codeDict1
	out = s.encoder.EncodeAll(entry, out)
	if len(out) > len(entry) {
		out = append(append(out[:0], codePlain), entry...)
	}
	return out
}

// unpack reverses pack.
func (s *Store) unpack(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("stored entry is empty")
	}
	switch b[0] {
	case codePlain:
		return b[1:], nil
	case codeDict1:
		return s.decoder.DecodeAll(b[1:], nil)
	}
	return nil, fmt.Errorf("stored entry has unknown coding %d", b[0])
}
