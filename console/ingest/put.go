package ingest

import (
	"context"
	"crypto/md5" // the protocol's checksum against damage, not a signature
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trapline/trapline/console/store"
)

// drained is how much of a refused body is read, so that the answer arrives before the connection is reset.
const drained = 64 << 20

// put takes one entry as mlogc sends it. The answers, by what mlogc does with them:
//
//	200  stored: mlogc deletes the file
//	409  never acceptable: too big, no audit entry, or not the bytes that X-Content-Hash
//	     names (the file was cut or changed on its disk: it will not change back). mlogc
//	     keeps the file and goes on with the next; any other answer would stop its queue for ever
//	503  not now: mlogc tries again
//
// X-ForensicLog-Summary is not needed: all it says is in the entry.
func (rc *Receiver) put(w http.ResponseWriter, r *http.Request, sensor string) {
	rc.n.puts.Add(1)
	limit := rc.cfg.Limits.Entry
	if r.ContentLength > limit {
		rc.refuse(w, r, "entry is larger than the console takes")
		return
	}
	weight := limit
	if r.ContentLength >= 0 {
		weight = r.ContentLength
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if rc.inFlight.Acquire(ctx, weight) != nil {
		rc.unavailable(w, "too many entries at a time")
		return
	}
	defer rc.inFlight.Release(weight)
	body, err := readBody(r, limit)
	switch {
	case errors.Is(err, errTooBig):
		rc.refuse(w, r, "entry is larger than the console takes")
		return
	case err != nil:
		// The connection broke or was too slow; nobody may read this answer.
		rc.unavailable(w, "the entry did not arrive whole")
		return
	}
	rc.n.bytes.Add(uint64(len(body)))
	if !hashMatches(r.Header.Get("X-Content-Hash"), body) {
		rc.refuse(w, r, "X-Content-Hash is not the hash of what arrived")
		return
	}
	event, err := rc.read(sensor, body)
	if err != nil {
		rc.refuse(w, r, err.Error())
		return
	}
	if _, err := rc.insert(r.Context(), []store.Event{event}); err != nil {
		rc.complain("entry was not stored", err, "sensor", sensor, "id", event.Record.ID)
		rc.unavailable(w, "the console cannot store now")
		return
	}
	w.Header().Set("Content-Length", "0")
	// Our own forwarder goes on in batches, which take a thousandth of the requests; mlogc reads no headers.
	w.Header().Set("Trapline-Batch", PathBatch)
	w.WriteHeader(http.StatusOK)
}

// refuse answers 409: this entry can never be accepted.
func (rc *Receiver) refuse(w http.ResponseWriter, r *http.Request, why string) {
	rc.n.refused.Add(1)
	rc.cfg.Logger.Debug("entry refused", "why", why)
	_, _ = io.CopyN(io.Discard, r.Body, drained)
	http.Error(w, why, http.StatusConflict)
}

var errTooBig = errors.New("body is over the limit")

// readBody reads a body of at most limit bytes into a slice of its own.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooBig
	}
	return body, err
}

// hashMatches checks "md5:" and 32 hex digits, the first word of the header:
// mlogc sends a space, or " L", after it. No header, or a kind of hash we do not know, is no mismatch.
func hashMatches(header string, body []byte) bool {
	words := strings.Fields(header)
	if len(words) == 0 {
		return true
	}
	kind, digits, _ := strings.Cut(words[0], ":")
	if !strings.EqualFold(kind, "md5") {
		return true
	}
	sum := md5.Sum(body)
	return strings.EqualFold(digits, hex.EncodeToString(sum[:]))
}
