package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/trapline/trapline/console/store"
)

const (
	// liveEvery is the least time between two updates of a page: a flood of events must not become a flood of pages.
	liveEvery = 250 * time.Millisecond
	// liveBeat is the time after which a quiet stream says that it is alive, and its session is looked at again.
	liveBeat = 20 * time.Second
)

// eventsLive is the stream of new rows of a list (text/event-stream): each
// message is an update, its id the newest event it knows, so that a browser
// which connects again goes on without a gap.
func (s *Site) eventsLive(w http.ResponseWriter, r *http.Request, v *visitor) {
	q := r.URL.Query()
	f, _ := parseFilter(q)
	seq, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		seq, err = strconv.ParseInt(q.Get("since"), 10, 64)
	}
	if err != nil {
		http.Error(w, "since is not a number", http.StatusBadRequest)
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		http.Error(w, "too many live pages; poll /events/rows", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold messages back
	out := stream{w, http.NewResponseController(w)}
	if out.send(": trapline\nretry: 2000\n\n") != nil {
		return
	}
	for {
		newest, err := s.waitFor(r.Context(), seq)
		if err != nil {
			return
		}
		if newest == seq {
			if _, err := s.cfg.Control.Session(r.Context(), v.token); err != nil || out.send(": alive\n\n") != nil {
				return
			}
			continue
		}
		if seq, err = s.sendUpdate(r.Context(), out, &f, seq); err != nil {
			return
		}
		pause := time.NewTimer(liveEvery)
		select {
		case <-pause.C:
		case <-r.Context().Done():
			pause.Stop()
			return
		}
	}
}

// waitFor waits for events after seq, at most liveBeat; then the result is seq.
func (s *Site) waitFor(ctx context.Context, seq int64) (int64, error) {
	beat, cancel := context.WithTimeout(ctx, liveBeat)
	defer cancel()
	newest, err := s.cfg.Store.Wait(beat, seq)
	if err != nil && beat.Err() != nil && ctx.Err() == nil {
		return seq, nil
	}
	return newest, err
}

// sendUpdate sends what arrived after seq and returns where the page is now.
func (s *Site) sendUpdate(ctx context.Context, out stream, f *store.Filter, seq int64) (int64, error) {
	u, err := s.update(ctx, f, seq)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Error("live rows were not read", "error", err)
		}
		return seq, err
	}
	if u.Rows == 0 {
		return u.Seq, nil
	}
	b, err := json.Marshal(u)
	if err != nil {
		return seq, err
	}
	return u.Seq, out.send(fmt.Sprintf("id: %d\nevent: rows\ndata: %s\n\n", u.Seq, b))
}

// stream is a text/event-stream under way.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// send writes a message; a browser that does not read loses its stream and connects again.
func (o stream) send(message string) error {
	// The error says that the connection knows no deadlines (a test's recorder), which is fine.
	_ = o.rc.SetWriteDeadline(time.Now().Add(15 * time.Second))
	if _, err := o.w.Write([]byte(message)); err != nil {
		return err
	}
	return o.rc.Flush()
}
