package forward

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/trapline/trapline/audit"
	"github.com/trapline/trapline/spool"
)

// Limits of one batch. A console takes 10,000 entries and 128 MiB unpacked.
const (
	maxBatchEntries = 2000
	maxBatchBytes   = 4 << 20
)

// BatchPath is added to the console's address.
const BatchPath = "/api/v1/records"

// BatchHeader in a console's answer to a PUT of mlogc's protocol says where it takes batches, such as BatchPath.
const BatchHeader = "Trapline-Batch"

// encoders are kept: one holds a few MiB of tables.
var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic("forward: zstd encoder: " + err.Error())
	}
	return e
}}

// sendBatch posts entries: a zstd stream of, for each, its length as uvarint and the native entry.
func (f *Forwarder) sendBatch(ctx context.Context, address string, entries []spool.Entry) outcome {
	natives := make([][]byte, len(entries))
	for i, e := range entries {
		natives[i] = native(e.Bytes)
	}
	return f.postBatch(ctx, address, natives)
}

func (f *Forwarder) postBatch(ctx context.Context, address string, natives [][]byte) outcome {
	size := 0
	for _, n := range natives {
		size += len(n) + binary.MaxVarintLen32
	}
	frames := make([]byte, 0, size)
	for _, n := range natives {
		frames = binary.AppendUvarint(frames, uint64(len(n)))
		frames = append(frames, n...)
	}
	encoder := encoders.Get().(*zstd.Encoder)
	body := encoder.EncodeAll(frames, make([]byte, 0, len(frames)/4+1024))
	encoders.Put(encoder)

	ctx, cancel := context.WithTimeout(ctx, f.d.timeout(len(body)))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return outcome{reason: err.Error()}
	}
	f.d.authorize(req)
	req.Header.Set("Content-Type", "application/x-trapline-records")
	req.Header.Set("Content-Encoding", "zstd")
	return f.do(req, len(body), true)
}

// batchURL adds the path to an address that has none of its own.
func batchURL(console string) string {
	if strings.HasSuffix(console, BatchPath) {
		return console
	}
	return strings.TrimRight(console, "/") + BatchPath
}

// native returns the native entry in what the spool holds: without its index line, and not as JSON.
func native(entry []byte) []byte {
	_, body := unwrap(entry)
	if len(body) > 0 && body[0] == '{' {
		if r, _ := audit.ParseJSON(body); r.ID != "" {
			return audit.AppendNative(nil, r)
		}
	}
	return body
}

// batchReply is the console's answer to a batch.
type batchReply struct {
	Stored  int `json:"stored"`
	Known   int `json:"known"`
	Refused []struct {
		Index int    `json:"index"`
		ID    string `json:"id"`
		Error string `json:"error"`
	} `json:"refused"`
}

// batchAnswer reads which entries were refused. An answer that is no JSON is not a console's: nothing is stored then.
func (f *Forwarder) batchAnswer(o outcome, body []byte) outcome {
	var reply batchReply
	if err := json.Unmarshal(body, &reply); err != nil || !bytes.Contains(body, []byte(`"stored"`)) {
		return outcome{status: o.status, reason: "200, but the answer is not a console's", bytes: o.bytes}
	}
	f.count.known.Add(int64(reply.Known))
	for _, r := range reply.Refused {
		if o.refused == nil {
			o.refused = map[int]string{}
		}
		o.refused[r.Index] = "refused: " + r.Error
	}
	o.stored, o.known = reply.Stored, reply.Known
	return o
}

// ErrRefused says that a console refuses a batch for good: wrong password, wrong address.
var ErrRefused = errors.New("console refuses the records")

// SendBatch posts native entries to a console and waits for its answer, for callers that have no
// spool, such as replay. Failures of the server and the network are retried with back-off until ctx
// ends; 401, 403 and 404 are returned at once as ErrRefused. A batch that is refused as a
// whole is halved. refused counts the entries that the console will never take.
func SendBatch(ctx context.Context, client *http.Client, d Destination, entries [][]byte) (stored, known, refused int, err error) {
	d.Protocol = ProtocolBatch
	if err := d.complete(); err != nil {
		return 0, 0, 0, err
	}
	if client == nil {
		client = d.client()
	}
	f := &Forwarder{d: d, client: client}
	err = f.sendAll(ctx, entries, &stored, &known, &refused)
	return stored, known, refused, err
}

func (f *Forwarder) sendAll(ctx context.Context, entries [][]byte, storedN, known, refusedN *int) error {
	for failures := 1; len(entries) > 0; failures++ {
		o := f.postBatch(ctx, batchURL(f.d.URL), entries)
		switch {
		case o.verdict == stored:
			*storedN += o.stored
			*known += o.known
			*refusedN += len(o.refused)
			return nil
		case o.verdict == refused && len(entries) > 1:
			half := len(entries) / 2
			if err := f.sendAll(ctx, entries[:half], storedN, known, refusedN); err != nil {
				return err
			}
			entries = entries[half:]
			failures = 0
			continue
		case o.verdict == refused:
			*refusedN++
			return nil
		case o.status == http.StatusUnauthorized, o.status == http.StatusForbidden, o.status == http.StatusNotFound:
			return fmt.Errorf("%w: %s", ErrRefused, o.reason)
		}
		if err := pause(ctx, max(backOff(failures, f.d.ErrorTimeout), o.retryAfter)); err != nil {
			return fmt.Errorf("%w: last: %s", err, o.reason)
		}
	}
	return nil
}
