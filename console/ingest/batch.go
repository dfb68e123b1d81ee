package ingest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/klauspost/compress/zstd"

	"github.com/trapline/trapline/console/store"
)

// ContentType is the media type of a batch: for each entry its length as
// unsigned varint, then its bytes. Content-Encoding is zstd or none.
const ContentType = "application/x-trapline-records"

// BatchAnswer is the JSON answer to a batch, sent after the commit.
type BatchAnswer struct {
	// Stored entries are new, Known ones were there before.
	Stored int `json:"stored"`
	Known  int `json:"known"`
	// Refused lists the entries that can never be accepted; the others of the batch are stored.
	Refused []Refusal `json:"refused,omitempty"`
}

// Refusal says which entry was refused, counted from 0, and why. ID is empty when it could not be read.
type Refusal struct {
	Index int    `json:"index"`
	ID    string `json:"id,omitempty"`
	Error string `json:"error"`
}

// Errors of a batch as a whole. Nothing of it is stored then.
var (
	errFraming   = errors.New("batch is not a series of length and entry")
	errBatchSize = errors.New("batch is larger than the console takes")
	errMemory    = errors.New("too many batches at a time")
)

// batch takes a series of entries. The answers: 200 with a BatchAnswer after
// the commit; 400 framing or compression is broken; 413 over a limit, send
// fewer at a time; 415 unknown coding; 503 not now.
func (rc *Receiver) batch(w http.ResponseWriter, r *http.Request, sensor string) {
	rc.n.batches.Add(1)
	if r.ContentLength > rc.cfg.Limits.Batch {
		rc.fail(w, r, http.StatusRequestEntityTooLarge, errBatchSize)
		return
	}
	// One byte over the limit tells "cut" from "ends here".
	sent := &io.LimitedReader{R: r.Body, N: rc.cfg.Limits.Batch + 1}
	body := io.Reader(sent)
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "zstd":
		// The window bounds what the decoder allocates; the frames' limits bound what comes out.
		dec, err := zstd.NewReader(sent, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			rc.complain("decoder was not made", err)
			rc.unavailable(w, "the console cannot unpack now")
			return
		}
		defer dec.Close()
		body = dec
	default:
		rc.fail(w, r, http.StatusUnsupportedMediaType, errors.New("the content coding must be zstd or none"))
		return
	}
	taken := int64(0)
	defer func() { rc.inFlight.Release(taken) }()
	events, answer, err := rc.frames(bufio.NewReaderSize(body, 64<<10), sensor, &taken)
	switch {
	case errors.Is(err, errMemory):
		rc.unavailable(w, err.Error())
		return
	case errors.Is(err, errBatchSize), err != nil && sent.N <= 0:
		rc.fail(w, r, http.StatusRequestEntityTooLarge, errBatchSize)
		return
	case err != nil:
		rc.fail(w, r, http.StatusBadRequest, err)
		return
	}
	result, err := rc.insert(r.Context(), events)
	if err != nil {
		rc.complain("batch was not stored", err, "sensor", sensor, "entries", len(events))
		rc.unavailable(w, "the console cannot store now")
		return
	}
	rc.n.refused.Add(uint64(len(answer.Refused)))
	answer.Stored, answer.Known = result.Stored, result.Known
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the commit is done; a sensor that went away sends again
}

// frames reads the entries of a batch. Memory for each is taken from inFlight
// before it is read, without waiting: a batch that waited while it holds some could wait for itself.
func (rc *Receiver) frames(body *bufio.Reader, sensor string, taken *int64) ([]store.Event, *BatchAnswer, error) {
	answer := &BatchAnswer{}
	var events []store.Event
	for index := 0; ; index++ {
		size, err := binary.ReadUvarint(body)
		if errors.Is(err, io.EOF) {
			return events, answer, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: length of entry %d: %w", errFraming, index, err)
		}
		left := rc.cfg.Limits.Unpacked - *taken
		if index >= rc.cfg.Limits.Records || left < 0 || size > uint64(left) {
			return nil, nil, errBatchSize
		}
		if !rc.inFlight.TryAcquire(int64(size)) {
			return nil, nil, errMemory
		}
		*taken += int64(size)
		if size > uint64(rc.cfg.Limits.Entry) {
			if _, err := io.CopyN(io.Discard, body, int64(size)); err != nil {
				return nil, nil, fmt.Errorf("%w: entry %d ends early: %w", errFraming, index, err)
			}
			answer.Refused = append(answer.Refused, Refusal{Index: index, Error: "entry is larger than the console takes"})
			continue
		}
		entry, err := readEntry(body, int(size))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: entry %d ends early: %w", errFraming, index, err)
		}
		rc.n.bytes.Add(size)
		event, err := rc.read(sensor, entry)
		if err != nil {
			refusal := Refusal{Index: index, Error: err.Error()}
			if event.Record != nil && validID(event.Record.ID) {
				refusal.ID = event.Record.ID
			}
			answer.Refused = append(answer.Refused, refusal)
			continue
		}
		events = append(events, event)
	}
}

// readEntry reads size bytes; memory grows with what really comes, not with what a length claims.
func readEntry(r io.Reader, size int) ([]byte, error) {
	const trusted = 64 << 10
	if size <= trusted {
		b := make([]byte, size)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	b := make([]byte, 0, trusted)
	for len(b) < size {
		n := min(size-len(b), max(len(b), trusted))
		b = append(b, make([]byte, n)...)
		if _, err := io.ReadFull(r, b[len(b)-n:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// fail answers a batch that was not stored.
func (rc *Receiver) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	rc.cfg.Logger.Debug("batch refused", "status", status, "error", err)
	_, _ = io.CopyN(io.Discard, r.Body, rc.cfg.Limits.Batch)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
